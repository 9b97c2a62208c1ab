"""A claimer stopped or killed between any two of its writes, while another claims the overlapping task."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import work
from git_fleet.app.session import Session
from tests.support.breaking import Halted, attempt, before_write, cut, die, killed, when_prepared
from tests.support.clock import FakeClock
from tests.support.fleet import approved, open_fleet, task
from tests.support.race import Done
from tests.support.repo import Repo
from tests.support.worlds import GENEROUS, assert_logs_are_legal, assert_sound

LEASE = 3600
WRITES = 2  # of a claim without a worktree: the guard, the task's log


def _overlapping(repo: Repo, clock: FakeClock) -> Session:
    repo.commit("Set up", {"fleet.toml": GENEROUS})
    session = open_fleet(repo, "person", clock)
    approved(session, task("a", files=["same"]), task("x", files=["same"]))
    return session


def _claim(place: Path, worker: str, name: str | None, clock: FakeClock) -> tuple[str, str] | str:
    """Which task was claimed, and by whom; or why none was."""
    with open_fleet(place, worker, clock) as session:
        got = claiming.claim(session, claiming.Request(task=name, worktree=False))
        if isinstance(got, claiming.NothingReady):
            return got.reason
        assert got.record.state.claim is not None
        return str(got.record.id), got.record.state.claim.holder


def _active(session: Session) -> list[str]:
    return [str(task) for task, record in session.snapshot().tasks.items() if record.state.state.active]


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("number", range(1, WRITES + 1))
def test_one_of_two_gets_its_task_when_the_other_is_stopped(
    repo: Repo, clock: FakeClock, number: int, prepared: bool
) -> None:
    session = _overlapping(repo, clock)
    with Halted(number, _claim, repo.path, "w1", "a", clock, prepared=prepared) as other:
        assert other.stopped
        mine = attempt(_claim, repo.path, "w2", "x", clock)
        theirs = other.go_on()
    won = {outcome.value for outcome in (mine, theirs) if isinstance(outcome, Done)}
    assert len(won) == 1, (mine, theirs)
    assert _active(session) == [won.pop()[0]]
    assert_logs_are_legal(session)


@pytest.mark.parametrize("end", ["dies", "git dies too"])
@pytest.mark.parametrize("number", range(1, WRITES + 2))
def test_a_dead_claimer_blocks_nobody(repo: Repo, clock: FakeClock, number: int, end: str) -> None:
    session = _overlapping(repo, clock)
    arm: Callable[[], None] = partial(before_write, number, die)
    if end == "git dies too":
        arm = partial(when_prepared, number, cut)
    died = killed(arm, _claim, repo.path, "w1", "a", clock)
    assert died == (number <= WRITES)
    mine = attempt(_claim, repo.path, "w2", "x", clock)
    assert _active(session) == (["p/x"] if isinstance(mine, Done) else ["p/a"])
    clock.advance(LEASE)
    assert isinstance(attempt(_claim, repo.path, "w3", None, clock), Done)  # nothing is lost for ever
    assert len(_active(session)) == 1
    assert_logs_are_legal(session)
    assert_sound(repo)


def test_a_claim_that_was_helped_and_then_taken_over_is_not_its_makers_any_more(
    repo: Repo, clock: FakeClock
) -> None:
    session = _overlapping(repo, clock)
    with Halted(2, _claim, repo.path, "w1", "a", clock) as slow:
        assert _claim(repo.path, "w2", None, clock) == "waiting"  # it has helped w1
        clock.advance(LEASE)
        assert _claim(repo.path, "w2", "a", clock) == ("p/a", "w2")
        outcome = slow.go_on()
    assert not isinstance(outcome, Done), outcome
    assert assert_logs_are_legal(session)


def test_a_helped_claim_that_was_cancelled_is_no_claim(repo: Repo, clock: FakeClock) -> None:
    session = _overlapping(repo, clock)
    with Halted(2, _claim, repo.path, "w1", "a", clock) as slow:
        assert _claim(repo.path, "w2", None, clock) == "waiting"
        work.cancel(session, "a", "not wanted")
        outcome = slow.go_on()
    assert not isinstance(outcome, Done), outcome


def test_a_worker_that_died_in_its_claim_can_resume_it(repo: Repo, clock: FakeClock) -> None:
    _overlapping(repo, clock)
    assert killed(partial(before_write, 2, die), _claim, repo.path, "w1", "a", clock)
    with open_fleet(repo, "w1", clock) as again:
        assert claiming.resume(again, None).record.id.task == "a"
