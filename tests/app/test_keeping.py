"""Kept work listed, shown and taken up again; whatever happens, it stays kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import keeping, work
from git_fleet.app import plan as planning
from git_fleet.app.session import Session
from git_fleet.core.keeping import SnapshotTaken
from git_fleet.core.reviewing import ChangedPath
from git_fleet.errors import Ambiguous, AnswerIsNo, Denied, Held, InvalidInput, NeedsPerson
from git_fleet.git import contents
from tests.support.clock import START, FakeClock
from tests.support.fleet import approved, integrated, open_fleet, proposed, task, task_id, working_on
from tests.support.repo import Repo


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


@pytest.fixture
def salvaged(session: Session, clock: FakeClock) -> Session:
    """A task with one salvage, of two commits and more that was not committed, and one snapshot after it."""
    approved(session, task("a"), task("b"))
    tree = Repo(working_on(session, "a"))
    tree.commit("one", {"a/1": "1\n"})
    tree.commit("two", {"a/2": "2\n"})
    tree.write("a/3", "3\n")
    work.release(session, "a")
    clock.advance(60)
    again = Repo(working_on(session, "a"))
    again.write("a/4", "4\n")
    work.progress(session, "a", "going on")
    return session


def refs(repo: Repo) -> dict[str, str]:
    return {**repo.refs("refs/fleet/salvage"), **repo.refs("refs/fleet/snapshot")}


def everything(repo: Repo) -> tuple[object, ...]:
    """Index, HEAD, and what is in the folder."""
    files = [path for path in sorted(repo.path.rglob("*")) if ".git" not in path.parts]
    contents_ = [path.read_bytes() for path in files if path.is_file()]
    return repo.run_git("ls-files", "--stage"), repo.rev("HEAD"), files, contents_


def test_the_list_says_whose_from_where_and_how_much(salvaged: Session, repo: Repo) -> None:
    first, last = keeping.listing(salvaged)
    assert (first.id, first.number, first.name, first.worker, first.at) == (
        task_id("a"), 1, "1", "w1", START,
    )  # fmt: skip
    assert (first.commits, first.uncommitted, first.files) == (2, True, 3)
    assert Path(first.worktree).name == "repo-a-do-a"
    assert (first.branch, first.base) == ("feature/a-do-a", repo.rev("main"))
    assert (last.number, last.name, last.commits, last.uncommitted, last.files) == (0, "snapshot", 2, True, 4)
    assert keeping.listing(salvaged, "a") == keeping.listing(salvaged, "p/a") == (first, last)
    assert keeping.listing(salvaged, "b") == ()
    with pytest.raises(InvalidInput):
        keeping.listing(salvaged, "c")


def test_what_has_landed_brings_nothing_any_more(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    tree = Repo(working_on(session, "a"))
    made = tree.commit("one", {"a/1": "1\n"})
    work.release(session, "a")
    repo.run_git("merge", "--quiet", "--ff-only", made)
    (found,) = keeping.listing(session)
    assert (found.commits, found.uncommitted, found.files, found.base) == (0, False, 0, made)


def test_histories_that_branch_or_have_nothing_in_common_are_listed_too(session: Session, repo: Repo) -> None:
    approved(session, task("a"), task("b"))
    merged = Repo(working_on(session, "a"))
    merged.commit("one", {"a/1": "1\n"})
    repo.commit("on main", {"x": "1\n"})
    merged.run_git("merge", "--quiet", "--no-edit", "main")
    work.release(session, "a")
    orphan = Repo(working_on(session, "b"))
    orphan.run_git("checkout", "--quiet", "--orphan", "else")
    orphan.commit("first", {"b/1": "1\n"})
    work.release(session, "b")
    a, b = keeping.listing(session)
    assert (a.base, a.commits, a.files) == (repo.rev("main"), 1, 1)
    assert (b.base, b.commits, b.files) == (None, 1, 3)
    assert "b/1" in (keeping.show(session, "b", patch=True).patch or "")


def test_one_is_shown_with_its_commits_files_and_diff(salvaged: Session) -> None:
    shown = keeping.show(salvaged, "a", "1")
    assert [(one.subject, one.made) for one in shown.commits] == [
        ("one", False), ("two", False), ("Work on p/a that was not committed", True),
    ]  # fmt: skip
    assert shown.paths == tuple(ChangedPath(f"a/{n}", 1, 0) for n in (1, 2, 3))
    assert (shown.patch, shown.others) == (None, ())
    assert "+3\n" in (keeping.show(salvaged, "a", "1", patch=True).patch or "")
    assert keeping.show(salvaged, "a").work.name == "snapshot"


def test_of_one_second_the_salvage_counts_as_the_later(salvaged: Session) -> None:
    work.release(salvaged, "a")  # the clock stands still
    assert [one.name for one in keeping.listing(salvaged)] == ["1", "snapshot", "2"]
    assert keeping.show(salvaged, "a").work.number == 2


def test_a_long_diff_is_cut_and_says_so(salvaged: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "PATCH_BYTES", 10)
    shown = keeping.show(salvaged, "a", "1", patch=True)
    assert (shown.patch, shown.cut) == ("diff --git", True)


@pytest.mark.parametrize(("which", "said"), [("2", "there is: 1, snapshot"), ("x", "'x'"), ("-1", "'-1'")])
def test_what_is_not_there_is_refused_with_what_is(salvaged: Session, which: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        keeping.show(salvaged, "a", which)
    with pytest.raises(AnswerIsNo, match="nothing is kept"):
        keeping.show(salvaged, "b")


def test_kept_work_of_a_closed_plan_is_found_and_a_short_name_may_fit_several(
    salvaged: Session,
) -> None:
    work.cancel(salvaged, "a", "not wanted")
    planning.close(salvaged, "p")
    assert keeping.show(salvaged, "p/a", "1").work.files == 3
    approved(salvaged, task("a"), plan="q")
    Repo(working_on(salvaged, "q/a")).commit("one", {"a/1": "other\n"})
    work.release(salvaged, "q/a")
    with pytest.raises(Ambiguous):
        keeping.listing(salvaged, "a")


# --- applying ---------------------------------------------------------------------------------------


def test_it_is_applied_as_staged_changes_and_stays_kept(salvaged: Session, repo: Repo) -> None:
    before, head = refs(repo), repo.rev("HEAD")
    done = keeping.apply(salvaged, "a", "1")
    assert (done.paths, done.conflicts, done.branch) == (("a/1", "a/2", "a/3"), (), "")
    assert repo.status() == ["A  a/1", "A  a/2", "A  a/3"]
    assert (repo.rev("HEAD"), refs(repo)) == (head, before)
    git_dir = contents.git_dir_of(repo.path)
    assert contents.unfinished(git_dir) == ""
    assert not (git_dir / "SQUASH_MSG").exists()


def test_main_may_have_moved_on_and_keeps_what_it_has(salvaged: Session, repo: Repo) -> None:
    repo.commit("meanwhile", {"x": "1\n"})
    keeping.apply(salvaged, "a", "1")
    assert repo.status() == ["A  a/1", "A  a/2", "A  a/3"]
    assert (repo.path / "x").exists()


def test_a_conflict_is_left_marked_and_said(salvaged: Session, repo: Repo) -> None:
    repo.commit("meanwhile", {"a/2": "two\n"})
    done = keeping.apply(salvaged, "a", "1")
    assert (done.paths, done.conflicts) == (("a/1", "a/2", "a/3"), ("a/2",))
    assert "AA a/2" in repo.status()
    assert "<<<<<<<" in (repo.path / "a/2").read_text()
    assert refs(repo)


def test_a_conflict_that_leaves_no_path_unmerged_is_said_too(session: Session, repo: Repo) -> None:
    """Main has put the files of a folder into two others, so it is not clear where one more belongs."""
    repo.commit("a folder", {"a/1": "1\n" * 9, "a/2": "2\n" * 9})
    approved(session, task("a"))
    Repo(working_on(session, "a")).commit("one", {"a/3": "3\n"})
    work.release(session, "a")
    repo.commit("split", {"a/1": None, "a/2": None, "b/1": "1\n" * 9, "c/2": "2\n" * 9})
    done = keeping.apply(session, "a", "1")
    assert (done.paths, done.conflicts) == (("a/3",), ("a",))
    assert repo.status() == ["A  a/3"]
    assert not (contents.git_dir_of(repo.path) / "SQUASH_MSG").exists()


@pytest.mark.parametrize("how", ["modified", "staged", "untracked", "ignored", "merging"])
def test_nothing_of_somebodys_is_touched(salvaged: Session, repo: Repo, how: str) -> None:
    if how == "modified":
        repo.write("README.md", "mine")
    elif how == "staged":
        repo.write("new", "mine")
        repo.run_git("add", "new")
    elif how == "untracked":
        repo.write("a/1", "mine")
    elif how == "ignored":
        repo.commit("ignore", {".gitignore": "/a/\n"})
        repo.write("a/1", "mine")
    else:
        repo.branch("side")
        repo.commit("here", {"x": "1"})
        repo.run_git("switch", "--quiet", "side")
        repo.commit("there", {"y": "1"})
        repo.run_git("merge", "--quiet", "--no-commit", "--no-ff", "main")
    before = everything(repo)
    with pytest.raises(NeedsPerson):
        keeping.apply(salvaged, "a", "1")
    assert everything(repo) == before


@pytest.mark.parametrize(
    "setting",
    [
        ("merge.ff", "false"),
        ("merge.ff", "only"),
        ("branch.main.mergeOptions", "--no-ff"),
        ("merge.autoStash", "true"),
    ],
)
def test_no_setting_of_the_user_decides_about_it(
    salvaged: Session, repo: Repo, setting: tuple[str, str]
) -> None:
    repo.commit("meanwhile", {"x": "1\n"})
    repo.run_git("config", *setting)
    assert keeping.apply(salvaged, "a", "1").paths == ("a/1", "a/2", "a/3")


def test_what_is_there_already_is_no_change(salvaged: Session, repo: Repo) -> None:
    start = keeping.show(salvaged, "a", "1").work.start
    repo.run_git("switch", "--quiet", "--detach", start)
    with pytest.raises(AnswerIsNo):
        keeping.apply(salvaged, "a", "1")
    assert repo.status() == []


def test_a_deleted_worktree_made_again_gets_its_content_from_the_snapshot(
    salvaged: Session, clock: FakeClock
) -> None:
    state = salvaged.record(salvaged.snapshot(), "a").state
    assert state.claim is not None
    tree = Repo(Path(state.claim.worktree))
    shutil.rmtree(tree.path)
    claiming.resume(salvaged, "a")
    with open_fleet(tree, None, clock) as there:
        keeping.apply(there, "a", "snapshot")
    assert (tree.path / "a/4").read_text() == "4\n"


def test_a_branch_is_made_of_it_over_any_worktree(salvaged: Session, repo: Repo) -> None:
    repo.write("README.md", "mine")
    done = keeping.apply(salvaged, "a", "1", branch="rescued")
    assert (done.branch, done.paths) == ("rescued", ())
    assert repo.rev("rescued") == done.work.start
    assert repo.status() == [" M README.md"]
    with pytest.raises(Held, match="rescued"):
        keeping.apply(salvaged, "a", "1", branch="rescued")
    with pytest.raises(InvalidInput):
        keeping.apply(salvaged, "a", "1", branch="not..good")


def test_a_tasks_worktree_is_for_its_own_branch(salvaged: Session, clock: FakeClock, repo: Repo) -> None:
    path = working_on(salvaged, "b")
    with open_fleet(path, None, clock) as there:
        with pytest.raises(Denied):
            keeping.apply(there, "a", "1", branch="rescued")
        assert keeping.apply(there, "a", "1").paths == ("a/1", "a/2", "a/3")
    assert "rescued" not in repo.run_git("branch", "--list")


# --- a snapshot now -----------------------------------------------------------------------------------


def test_a_snapshot_can_be_taken_at_any_moment(session: Session) -> None:
    approved(session, task("a"), task("b"))
    path = working_on(session, "a")
    assert keeping.take_snapshot(session, "a") == SnapshotTaken(task_id("a"), None, False, ())
    Repo(path).write("a/1", "1")
    taken = keeping.take_snapshot(session, "a")
    assert taken.work is not None
    assert (taken.written, taken.work.files) == (True, 1)
    assert keeping.take_snapshot(session, "a").written is False
    with pytest.raises(AnswerIsNo):
        keeping.take_snapshot(session, "b")


def test_there_is_none_of_what_is_handed_in(session: Session) -> None:
    approved(session, task("a"))
    working_on(session, "a")
    proposed(session, "a")
    with pytest.raises(AnswerIsNo):
        keeping.take_snapshot(session, "a")
    integrated(session, "a")
    with pytest.raises(AnswerIsNo):
        keeping.take_snapshot(session, "a")
