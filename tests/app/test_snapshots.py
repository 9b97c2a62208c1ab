"""Snapshots: with every sign of life the work tree is saved, and a take-over starts from it."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import doctor, handin, snapshots, tidy, work
from git_fleet.app import plan as planning
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.model import State
from git_fleet.errors import AnswerIsNo, StaleClaim
from git_fleet.git import contents
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import kept, names
from git_fleet.store.kept import Kept
from tests.support.clock import FakeClock
from tests.support.dying import killed_at_every_step
from tests.support.fleet import approved, integrated, open_fleet, task, task_id, working_on
from tests.support.race import race, values
from tests.support.repo import Repo, make_repo
from tests.support.worlds import assert_reachable

A = task_id("a")
LEASE = 3600
REF = "refs/fleet/snapshot/p/a"


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


@pytest.fixture
def successor(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w2", clock) as session:
        yield session


@pytest.fixture
def tree(session: Session) -> Repo:
    """The worktree of a task that w1 has just claimed."""
    approved(session, task("a", priority=5), task("b"))
    return Repo(working_on(session, "a"))


def progress(session: Session) -> tuple[str, ...]:
    return work.progress(session, "a", "going on").notes


def snapshot(session: Session) -> Kept:
    found = kept.snapshot(session.store, A)
    assert found is not None
    return found


def oracle(tree: Repo) -> Oid:
    """The work tree as git itself adds it to an index of its own."""
    index = tree.path.parent / "oracle-index"
    env = {"GIT_INDEX_FILE": str(index)}
    shutil.copy2(contents.git_dir_of(tree.path) / "index", index)
    tree.run_git("add", "--all", "--sparse", env=env)
    made = Oid(tree.run_git("write-tree", env=env))
    index.unlink()
    return made


def tree_of(session: Session, commit: Oid) -> Oid:
    return session.store.objects.read_commit(commit).tree


# --- what is in one ------------------------------------------------------------------------------


def test_progress_and_renewal_save_the_worktree_and_leave_it_as_it_is(session: Session, tree: Repo) -> None:
    head = tree.commit("half of it", {"a/1": "1"})
    tree.write(".gitignore", "*.log\n")
    tree.write("a/2", "staged")
    tree.run_git("add", "a/2")
    tree.write("a/2", "later")
    tree.write("a/debug.log", "ignored")
    before, index = tree.status(), (contents.git_dir_of(tree.path) / "index").read_bytes()
    assert progress(session) == ()
    found = snapshot(session)
    assert (found.worker, found.number, found.ref) == ("w1", kept.SNAPSHOT, REF)
    assert (found.origin.worktree, found.origin.branch) == (str(tree.path), "feature/a-do-a")
    assert tree_of(session, found.oid) == tree_of(session, found.start) == oracle(tree)
    assert session.store.objects.read_commit(found.start).parents == (head,)
    assert [tree.files(oid)["a/2"].content for oid in found.others] == [b"staged"]
    assert (tree.status(), (contents.git_dir_of(tree.path) / "index").read_bytes()) == (before, index)
    tree.write("a/3", "3")
    work.renew(session, "a")
    assert tree_of(session, snapshot(session).start) == oracle(tree)


def test_who_gives_up_has_the_worktree_saved_too(session: Session, tree: Repo, repo: Repo) -> None:
    tree.write("a/half", "as far as it went")
    assert work.block(session, "a", "stuck", "no way").notes == ()
    assert_reachable(repo, b"as far as it went")


@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_worker_does_the_snapshot_is_the_work_tree(
    session: Session, tree: Repo, seed: int
) -> None:
    chance = random.Random(seed)
    tree.run_git("config", "core.autocrlf", "input")
    tree.commit("base", {f"a/{n}": f"{n}\r\n" * n for n in range(8)})
    if seed % 3 == 0:
        tree.run_git("sparse-checkout", "set", "--no-cone", "/a/1", "/a/2", "/b")
    for _ in range(4):
        for _ in range(chance.randrange(1, 6)):
            wander(tree, chance)
        assert progress(session) == ()
        assert tree_of(session, snapshot(session).start) == oracle(tree)


def wander(tree: Repo, chance: random.Random) -> None:
    """One thing that somebody at work may do."""
    path = f"{chance.choice(['a', 'b', 'a/sub', 'a/1'])}/{chance.randrange(4)}"
    place = tree.path / path
    deed = chance.randrange(10)
    for folder in (place.parent, place.parent.parent):
        if folder.is_symlink() or folder.is_file():  # a file becomes a folder
            folder.unlink()
    if place.is_dir():  # a folder becomes a file
        shutil.rmtree(place)
    if deed == 8:
        tree.run_git("update-index", "--add", "--force-remove", path)
    elif deed == 9:
        tree.write(path, "").parent.joinpath("with\nodd \udce9 name").write_text(path)
    elif deed == 0 and place.is_file():
        place.unlink()
    elif deed == 1:
        tree.write(path, chance.randbytes(20), executable=True)
    elif deed == 2:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to("nowhere")
    elif deed == 3:
        tree.run_git("add", "--all", "--sparse")
    elif deed == 4:
        tree.run_git("commit", "--quiet", "--all", "--allow-empty", "--no-verify", "--message", "some of it")
    elif deed == 5:
        tree.run_git("checkout", "--quiet", "--detach")
    else:
        place.unlink(missing_ok=True)
        tree.write(path, f"{chance.random()}\r\n")


def test_what_has_not_changed_is_not_saved_again(session: Session, tree: Repo, clock: FakeClock) -> None:
    assert progress(session) == ()
    assert session.repo.git().text("for-each-ref", REF) == ""  # nothing was done yet
    tree.write("a/1", "1")
    progress(session)
    first = snapshot(session)
    clock.advance(10)
    progress(session)
    assert snapshot(session) == first
    (tree.path / "a/1").unlink()
    progress(session)
    again = snapshot(session)
    assert (again.start, again.earlier) == (tree.rev("HEAD"), (first.start,))


def test_the_last_few_states_can_be_gone_back_to_and_no_more(session: Session, tree: Repo) -> None:
    for number in range(snapshots.EARLIER + 3):
        tree.write("a/1", f"{number}")
        progress(session)
    found = snapshot(session)
    states = [tree.files(oid)["a/1"].content for oid in (found.start, *found.earlier)]
    newest = snapshots.EARLIER + 2
    assert states == [f"{newest - back}".encode() for back in range(snapshots.EARLIER + 1)]


def test_a_resolved_merge_is_saved_as_the_merge(session: Session, tree: Repo, repo: Repo) -> None:
    ours = tree.commit("ours", {"README.md": "ours\n"})
    theirs = repo.commit("theirs", {"README.md": "theirs\n"})
    assert tree.try_git("merge", "--quiet", "main").returncode == 1
    progress(session)
    marked = snapshot(session)
    assert marked.start == ours  # with conflicts left the merge is made anew
    kept_files = [tree.files(oid).get("README.md") for oid in marked.others]
    assert any(entry and b"<<<<<<<" in entry.content for entry in kept_files)
    tree.write("README.md", "both\n")
    tree.run_git("add", "README.md")
    progress(session)
    assert session.store.objects.read_commit(snapshot(session).start).parents == (ours, theirs)


# --- what cannot be saved --------------------------------------------------------------------------


def test_what_is_too_large_or_a_repository_is_left_out_and_named(
    session: Session, tree: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "LARGEST_BYTES", 100)
    tree.commit("known", {"a/grows": "1"})
    tree.write("a/grows", "1" * 101)
    tree.write("a/core", "1" * 101)
    tree.write("a/small", "1" * 100)
    make_repo(tree.path / "a/inner")
    notes = progress(session)
    assert notes == ("not in the snapshot: a/core, a/grows, a/inner/ (large, unreadable or a repository)",)
    saved = tree.files(snapshot(session).start)
    assert (saved["a/grows"].content, len(saved["a/small"].content)) == (b"1", 100)
    assert saved.keys() == {"README.md", "a/grows", "a/small"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_does_not_keep_the_others_from_being_saved(
    session: Session, tree: Repo
) -> None:
    tree.write("a/secret", "1").chmod(0)
    tree.write("a/open", "1")
    assert "a/secret" in progress(session)[0]
    assert tree.files(snapshot(session).start).keys() == {"README.md", "a/open"}


def test_a_worktree_that_cannot_be_saved_is_a_note_and_the_progress_counts(
    session: Session, tree: Repo
) -> None:
    tree.run_git("config", "filter.broken.clean", "false")
    tree.run_git("config", "filter.broken.required", "true")
    tree.write(".gitattributes", "*.enc filter=broken\n")
    tree.write("a/1.enc", "1")
    done = work.progress(session, "a", "nearly there")
    assert [note.split(":")[0] for note in done.notes] == ["the work tree was not saved"]
    assert done.record.state.summary == "nearly there"


def test_without_a_worktree_here_there_is_nothing_to_save_and_nothing_to_say(session: Session) -> None:
    approved(session, task("a"), task("b"))
    assert isinstance(claiming.claim(session, claiming.Request("a", worktree=False)), claiming.Claimed)
    assert progress(session) == ()
    with pytest.raises(AnswerIsNo):
        snapshots.take(session, session.record(session.snapshot(), "a"))
    assert session.repo.git().text("for-each-ref", "refs/fleet/snapshot") == ""


# --- a take-over ------------------------------------------------------------------------------------


def lost(tree: Repo, how: str) -> None:
    """The worktree's files are gone, in one way or another."""
    if how == "deleted":
        shutil.rmtree(tree.path)
    else:
        main = Repo(tree.path.parent / "repo")
        main.run_git("worktree", "remove", "-f", "-f", str(tree.path))
        if how == "with its branch":
            main.run_git("branch", "-D", "feature/a-do-a")


