"""The worktree of main, when it is not one or not there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app import homing, lead
from git_fleet.app.integrate import Order, integrate
from git_fleet.app.session import Session
from git_fleet.core.model import State
from git_fleet.errors import GitFailed, NeedsPerson, StaleClaim
from git_fleet.git import moves
from git_fleet.git.refs import Refs
from git_fleet.store import evidence
from tests.support.breaking import Halted
from tests.support.clock import FakeClock
from tests.support.fleet import approved, claimed, open_fleet, proposed, task
from tests.support.race import Done, Raised
from tests.support.repo import Repo


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    repo.commit("Set up", {"fleet.toml": 'version = 1\ngates = "none"\n'})
    with open_fleet(repo, "w1", clock) as session:
        approved(session, task("a"))
        claimed(session, "a")
        proposed(session, "a")
        yield session


def integrated(session: Session) -> int:
    return len(integrate(session, Order(), lambda _: None).integrated)


def as_hinted(repo: Repo, refused: NeedsPerson) -> None:
    """Do what the hint says."""
    repo.run_git(*refused.hint.partition("git ")[2].split())


def test_main_in_two_worktrees_is_not_moved_under_one_of_them(
    session: Session, repo: Repo, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    repo.run_git("worktree", "add", "-q", "-f", str(second), "main")
    before = repo.rev("main")
    with pytest.raises(NeedsPerson, match="main is checked out in several worktrees") as refused:
        integrated(session)
    assert str(second) in refused.value.message
    assert repo.rev("main") == before
    as_hinted(repo, refused.value)
    assert integrated(session) == 1
    assert (repo.status(), Repo(second).status()) == ([], [])


def test_a_deleted_worktree_of_main_is_named_with_what_to_do(
    session: Session, repo: Repo, tmp_path: Path
) -> None:
    repo.run_git("checkout", "-q", "-b", "dev")
    repo.run_git("worktree", "add", "-q", str(tmp_path / "main"), "main")
    shutil.rmtree(tmp_path / "main")
    with pytest.raises(NeedsPerson, match="a folder that is gone") as refused:
        integrated(session)
    as_hinted(repo, refused.value)
    assert integrated(session) == 1


def _integrate(place: Path, clock: FakeClock) -> int:
    with open_fleet(place, "lead", clock) as session:
        return integrated(session)


def test_a_commit_in_the_moment_before_the_worktree_follows_is_seen_before_the_intent_is_closed(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    before = repo.rev("main")
    with Halted(2, _integrate, repo.path, clock, of=["read-tree"]) as halted:  # the first was the rehearsal
        landed = repo.rev("main")
        assert landed != before
        repo.write("README.md", "fixed")
        repo.run_git("commit", "--quiet", "-am", "An innocent fix")
        assert "a/new" not in repo.files("main")
        outcome = halted.go_on()
    assert isinstance(outcome, Raised)
    assert "took back what" in outcome.text
    assert lead.show(session).intent_open
    repo.run_git("checkout", landed, "--", "a/new")
    repo.run_git("commit", "--quiet", "-m", "Bring it back")
    assert integrated(session) == 0
    assert not lead.show(session).intent_open
    assert repo.status() == []


def test_a_commit_in_that_moment_that_takes_nothing_back_is_fine(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    with Halted(2, _integrate, repo.path, clock, of=["read-tree"]) as halted:
        above = repo.run_git("commit-tree", "main^{tree}", "-p", "main", "-m", "By hand")
        repo.run_git("update-ref", "refs/heads/main", above)
        outcome = halted.go_on()
    assert outcome == Done(1)
    assert not lead.show(session).intent_open
    assert repo.status() == []


def test_a_disk_that_is_full_once_main_has_moved_is_told_so_and_the_next_run_goes_on(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"t{number}" for number in range(7)]  # with the other so many that they are flushed together
    approved(session, *map(task, ["a", *names]))
    for name in names:
        claimed(session, name)
        proposed(session, name)
    before, fsync = repo.rev("main"), os.fsync

    def full(fd: int) -> None:
        if repo.rev("main") != before:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(GitFailed, match=r"main is at .*no space left on the disk") as failed:
            integrated(session)
    assert failed.value.hint == "free some space, then run the same command again"
    assert integrated(session) == 0
    assert {record.state.state for record in session.snapshot().tasks.values()} == {State.INTEGRATED}
    assert repo.status() == []


def test_a_lock_that_a_git_killed_at_that_moment_left_in_the_worktree_is_cleared(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = repo.path / ".git/index.lock"
    monkeypatch.setattr(homing, "moved", lambda *_: lock.touch())
    assert integrated(session) == 1
    assert not lock.exists()
    assert not lead.show(session).intent_open
    assert repo.status() == []


def test_a_disk_that_is_full_as_the_worktree_follows_is_told_with_where_main_is(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(repo.path))

    with monkeypatch.context() as patch:
        patch.setattr(moves.Way, "follow", full)
        with pytest.raises(GitFailed, match=r"^main is at .*no space left on the disk"):
            integrated(session)
    assert session.record(session.snapshot(), "a").state.state is State.INTEGRATED
    assert integrated(session) == 0
    assert repo.status() == []


def test_a_lead_that_is_lost_once_main_has_moved_is_told_that_it_has(
    session: Session, repo: Repo, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = repo.worktree(tmp_path / "other", "other")
    with open_fleet(other, "w2", clock) as second:

        def taken_over(*_: object) -> None:
            clock.advance(86_400)
            lead.acquire(second)

        with monkeypatch.context() as patch:
            patch.setattr(homing, "moved", taken_over)
            with pytest.raises(
                StaleClaim, match=r"^main is at [0-9a-f]{12}, and then the lead was taken over"
            ):
                integrated(session)
        assert lead.show(second).intent_open
        assert integrated(second) == 0
        assert not lead.show(second).intent_open


@pytest.mark.parametrize("one_lock", [False, True])
def test_evidence_that_cannot_be_written_keeps_neither_the_worktree_nor_the_tasks_back(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch, one_lock: bool
) -> None:
    monkeypatch.setattr(Refs, "locks_each", not one_lock)  # as with files, and as with a reftable

    def full(*_: object, **__: object) -> None:
        raise GitFailed("no space left on the disk", hint="free some space, then run the same command again")

    with monkeypatch.context() as patch:
        patch.setattr(evidence, "add", full)
        with pytest.raises(GitFailed, match=r"^main is at .*no space left on the disk"):
            integrated(session)
    landed = repo.rev("main")
    assert repo.status() == []
    assert session.record(session.snapshot(), "a").state.state is State.INTEGRATED
    assert lead.show(session).intent_open
    assert evidence.read(session.store, landed) is None
    assert integrated(session) == 0
    assert evidence.read(session.store, landed)
    assert not lead.show(session).intent_open
