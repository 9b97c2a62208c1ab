"""Main merged into a worktree: every kind of conflict is left there to be resolved, and a killed merge is made anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from git_fleet.core.ids import Oid
from git_fleet.errors import Busy, GitFailed, NeedsPerson
from git_fleet.git import merging, worktrees
from git_fleet.git.process import Git
from git_fleet.git.repository import discover
from tests.support.repo import Entry, Repo, make_repo

IDENTITY = {
    f"GIT_{role}_{part}": text
    for role in ("AUTHOR", "COMMITTER")
    for part, text in (("NAME", "w1"), ("EMAIL", "w1@fleet.invalid"))
}
LINES = "".join(f"line {number}\n" for number in range(9))
BASE = {"x": LINES, "sub/y": f"{LINES}y\n", "same": "1\n"}

Change = Callable[[Repo], object]


def write(**files: str | bytes) -> Change:
    return lambda repo: [repo.write(path, text) for path, text in files.items()]


def move(old: str, new: str) -> Change:
    def moved(repo: Repo) -> None:
        (repo.path / new).parent.mkdir(parents=True, exist_ok=True)
        repo.run_git("mv", old, new)

    return moved


def gone(*paths: str) -> Change:
    return lambda repo: repo.run_git("rm", "-q", *paths)


def link(path: str) -> Change:
    def linked(repo: Repo) -> None:
        (repo.path / path).unlink(missing_ok=True)
        (repo.path / path).symlink_to("nowhere")

    return linked


def folder(path: str) -> Change:
    def made(repo: Repo) -> None:
        gone(path)(repo)
        repo.write(f"{path}/in", "in\n")

    return made


def executable(path: str, text: str) -> Change:
    return lambda repo: repo.write(path, text, executable=True)


def split(repo: Repo) -> None:
    """A folder's files renamed into two, as many into each."""
    move("sub/y", "one/y")(repo)
    move("sub/z", "two/z")(repo)


KINDS: dict[str, tuple[Change, Change, tuple[str, ...]]] = {
    "content": (write(x=LINES.replace("4", "mine")), write(x=LINES.replace("4", "theirs")), ("x",)),
    "add/add": (write(new="mine\n"), write(new="theirs\n"), ("new",)),
    "they deleted it": (write(x="mine\n"), gone("x"), ("x",)),
    "we deleted it": (gone("x"), write(x="theirs\n"), ("x",)),
    "two names": (move("x", "mine"), move("x", "theirs"), ("mine", "theirs")),
    "one name": (move("x", "new"), move("sub/y", "new"), ("new",)),
    "a folder of theirs": (write(x="mine\n"), folder("x"), ("x~HEAD",)),
    "a folder of ours": (folder("x"), write(x="theirs\n"), ("x~{theirs}",)),
    "binary": (write(x=b"\0mine"), write(x=b"\0theirs"), ("x",)),
    "a mode": (executable("new", "mine\n"), write(new="theirs\n"), ("new",)),
    "a link": (write(x="mine\n"), link("x"), ("x", "x~HEAD")),
}


@pytest.fixture
def linked(repo: Repo, tmp_path: Path) -> Repo:
    repo.commit("Base", BASE)
    return repo.worktree(tmp_path / "linked", "topic")


def diverge(repo: Repo, linked: Repo, mine: Change, theirs: Change) -> Oid:
    """Both sides change something: the tip of main, which changes another file besides."""
    for side, change in ((linked, mine), (repo, theirs)):
        change(side)
        side.run_git("add", "--all")
        side.run_git("commit", "-qm", "Work")
    return repo.commit("More", {"same": "2\n"})


def begin(repo: Repo, linked: Repo, theirs: Oid) -> bool:
    here = discover(repo.path)
    with worktrees.one_at_a_time(here) as lock:
        return merging.begin(here, linked.path, theirs, message="Merge main", identity=IDENTITY, lock=lock)


