"""A bug in git-fleet, and somebody else's integration, in the middle of a run."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from git_fleet.app import claim
from git_fleet.app.placing import Placed
from git_fleet.app.running import run as running
from git_fleet.app.running.desk import Options
from git_fleet.core.model import State
from git_fleet.errors import GitFailed
from git_fleet.git.flocks import alone
from tests.support.fleet import open_fleet, task
from tests.support.repo import Repo
from tests.support.runs import FLEET, Crew


def test_a_claim_that_meets_a_bug_is_given_up_in_an_orderly_way(repo: Repo, tmp_path: Path) -> None:
    crew = Crew(repo, tmp_path)
    crew.plan(task("a"), task("b"))
    heard: list[str] = []

    def describe(placed: Placed) -> str:
        if placed.record.id.task == "a":
            raise RuntimeError("nobody thought of this")
        return "{}"

    with open_fleet(repo, "lead", env=crew.env, long_lived=True) as session:
        ready = running.prepare(session, Options("p", 1, FLEET, integrate=False))
        found = running.run(session, ready, heard.append, describe)
    ends = {end.task.task: end for end in found.tasks}
    assert (ends["a"].state, ends["b"].state) == (State.BLOCKED, State.PROPOSED)
    assert "a bug in git-fleet: RuntimeError: nobody thought of this" in ends["a"].reason
    assert any("RuntimeError" in trouble for trouble in found.troubles)
    assert not crew.alive()


def test_a_run_waits_for_an_integration_that_is_not_its_own(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a run that was killed, say: its gates may take longer than anybody tries."""
    monkeypatch.setattr("git_fleet.app.running.backlog._HELD_TRIES", 1)
    monkeypatch.setattr("git_fleet.app.running.backlog._HELD_SECONDS", 0.1)
    crew = Crew(repo, tmp_path)
    crew.plan(task("a"))
    heard: list[str] = []
    with ExitStack() as held, open_fleet(repo, "lead", env=crew.env, long_lived=True) as session:
        held.enter_context(alone(session.repo.git_dir / "fleet-integrate.lock"))

        def hear(said: str) -> None:
            heard.append(said)
            if "another integration is running" in said:
                held.close()

        ready = running.prepare(session, Options("p", 1, FLEET))
        found = running.run(session, ready, hear, lambda _: "{}")
    assert found.complete, heard
    assert len(found.troubles) == 1


@pytest.mark.parametrize("step", ["claim", "_closing"])
def test_a_claim_that_fails_once_is_no_end_whether_it_was_made_or_not(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Its git was killed before anything was claimed, or when the plan was read again after that."""
    crew = Crew(repo, tmp_path)
    crew.plan(task("a"))
    heard: list[str] = []
    failures = [GitFailed("git was killed")]
    real = getattr(claim, step)

    def fails_once(*given: object) -> object:
        if failures:
            raise failures.pop()
        return real(*given)

    monkeypatch.setattr(claim, step, fails_once)
    with open_fleet(repo, "lead", env=crew.env, long_lived=True) as session:
        ready = running.prepare(session, Options("p", 1, FLEET, max_seconds=40))
        found = running.run(session, ready, heard.append, lambda _: "{}")
    assert (found.complete, found.troubles) == (True, ("git was killed",)), heard
    assert [end.attempts for end in found.tasks] == [1]


def test_an_integration_that_cannot_even_begin_is_told_of(repo: Repo, tmp_path: Path) -> None:
    crew = Crew(repo, tmp_path)
    crew.plan(task("a"))
    broken = (*FLEET[:1], "-c", "raise SystemExit('no module of that name')")
    heard: list[str] = []
    with open_fleet(repo, "lead", env=crew.env, long_lived=True) as session:
        found = running.run(
            session, running.prepare(session, Options("p", 1, broken)), heard.append, lambda _: "{}"
        )
    assert not found.complete
    assert "git fleet integrate ended with exit code 1: no module of that name" in found.troubles, heard