@pytest.mark.parametrize("how", ["deleted", "removed", "with its branch"])
@pytest.mark.parametrize("commits", [0, 1])
def test_a_take_over_of_a_lost_worktree_gets_its_content_back(
    session: Session, successor: Session, clock: FakeClock, tree: Repo, how: str, commits: int
) -> None:
    for number in range(commits):
        tree.commit("half of it", {"a/1": f"{number}"})
    tree.write("a/2", "not committed")
    progress(session)
    saved = oracle(tree)
    lost(tree, how)
    clock.advance(2 * LEASE)
    path = working_on(successor, "a")
    assert path != tree.path or how != "deleted"
    assert Repo(path).run_git("rev-parse", "HEAD^{tree}") == saved
    state = successor.record(successor.snapshot(), "a").state
    assert (state.salvages, state.salvaged) == (1, Repo(path).rev("HEAD"))


def test_the_worktree_itself_counts_for_more_than_its_snapshot(
    session: Session, successor: Session, repo: Repo, clock: FakeClock, tree: Repo
) -> None:
    tree.write("a/1", "once")
    progress(session)
    tree.write("a/1", "now")
    clock.advance(2 * LEASE)
    path = working_on(successor, "a")
    assert (path / "a/1").read_text() == "now"
    assert_reachable(repo, b"once")


