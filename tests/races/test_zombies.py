"""Workers whose claim has gone to somebody else, and other bad luck around a claim."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import handin, integrate, placing, work
from git_fleet.app.session import Session
from git_fleet.core.model import State
from git_fleet.errors import FleetError, GitFailed, InvalidInput, NeedsPerson, StaleClaim
from tests.support.breaking import attempt
from tests.support.clock import FakeClock
from tests.support.fleet import approved, claimed, handed_in, open_fleet, task
from tests.support.race import Done, race
from tests.support.repo import Repo
from tests.support.worlds import GENEROUS, assert_logs_are_legal, assert_reachable, assert_sound

LEASE = 3600


@dataclass
class Taken:
    """A task that w2 took over from w1: where each works."""

    old: Repo
    new: Repo
    clock: FakeClock


def _place(session: Session, name: str) -> Repo:
    record = claimed(session, name, worktree=True)
    assert record.state.claim is not None
    return Repo(Path(record.state.claim.worktree))


@pytest.fixture
def fleet(repo: Repo, clock: FakeClock) -> Session:
    repo.commit("Set up", {"fleet.toml": GENEROUS})
    session = open_fleet(repo, "w1", clock)
    approved(session, task("a"), task("b"))
    return session


@pytest.fixture
def taken(repo: Repo, fleet: Session, clock: FakeClock) -> Taken:
    old = _place(fleet, "a")
    old.commit("Half", {"a/half": "half done\n"})
    old.write("a/more", "not committed yet\n")
    clock.advance(LEASE)
    os.utime(old.path / ".git")
    return Taken(old, _place(open_fleet(repo, "w2", clock), "a"), clock)


def _as_zombie(taken: Taken) -> Session:
    return open_fleet(taken.old.path, None, taken.clock)


VERBS: dict[str, Callable[[Session], object]] = {
    "progress": lambda s: work.progress(s, None, "still at it"),
    "renew": lambda s: work.renew(s, None),
    "release": lambda s: work.release(s, None),
    "block": lambda s: work.block(s, None, "stuck", "no"),
    "withdraw": lambda s: work.withdraw(s, None, "no"),
    "done": lambda s: handin.done(s, None, handin.Handin(all_changes=True)),
    "resume": lambda s: claiming.resume(s, None),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_zombie_is_told_that_its_task_was_taken_over(taken: Taken, repo: Repo, verb: str) -> None:
    taken.old.commit("Late", {"a/late": "too late\n"})
    before = repo.refs("refs/fleet/task", "refs/fleet/proposal")
    with _as_zombie(taken) as zombie, pytest.raises(StaleClaim) as refused:
        VERBS[verb](zombie)
    assert refused.value.exit_code == 3
    assert "w2" in refused.value.message
    assert "refs/fleet/salvage/p/a/1" in refused.value.message
    assert repo.refs("refs/fleet/task", "refs/fleet/proposal") == before
    assert (taken.old.path / "a/more").read_text() == "not committed yet\n"


def test_a_take_over_starts_from_all_that_the_zombie_had_written(taken: Taken, repo: Repo) -> None:
    assert (taken.new.path / "a/half").read_text() == "half done\n"
    assert (taken.new.path / "a/more").read_text() == "not committed yet\n"
    assert_reachable(repo, b"half done\n", b"not committed yet\n")
    assert taken.old.path != taken.new.path


def test_a_zombie_that_had_handed_nothing_in_does_not_disturb_the_new_holder(taken: Taken) -> None:
    with _as_zombie(taken) as zombie:
        attempt(VERBS["done"], zombie)
    taken.new.run_git("add", "-A")
    taken.new.commit("All of it")
    with open_fleet(taken.new.path, None, taken.clock) as holder:
        done = handin.done(holder, None, handin.Handin())
        assert done.record.state.state is State.PROPOSED
        assert done.proposal.worker == "w2"
        assert_logs_are_legal(holder)


def test_a_detached_head_beside_the_branch_cannot_hand_in(fleet: Session) -> None:
    place = _place(fleet, "a")
    place.commit("On the branch", {"a/one": "1\n"})
    place.run_git("checkout", "--quiet", "--detach", "HEAD~1")
    place.commit("Beside it", {"a/two": "2\n"})
    with pytest.raises(InvalidInput, match="does not contain the task's branch"):
        handin.done(fleet, "a", handin.Handin())
    place.run_git("merge", "--quiet", "--no-edit", "HEAD@{2}")
    assert handin.done(fleet, "a", handin.Handin()).record.state.state is State.PROPOSED


def test_what_a_rewritten_branch_has_lost_is_kept(fleet: Session, repo: Repo) -> None:
    place = _place(fleet, "a")
    place.commit("First try", {"a/one": "first try\n"})
    place.run_git("reset", "--quiet", "--hard", "HEAD~1")
    place.commit("Second try", {"a/one": "second try\n"})
    work.release(fleet, "a")
    assert_reachable(repo, b"first try\n", b"second try\n")


def _integrate(session: Session) -> object:
    return integrate.integrate(session, integrate.Order(), lambda _: None)


@pytest.mark.parametrize("ignored", [False, True])
def test_an_untracked_file_in_the_way_keeps_main_where_it_is(
    fleet: Session, repo: Repo, ignored: bool
) -> None:
    claimed(fleet, "a", worktree=True)
    handed_in(fleet, "a")
    if ignored:
        (repo.path / ".git/info/exclude").write_text("a/new\n")
    repo.write("a/new", "mine\n")
    main = repo.rev("main")
    with pytest.raises(NeedsPerson, match="a/new"):
        _integrate(fleet)
    assert repo.rev("main") == main
    assert (repo.path / "a/new").read_text() == "mine\n"
    assert fleet.snapshot().lead.intent is None
    (repo.path / "a/new").unlink()
    _integrate(fleet)
    assert fleet.snapshot().tasks[fleet.record(fleet.snapshot(), "a").id].state.state is State.INTEGRATED


def test_a_dirty_main_worktree_keeps_main_where_it_is(fleet: Session, repo: Repo) -> None:
    claimed(fleet, "a", worktree=True)
    handed_in(fleet, "a")
    repo.write("README.md", "edited\n")
    main = repo.rev("main")
    with pytest.raises(NeedsPerson, match=r"README\.md"):
        _integrate(fleet)
    assert repo.rev("main") == main
    assert (repo.path / "README.md").read_text() == "edited\n"


def test_a_worktree_deleted_by_hand_is_made_again_with_its_commits(fleet: Session) -> None:
    place = _place(fleet, "a")
    commit = place.commit("Work", {"a/one": "1\n"})
    shutil.rmtree(place.path)
    with pytest.raises(InvalidInput, match="deleted"):
        handin.done(fleet, "a", handin.Handin())
    again = claiming.resume(fleet, "a")
    assert again.path == place.path
    assert place.rev("HEAD") == commit


def _claim_with(limit: Callable[[], None], _: int, repo: Repo, clock: FakeClock) -> str:
    """Claim where something cannot be written: the kind of error there is, its exit code and hint."""
    limit()
    with open_fleet(repo, "w1", clock) as session:
        try:
            got = claiming.claim(session, claiming.Request(task="a"))
            assert isinstance(got, claiming.Claimed)
            placing.place(session, got.record)
        except FleetError as error:
            return f"{type(error).__name__} {error.exit_code} {bool(error.hint)}"
    return "claimed"


def _no_room(size: int) -> None:
    """Files cannot grow beyond `size` bytes, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("size", [0, 40, 150, 300])
def test_a_full_disk_is_said_and_leaves_nothing_half_done(repo: Repo, clock: FakeClock, size: int) -> None:
    outcome = race(1, partial(_claim_with, partial(_no_room, size)), repo, clock)
    assert outcome == [Done("GitFailed 5 True")]
    with open_fleet(repo, "w1", clock) as session:
        record = session.record(session.snapshot(), "a")
        if record.state.state is State.CLAIMED:
            assert claiming.resume(session, "a").path
        else:
            assert record.state.state is State.PENDING
            claimed(session, "a", worktree=True)
        assert_logs_are_legal(session)
    assert_sound(repo)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_repository_is_said(fleet: Session, repo: Repo) -> None:
    folders = [path for path in (repo.path / ".git").rglob("*") if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        with pytest.raises(GitFailed) as refused:
            claiming.claim(fleet, claiming.Request(task="a"))
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert "writ" in refused.value.hint