def everything(linked: Repo) -> tuple[list[str], Mapping[str, bytes | str], str, str]:
    """Index, files, HEAD and MERGE_HEAD of a worktree."""
    files = {
        str(path.relative_to(linked.path)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in linked.path.rglob("*")
        if path.is_symlink() or (path.is_file() and path.name != ".git")
    }
    merging_now = linked.try_git("rev-parse", "-q", "--verify", "MERGE_HEAD").stdout.decode()
    return linked.run_git("ls-files", "-s").splitlines(), files, linked.rev("HEAD"), merging_now


def git_dir(linked: Repo) -> Path:
    return Path(linked.run_git("rev-parse", "--absolute-git-dir"))


# --- conflicts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_conflict_is_left_in_the_worktree_and_its_files_are_named(
    repo: Repo, linked: Repo, kind: str
) -> None:
    mine, theirs, paths = KINDS[kind]
    tip = diverge(repo, linked, mine, theirs)
    assert not begin(repo, linked, tip)
    assert linked.run_git("rev-parse", "MERGE_HEAD") == tip
    assert (linked.path / "same").read_text() == "2\n"  # what does not conflict is there
    standing = merging.standing(linked.path)
    assert standing is not None
    assert set(standing.unresolved) == {path.format(theirs=tip) for path in paths}
    assert all(line.startswith(("CONFLICT", "warning: Cannot merge binary")) for line in standing.said)
    assert standing.said


@pytest.mark.parametrize("kind", KINDS)
def test_a_conflict_that_is_left_as_it_is_can_be_declared_resolved(
    repo: Repo, linked: Repo, kind: str
) -> None:
    mine, theirs, _ = KINDS[kind]
    begin(repo, linked, diverge(repo, linked, mine, theirs))
    linked.run_git("add", "--all")
    assert merging.unresolved(linked.path) == ()
    linked.run_git("commit", "-q", "--no-edit")
    assert merging.standing(linked.path) is None


def test_a_folder_renamed_to_two_places_leaves_a_merge_without_a_conflicted_file(
    repo: Repo, linked: Repo
) -> None:
    linked.commit("More", {"sub/z": f"{LINES}z\n"})
    repo.run_git("merge", "-q", "--ff-only", "topic")
    tip = diverge(repo, linked, lambda side: side.write("sub/new", "new\n"), split)
    assert not begin(repo, linked, tip)
    standing = merging.standing(linked.path)
    assert standing is not None
    assert (standing.unresolved, standing.said[0][:8]) == ((), "CONFLICT")


def test_a_text_without_its_markers_is_resolved_and_one_with_some_left_is_not(
    repo: Repo, linked: Repo
) -> None:
    linked.commit("Wide", {".gitattributes": "* conflict-marker-size=20\n"})
    mine, theirs, _ = KINDS["content"]
    begin(repo, linked, diverge(repo, linked, mine, theirs))
    marked = (linked.path / "x").read_text()
    assert "<" * 20 in marked
    linked.write("x", marked.replace("=" * 20, ""))
    assert merging.unresolved(linked.path) == ("x",)
    linked.write("x", LINES.replace("4", "theirs"))
    assert merging.unresolved(linked.path) == ()


def test_what_a_worker_deletes_is_resolved(repo: Repo, linked: Repo) -> None:
    mine, theirs, _ = KINDS["they deleted it"]
    begin(repo, linked, diverge(repo, linked, mine, theirs))
    (linked.path / "x").unlink()
    assert merging.unresolved(linked.path) == ()


def test_the_markers_that_were_committed_are_found(repo: Repo, linked: Repo) -> None:
    fork, (mine, theirs, _) = linked.rev("HEAD"), KINDS["content"]
    begin(repo, linked, diverge(repo, linked, mine, theirs))
    marked = (linked.path / "x").read_text()
    linked.write("a[b", f"{marked}")
    linked.write("quoted", ">>>>>>> main\n")
    linked.run_git("add", "--all")
    linked.run_git("commit", "-q", "--no-edit")
    bad, git = linked.rev("HEAD"), Git(linked.path)
    assert merging.marked(git, fork, bad) == ("a[b", "x")
    good = linked.commit("Resolve", {"x": "both\n", "a[b": None})
    assert merging.marked(git, fork, good) == ()
    assert merging.marked(git, bad, good) == ()  # whoever takes them out has none


