"""Taking a task over from a worker that has gone, in whatever state it left its worktree."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from git_fleet.app import claim as claiming
from git_fleet.app import handin, integrate, placing, slots, work
from git_fleet.app.claim import Claimed, NothingReady, Request
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import State
from git_fleet.errors import GitFailed, Held, InvalidInput, NeedsPerson, StaleClaim
from git_fleet.git import contents, worktrees
from git_fleet.store import log, tasks
from git_fleet.store import worktree as store_worktree
from tests.support.clock import START, FakeClock
from tests.support.fleet import approved, handed_in, open_fleet, task, task_id, working_on
from tests.support.race import Done, race
from tests.support.repo import Repo, make_repo

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


def test_who_has_called_a_hook_within_the_lease_keeps_the_task(
    session: Session, successor: Session, repo: Repo, clock: FakeClock
) -> None:
    repo.commit("Set up", {"fleet.toml": CONFIG})
    approved(session, task("a"))
    git_dir = worktrees.git_dir_for(session.repo, working_on(session, "a"))
    assert git_dir is not None
    sign = git_dir / store_worktree.SIGN_FILE
    sign.write_text("pre-tool-use\n")
    seen = START.timestamp() + LEASE - 100
    os.utime(sign, (seen, seen))
    clock.advance(LEASE + 100)
    assert isinstance(claiming.claim(successor, Request()), NothingReady)
    claim = session.record(session.snapshot(), "a").state.claim
    assert claim is not None
    assert claim.expires_at.timestamp() == seen + LEASE
    clock.advance(LEASE)
    claiming.claim(successor, Request())
    assert (
        session.record(session.snapshot(), "a").state.state is State.BLOCKED
    )  # silent since: its one attempt


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


# --- what its worktree has become ----------------------------------------------------------------


def left_behind(session: Session, clock: FakeClock) -> tuple[Repo, Oid]:
    """The worktree of a task with one commit of work, whose worker is gone; and that commit."""
    approved(session, task("a", priority=5), task("b"))
    tree = Repo(working_on(session, "a"))
    made = tree.commit("half of it", {"a/1": "1"})
    clock.advance(2 * LEASE)
    return tree, made


def break_(tree: Repo, how: str) -> None:
    if how == "removed":
        Repo(tree.path.parent / "repo").run_git("worktree", "remove", "-f", "-f", str(tree.path))
    elif how == "emptied":
        shutil.rmtree(tree.path)
        tree.path.mkdir()
    elif how == "without .git":
        (tree.path / ".git").unlink()
    elif how == "in another repository":
        (tree.path / ".git").unlink()
        make_repo(tree.path)
    elif how == "left for main":
        tree.run_git("checkout", "--quiet", "--detach", "main")
        tree.write("a/2", "not committed")


BROKEN = ["removed", "emptied", "without .git", "in another repository", "left for main"]


@pytest.mark.parametrize("how", BROKEN)
def test_the_commits_of_a_broken_worktree_are_where_the_next_one_goes_on(
    session: Session, successor: Session, clock: FakeClock, how: str
) -> None:
    tree, made = left_behind(session, clock)
    break_(tree, how)
    before = sorted(str(path) for path in tree.path.rglob("*"))
    path = working_on(successor, "a")
    assert path != tree.path
    assert Repo(path).rev("HEAD") == made == successor.record(successor.snapshot(), "a").state.salvaged
    assert Repo(path).status() == []
    assert sorted(str(path) for path in tree.path.rglob("*")) == before


def test_what_was_not_committed_beside_the_branch_is_kept_too(
    session: Session, successor: Session, repo: Repo, clock: FakeClock
) -> None:
    tree, _ = left_behind(session, clock)
    break_(tree, "left for main")
    working_on(successor, "a")
    (oid,) = repo.refs("refs/fleet/salvage").values()
    kept = [repo.files(parent) for parent in repo.run_git("rev-parse", f"{oid}^@").split()]
    assert [files for files in kept if "a/2" in files and "a/1" not in files]


@pytest.mark.parametrize("end", ["cancel", "release", "shelve"])
@pytest.mark.parametrize("how", [*BROKEN, "unreadable"])
def test_a_task_can_be_put_away_whatever_its_worktree_has_become(
    session: Session, clock: FakeClock, how: str, end: str
) -> None:
    tree, made = left_behind(session, clock)
    if how == "unreadable":
        unreadable(tree)
    break_(tree, how)
    if end == "cancel":
        acted = work.cancel(session, "a", "enough")
    elif end == "release":
        acted = work.release(session, "a")
    else:
        work.block(session, "a", "missing-api", "no API")
        acted = work.shelve(session, "a")
    assert acted.record.state.salvaged == made
    assert acted.notes[0] == "the work is kept at refs/fleet/salvage/p/a/1 (git fleet salvage show p/a 1)"
    if how == "unreadable":
        assert f"what is in {tree.path} cannot be saved" in acted.notes[1]
    assert len(acted.notes) == 1 + (how == "unreadable")


def unreadable(tree: Repo) -> None:
    """Put something where the commit has a file that git cannot read, as whoever it runs."""
    (tree.path / "a/1").unlink()
    os.mkfifo(tree.path / "a/1")


def test_a_task_whose_work_cannot_be_saved_is_left_to_a_person_and_the_others_go_on(
    session: Session, successor: Session, clock: FakeClock
) -> None:
    tree, _ = left_behind(session, clock)
    unreadable(tree)
    with pytest.raises(GitFailed, match="cannot be saved") as refused:
        claiming.claim(successor, Request("a"))
    assert "git fleet cancel p/a" in refused.value.hint
    found = claiming.claim(successor, Request())
    assert isinstance(found, Claimed)
    assert found.record.id == task_id("b")
    with pytest.raises(GitFailed, match="cannot be saved"):
        claiming.claim(successor, Request())


def test_a_worktree_that_lost_its_git_is_not_reused_and_not_finished(
    session: Session, successor: Session, repo: Repo
) -> None:
    approved(session, task("a"))
    path = working_on(session, "a")
    (path / ".git").unlink()
    with pytest.raises(NeedsPerson, match=r"lost its \.git") as refused:
        claiming.resume(session, "a")
    repo.run_git(*refused.value.hint.split()[1:])
    assert claiming.resume(session, "a").path == path
    handed_in(session, "a")
    work.reject(session, "a", ("no",))
    (path / ".git").unlink()
    assert working_on(successor, "a") != path


def test_an_integration_is_finished_although_later_work_cannot_be_saved(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit("Set up", {"fleet.toml": CONFIG})
    approved(session, task("a"))
    tree = Repo(working_on(session, "a"))
    tree.commit("all of it", {"a/1": "1"})
    record = handin.done(session, "a", handin.Handin()).record

    transact = session.store.refs.transact

    def dies(updates: Any, **kwargs: Any) -> None:
        transact(updates, **kwargs)
        if any(update.ref == "refs/heads/main" for update in updates):
            raise KeyboardInterrupt  # main has moved, and the events have not

    with monkeypatch.context() as patch:
        patch.setattr(session.store.refs, "transact", dies)
        with pytest.raises(KeyboardInterrupt):
            integrate.integrate(session, integrate.Order(), lambda _: None)
    record = session.reread(record)
    assert record.state.claim is not None
    fields = {"fence": record.state.claim.fence, "findings": (), "reason": "rejected"}
    tasks.append(session.store, record, Event("reject", session.now(), "Test Person", fields))
    unreadable(tree)
    integrate.integrate(session, integrate.Order(), lambda _: None)
    assert session.reread(record).state.state is State.INTEGRATED
    assert session.snapshot().lead.intent is None
    assert (tree.path / "a/1").exists()


@pytest.mark.parametrize("own", [True, False])
def test_what_was_kept_of_a_worker_is_not_what_main_says_of_the_task(
    session: Session, successor: Session, repo: Repo, clock: FakeClock, own: bool
) -> None:
    repo.commit("Set up", {"fleet.toml": CONFIG.replace("max_attempts = 1\n", "")})
    approved(session, task("a", title="Do it all"))
    Repo(working_on(session, "a")).write("a/1", "not committed")
    clock.advance(2 * LEASE)
    tree = Repo(working_on(successor, "a"))
    if own:
        tree.commit("The other half", {"a/2": "2"})
    handin.done(successor, "a", handin.Handin())
    integrate.integrate(session, integrate.Order(), lambda _: None)
    assert set(repo.files("main")) >= {"a/1", *(["a/2"] if own else [])}
    assert repo.run_git("log", "-1", "--format=%s", "main") == ("The other half" if own else "Do it all")
    assert repo.run_git("log", "-1", "--format=%an", "main") == ("Test Person" if own else "w1")
    assert "Work on" not in repo.run_git("log", "-1", "--format=%B", "main")


# --- one that cannot be placed -------------------------------------------------------------------


def test_a_plan_whose_base_is_gone_does_not_keep_others_from_working(session: Session, repo: Repo) -> None:
    repo.branch("rel")
    approved(session, task("a", priority=9), plan="p", base="rel")
    approved(session, task("b"), plan="q")
    repo.run_git("branch", "-D", "rel")
    found = claiming.claim(session, Request())
    assert isinstance(found, Claimed)
    assert found.record.id == task_id("q/b")
    with pytest.raises(InvalidInput, match="plan p is to go onto rel, and there is no such branch"):
        claiming.claim(session, Request())


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


def test_a_worker_that_was_slow_cannot_come_into_a_worktree_that_has_gone_to_the_next(
    session: Session, successor: Session, repo: Repo, clock: FakeClock
) -> None:
    approved(session, task("a"))
    slow = claiming.claim(session, Request("a"))
    assert isinstance(slow, Claimed)
    clock.advance(2 * LEASE)
    path = working_on(successor, "a")
    before = repo.refs(), worktrees.list_worktrees(session.repo)
    with pytest.raises(StaleClaim, match="taken over by w2"):
        placing.place(session, slow.record)
    assert (repo.refs(), worktrees.list_worktrees(session.repo)) == before
    placement = store_worktree.read(contents.git_dir_of(path))
    assert placement is not None
    assert placement.worker == "w2"


def test_a_claim_that_ends_while_its_worktree_is_made_does_not_write_its_placement(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a"))
    found = claiming.claim(session, Request("a"))
    assert isinstance(found, Claimed)
    allocate = slots.allocate

    def cancelled_meanwhile(**arguments: Any) -> slots.Slot:
        work.cancel(session, "a", "not wanted")
        return allocate(**arguments)

    monkeypatch.setattr(slots, "allocate", cancelled_meanwhile)
    with pytest.raises(StaleClaim, match="p/a is cancelled"):
        placing.place(session, found.record)
    claim = found.record.state.claim
    assert claim is not None
    assert store_worktree.read(contents.git_dir_of(Path(claim.worktree))) is None


# --- two tasks of one name -----------------------------------------------------------------------


def promised_the_same(session: Session, other: Session) -> tuple[Claimed, Claimed]:
    """Two claims of tasks with the same names, made at the same moment: neither saw the other's."""
    for plan, folder in (("p", "a"), ("q", "b")):
        approved(session, task("42", title="count", files=[f"{folder}/**"]), plan=plan)
    first = claiming.claim(session, Request("p/42"))
    assert isinstance(first, Claimed)
    assert first.record.state.claim is not None
    same = replace(first.record.state.claim, holder="w2", fence=None)
    second = other.snapshot().tasks[task_id("q/42")]
    return first, Claimed(
        tasks.append(other.store, second, Event("claim", other.now(), "w2", {"claim": same}))
    )


