"""A bug in git-fleet, in the middle of a run."""

from __future__ import annotations

from pathlib import Path

from git_fleet.app.placing import Placed
from git_fleet.app.running import run as running
from git_fleet.app.running.desk import Options
from git_fleet.core.model import State
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