# --- merges --------------------------------------------------------------------------------------


def test_a_merge_without_conflicts_is_committed_by_the_worker(repo: Repo, linked: Repo) -> None:
    tip = diverge(repo, linked, write(x="mine\n"), write(y="theirs\n"))
    mine = linked.rev("HEAD")
    assert begin(repo, linked, tip)
    shown = linked.run_git("show", "--no-patch", "--format=%P|%an|%cn|%s")
    assert shown == f"{mine} {tip}|w1|w1|Merge main"
    assert linked.status() == []
    assert not begin(repo, linked, tip)  # once


@pytest.mark.parametrize(
    "settings",
    [
        {"merge.ff": "only", "merge.verifySignatures": "true", "commit.gpgSign": "true"},
        {"branch.topic.mergeOptions": "--squash --no-commit", "merge.log": "true", "merge.stat": "true"},
        {"rerere.enabled": "true", "rerere.autoUpdate": "true"},
        {"merge.conflictStyle": "zdiff3", "merge.autoStash": "true"},
    ],
)
@pytest.mark.parametrize("kind", ["content", None])
def test_no_setting_of_the_user_decides_about_a_merge(
    repo: Repo, linked: Repo, settings: Mapping[str, str], kind: str | None
) -> None:
    mine, theirs, _ = KINDS[kind] if kind else (write(x="mine\n"), write(y="theirs\n"), ())
    tip = diverge(repo, linked, mine, theirs)
    if kind and "rerere.enabled" in settings:
        repo.run_git("config", "rerere.enabled", "true")
        linked.try_git("merge", "-q", tip)  # a resolution that rerere knows
        linked.commit("Resolve", {"x": "both\n"})
        linked.run_git("reset", "-q", "--hard", "HEAD^")
    for name, value in settings.items():
        repo.run_git("config", name, value)
    assert begin(repo, linked, tip) == (kind is None)
    assert merging.unresolved(linked.path) == (("x",) if kind else ())
    assert len(linked.run_git("log", "-1", "--format=%P").split()) == (1 if kind else 2)


def test_histories_without_a_common_beginning_are_not_merged(repo: Repo, linked: Repo) -> None:
    other = repo.run_git("commit-tree", repo.run_git("rev-parse", "HEAD^{tree}"), "-m", "Another beginning")
    before = everything(linked)
    with pytest.raises(GitFailed):
        begin(repo, linked, Oid(other))
    assert everything(linked) == before


# --- files in the way ----------------------------------------------------------------------------


@pytest.mark.parametrize("ignored", [False, True])
def test_a_file_of_the_workers_that_is_in_the_way_is_never_overwritten(
    repo: Repo, linked: Repo, ignored: bool
) -> None:
    if ignored:
        linked.commit("Ignore", {".gitignore": "new\n"})
    tip = diverge(repo, linked, write(x="mine\n"), write(new="theirs\n"))
    linked.write("new", "precious\n")
    for _ in range(2):
        with pytest.raises(NeedsPerson, match="in the way of the merge: new"):
            begin(repo, linked, tip)
    assert (linked.path / "new").read_text() == "precious\n"
    (linked.path / "new").unlink()
    assert begin(repo, linked, tip)


def test_changes_of_somebodys_are_never_undone(repo: Repo, linked: Repo) -> None:
    mine, theirs, _ = KINDS["content"]
    tip = diverge(repo, linked, mine, theirs)
    linked.write("x", "late\n")
    with pytest.raises(GitFailed):
        begin(repo, linked, tip)
    assert (linked.path / "x").read_text() == "late\n"
    linked.run_git("checkout", "x")
    linked.write("same", "staged\n")
    linked.run_git("add", "same")
    linked.write("same", "1\n")
    with pytest.raises(GitFailed):
        begin(repo, linked, tip)
    assert linked.run_git("show", ":same") == "staged"