def test_of_two_tasks_promised_one_worktree_the_second_is_given_back_and_gets_another(
    session: Session, successor: Session
) -> None:
    first, second = promised_the_same(session, successor)
    path = claiming.place(session, first).path
    assert path is not None
    with pytest.raises(Held, match="q/42 was claimed and is given back"):
        claiming.place(successor, second)
    placement = store_worktree.read(contents.git_dir_of(path))
    assert placement is not None
    assert (placement.plan, placement.worker) == ("p", "w1")
    record = successor.record(successor.snapshot(), "q/42")
    assert record.state.state is State.PENDING
    assert record.tip is not None
    released = log.history(successor.store.objects, record.tip)[-1].event
    assert "is the worktree of p/42" in released.fields["reason"]
    assert working_on(successor, "q/42") != path


@pytest.mark.parametrize("unlocked", [False, True])
def test_a_claim_that_finds_another_tasks_worktree_when_it_is_resumed_says_how_to_give_it_back(
    session: Session, successor: Session, repo: Repo, unlocked: bool
) -> None:
    first, _ = promised_the_same(session, successor)
    path = claiming.place(session, first).path
    if unlocked:
        repo.run_git("worktree", "unlock", str(path))
    with pytest.raises(Held, match="worktree") as refused:
        claiming.resume(successor, "q/42")
    assert "git fleet release q/42" in refused.value.hint
    work.release(successor, "q/42")
    assert working_on(successor, "q/42") != path