def test_commits_after_the_snapshot_are_where_work_goes_on(
    session: Session, successor: Session, repo: Repo, clock: FakeClock, tree: Repo
) -> None:
    tree.write("a/1", "not committed")
    progress(session)
    made = tree.commit("all of it", {"a/1": "committed"})
    shutil.rmtree(tree.path)
    clock.advance(2 * LEASE)
    assert Repo(working_on(successor, "a")).rev("HEAD") == made
    assert_reachable(repo, b"not committed")


def test_the_snapshot_of_an_earlier_claim_is_not_started_from(
    session: Session, successor: Session, clock: FakeClock, tree: Repo
) -> None:
    tree.write("a/1", "of w1")
    progress(session)
    clock.advance(2 * LEASE)
    second = Repo(working_on(successor, "a"))
    handed = second.commit("of w2", {"a/1": "of w2"})
    clock.advance(2 * LEASE)
    lost(second, "deleted")
    assert Repo(working_on(session, "a")).rev("HEAD") == handed


def test_from_another_machine_the_snapshot_is_all_there_is(
    session: Session, repo: Repo, clock: FakeClock, tree: Repo
) -> None:
    tree.write("a/1", "far away")
    progress(session)
    saved = snapshot(session).start
    lost(tree, "with its branch")
    clock.advance(2 * LEASE)
    with open_fleet(repo, "w2", clock, host="elsewhere") as far:
        assert Repo(working_on(far, "a")).rev("HEAD") == saved


def test_giving_back_a_lost_worktree_keeps_what_was_in_it(session: Session, tree: Repo) -> None:
    tree.write("a/1", "1")
    progress(session)
    saved = snapshot(session).start
    shutil.rmtree(tree.path)
    done = work.release(session, "a")
    assert done.notes == ("the work is kept at refs/fleet/salvage/p/a/1 (git fleet salvage show p/a 1)",)
    assert (done.record.state.state, done.record.state.salvaged) == (State.REWORK, saved)


def test_who_has_taken_everything_back_gives_back_an_empty_task(session: Session, tree: Repo) -> None:
    tree.write("a/1", "1")
    progress(session)
    (tree.path / "a/1").unlink()
    assert work.release(session, "a").record.state.state is State.PENDING


# --- many at once, and deaths -------------------------------------------------------------------------


def test_a_worker_that_was_taken_over_moves_no_snapshot(
    session: Session, successor: Session, clock: FakeClock, tree: Repo
) -> None:
    stale = session.record(session.snapshot(), "a")
    clock.advance(2 * LEASE)
    second = Repo(working_on(successor, "a"))
    second.write("a/1", "of w2")
    work.progress(successor, "a", "mine now")
    found = snapshot(session)
    tree.write("a/1", "of w1")
    with pytest.raises(StaleClaim):
        snapshots.take(session, stale)
    with pytest.raises(StaleClaim):
        progress(session)
    assert snapshot(session) == found


