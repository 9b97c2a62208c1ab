"""One branch of a run killed, started again, watched, while the rest goes on."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from git_fleet.app import agents
from git_fleet.app.orders import leave_order
from git_fleet.app.running import orders
from tests.support.clock import START
from tests.support.documents import validate
from tests.support.fleet import task
from tests.support.repo import Repo
from tests.support.runs import ACTS, FLEET, Crew, lines, once

AGAIN = 'if [ -e "$BOX/$T.again" ]; then ' + ACTS["work"] + "; else " + ACTS["wait"] + "; fi"
"""Waits the first time, does its work once its sign is there."""


@pytest.fixture
def crew(repo: Repo, tmp_path: Path) -> Iterator[Crew]:
    made = Crew(repo, tmp_path)
    yield made
    made.end_agents()


def starts_of(crew: Crew, name: str) -> list[tuple[str, int]]:
    return [(worker, pid) for each, worker, pid in crew.starts() if each == name]


def test_one_of_two_is_killed_and_the_other_does_not_notice(crew: Crew) -> None:
    crew.plan(task("a"), task("b"), agents={"a": AGAIN, "b": "wait"})
    with crew.running("--workers", "2") as process:
        crew.begun("a")
        crew.begun("b")
        (before,) = starts_of(crew, "b")
        assert "p/a" in crew.fleet("kill", "a")
        assert crew.states() == {"a": "rework", "b": "claimed"}
        assert "begun" in crew.fleet("salvage", "show", "a", "--patch")
        assert len(starts_of(crew, "a")) == 1  # the run leaves it alone
        (crew.box / "a.again").touch()
        assert "may claim it again" in crew.fleet("restart", "a")
        crew.until(lambda: crew.states()["a"] == "integrated")
        assert starts_of(crew, "b") == [before]
        crew.go("b")
        said = lines(process)
    assert process.returncode == 0
    assert any(": killed: " in each and "p/a" in each for each in said)
    assert crew.states() == {"a": "integrated", "b": "integrated"}
    crew.sound()


def test_what_was_killed_is_not_claimed_again_by_the_run_but_by_the_next(crew: Crew) -> None:
    crew.plan(task("a"), task("b"), agents={"a": AGAIN, "b": "wait"})
    with crew.running("--workers", "2") as process:
        crew.begun("a")
        crew.begun("b")
        crew.fleet("kill", "a")
        crew.go("b")
        lines(process)
    assert process.returncode == 1
    assert len(starts_of(crew, "a")) == 1
    assert crew.states() == {"a": "rework", "b": "integrated"}
    (crew.box / "a.again").touch()
    crew.run()
    assert crew.states() == {"a": "integrated", "b": "integrated"}


def test_a_restarted_agent_finds_what_was_done(crew: Crew) -> None:
    second = f"if [ -e a/new ]; then echo found > a/new; else {ACTS['wait']}; fi"
    crew.plan(task("a"), agents={"a": second})
    with crew.running() as process:
        crew.begun("a")
        assert "the run starts another" in crew.fleet("restart", "a")
        lines(process)
    assert process.returncode == 0
    assert crew.repo.run_git("show", "main:a/new") == "found"
    assert len(crew.starts()) == 2


def test_a_fresh_start_begins_where_the_claim_did_and_the_old_work_is_saved(crew: Crew) -> None:
    second = (
        f"if [ -e $BOX/a.begun ]; then ls > $BOX/seen; mkdir a; echo anew > a/new; else {ACTS['wait']}; fi"
    )
    crew.plan(task("a"), agents={"a": second})
    with crew.running() as process:
        crew.begun("a")
        crew.fleet("restart", "a", "--fresh")
        lines(process)
    assert process.returncode == 0
    assert "a" not in (crew.box / "seen").read_text().split()
    assert crew.repo.run_git("show", "main:a/new") == "anew"
    assert "begun" in crew.fleet("salvage", "show", "a", "--patch")


def test_a_blocked_task_is_started_again(crew: Crew) -> None:
    blocks = f"if [ -e $BOX/a.again ]; then {ACTS['work']}; else {ACTS['block']}; fi"
    crew.plan(task("a"), task("b"), agents={"a": blocks, "b": "wait"})
    with crew.running("--workers", "2") as process:
        crew.begun("b")
        crew.until(lambda: crew.states()["a"] == "blocked")
        (crew.box / "a.again").touch()
        crew.fleet("restart", "a")
        crew.until(lambda: crew.states()["a"] == "integrated")
        crew.go("b")
        lines(process)
    assert process.returncode == 0


def test_kill_ends_an_agent_whose_run_was_killed(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": "wait"})
    with crew.running() as process:
        crew.begun("a")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert crew.alive()
        assert "what it did is saved" in crew.fleet("kill", "a")
        assert not crew.alive()
    assert crew.states() == {"a": "rework"}
    assert "begun" in crew.fleet("salvage", "show", "a", "--patch")
    crew.sound()


def test_kill_and_restart_end_a_setup(repo: Repo, tmp_path: Path) -> None:
    begun = tmp_path / "set-up"
    crew = Crew(repo, tmp_path, worker=f'setup = "echo $$ >> {begun}; exec sleep 1000"')
    crew.plan(task("a"))

    def setups() -> list[int]:
        return [int(pid) for pid in begun.read_text().split()] if begun.exists() else []

    with crew.running() as process:
        crew.until(lambda: len(setups()) == 1)
        assert crew.fleet("attach", "a", code=1) == ""
        assert "its setup was ended, and begins again" in crew.fleet("restart", "a")
        crew.until(lambda: len(setups()) == 2)
        assert "its setup was ended" in crew.fleet("kill", "a")
        assert crew.states() == {"a": "pending"}
        said = lines(process)
    assert process.returncode == 1
    assert any("p/a: killed: Test Person killed it" in each for each in said), said
    assert not any(psutil.pid_exists(pid) for pid in setups())
    assert (crew.starts(), len(setups())) == ([], 2)
    crew.sound()


def test_what_is_handed_in_is_not_started_again(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hand-in that takes its time, since a filter does."""
    begun, go = crew.box / "filtering", crew.box / "filtered"
    waits = f"touch {begun}; while [ ! -e {go} ]; do sleep 0.02; done; cat"
    crew.repo.run_git("config", "filter.slow.clean", f"sh -c '{waits}'")
    (crew.repo.path / ".git/info").mkdir(exist_ok=True)
    (crew.repo.path / ".git/info/attributes").write_text("a/new filter=slow\n")
    crew.plan(task("a"))
    with crew.running() as process:
        crew.until(begun.exists)
        with monkeypatch.context() as hasty:
            hasty.setattr(orders, "_WAIT_SECONDS", 0.1)
            assert "its work is being handed in" in crew.fleet("restart", "a")
        folder = crew.repo.path / ".git/fleet/run/p/a"
        agents.clear_order(folder)
        with subprocess.Popen(
            [*FLEET, "restart", "a"], cwd=crew.repo.path, env=crew.env, stderr=subprocess.PIPE, text=True
        ) as restart:
            crew.until((folder / "order").exists)
            go.touch()
            _, said = restart.communicate()
        heard = lines(process)
    assert restart.returncode == 1, heard
    assert "p/a is " in said
    assert "nothing is started again" in said
    assert (crew.states(), len(crew.starts())) == ({"a": "integrated"}, 1)


