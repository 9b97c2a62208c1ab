"""Moving a checked-out main: refused before, or done wholly, and finished after a kill."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_fleet.core.ids import Oid
from git_fleet.errors import Busy, GitFailed, NeedsPerson
from git_fleet.git import moves
from tests.support.repo import Repo, make_repo

ODD = os.fsdecode(b'a "b"\n\xff')


def two_commits(repo: Repo) -> tuple[Oid, Oid]:
    """An old main (checked out) and a new one that adds, changes, deletes and swaps kinds."""
    repo.write("run", "#!/bin/sh\n")
    old = repo.commit(
        "old",
        {"kept": "1", "changed": "old\n", "deleted": "1", "run": "#!/bin/sh\n", "file": "1", "dir/in": "1"},
    )
    (repo.path / "file").unlink()
    (repo.path / "dir" / "in").unlink()
    (repo.path / "dir").rmdir()
    repo.write("run", "#!/bin/sh\n", executable=True)
    repo.write("file/now", "a folder")
    repo.write("dir", "a file")
    (repo.path / "deleted").unlink()
    (repo.path / "link").symlink_to("kept")
    repo.write("changed", "new content\n")
    repo.write("added/" + ODD, "1")
    repo.run_git("add", "--all")
    new = repo.commit("new")
    repo.run_git("reset", "-q", "--hard", old)
    return old, new


def arrive(repo: Repo, new: Oid) -> None:
    """What integrate does in between: the ref moves, the checkout does not."""
    repo.run_git("update-ref", "refs/heads/main", new)


def test_a_clean_checkout_moves_and_is_clean_again(repo: Repo) -> None:
    old, new = two_commits(repo)
    repo.write("mine", "untracked, not in the way")
    os.utime(repo.path / "kept", (1, 1))  # only its time differs
    way = moves.plan_move(repo.path, old, new)
    assert repo.status() == ["?? mine"]
    arrive(repo, new)
    way.follow()
    assert repo.status() == ["?? mine"]
    assert (repo.path / "changed").read_text() == "new content\n"
    assert (repo.path / "link").is_symlink()


def test_changes_of_tracked_files_are_refused_by_name(repo: Repo) -> None:
    old, new = two_commits(repo)
    repo.write("changed", "mine\n")
    repo.write("kept", "staged\n")
    repo.run_git("add", "kept")
    with pytest.raises(NeedsPerson, match="changed, kept"):
        moves.plan_move(repo.path, old, new)


def test_a_change_since_the_plan_was_made_stops_the_move_before_it_begins(repo: Repo) -> None:
    old, new = two_commits(repo)
    way = moves.plan_move(repo.path, old, new)
    arrive(repo, new)
    for stage in (False, True):
        repo.write("changed", "mine\n")
        if stage:
            repo.run_git("add", "changed")
        with pytest.raises(NeedsPerson, match=r"neither the content before nor after .*: changed$"):
            way.follow()
    assert (repo.path / "changed").read_text() == "mine\n"
    assert (repo.path / "deleted").exists()


@pytest.mark.parametrize("hidden", ["assume-unchanged", "skip-worktree"])
def test_a_change_that_is_hidden_from_git_status_stays_and_is_refused_before_anything_moves(
    repo: Repo, hidden: str
) -> None:
    old, new = two_commits(repo)
    repo.run_git("update-index", f"--{hidden}", "changed")
    repo.write("changed", "mine\n")
    with pytest.raises(NeedsPerson, match=rf"told to overlook changes \({hidden}\): changed$") as refused:
        moves.plan_move(repo.path, old, new)
    assert (repo.path / "changed").read_text() == "mine\n"
    shows, _, _ = refused.value.hint.partition("git ")[2].replace("PATH", "changed").partition(" shows")
    repo.run_git(*shows.split())
    assert repo.status() == [" M changed"]
    repo.run_git("checkout", "changed")
    assert moves.plan_move(repo.path, old, new)


def test_such_a_file_is_found_among_more_than_a_command_line_holds(repo: Repo) -> None:
    paths = [f"{'folder' * 40}/{number:05}" for number in range(9_000)]

    def commit(content: str) -> Oid:
        start = (
            "commit refs/heads/main\ncommitter A <a@example.org> 0 +0000\ndata 1\nm\nfrom refs/heads/main^0\n"
        )
        files = "".join(f"M 100644 inline {path}\ndata 1\n{content}\n" for path in paths)
        repo.run_git("fast-import", "--quiet", stdin=f"{start}{files}".encode())
        return repo.rev("main")

    old, new = commit("1"), commit("2")
    repo.run_git("reset", "-q", "--hard", old)
    repo.run_git("update-index", "--assume-unchanged", paths[1])
    repo.write(paths[1], "mine\n")
    with pytest.raises(NeedsPerson, match=f"told to overlook changes .*: {paths[1]}$"):
        moves.plan_move(repo.path, old, new)


def test_an_unfinished_merge_is_refused(repo: Repo) -> None:
    old, new = two_commits(repo)
    repo.run_git("merge", "-q", "--no-commit", "--no-ff", new)
    with pytest.raises(NeedsPerson, match="in the middle of a merge"):
        moves.plan_move(repo.path, old, new)


@pytest.mark.parametrize("path", ["added", "added/" + ODD, "link/below", "link"])
@pytest.mark.parametrize("ignored", [False, True])
def test_a_file_in_the_way_is_named_and_survives(repo: Repo, path: str, ignored: bool) -> None:
    old, new = two_commits(repo)
    repo.write(path, "mine")
    if ignored:
        (repo.path / ".git" / "info" / "exclude").write_text("/added\n/link\n")
    with pytest.raises(NeedsPerson) as refused:
        moves.plan_move(repo.path, old, new)
    assert (path if path.isprintable() else "added") in refused.value.message
    with pytest.raises(NeedsPerson):
        moves.finish_move(repo.path, old, new)
    assert (repo.path / path).read_text() == "mine"
    assert not repo.run_git("diff", "--name-only", old)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_file_that_came_in_the_way_since_the_plan_was_made_survives(repo: Repo, ignored: bool) -> None:
    old, new = two_commits(repo)
    way = moves.plan_move(repo.path, old, new)
    arrive(repo, new)
    repo.write("link", "mine")
    if ignored:
        (repo.path / ".git" / "info" / "exclude").write_text("/link\n")
    with pytest.raises(NeedsPerson, match="link"):
        way.follow()
    assert (repo.path / "link").read_text() == "mine"
    assert (repo.path / "changed").read_text() == "old\n"
    (repo.path / "link").unlink()
    way.follow()
    assert repo.status() == []


def test_following_goes_on_where_its_git_was_killed(repo: Repo) -> None:
    repo.commit("filter", {".gitattributes": "*.enc filter=once\n"})
    old, _ = two_commits(repo)
    new = repo.commit("newer", {"m.enc": "1\n", "zz": "last\n", "changed": "newer\n"})
    repo.run_git("reset", "-q", "--hard", old)
    repo.run_git(
        "config", "filter.once.smudge", "test -e .git/once && cat || { touch .git/once; kill -9 $PPID; }"
    )
    way = moves.plan_move(repo.path, old, new)
    arrive(repo, new)
    way.follow()
    assert (repo.path / ".git" / "once").exists()
    assert repo.status() == []


def test_a_move_that_never_began_is_finished(repo: Repo) -> None:
    old, new = two_commits(repo)
    arrive(repo, new)
    moves.finish_move(repo.path, old, new)
    assert repo.status() == []
    moves.finish_move(repo.path, old, new)
    assert repo.status() == []


def test_a_move_whose_index_was_not_written_is_finished_beside_its_dead_lock(repo: Repo) -> None:
    old, new = two_commits(repo)
    index = repo.path / ".git" / "index"
    before = index.read_bytes()
    arrive(repo, new)
    moves.finish_move(repo.path, old, new)
    index.write_bytes(before)
    (repo.path / ".git" / "index.lock").write_text("left behind")
    moves.finish_move(repo.path, old, new)
    assert repo.status() == []
    assert not (repo.path / ".git" / "index.lock").exists()


@pytest.mark.parametrize("renewed", [False, True])
def test_a_dead_lock_on_the_index_does_not_keep_a_move_from_being_planned(repo: Repo, renewed: bool) -> None:
    old, new = two_commits(repo)
    if renewed:
        os.utime(repo.path / "kept", (1, 1))  # only its time differs, which git has to write down
    lock = repo.path / ".git" / "index.lock"
    lock.touch()
    assert moves.plan_move(repo.path, old, new)
    assert not lock.exists()


def test_but_one_that_a_git_may_own_does(repo: Repo) -> None:
    old, new = two_commits(repo)
    lock = repo.path / ".git" / "index.lock"
    repo.run_git("config", "alias.works", "!echo works; cat")
    lock.touch()
    stdin, stdout = subprocess.PIPE, subprocess.PIPE
    with subprocess.Popen(["git", "works"], cwd=repo.path, stdin=stdin, stdout=stdout) as at_work:
        assert at_work.stdout is not None
        at_work.stdout.readline()
        with pytest.raises(Busy, match="a git that may own it is running"):
            moves.plan_move(repo.path, old, new)
        assert lock.exists()
        at_work.communicate()


def test_a_git_that_was_killed_while_it_moved_files_is_finished(repo: Repo) -> None:
    repo.run_git("config", "filter.kill.smudge", "kill -9 $PPID")
    repo.commit("filter", {".gitattributes": "*.enc filter=kill\n"})
    old, _ = two_commits(repo)
    middle = repo.commit("middle", {"m.enc": "1\n", "zz": "last\n", "changed": "newer\n"})
    repo.run_git("config", "filter.kill.smudge", "cat")
    repo.run_git("reset", "-q", "--hard", old)
    repo.run_git("config", "filter.kill.smudge", "kill -9 $PPID")
    arrive(repo, middle)
    with pytest.raises(GitFailed, match="signal 9"):
        moves.finish_move(repo.path, old, middle)
    assert (repo.path / ".git" / "index.lock").exists()
    assert (repo.path / "changed").read_text() == "newer\n"
    assert not (repo.path / "zz").exists()
    repo.run_git("config", "filter.kill.smudge", "cat")
    moves.finish_move(repo.path, old, middle)
    assert repo.status() == []


def test_a_file_cut_short_is_written_whole(repo: Repo) -> None:
    old, new = two_commits(repo)
    arrive(repo, new)
    for content in ("", "new con", None):
        (repo.path / "changed").unlink()
        if content is not None:
            repo.write("changed", content)
        moves.finish_move(repo.path, old, new)
        assert repo.status() == []
        assert (repo.path / "changed").read_text() == "new content\n"


@pytest.mark.parametrize(
    ("path", "text"), [("changed", "mine\n"), ("added/" + ODD, "mine"), ("link", "mine")]
)
def test_somebodys_content_is_never_overwritten_by_finishing(repo: Repo, path: str, text: str) -> None:
    old, new = two_commits(repo)
    arrive(repo, new)
    repo.write(path, text)
    with pytest.raises(NeedsPerson):
        moves.finish_move(repo.path, old, new)
    assert (repo.path / path).read_text() == text
    assert (repo.path / "deleted").exists(), "nothing else has moved either"


@pytest.mark.parametrize("link", [False, True])
def test_a_folder_that_somebody_replaced_is_never_overwritten_by_finishing(repo: Repo, link: bool) -> None:
    old = repo.commit("old", {"folder/file": "old\n"})
    new = repo.commit("new", {"folder/file": "new\n"})
    repo.run_git("reset", "-q", "--hard", old)
    arrive(repo, new)
    (repo.path / "folder" / "file").unlink()
    (repo.path / "folder").rmdir()
    if link:
        (repo.path / "folder").symlink_to("elsewhere")
    else:
        repo.write("folder", "mine")
    with pytest.raises(NeedsPerson, match="folder/file"):
        moves.finish_move(repo.path, old, new)
    assert (repo.path / "folder").is_symlink() is link
    assert link or (repo.path / "folder").read_text() == "mine"


def test_files_that_the_move_does_not_touch_may_be_changed_while_finishing(repo: Repo) -> None:
    old, new = two_commits(repo)
    arrive(repo, new)
    repo.write("kept", "mine\n")
    moves.finish_move(repo.path, old, new)
    assert repo.status() == [" M kept"]


def test_line_ends_and_filters_do_not_look_like_changes(repo: Repo) -> None:
    repo.run_git("config", "filter.up.clean", "tr A-Z a-z")
    repo.run_git("config", "filter.up.smudge", "tr a-z A-Z")
    old = repo.commit(
        "old", {".gitattributes": "*.up filter=up\n*.crlf eol=crlf\n", "a.up": "one", "a.crlf": "1\n"}
    )
    new = repo.commit("new", {"a.up": "one two", "a.crlf": "1\n2\n", "b.up": "three"})
    repo.run_git("reset", "-q", "--hard", old)
    arrive(repo, new)
    repo.write("a.up", "ONE T")  # cut short, as the filter writes it
    moves.finish_move(repo.path, old, new)
    assert (repo.path / "a.up").read_text() == "ONE TWO"
    assert (repo.path / "a.crlf").read_bytes() == b"1\r\n2\r\n"
    assert repo.status() == []


def test_sha256_repositories_move_too(tmp_path: Path) -> None:
    long = make_repo(tmp_path / "long", object_format="sha256")
    old, new = two_commits(long)
    arrive(long, new)
    (long.path / "changed").unlink()
    (long.path / "deleted").unlink()
    moves.finish_move(long.path, old, new)
    assert long.status() == []


@pytest.fixture
def lib(repo: Repo, tmp_path: Path) -> Repo:
    """The submodule `lib` of main, checked out at the first of its commits, which are its branches."""
    library = make_repo(tmp_path / "library")
    library.branch("first")
    for name in ("second", "third"):
        library.commit(name, {"f": f"{name}\n"})
        library.branch(name)
    repo.run_git("submodule", "--quiet", "add", "-b", "first", str(library.path), "lib")
    repo.commit("Add lib")
    return Repo(repo.path / "lib")


def linked(repo: Repo, lib: Repo, name: str) -> Oid:
    """A commit, not checked out, that has `lib` at that commit of it."""
    return beside(repo, f"160000,{lib.rev(f'origin/{name}')},lib")


def beside(repo: Repo, entry: str) -> Oid:
    """A commit on top of HEAD, not checked out, with this entry of the index."""
    repo.run_git("update-index", "--add", "--cacheinfo", entry)
    found = Oid(repo.run_git("commit-tree", repo.run_git("write-tree"), "-p", "HEAD", "-m", "Work"))
    repo.run_git("read-tree", "HEAD")
    return found


def moved(repo: Repo, new: Oid) -> None:
    way = moves.plan_move(repo.path, repo.rev("HEAD"), new)
    arrive(repo, new)
    way.follow()


def test_a_submodule_keeps_its_checkout_and_is_in_nobodys_way(repo: Repo, lib: Repo) -> None:
    repo.run_git("config", "submodule.recurse", "true")
    before, old = lib.rev("HEAD"), repo.rev("HEAD")
    lib.write("built.o", "a build product")
    lib.write("README.md", "changed, which is the submodule's own matter\n")
    new = linked(repo, lib, "second")
    moved(repo, new)
    assert moves.left_behind(repo.path, old, new) == ["lib"]
    moved(repo, linked(repo, lib, "third"))
    moved(repo, beside(repo, f"100644,{repo.run_git('rev-parse', 'HEAD:README.md')},beside"))
    assert repo.run_git("rev-parse", "HEAD:lib") == lib.rev("origin/third")
    assert repo.run_git("diff", "--cached", "--name-only") == ""
    assert lib.rev("HEAD") == before
    assert (lib.path / "built.o").exists()


def test_a_submodule_that_is_not_checked_out_is_not_left_behind(repo: Repo, lib: Repo) -> None:
    old, new = repo.rev("HEAD"), linked(repo, lib, "second")
    repo.run_git("submodule", "--quiet", "deinit", "lib")
    moved(repo, new)
    assert moves.left_behind(repo.path, old, new) == []
    assert repo.status() == []


def test_a_commit_of_a_submodule_that_is_staged_is_somebodys_change(repo: Repo, lib: Repo) -> None:
    new = linked(repo, lib, "second")
    for checked_out in ("origin/third", "origin/first"):
        lib.run_git("checkout", "--quiet", "origin/third")
        repo.run_git("add", "lib")
        lib.run_git("checkout", "--quiet", checked_out)
        with pytest.raises(NeedsPerson, match="uncommitted changes: lib"):
            moves.plan_move(repo.path, repo.rev("HEAD"), new)
    old = repo.rev("HEAD")
    arrive(repo, new)
    with pytest.raises(NeedsPerson, match=r"neither the content before nor after .*: lib$"):
        moves.finish_move(repo.path, old, new)
    assert lib.rev("origin/third") in repo.run_git("ls-files", "--stage", "lib")


@pytest.mark.parametrize("checked_out", ["first", "second", "third"])
def test_a_move_of_a_submodule_is_finished_whatever_it_has_checked_out(
    repo: Repo, lib: Repo, checked_out: str
) -> None:
    lib.run_git("checkout", "--quiet", f"origin/{checked_out}")
    old, new = repo.rev("HEAD"), linked(repo, lib, "second")
    arrive(repo, new)
    for _ in range(2):
        moves.finish_move(repo.path, old, new)
        assert repo.run_git("diff", "--cached", "--name-only") == ""


def test_a_submodule_goes_and_comes_back_around_the_files_it_has_checked_out(repo: Repo, lib: Repo) -> None:
    old = repo.rev("HEAD")
    repo.run_git("rm", "--quiet", "--cached", "lib")
    gone = Oid(repo.run_git("commit-tree", repo.run_git("write-tree"), "-p", "HEAD", "-m", "gone"))
    repo.run_git("read-tree", "HEAD")
    for new in (gone, old):
        moved(repo, new)
        assert repo.run_git("diff", "--cached", "--name-only") == ""
    for before, after in ((old, gone), (gone, old)):
        arrive(repo, after)
        for _ in range(2):
            moves.finish_move(repo.path, before, after)
            assert repo.run_git("diff", "--cached", "--name-only") == ""
    assert (lib.path / "README.md").exists()


@settings(max_examples=25)
@given(st.data())
def test_any_mixture_of_old_and_new_files_is_finished(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    repo = make_repo(tmp_path_factory.mktemp("mixed"), {name: f"old {name}\n" for name in "abcd"})
    old = repo.rev("main")
    new = repo.commit("new", {"a": "new a\n", "b": None, "c": "new c\n", "e": "new e\n", "f/g": "new g\n"})
    places = {"a": "new a\n", "b": None, "c": "new c\n", "e": "new e\n", "f/g": "new g\n"}
    repo.run_git("reset", "-q", "--hard", old)
    arrive(repo, new)
    for path in data.draw(st.sets(st.sampled_from(sorted(places)))):
        text = places[path]
        if text is None:
            (repo.path / path).unlink()
            continue
        repo.write(path, text[: data.draw(st.integers(0, len(text)))])
    moves.finish_move(repo.path, old, new)
    assert repo.status() == []
    assert subprocess.run(["git", "diff-index", "--quiet", new], cwd=repo.path, check=False).returncode == 0
