"""`git fleet conflicts`: who collides with whom, in which lines, and whose hand-in waits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from git_fleet.app import conflicts as looking
from git_fleet.app import handin, status, work
from git_fleet.app.session import Session
from git_fleet.core.collisions import Collision, Conflicts, Hunk, Kind, Source, Span
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Overlap, State
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import Collides
from git_fleet.git import contents, inflight
from tests.support.clock import FakeClock
from tests.support.fleet import (
    approved,
    claimed,
    integrated,
    on_task,
    open_fleet,
    proposed,
    task,
    task_id,
    working_on,
)
from tests.support.repo import Repo

A, B, C = task_id("a"), task_id("b"), task_id("c")
LINES = [f"{n}\n" for n in range(1, 41)]
TEXT = "".join(LINES)


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    repo.commit("a file to fight about", {"both.txt": TEXT, "other.txt": TEXT, "d/x": "x\n"})
    with open_fleet(repo, "w1", clock) as session:
        yield session


def edited(*lines: int, word: str) -> str:
    """TEXT with these lines (counted from 1) changed."""
    return "".join(f"{word}\n" if n in lines else line for n, line in enumerate(LINES, start=1))


def two(session: Session, clock: FakeClock, *, overlap: str = "watch", **fields: object) -> tuple[Repo, Repo]:
    """The worktrees of a and b, claimed in this order, which own the same file."""
    approved(
        session,
        task("a", files=["/both.txt", "a/**"], overlap=overlap, **fields),
        task("b", files=["/both.txt", "b/**"], overlap=overlap),
        task("c", files=["c/**"]),
    )
    first = Repo(working_on(session, "a"))
    clock.advance(1)
    return first, Repo(working_on(session, "b"))


def only(found: Conflicts) -> Collision:
    assert len(found.collisions) == 1, found.collisions
    return found.collisions[0]


# --- what is seen ----------------------------------------------------------------------------------


def test_uncommitted_work_collides_in_its_lines(session: Session, clock: FakeClock) -> None:
    one, other = two(session, clock)
    one.write("both.txt", edited(3, 20, word="ours"))
    one.write("a/new", "untracked\n")
    other.write("both.txt", edited(20, 21, 39, word="theirs"))
    before = [
        (tree.status(), (contents.git_dir_of(tree.path) / "index").read_bytes()) for tree in (one, other)
    ]
    refs = one.refs()
    found = looking.conflicts(session)
    pair = only(found)
    assert (pair.a, pair.b, pair.kind, pair.paths) == (A, B, Kind.TEXTUAL, ("both.txt",))
    assert (pair.policy, pair.waits) == (Overlap.WATCH, B)
    assert pair.files[0].hunks == (Hunk(Span(20, 1), Span(20, 2)),)
    assert [(each.id, each.source, each.changed) for each in found.work] == [
        (A, Source.WORKTREE, 2),
        (B, Source.WORKTREE, 1),
    ]
    assert (found.checked, found.merged, found.unseen) == (3, 1, ())
    assert one.refs() == refs
    assert before == [
        (tree.status(), (contents.git_dir_of(tree.path) / "index").read_bytes()) for tree in (one, other)
    ]


def test_work_that_merges_is_told_apart(session: Session, clock: FakeClock) -> None:
    one, other = two(session, clock, overlap="accept")
    one.commit("top", {"both.txt": edited(3, word="ours")})
    other.commit("end", {"both.txt": edited(39, word="theirs")})
    pair = only(looking.conflicts(session))
    assert (pair.kind, pair.paths, pair.policy, pair.waits) == (
        Kind.SAME_PATH,
        ("both.txt",),
        Overlap.ACCEPT,
        None,
    )


def test_the_same_change_twice_is_no_collision(session: Session, clock: FakeClock) -> None:
    one, other = two(session, clock)
    for tree in (one, other):
        tree.write("both.txt", edited(3, word="same"))
    assert looking.conflicts(session).collisions == ()


def test_pairs_without_a_common_path_are_not_merged(session: Session, clock: FakeClock) -> None:
    one, other = two(session, clock)
    one.write("a/1", "1")
    other.write("b/1", "1")
    found = looking.conflicts(session)
    assert (found.checked, found.merged, found.collisions) == (3, 0, ())


def test_a_file_of_nobody_collides_too(session: Session, clock: FakeClock) -> None:
    one, other = two(session, clock, overlap="watch")
    for tree, word in ((one, "ours"), (other, "theirs")):
        tree.write("stray", f"{word}\n")
        tree.write("both.txt", TEXT)
    pair = only(looking.conflicts(session))
    assert [(file.path, file.what) for file in pair.files] == [("stray", "add/add")]


def test_work_collides_with_what_is_on_main_by_now(session: Session, clock: FakeClock, repo: Repo) -> None:
    one, other = two(session, clock)
    one.write("both.txt", edited(3, word="ours"))
    other.write("b/1", "1")
    repo.commit("meanwhile", {"both.txt": edited(3, 30, word="main"), "c/1": "1"})
    found = looking.conflicts(session)
    pair = only(found)
    assert (pair.a, pair.b, pair.base, pair.kind, pair.paths) == (
        A,
        None,
        "main",
        Kind.TEXTUAL,
        ("both.txt",),
    )
    assert pair.files[0].hunks == (Hunk(Span(3, 1), Span(3, 1)),)
    assert "what is on main" in "".join(work.progress(session, "a", "going on").notes)


def test_a_conflict_with_main_is_not_told_of_a_pair(session: Session, repo: Repo) -> None:
    approved(
        session,
        task("a", files=["/both.txt", "other.txt"], overlap="accept"),
        task("b", files=["other.txt"], overlap="accept"),
    )
    one = Repo(working_on(session, "a"))
    one.write("both.txt", edited(3, word="ours"))
    one.write("other.txt", edited(3, word="ours"))
    repo.commit("meanwhile", {"both.txt": edited(3, word="main")})
    other = Repo(working_on(session, "b"))
    other.write("other.txt", edited(30, word="theirs"))
    found = {(each.a, each.b): each for each in looking.conflicts(session).collisions}
    assert {pair: (each.kind, each.paths) for pair, each in found.items()} == {
        (A, None): (Kind.TEXTUAL, ("both.txt",)),
        (A, B): (Kind.SAME_PATH, ("other.txt",)),
    }


def test_only_the_pairs_of_a_task_when_asked(session: Session, clock: FakeClock) -> None:
    one, other = two(session, clock)
    third = Repo(working_on(session, "c"))
    for tree, word in ((one, "x"), (other, "y"), (third, "z")):
        tree.write("both.txt", edited(3, word=word))
    assert len(looking.conflicts(session).collisions) == 3
    found = looking.conflicts(session, ["c"])
    assert [(each.a, each.b, each.policy) for each in found.collisions] == [(A, C, None), (B, C, None)]
    assert (found.checked, [each.id for each in found.work]) == (3, [C])


# --- bad luck --------------------------------------------------------------------------------------


def test_of_a_worktree_elsewhere_the_last_snapshot_counts(
    session: Session, clock: FakeClock, repo: Repo
) -> None:
    one, other = two(session, clock)
    one.write("both.txt", edited(3, word="ours"))
    work.progress(session, "a", "saved")
    one.write("both.txt", TEXT)
    other.write("both.txt", edited(3, word="theirs"))
    with open_fleet(repo, "w2", clock, host="elsewhere") as there:
        found = looking.conflicts(there)
    assert [(each.id, each.source, each.note) for each in found.work if each.id == A] == [
        (A, Source.SNAPSHOT, f"its worktree is on {session.around.host}")
    ]
    assert [each.id for each in found.work] == [A, B]  # of b there is its branch, which has nothing yet
    assert found.work[1].source is Source.BRANCH
    assert found.collisions == ()


def test_of_what_was_saved_and_what_is_committed_the_newer_one_counts(
    session: Session, clock: FakeClock, repo: Repo
) -> None:
    one, _ = two(session, clock)
    seen = []
    with open_fleet(repo, "w2", clock, host="elsewhere") as there:
        for commit, saved in ((False, True), (True, False), (False, True), (True, True)):
            one.write("both.txt", f"{clock()} {commit}\n")
            if commit:
                one.commit("more", {"both.txt": f"{clock()} committed\n"})
            if saved:
                one.write("a/more", f"{clock()}")
                work.progress(session, "a", "saved")
            clock.advance(1)
            seen.append(looking.conflicts(there).work[0].source)
    assert seen == [Source.SNAPSHOT, Source.BRANCH, Source.SNAPSHOT, Source.SNAPSHOT]


def test_a_worktree_that_is_gone_is_said_to_be(session: Session, clock: FakeClock) -> None:
    one, _ = two(session, clock)
    shutil.rmtree(one.path)
    found = looking.conflicts(session)
    assert [(each.id, each.note) for each in found.work if each.note] == [(A, "its worktree is gone")]


def test_who_works_without_a_worktree_is_not_seen(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    found = looking.conflicts(session)
    assert [(each.id, each.reason) for each in found.unseen] == [(A, "it is worked on without a worktree")]


def test_an_unborn_branch_is_said_to_be(session: Session, clock: FakeClock) -> None:
    one, _ = two(session, clock)
    one.run_git("checkout", "--quiet", "--orphan", "fresh")
    found = looking.conflicts(session)
    assert {each.id: each.note for each in found.work}[A] == "nothing is committed on its branch yet"


def test_a_history_of_its_own_is_not_compared(session: Session, clock: FakeClock) -> None:
    one, _ = two(session, clock)
    one.run_git("checkout", "--quiet", "--orphan", "fresh")
    one.run_git("commit", "--quiet", "--no-verify", "-m", "of its own")
    found = looking.conflicts(session)
    assert [(each.id, each.reason) for each in found.unseen] == [(A, "it has no history in common with main")]


def test_amid_a_merge_the_worktree_is_the_merge(session: Session, clock: FakeClock, repo: Repo) -> None:
    one, other = two(session, clock)
    one.commit("ours", {"both.txt": edited(3, word="ours")})
    repo.commit("meanwhile", {"both.txt": edited(3, word="main"), "d/x": "y\n"})
    assert one.try_git("merge", "main").returncode == 1
    found = looking.conflicts(session)
    assert {each.id: each.note for each in found.work}[A] == "in the middle of a merge"
    assert found.collisions == ()  # main is in it already, as far as its worker is concerned
    other.write("both.txt", edited(3, word="theirs"))
    found = looking.conflicts(session)
    assert [(each.a, each.b) for each in found.collisions] == [(A, B), (B, None)]


def test_a_submodule_is_the_commit_it_has_checked_out(
    session: Session, clock: FakeClock, tmp_path: Path
) -> None:
    inner = Repo(tmp_path / "inner")
    inner.path.mkdir()
    inner.run_git("init", "--quiet", "--initial-branch=main")
    inner.commit("inner", {"f": "1"})
    one, other = two(session, clock)
    allowed = ("-c", "protocol.file.allow=always")
    for number, tree in enumerate((one, other)):
        tree.run_git(*allowed, "submodule", "add", "--quiet", str(inner.path), "sub")
        Repo(tree.path / "sub").commit(f"{number}", {"f": f"{number + 2}"})
    found = only(looking.conflicts(session))
    assert "sub" in found.paths
    assert {file.path: file.kind for file in found.files}["sub"] is Kind.TEXTUAL


def test_a_sparse_worktree_has_not_deleted_what_it_left_out(session: Session, clock: FakeClock) -> None:
    one, other = two(session, clock)
    one.run_git("sparse-checkout", "set", "--no-cone", "/both.txt")
    assert not (one.path / "other.txt").exists()
    one.write("both.txt", edited(3, word="ours"))
    other.write("other.txt", edited(3, word="theirs"))
    found = looking.conflicts(session)
    assert ([each.changed for each in found.work], found.collisions) == ([1, 1], ())


def test_what_is_large_or_a_repository_is_named_and_not_read(
    session: Session, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inflight.look, "__kwdefaults__", {"markers": (), "most": inflight.Most(100, 150, 3)})
    one, _ = two(session, clock)
    one.write("a/1-large", "x" * 101)
    for name in ("a/2", "a/3", "a/4"):
        one.write(name, "x" * 60)
    Repo(one.path / "a" / "nested").path.mkdir()
    Repo(one.path / "a" / "nested").run_git("init", "--quiet")
    Repo(one.path / "a" / "nested").commit("x", {"f": "f"})
    found = looking.conflicts(session)
    assert found.work[0].left_out == ("a/1-large", "a/4", "a/nested/")
    assert found.work[0].changed == 2


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(session: Session, clock: FakeClock) -> None:
    one, _ = two(session, clock)
    one.write("a/shut", "x").chmod(0)
    one.write("a/folder/x", "x")
    (one.path / "a" / "folder").chmod(0)
    found = looking.conflicts(session)
    (one.path / "a" / "folder").chmod(0o755)
    assert found.work[0].left_out == ("a/folder/", "a/shut")


def test_nothing_is_left_behind(session: Session, clock: FakeClock, repo: Repo) -> None:
    one, other = two(session, clock)
    for tree, word in ((one, "ours"), (other, "theirs")):
        tree.write("both.txt", edited(3, word=word))
    before = repo.run_git("count-objects", "-v")
    looking.conflicts(session)
    assert repo.run_git("count-objects", "-v") == before
    assert list((repo.path / ".git" / "fleet" / "drafts").iterdir()) == []
    assert list((repo.path / ".git" / "worktrees").glob("*/fleet-index-*")) == []


# --- who is told, and whose hand-in waits ----------------------------------------------------------


def fighting(
    session: Session, clock: FakeClock, *, overlap: str = "watch", **fields: object
) -> tuple[Repo, Repo]:
    """Both have committed a change of the same line."""
    one, other = two(session, clock, overlap=overlap, **fields)
    one.commit("ours", {"both.txt": edited(3, word="ours")})
    other.commit("theirs", {"both.txt": edited(3, word="theirs")})
    return one, other


def hand_in(session: Session, name: str) -> TaskRecord:
    return handin.done(session, name, handin.Handin()).record


def waits(session: Session, name: str) -> tuple[TaskId, ...]:
    """What the hand-in of a task waits for, as `status` says it; what `explain` and `done` say must be the same."""
    (plan,) = status.status(session).plans
    row = next(row for row in plan.tasks if row.id == task_id(name))
    codes = [reason.code for reason in status.explain(session, name).reasons]
    assert ("watch" in codes) == bool(row.waits_for) == ("its hand-in waits" in row.why)
    return row.waits_for


def test_both_are_told_and_the_later_one_waits(session: Session, clock: FakeClock) -> None:
    fighting(session, clock)
    (first,) = work.progress(session, "a", "going on").notes
    assert first == "your work collides with p/b in both.txt"
    (later,) = work.renew(session, "b").notes
    assert later.endswith("p/a was claimed first, so your hand-in waits for it")
    assert (waits(session, "a"), waits(session, "b")) == ((), (A,))
    with pytest.raises(Collides, match=r"until p/a is integrated: they collide in both\.txt") as refused:
        hand_in(session, "b")
    assert (refused.value.code, refused.value.exit_code) == ("collides", 4)
    assert "git fleet conflicts p/b" in refused.value.hint
    assert hand_in(session, "a").state.state is State.PROPOSED
    assert waits(session, "b") == (A,)
    integrated(session, "a")
    assert waits(session, "b") == ()
    assert hand_in(session, "b").state.state is State.PROPOSED


def test_who_shares_no_file_is_told_nothing(session: Session, clock: FakeClock) -> None:
    one, other = two(session, clock)
    one.write("a/1", "1")
    other.write("both.txt", edited(3, word="theirs"))
    assert work.progress(session, "a", "going on").notes == work.progress(session, "b", "so do I").notes == ()


@pytest.mark.parametrize("overlap", ["accept"])
def test_a_pair_that_accepts_conflicts_is_told_and_goes_on(
    session: Session, clock: FakeClock, overlap: str
) -> None:
    fighting(session, clock, overlap=overlap)
    assert work.progress(session, "b", "going on").notes == ("your work collides with p/a in both.txt",)
    assert hand_in(session, "b").state.state is State.PROPOSED


def test_a_pair_that_merges_need_not_wait(session: Session, clock: FakeClock) -> None:
    one, other = two(session, clock)
    one.commit("ours", {"both.txt": edited(3, word="ours")})
    other.commit("theirs", {"both.txt": edited(30, word="theirs")})
    assert waits(session, "b") == ()
    assert hand_in(session, "b").state.state is State.PROPOSED


def test_what_collides_is_what_is_handed_in(session: Session, clock: FakeClock) -> None:
    one, other = two(session, clock)
    one.write("both.txt", edited(3, word="not even committed"))
    collides = other.commit("theirs", {"both.txt": edited(3, word="theirs")})
    other.commit("back again", {"both.txt": TEXT, "b/1": "1"})
    with pytest.raises(Collides):
        handin.done(session, "b", handin.Handin(commit=collides))
    assert hand_in(session, "b").state.state is State.PROPOSED


ENDS: dict[str, Callable[[Session], object]] = {
    "cancelled": lambda session: work.cancel(session, "a", "not needed"),
    "blocked": lambda session: work.block(session, "a", "stuck", "no way"),
    "shelved": lambda session: (work.block(session, "a", "stuck", "no way"), work.shelve(session, "a")),
    "released": lambda session: work.release(session, "a"),
    "rejected": lambda session: (
        hand_in(session, "a"),
        work.reject(replace(session, actor="boss"), "a", ("no",)),
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_nobody_waits_for_a_task_that_does_not_go_on(session: Session, clock: FakeClock, end: str) -> None:
    fighting(session, clock)
    assert waits(session, "b") == (A,)
    ENDS[end](session)
    assert waits(session, "b") == ()
    assert hand_in(session, "b").state.state is State.PROPOSED


def test_nobody_waits_for_a_lease_that_has_run_out(session: Session, clock: FakeClock) -> None:
    fighting(session, clock)
    clock.advance(3590)
    work.renew(session, "b")
    assert waits(session, "b") == (A,)
    clock.advance(11)
    assert waits(session, "b") == ()
    assert hand_in(session, "b").state.state is State.PROPOSED


def test_work_that_was_given_up_counts_as_it_was_kept(session: Session, clock: FakeClock) -> None:
    one, other = two(session, clock)
    one.write("both.txt", edited(3, word="never committed"))
    other.write("both.txt", edited(3, word="theirs"))
    work.release(session, "a")
    shutil.rmtree(one.path)
    found = looking.conflicts(session)
    assert only(found).kind is Kind.TEXTUAL
    assert [(each.source, each.note) for each in found.work if each.id == A] == [
        (Source.SNAPSHOT, "its worktree is gone")
    ]


def test_claimed_again_it_is_the_later_one(session: Session, clock: FakeClock) -> None:
    one, _ = fighting(session, clock)
    work.release(session, "a")
    clock.advance(1)
    assert working_on(session, "a") == one.path
    assert (waits(session, "a"), waits(session, "b")) == ((B,), ())
    hand_in(session, "b")
    assert waits(session, "a") == (B,)
    integrated(session, "b")
    assert waits(session, "a") == ()


def test_whoever_claims_at_the_same_moment_waits_in_one_direction_only(session: Session) -> None:
    clock = FakeClock()
    stopped = replace(session, around=replace(session.around, now=clock))
    approved(
        stopped,
        *(task(name, files=["/both.txt", f"{name}/**"], overlap="watch") for name in ("a", "b", "d")),
    )
    for name in ("d", "b", "a"):
        Repo(working_on(stopped, name)).commit(name, {"both.txt": edited(3, word=name)})
    found = looking.conflicts(stopped)
    assert {each.waits for each in found.collisions} == {B, task_id("d")}
    assert [waits(stopped, name) for name in ("a", "b", "d")] == [(), (A,), (A, B)]


def test_nobody_waits_for_what_cannot_be_integrated_before_it(session: Session, clock: FakeClock) -> None:
    approved(
        session,
        task("a", files=["/both.txt", "a/**"], overlap="watch", needs=["c"]),
        task("b", files=["/both.txt", "b/**"], overlap="watch"),
        task("c", files=["c/**"], needs=["b"]),
    )
    for name in ("b", "c"):  # both were integrated; then b was taken back, and is done anew
        claimed(session, name)
        proposed(session, name)
        integrated(session, name)
    one = Repo(working_on(session, "a"))
    one.commit("ours", {"both.txt": edited(3, word="ours")})
    on_task(session, "revert", "b")
    work.reopen(session, "b")
    clock.advance(1)
    other = Repo(working_on(session, "b"))
    other.commit("theirs", {"both.txt": edited(3, word="theirs")})
    assert only(looking.conflicts(session, ["b"])).policy is Overlap.WATCH
    assert waits(session, "b") == ()


def test_a_take_over_is_the_later_claim(session: Session, clock: FakeClock, repo: Repo) -> None:
    fighting(session, clock)
    clock.advance(3590)
    work.renew(session, "b")
    clock.advance(100)
    with open_fleet(repo, "w2", clock) as successor:
        Repo(working_on(successor, "a")).write("a/more", "1")
        assert waits(successor, "a") == (B,)
        assert waits(successor, "b") == ()