def save_often(number: int, path: str) -> int:
    tree = Repo(Path(path))
    with open_fleet(tree, None) as session:
        for turn in range(6):
            tree.write(f"a/{number}", f"{turn}")
            work.progress(session, None, f"{number}: {turn}")
    return number


def test_two_commands_of_one_worker_at_the_same_moment_both_save(session: Session, tree: Repo) -> None:
    done = race(2, save_often, str(tree.path))
    assert sorted(values(done)) == [0, 1]
    progress(session)
    assert tree_of(session, snapshot(session).start) == oracle(tree)


@pytest.mark.slow
def test_killed_at_any_step_a_snapshot_is_whole_or_the_one_before(
    repo: Repo, session: Session, tree: Repo, clock: FakeClock
) -> None:
    tree.write("a/1", "0")
    progress(session)
    states = {b"0"}

    def save() -> None:
        with open_fleet(repo, "w1", clock) as other:
            work.progress(other, "a", "going on")

    for step in killed_at_every_step(save):
        tree.write("a/1", f"{step}")
        found = snapshot(session)
        assert tree.files(found.start)["a/1"].content in states
        states.add(f"{step}".encode())
    tree.run_git("fsck", "--connectivity-only")
    progress(session)
    assert tree_of(session, snapshot(session).start) == oracle(tree)


# --- its end ------------------------------------------------------------------------------------------


def left_at(session: Session) -> dict[str, Oid]:
    """The refs of all kept work."""
    return session.store.refs.read("refs/fleet/snapshot/", "refs/fleet/salvage/")


def problems(session: Session, *, fix: bool) -> list[tuple[str, str, bool]]:
    """What doctor finds, but for the hooks that these tests do without."""
    found = doctor.doctor(session, fix=fix).problems
    return [(one.code, one.text, one.fixed) for one in found if one.code != "hooks-missing"]


def test_cleaning_up_after_what_has_landed_removes_the_snapshot(session: Session, tree: Repo) -> None:
    tree.write("a/1", "half")
    progress(session)
    tree.commit("whole", {"a/1": "whole"})
    handin.done(session, "a", handin.Handin())
    assert REF in left_at(session)  # rework may want it
    integrated(session, "a")
    tidy.cleanup(session, dry_run=True)
    assert REF in left_at(session)
    (cleaned,) = tidy.cleanup(session)
    assert (cleaned.kept, cleaned.salvage, left_at(session)) == ("", "", {})


def test_cleaning_up_after_a_cancelled_task_keeps_what_only_its_snapshot_has(
    session: Session, repo: Repo, tree: Repo
) -> None:
    tree.write("a/1", "half")
    progress(session)
    (tree.path / "a/1").unlink()
    work.cancel(session, "a", "not wanted")
    (cleaned,) = tidy.cleanup(session)
    assert (cleaned.kept, cleaned.salvage) == ("", names.salvage(A, 1))
    assert left_at(session).keys() == {names.salvage(A, 1)}
    assert_reachable(repo, b"half")


def test_closing_a_plan_removes_its_snapshots_and_doctor_those_that_a_crash_left(
    session: Session, repo: Repo, tree: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.write("a/1", "half")
    progress(session)
    work.cancel(session, "a", "not wanted")
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "retire_all", lambda *_: None)
        planning.close(session, "p")
    assert REF in left_at(session)
    assert [(code, fixed) for code, _, fixed in problems(session, fix=False)] == [("snapshot", False)]
    assert [(code, fixed) for code, _, fixed in problems(session, fix=True)] == [("snapshot", True)]
    assert problems(session, fix=False) == []
    assert left_at(session).keys() == {names.salvage(A, 1)}  # made when it was cancelled
    assert_reachable(repo, b"half")
    assert planning.close(session, "p").id == "p"


def test_a_snapshot_that_is_none_is_doctors_problem(session: Session, tree: Repo) -> None:
    session.store.transact([Update(REF, ABSENT, tree.rev("HEAD"))])
    ((_, text, _),) = problems(session, fix=False)
    assert REF in text


def test_who_makes_a_deleted_worktree_again_is_told_where_its_content_is(
    session: Session, tree: Repo
) -> None:
    tree.write("a/1", "1")
    progress(session)
    shutil.rmtree(tree.path)
    placed = claiming.resume(session, "a")
    assert placed.path == tree.path
    assert any(note.endswith(": git fleet salvage apply p/a snapshot") for note in placed.notes)
