"""Taking a task over from a worker that has gone, in whatever state it left its worktree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app.claim import Claimed, NothingReady, Request
from git_fleet.app.session import Session
from git_fleet.core.model import State
from tests.support.clock import START, FakeClock
from tests.support.fleet import approved, open_fleet, task, working_on
from tests.support.repo import Repo

LEASE = 3600
CONFIG = f'version = 1\nmax_attempts = 1\nlease_seconds = {LEASE}\ngates = "none"\n'


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


@pytest.fixture
def successor(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w2", clock) as session:
        yield session


def committed_at(path: Path, seconds: int) -> None:
    """One commit in the worktree, by a clock that shows `seconds`."""
    tree = Repo(path)
    tree.write("a/1", "1")
    tree.run_git("add", "a/1")
    tree.run_git("commit", "--quiet", "-m", "busy", env={"GIT_COMMITTER_DATE": f"@{seconds} +0000"})


# --- a worker that commits is alive --------------------------------------------------------------


def test_who_has_committed_within_the_lease_keeps_the_task_on_its_last_attempt_too(
    session: Session, successor: Session, repo: Repo, clock: FakeClock
) -> None:
    repo.commit("Set up", {"fleet.toml": CONFIG})
    approved(session, task("a"))
    path = working_on(session, "a")
    clock.advance(LEASE - 100)
    committed_at(path, int(clock().timestamp()))
    clock.advance(200)
    assert isinstance(claiming.claim(successor, Request()), NothingReady)
    state = session.record(session.snapshot(), "a").state
    assert state.state is State.CLAIMED
    assert state.claim is not None
    assert state.claim.expires_at.timestamp() == START.timestamp() + LEASE - 100 + LEASE


@pytest.mark.parametrize("seconds", [999_999_999_999_999, -999_999_999_999])
def test_a_commit_of_an_impossible_date_does_not_renew_and_does_not_hinder(
    session: Session, successor: Session, clock: FakeClock, seconds: int
) -> None:
    approved(session, task("a"))
    path = working_on(session, "a")
    if seconds > 0:
        committed_at(path, seconds)
    else:
        raw = (
            Repo(path)
            .run_git("cat-file", "commit", "HEAD")
            .replace(str(int(START.timestamp())), str(seconds))
        )
        odd = Repo(path).run_git(
            "hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=raw.encode()
        )
        Repo(path).run_git("reset", "--quiet", odd)
    clock.advance(2 * LEASE)
    found = claiming.claim(successor, Request(worktree=False))
    assert isinstance(found, Claimed)
    assert found.record.state.salvaged is not None


# --- a worker that is slow -----------------------------------------------------------------------


def test_names_promised_to_an_earlier_claim_are_not_given_again(
    session: Session, successor: Session, clock: FakeClock
) -> None:
    approved(session, task("a", slug="do"))
    claiming.claim(session, Request("a"))  # stopped before its worktree was made
    clock.advance(2 * LEASE)
    found = claiming.claim(successor, Request("a"))
    assert isinstance(found, Claimed)
    assert found.record.state.claim is not None
    assert found.record.state.claim.branch == "feature/a-do-a2"
