"""Who may speak for a task's holder, and about what a person's word is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from git_fleet.app import handin, work
from git_fleet.app.session import Session
from git_fleet.core.model import State, TaskState
from git_fleet.errors import IllegalEvent, Stale, StaleClaim
from git_fleet.store import names
from tests.support.clock import FakeClock
from tests.support.fleet import (
    approved,
    claimed,
    open_fleet,
    proposed,
    task,
    working_on,
)
from tests.support.repo import Repo


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


def state_of(session: Session, name: str) -> TaskState:
    return session.record(session.snapshot(), name).state


# --- a worker that strayed into another task's worktree ------------------------------------------

HOLDERS_VERBS: list[Callable[[Session, str | None], object]] = [
    lambda session, name: handin.done(session, name, handin.Handin()),
    lambda session, name: work.progress(session, name, "still at it"),
    work.renew,
    work.release,
    lambda session, name: work.block(session, name, "missing-api", "no API"),
    lambda session, name: work.withdraw(session, name, ""),
]


@pytest.fixture
def strayed(session: Session, repo: Repo, clock: FakeClock) -> Iterator[Session]:
    """The worker of a, with a's environment, in the worktree of b, which is somebody else's."""
    approved(session, task("a"), task("b"))
    path = working_on(session, "a")
    fence = state_of(session, "a").claim
    assert fence is not None
    with open_fleet(repo, "w2", clock) as other:
        elsewhere = working_on(other, "b")
    for place, name in ((path, "a"), (elsewhere, "b")):
        Repo(place).commit("Work", {f"{name}/x": "1"})
    env = {"FLEET_PLAN": "p", "FLEET_TASK": "a", "FLEET_FENCE": str(fence.fence), "FLEET_WORKER": "w1"}
    with open_fleet(elsewhere, None, clock, env=env) as session:
        yield session


@pytest.mark.parametrize("verb", HOLDERS_VERBS)
def test_in_another_tasks_worktree_nothing_is_done_to_it(
    strayed: Session, verb: Callable[[Session, str | None], object]
) -> None:
    before = strayed.store.refs.read(names.FLEET)
    with pytest.raises(StaleClaim, match="worktree of p/b, and FLEET_TASK says that you work on p/a"):
        verb(strayed, None)
    assert strayed.store.refs.read(names.FLEET) == before


def test_in_another_tasks_worktree_one_may_name_ones_own(strayed: Session) -> None:
    assert handin.done(strayed, "a", handin.Handin()).record.state.state is State.PROPOSED
    assert state_of(strayed, "b").state is State.CLAIMED


# --- a person's word is about the proposal that there was ----------------------------------------


@pytest.fixture
def handed_in_again(
    session: Session, repo: Repo, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> Session:
    """A session before whose eyes proposal 2 takes the place of proposal 1, once it has read that."""
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    read = Session.person

    def person(self: Session) -> str:
        if self is session:
            with open_fleet(repo, "w1", clock) as worker:
                work.withdraw(worker, "a", "wait")
                claimed(worker, "a")
                proposed(worker, "a", {"a/new": "worse\n"})
        return read(self)

    monkeypatch.setattr(Session, "person", person)
    session.actor = "boss"  # from now on: who made it may not judge it
    return session


@pytest.mark.parametrize(
    "word", [lambda s: work.accept(s, "a", "fine"), lambda s: work.reject(s, "a", ("no",))]
)
def test_a_word_about_an_earlier_proposal_does_not_count_for_the_next(
    handed_in_again: Session, word: Callable[[Session], object]
) -> None:
    with pytest.raises(Stale, match="handed in again meanwhile"):
        word(handed_in_again)
    assert state_of(handed_in_again, "a").state is State.PROPOSED


def test_what_is_not_on_hold_and_not_handed_in_cannot_be_accepted(session: Session) -> None:
    approved(session, task("a"), task("b", hold=True))
    with pytest.raises(IllegalEvent, match="p/a is not on hold, and nothing is handed in"):
        work.accept(session, "a", "")
    assert work.accept(session, "b", "").record.state.lifted
    with pytest.raises(IllegalEvent, match="p/b is not on hold"):
        work.accept(session, "b", "")


# --- a plan for another branch lives by that branch's configuration ------------------------------


def test_a_task_lives_by_the_configuration_of_its_plans_base(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    repo.run_git("checkout", "--quiet", "-b", "release")
    text = 'version = 1\nmode = "lead-commits"\nlease_seconds = 60\nsession_minutes = 1\nbreaker = 1\n'
    repo.commit("Set up", {"fleet.toml": text + 'branch = "next/{id}"\ntouch = [".skip"]\n'})
    repo.run_git("checkout", "--quiet", "main")
    approved(session, task("a"), task("b"), base="release")
    record = claimed(session, "a", worktree=True)
    claim = record.state.claim
    assert claim is not None
    assert claim.branch == "next/a"
    assert (claim.expires_at - claim.acquired_at).total_seconds() == 60
    assert (Path(claim.worktree) / ".skip").exists()
    clock.advance(61)
    acted = work.renew(session, "a")
    assert "longer than 1 minutes" in acted.notes[0]
    assert acted.record.state.claim is not None
    assert (acted.record.state.claim.expires_at - clock()).total_seconds() == 60
    Repo(Path(claim.worktree)).write("a/x", "not committed")
    made = handin.done(session, "a", handin.Handin()).proposal  # as in mode lead-commits
    assert made.commit is not None
    assert set(repo.files(made.commit)) == {"README.md", "a/x", "fleet.toml"}
    claimed(session, "b")
    assert "plan p is paused" in work.block(session, "b", "missing-api", "no API").notes[0]