def test_a_branch_without_its_worktree_is_not_gone_on_with_while_another_task_has_it_too(
    session: Session, successor: Session, repo: Repo
) -> None:
    first, second = promised_the_same(session, successor)
    path = claiming.place(session, first).path
    assert path is not None
    made = Repo(path).commit("work of p", {"a/1": "1"})
    repo.run_git("worktree", "remove", "--force", "--force", str(path))
    with pytest.raises(Held, match="feature/42-count may be that of p/42"):
        claiming.place(successor, second)
    assert Repo(claiming.resume(session, "p/42").path or path).rev("HEAD") == made


def claim_and_place(_: int, path: Path, plan: str) -> str:
    """The worktree that a claim of this plan's task gets, from a process of its own."""
    with open_fleet(path, f"w-{plan}") as session:
        while True:
            found = claiming.claim(session, Request(f"{plan}/42"))
            assert isinstance(found, Claimed)
            with suppress(Held):
                return str(claiming.place(session, found).path)


def test_tasks_of_one_name_claimed_at_the_same_moment_get_worktrees_of_their_own(
    session: Session, repo: Repo
) -> None:
    plans = [f"p{number}" for number in range(4)]
    for plan in plans:
        approved(session, task("42", title="count", files=[f"{plan}/**"]), plan=plan)
    found = race(len(plans), lambda index: claim_and_place(index, repo.path, plans[index]))
    assert all(isinstance(outcome, Done) for outcome in found), found
    assert len({outcome.value for outcome in found if isinstance(outcome, Done)}) == len(plans)