@pytest.mark.parametrize("order", ["restart", "kill"])
def test_an_agent_that_has_failed_is_not_said_to_be_ended(crew: Crew, order: str) -> None:
    """While its run waits before it starts another."""
    crew.plan(
        task("a"), agents={"a": once("exit 75", ACTS["work"])}
    )  # told to come later: that is a long pause
    with crew.running() as process:
        folder = crew.repo.path / ".git/fleet/run/p/a"
        crew.until(lambda: (agent := agents.find(folder)) is not None and agent.exit() is not None)
        said = crew.fleet(order, "a")
        lines(process)
    assert "its agent had ended already, and " in said, said
    assert crew.states() == {"a": "integrated" if order == "restart" else "pending"}


def leave(crew: Crew, name: str, order: str, fence: str = "of an earlier claim") -> None:
    """An order of a command that died before it did anything else."""
    folder = crew.repo.path / ".git/fleet/run/p" / name
    folder.mkdir(parents=True, exist_ok=True)
    leave_order(folder, order, by="ann", at=START, fence=fence)


def test_an_order_is_carried_out_though_its_command_died(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": AGAIN})
    with crew.running() as process:
        crew.begun("a")
        agent = agents.find(crew.repo.path / ".git/fleet/run/p/a")
        assert agent is not None
        leave(crew, "a", "restart", agent.fence)
        (crew.box / "a.again").touch()
        (crew.repo.path / ".git/fleet/run/p/bell").write_bytes(b"!")
        lines(process)
    assert process.returncode == 0
    assert len(crew.starts()) == 2


def test_an_order_that_came_too_late_is_not_about_the_next_claim(crew: Crew) -> None:
    crew.plan(task("a"), task("b", needs=["a"]), agents={"a": "wait"})
    leave(crew, "a", "fresh")  # of an earlier run
    with crew.running() as process:
        crew.begun("a")
        leave(crew, "b", "kill")
        crew.go("a")
        lines(process)
    assert process.returncode == 0
    assert len(crew.starts()) == 2


def test_without_a_run_restart_says_what_to_do(crew: Crew) -> None:
    crew.plan(task("a"))
    error = json.loads(crew.fleet("restart", "a", "--json", code=1))["error"]
    assert error["message"] == "no run works on plan p on this machine"
    assert error["hint"] == "git fleet run p"
    error = json.loads(crew.fleet("kill", "a", "--json", code=1))["error"]
    assert error["message"].startswith("no agent of a run works on p/a on this machine")
    assert error["hint"] == "git fleet log p/a --output shows what agents printed"
    error = json.loads(crew.fleet("attach", "a", "--json", code=2))["error"]
    assert error["hint"] == "git fleet log a --output --json"


def test_attach_shows_what_is_printed_until_the_end(crew: Crew) -> None:
    says = r"printf 'one\n\033[31mtwo\033[0m\n'; " + ACTS["wait"] + "; echo three"
    crew.plan(task("a"), agents={"a": says})
    with crew.running() as process:
        crew.begun("a")
        with subprocess.Popen(
            [*FLEET, "attach", "a"],
            cwd=crew.repo.path,
            env=crew.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as watching:
            assert watching.stdout is not None
            assert watching.stderr is not None
            assert watching.stdout.readline() == "one\n"
            crew.go("a")
            out, err = watching.stdout.read(), watching.stderr.read()
        lines(process)
    assert out == "two\nthree\n"
    assert err == "p/a: its agent has ended\n"
    assert watching.returncode == 0


def test_the_log_of_a_task_shows_what_all_its_agents_printed(crew: Crew) -> None:
    says = r"printf 'try\n\033]0;title\007%s\r100%%\n' 50%; exit 3"
    crew.plan(task("a"), agents={"a": says})
    crew.run(code=1)
    text = crew.fleet("log", "a", "--output")
    assert [row.partition(",")[0] for row in text.splitlines() if row.startswith("attempt")] == [
        "attempt 1"
    ] * 2
    assert text.count("\ntry\n100%") == 2
    assert "\x1b" not in text
    document = json.loads(crew.fleet("log", "a", "--output", "--json"))
    validate(document, "log-output")
    assert [(each["attempt"], each["number"]) for each in document["outputs"]] == [(1, 1), (1, 2)]
    assert all("\x1b]0;title\x07" in each["text"] for each in document["outputs"])
    assert Path(document["outputs"][0]["path"]).is_file()


def test_a_task_without_output_says_so_and_a_plan_has_none(crew: Crew) -> None:
    crew.plan(task("a"))
    assert crew.fleet("log", "a", "--output").startswith("no agent has printed anything for p/a")
    assert crew.fleet("log", "p", "--output", "--json", code=2)
