"""A plan through a real Slurm of two nodes on loopback: `make test-engines`.

Not collected with the others: it needs root, and Debian's packages of Slurm, which tests/support/slurm_local.sh takes
from the package mirror and unpacks into a folder of its own.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import validate
from tests.support.fleet import open_fleet, task
from tests.support.runs import Crew

SCRIPT = Path(__file__).parents[1] / "support" / "slurm_local.sh"
VERIFIER = """
[policy]
verdicts = 1

[[verifier]]
name = "v"
lens = "correctness"
run = '''if [ -e e ]; then echo '{"verdict":"refuted","findings":[{"text":"no"}]}'; else echo '{"verdict":"upheld"}'; fi'''
"""
"""Refutes the work of the task `e`, and upholds all other."""

PLACE = Path(__file__).parents[2] / "build" / "slurm"


@pytest.fixture(scope="session")
def slurm() -> Iterator[dict[str, str]]:
    """The variables under which programs find it; it is gone at the end."""
    if os.getuid() or shutil.which("dpkg") is None:
        pytest.skip("needs root and Debian")
    PLACE.mkdir(parents=True, exist_ok=True)
    up = subprocess.run(
        ["bash", SCRIPT, "up", PLACE], capture_output=True, text=True, check=False, timeout=300
    )
    try:
        if up.returncode:
            pytest.skip(f"Slurm cannot be had: {up.stderr[-300:]}")
        said = subprocess.run(
            ["bash", SCRIPT, "env", PLACE], capture_output=True, text=True, check=True
        ).stdout
        pairs = (word.partition("=") for word in shlex.split(said) if "=" in word)
        yield {name: text for name, _, text in pairs}
    finally:
        subprocess.run(["bash", SCRIPT, "down", PLACE], check=False, timeout=60)


@pytest.fixture
def crew(slurm: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crew:
    """A crew whose commands find Slurm."""
    crew = Crew.made(tmp_path, config=VERIFIER)
    monkeypatch.setenv("SLURM_CONF", slurm["SLURM_CONF"])
    monkeypatch.setenv("LD_LIBRARY_PATH", slurm["LD_LIBRARY_PATH"])
    programs = slurm["PATH"].partition(":")[0]
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return crew


def submit(crew: Crew, *args: str) -> list[dict[str, Any]]:
    document = json.loads(
        crew.fleet("jobs", "slurm", "p", "--json", "--logs", str(crew.folder / "logs"), *args)
    )
    validate(document, "jobs")
    assert document["submitted"]
    found: list[dict[str, Any]] = document["jobs"]
    return found


def ask(crew: Crew, *words: str) -> str:
    return subprocess.run(words, env=crew.env, capture_output=True, text=True, check=True).stdout


def until_over(crew: Crew) -> None:
    crew.until(lambda: not ask(crew, "squeue", "-h"), seconds=180)


def printed(crew: Crew) -> str:
    return "\n".join(
        f"== {path.name}\n{path.read_text()}" for path in sorted((crew.folder / "logs").iterdir())
    )


def test_waves_are_worked_verified_and_integrated_one_after_the_other(crew: Crew) -> None:
    crew.plan(
        task("a"), task("b"), task("c", needs=["a"]), task("d", needs=["b"]), task("e"),
        agents={"b": "block"},
    )  # fmt: skip
    jobs = submit(crew, "--workers", "2")
    assert [(job["step"], job["wave"], job["after"]) for job in jobs] == [
        ("work", 1, None), ("verify", 1, "aftercorr"), ("integrate", 1, "afterok"),
        ("work", 2, "afterok"), ("verify", 2, "aftercorr"), ("integrate", 2, "afterok"),
    ]  # fmt: skip
    until_over(crew)
    states = {"a": "integrated", "b": "blocked", "c": "integrated", "d": "pending", "e": "rework"}
    assert crew.states() == states, printed(crew)
    assert crew.repo.run_git("show", "main:a/new").strip() == "made by fleet-p-a"
    crew.sound()


def test_a_job_that_is_requeued_takes_its_claim_over_with_a_new_fence(crew: Crew) -> None:
    crew.plan(task("a"), task("b"), agents={"a": "wait"})
    jobs = submit(crew)
    crew.begun("a")
    with open_fleet(crew.repo) as session:
        before = session.snapshot().resolve("p/a").state.claim
    crew.act("a", 'cat "$T/new" > "$BOX/found"; echo more >> "$T/new"')
    ask(crew, "scontrol", "requeue", f"{jobs[0]['id']}_0")
    crew.until(lambda: _is_let_go(crew, jobs[0]["id"]))
    until_over(crew)
    assert crew.states() == {"a": "integrated", "b": "integrated"}, printed(crew)
    with open_fleet(crew.repo) as session:
        now = session.snapshot().resolve("p/a").state.claim
    assert before is not None
    assert now is not None
    assert (now.holder, now.fence != before.fence) == (before.holder, True)
    assert (crew.box / "found").read_text() == "begun\n"
    assert crew.alive() == []


def _is_let_go(crew: Crew, job: str) -> bool:
    """Slurm holds back for two minutes what it has requeued; here it need not."""
    now = ("scontrol", "update", f"JobId={job}_0", "StartTime=now")
    subprocess.run(now, env=crew.env, capture_output=True, check=False)
    return [task for task, _, _ in crew.starts()].count("a") > 1


def test_workers_with_clones_of_their_own_hand_in_at_the_server(crew: Crew, tmp_path: Path) -> None:
    server = tmp_path / "server.git"
    crew.repo.run_git("clone", "--quiet", "--bare", str(crew.repo.path), str(server))
    crew.repo.run_git("remote", "add", "origin", str(server))
    text = (crew.repo.path / "fleet.toml").read_text()
    shared = 'version = 1\nremote = "origin"\nrefresh_seconds = 0\n'
    crew.repo.commit("Share it", {"fleet.toml": text.replace("version = 1\n", shared)})
    crew.repo.run_git("push", "--quiet", "origin", "main")
    crew.plan(task("a"), task("b"), task("c", needs=["a"]))
    submit(crew, "--remote", str(server), "--filter", "blob:none")
    until_over(crew)
    assert crew.states() == {"a": "integrated", "b": "integrated", "c": "integrated"}, printed(crew)
    assert "made by fleet-p-c" in crew.repo.run_git("-C", str(server), "show", "main:c/new")


def test_what_slurm_does_not_take_is_said_and_nothing_is_left_behind(crew: Crew) -> None:
    crew.plan(task("a"))
    said = subprocess.run(
        ["git", "fleet", "jobs", "slurm", "p", "--option=--partition=nowhere"],
        cwd=crew.repo.path, env=crew.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 5
    assert "sbatch refused" in said.stderr
    assert ask(crew, "squeue", "-h") == ""
