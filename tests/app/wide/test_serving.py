"""Agents that claim by themselves, over a whole workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app import work
from git_fleet.app.claim import Claimed, NothingReady, Request
from git_fleet.app.placing import Placed
from git_fleet.app.wide.serving import WideServing
from git_fleet.core.model import State
from git_fleet.errors import Ambiguous, InvalidInput
from tests.support import spaces
from tests.support.clock import FakeClock
from tests.support.fleet import approved, open_fleet, surroundings, task
from tests.support.repo import Repo


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[WideServing]:
    """Over lib (a, then x) and client (c, which comes first; and x)."""
    space, repos = spaces.make_space(tmp_path, {"lib": {}, "client": {}})
    approved(open_fleet(repos["lib"]), task("a", priority=1, labels=["core"]), task("x"))
    approved(open_fleet(repos["client"]), task("c", priority=5), task("x"))
    with WideServing(space, surroundings(FakeClock()), "agent") as made:
        yield made


def taken(serving: WideServing, worker: str, **fields: object) -> Placed:
    got = serving.claim(worker, Request(**{"worktree": False, **fields}))  # type: ignore[arg-type]
    assert isinstance(got, Placed), got
    return got


def test_a_claim_takes_the_most_important_task_anywhere(serving: WideServing) -> None:
    assert [str(taken(serving, f"w{n}").record.id) for n in range(4)] == ["p/c", "p/a", "p/x", "p/x"]
    left = serving.claim("w9", Request(worktree=False))
    assert isinstance(left, NothingReady)
    assert left.reason == "waiting"


def test_a_label_chooses_among_all(serving: WideServing) -> None:
    got = taken(serving, "w1", labels=("core",))
    assert (str(got.record.id), got.notes[0]) == (
        "p/a",
        "this task is of repository lib; work in its worktree",
    )


def test_what_a_worker_says_later_is_about_its_own_repository(serving: WideServing) -> None:
    """Both repositories have a task of that name."""
    taken(serving, "w1"), taken(serving, "w2")
    for worker in ("w3", "w4"):
        taken(serving, worker)
        with serving.session(worker, "p/x") as session:
            record = work.progress(session, "p/x", f"here is {worker}").record
        assert (record.state.state, record.state.summary) == (State.CLAIMED, f"here is {worker}")
    with pytest.raises(Ambiguous, match="in several repositories: lib, client"):
        serving.session("w5", "p/x")
    with pytest.raises(InvalidInput, match="no repository of workspace shop has a task 'nope'"):
        serving.session("w5", "nope")


def test_a_worktree_is_made_in_the_repository_of_the_task(serving: WideServing, tmp_path: Path) -> None:
    got = serving.claim("w1", Request())
    assert isinstance(got, Claimed)
    placed = serving.place("w1", got)
    assert placed.path is not None
    assert Repo(placed.path).run_git("rev-parse", "--git-common-dir") == str(tmp_path / "client" / ".git")