def test_a_merge_that_somebody_has_begun_to_resolve_is_left_alone(repo: Repo, linked: Repo) -> None:
    mine, theirs, _ = KINDS["content"]
    tip = diverge(repo, linked, mine, theirs)
    begin(repo, linked, tip)
    linked.write("x", "half\n")
    before = everything(linked)
    assert not begin(repo, linked, tip)
    assert everything(linked) == before
    linked.run_git("add", "x")
    with pytest.raises(NeedsPerson, match="x"):
        begin(repo, linked, tip)
    assert (linked.path / "x").read_text() == "half\n"


# --- a git that was killed -----------------------------------------------------------------------


def _locked(linked: Repo) -> None:
    (git_dir(linked) / "index.lock").write_bytes(b"half")


def _without_merge_head(linked: Repo) -> None:
    for name in ("MERGE_HEAD", "MERGE_MSG", "MERGE_MODE"):
        (git_dir(linked) / name).unlink(missing_ok=True)


def _without_index(linked: Repo, index: bytes) -> None:
    """Files are written, the index is not."""
    _without_merge_head(linked)
    (git_dir(linked) / "index").write_bytes(index)
    _locked(linked)


def _half_written(linked: Repo, index: bytes) -> None:
    _without_index(linked, index)
    place = linked.path / "same"
    place.write_bytes(place.read_bytes()[:1])
    for new in ("new", "theirs"):
        (linked.path / new).unlink(missing_ok=True)


@pytest.mark.parametrize("torn", [_without_merge_head, _without_index, _half_written])
@pytest.mark.parametrize("kind", [*KINDS, "none"])
def test_a_merge_that_was_killed_is_made_again(
    repo: Repo, linked: Repo, kind: str, torn: Callable[..., None]
) -> None:
    mine, theirs, _ = KINDS.get(kind) or (write(x="mine\n"), write(new="theirs\n"), ())
    tip = diverge(repo, linked, mine, theirs)
    index, before = (git_dir(linked) / "index").read_bytes(), linked.rev("HEAD")
    begin(repo, linked, tip)
    expected = everything(linked)
    if kind == "none":
        linked.run_git("update-ref", "refs/heads/topic", before)
    break_it = torn if torn is _without_merge_head else partial(torn, index=index)
    break_it(linked)
    assert begin(repo, linked, tip) == (kind == "none")
    assert everything(linked)[:2] == expected[:2]
    assert everything(linked)[3] == expected[3]
    assert not (git_dir(linked) / "index.lock").exists()


def test_a_merge_that_was_killed_after_its_commit_is_over(repo: Repo, linked: Repo) -> None:
    tip = diverge(repo, linked, write(x="mine\n"), write(y="theirs\n"))
    begin(repo, linked, tip)
    (git_dir(linked) / "MERGE_HEAD").write_text(f"{tip}\n")
    assert not begin(repo, linked, tip)
    assert merging.standing(linked.path) is None
    assert linked.status() == []


def test_a_merge_that_was_killed_before_its_commit_is_committed(repo: Repo, linked: Repo) -> None:
    tip = diverge(repo, linked, write(x="mine\n"), write(y="theirs\n"))
    linked.run_git("merge", "-q", "--no-commit", tip)
    assert begin(repo, linked, tip)
    assert linked.files()["y"] == Entry("100644", b"theirs\n")


def test_a_lock_of_a_git_at_work_is_waited_for(repo: Repo, linked: Repo) -> None:
    tip = diverge(repo, linked, write(x="mine\n"), write(y="theirs\n"))
    _locked(linked)
    at_work = Git(linked.path).spawn("hash-object", "--stdin-paths")
    try:
        with pytest.raises(Busy, match=r"index\.lock"):
            begin(repo, linked, tip)
    finally:
        at_work.communicate()
    assert begin(repo, linked, tip)


def test_sha256_repositories_are_no_other(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "sha256", BASE, object_format="sha256")
    linked = repo.worktree(tmp_path / "other", "topic")
    mine, theirs, _ = KINDS["content"]
    tip = diverge(repo, linked, mine, theirs)
    fork = repo.rev("HEAD~2")
    begin(repo, linked, tip)
    assert merging.unresolved(linked.path) == ("x",)
    linked.run_git("commit", "-qam", "As it is")
    assert merging.marked(Git(linked.path), fork, linked.rev("HEAD")) == ("x",)
    shutil.rmtree(linked.path)
