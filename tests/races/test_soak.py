"""A whole run in which everything goes wrong that may: 12 workers, 150 tasks, bad agents of all kinds, and a supervisor
that is killed three times."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import badluck
from tests.support.repo import Repo
from tests.support.runs import FLEET, Crew

CONFIG = """\
max_active = 12
max_review = 1000
max_attempts = 4
breaker = 1000
idle_minutes = 0.1
"""
TASKS, SEED = 150, 20260101
KILLED_AT = (30, 70, 100)
"""The supervisor is killed as soon as so many tasks are on main."""

PATIENCE_SECONDS = 900.0


@pytest.fixture
def crew(repo: Repo, tmp_path: Path) -> Crew:
    return Crew(repo, tmp_path, worker="retries = 4", config=CONFIG)


@pytest.mark.slow(seconds=100)
def test_all_tasks_come_to_an_end_whatever_becomes_of_agents_and_supervisors(crew: Crew) -> None:
    plan = badluck.bad_plan(TASKS, SEED)
    badluck.set_up(crew.box)
    crew.plan(*plan.tasks, agents=plan.acts)
    begin = crew.repo.rev("main")
    for number, landed in enumerate(KILLED_AT):
        run_until(crew, number, begin, landed)
    run_until(crew, len(KILLED_AT), begin, TASKS + 1)

    assert_all_have_ended(crew, plan)
    assert_every_commit_passes_the_gate(crew, begin)
    assert_nothing_runs(crew)
    crew.fleet("cleanup")  # of folders that agents have deleted, doctor would tell
    crew.sound()
    for name, path in plan.shared.items():
        assert crew.repo.run_git("show", f"main:{path}").splitlines().count(name) == 1
    assert not lost(crew)


def run_until(crew: Crew, number: int, begin: str, landed: int) -> None:
    """Run until so many tasks are on main, and kill the supervisor; or until the run is over."""
    with (crew.box / f"run-{number}").open("wb") as log:  # nobody has to read its lines meanwhile
        run = subprocess.Popen(
            [*FLEET, "run", "--workers", "12"],
            cwd=crew.repo.path,
            env=crew.env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        crew.until(lambda: run.poll() is not None or on_main(crew, begin) >= landed, PATIENCE_SECONDS)
        assert landed > TASKS or run.poll() is None, "it was over before it could be killed"
    except BaseException:
        run.kill()
        crew.end_agents()
        raise
    finally:
        run.kill()
        run.wait()


def on_main(crew: Crew, begin: str) -> int:
    return int(crew.repo.run_git("rev-list", "--count", f"{begin}..main"))


def assert_all_have_ended(crew: Crew, plan: badluck.Plan) -> None:
    """Integrated, or blocked with a reason where an agent never does its work."""
    plans: list[dict[str, Any]] = json.loads(crew.fleet("status", "--json"))["plans"]
    tasks = {entry["task_id"].partition("/")[2]: entry for entry in plans[0]["tasks"]}
    otherwise = {
        name: (plan.kinds[name], entry["state"], entry["why"])
        for name, entry in tasks.items()
        if entry["state"] != ("blocked" if name in plan.doomed else "integrated")
    }
    assert not otherwise
    assert all(": " in tasks[name]["why"] for name in plan.doomed)


def assert_every_commit_passes_the_gate(crew: Crew, begin: str) -> None:
    """Checked out one after another."""
    place = crew.repo.worktree(crew.folder / "checked", "checked", begin)
    for commit in crew.repo.run_git("rev-list", "--reverse", f"{begin}..main").split():
        place.run_git("checkout", "--quiet", "--detach", commit)
        found = subprocess.run(["grep", "-rqs", "--include=new", "BROKEN", "."], cwd=place.path, check=False)
        assert found.returncode == 1, f"{commit} is red"
    crew.repo.run_git("worktree", "remove", "--force", str(place.path))
    crew.repo.run_git("branch", "-D", "checked")


def assert_nothing_runs(crew: Crew) -> None:
    """Neither agents nor what they started, nor minders, nor what integrates."""
    assert not crew.alive()
    left = []
    for process in psutil.process_iter():
        try:
            said = [*process.cmdline(), process.cwd()]
        except (psutil.Error, OSError):
            continue
        if process.pid != os.getpid() and any(str(crew.folder) in word for word in said):
            left.append(said)
    assert not left


def lost(crew: Crew) -> list[str]:
    """The lines that agents have written and no ref leads to."""
    listed = crew.repo.run_git("rev-list", "--objects", "--all").splitlines()
    oids = "\n".join(line.split(" ", 1)[0] for line in listed)
    found = set(crew.repo.run_git("cat-file", "--batch", "--buffer", stdin=oids.encode()).splitlines())
    return [line for line in badluck.written(crew.box) if line not in found]
