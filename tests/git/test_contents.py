"""Looking at a worktree: nothing is missed, nothing is changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from git_fleet.errors import GitFailed
from git_fleet.git import contents, torn
from tests.support.repo import Entry, Repo, make_repo

ODD = os.fsdecode(b'a "b"\n\xff \t-c')


@pytest.fixture
def linked(repo: Repo, tmp_path: Path) -> Repo:
    return repo.worktree(tmp_path / "linked", "topic")


def test_every_kind_of_change_is_named_once(linked: Repo) -> None:
    linked.commit("base", {"staged": "1", "both": "1", "gone": "1", "moved": "some words\n", "exec": "1"})
    linked.write("staged", "2")
    linked.write("both", "2")
    linked.run_git("add", "staged", "both")
    linked.write("both", "3")
    (linked.path / "gone").unlink()
    (linked.path / "exec").chmod(0o755)
    linked.run_git("mv", "moved", "there")
    linked.write(ODD, "new")
    linked.write("folder/deep", "new")
    assert contents.dirty_files(linked.path) == sorted(
        [ODD, "both", "exec", "folder/deep", "gone", "moved", "staged", "there"]
    )
    tracked = contents.dirty_files(linked.path, untracked=False)
    assert tracked == ["both", "exec", "gone", "moved", "staged", "there"]


def test_the_users_status_settings_hide_nothing(linked: Repo) -> None:
    linked.run_git("config", "status.showUntrackedFiles", "no")
    linked.write("new", "1")
    assert contents.dirty_files(linked.path) == ["new"]


def test_a_conflict_is_dirty_and_named(repo: Repo, linked: Repo) -> None:
    conflict(repo, linked)
    assert contents.dirty_files(linked.path) == ["README.md"]
    assert contents.unfinished(contents.git_dir_of(linked.path)) == "merge"
    assert contents.unfinished(contents.git_dir_of(repo.path)) == ""


def conflict(repo: Repo, linked: Repo) -> None:
    linked.commit("theirs", {"README.md": "theirs\n"})
    repo.commit("ours", {"README.md": "ours\n"})
    assert linked.try_git("merge", "main").returncode == 1


def test_empty_untracked_markers_are_nobodys_change(linked: Repo) -> None:
    linked.write(".skip", "")
    linked.write(".full", "text")
    assert contents.dirty_files(linked.path, markers=[".skip", ".full"]) == [".full"]
    tree = contents.snapshot_tree(linked.path, markers=[".skip", ".full"])
    assert set(linked.files(tree)) == {"README.md", ".full"}
    linked.run_git("add", ".skip")
    assert contents.dirty_files(linked.path, markers=[".skip", ".full"]) == [".full", ".skip"]


def test_looking_leaves_the_index_as_it_was(linked: Repo) -> None:
    index = contents.git_dir_of(linked.path) / "index"
    os.utime(linked.path / "README.md", (1, 1))  # the index now has an old time: git likes to renew it
    before = index.read_bytes(), index.stat().st_mtime_ns, sorted(os.listdir(index.parent))
    linked.write("new", "1")
    contents.dirty_files(linked.path)
    contents.ignored_files(linked.path)
    contents.snapshot_tree(linked.path)
    contents.index_tree(linked.path)
    assert (index.read_bytes(), index.stat().st_mtime_ns, sorted(os.listdir(index.parent))) == before


def test_a_snapshot_is_the_whole_work_tree_without_what_is_ignored(linked: Repo) -> None:
    linked.commit("base", {".gitignore": "*.log\n", "gone": "1", "kept.log.txt": "1"})
    linked.write("x.log", "noise")
    linked.write(ODD, b"\0\xff")
    linked.write("run.sh", "#!/bin/sh\n", executable=True)
    (linked.path / "link").symlink_to("nowhere")
    (linked.path / "gone").unlink()
    linked.write("planned", "soon")
    linked.run_git("add", "--intent-to-add", "planned")
    tree = contents.snapshot_tree(linked.path)
    assert linked.files(tree) == {
        ".gitignore": Entry("100644", b"*.log\n"),
        "README.md": Entry("100644", b"# scratch\n"),
        "kept.log.txt": Entry("100644", b"1"),
        "link": Entry("120000", b"nowhere"),
        "planned": Entry("100644", b"soon"),
        "run.sh": Entry("100755", b"#!/bin/sh\n"),
        ODD: Entry("100644", b"\0\xff"),
    }
    assert contents.ignored_files(linked.path) == ["x.log"]


def test_a_snapshot_takes_conflicted_files_with_their_markers(repo: Repo, linked: Repo) -> None:
    conflict(repo, linked)
    linked.write("staged", "1")
    linked.run_git("add", "staged")
    snapshot = linked.files(contents.snapshot_tree(linked.path))
    assert b"<<<<<<<" in snapshot["README.md"].content
    assert set(linked.files(contents.index_tree(linked.path))) == {"staged"}


def test_a_snapshot_sees_what_is_marked_as_unchanged(linked: Repo) -> None:
    linked.run_git("update-index", "--assume-unchanged", "README.md")
    linked.write("README.md", "hidden work\n")
    assert linked.files(contents.snapshot_tree(linked.path))["README.md"].content == b"hidden work\n"


def test_a_snapshot_sees_what_changed_within_the_tick_in_which_it_was_staged(linked: Repo) -> None:
    linked.run_git("config", "core.trustctime", "false")  # which would give it away on most machines
    long_ago = (1_000_000_000, 1_000_000_000)
    os.utime(linked.write("a", "one"), long_ago)
    linked.run_git("add", "a")
    os.utime(contents.git_dir_of(linked.path) / "index", long_ago)
    git_dir, tree = contents.git_dir_of(linked.path), contents.index_tree(linked.path)
    os.utime(linked.write("a", "two"), long_ago)
    assert linked.files(contents.snapshot_tree(linked.path))["a"].content == b"two"
    assert torn.differing(git_dir, linked.path, tree) == {"a"}


def test_a_snapshot_minds_neither_line_ends_nor_a_split_index(linked: Repo) -> None:
    linked.run_git("config", "core.safecrlf", "true")
    linked.run_git("config", "core.autocrlf", "input")
    linked.run_git("update-index", "--split-index")
    linked.write("dos", "a\r\n")
    assert linked.files(contents.snapshot_tree(linked.path))["dos"].content == b"a\n"


def test_a_snapshot_keeps_what_a_sparse_checkout_does_not_show(linked: Repo) -> None:
    linked.commit("base", {"in/a": "1", "out/b": "1"})
    linked.run_git("sparse-checkout", "set", "in")
    assert not (linked.path / "out").exists()
    linked.write("out/new", "outside")
    assert set(linked.files(contents.snapshot_tree(linked.path))) == {"README.md", "in/a", "out/b", "out/new"}


def test_embedded_repositories_are_left_out_and_named(linked: Repo) -> None:
    make_repo(linked.path / "full")
    make_repo(linked.path / "sub" / "empty", {})
    linked.write("beside", "1")
    assert contents.embedded_repositories(linked.path) == ["full", "sub/empty"]
    assert set(linked.files(contents.snapshot_tree(linked.path))) == {"README.md", "beside"}
    assert contents.dirty_files(linked.path) == ["beside", "full/", "sub/empty/"]


def test_a_submodule_is_the_commit_it_has_checked_out(linked: Repo) -> None:
    inner = make_repo(linked.path / "inner")
    linked.run_git("-c", "advice.addEmbeddedRepo=false", "add", "inner")
    linked.run_git("commit", "-qm", "submodule")
    moved = inner.commit("on", {"x": "1"})
    line = linked.run_git("ls-tree", contents.snapshot_tree(linked.path), "inner")
    assert line == f"160000 commit {moved}\tinner"


def test_a_snapshot_of_a_repository_without_commits(tmp_path: Path) -> None:
    fresh = make_repo(tmp_path / "fresh", {})
    assert fresh.files(contents.snapshot_tree(fresh.path)) == {}
    fresh.write("a", "1")
    assert set(fresh.files(contents.snapshot_tree(fresh.path))) == {"a"}


def test_a_file_that_cannot_be_stored_stops_the_snapshot(linked: Repo) -> None:
    linked.run_git("config", "filter.broken.clean", "false")
    linked.run_git("config", "filter.broken.required", "true")
    linked.write(".gitattributes", "*.enc filter=broken\n")
    linked.write("a.enc", "1")
    with pytest.raises(GitFailed, match=r"a\.enc"):
        contents.snapshot_tree(linked.path)


def test_the_reflog_tells_of_commits_that_no_branch_has(linked: Repo) -> None:
    start = linked.rev("HEAD")
    lost = linked.commit("lost", {"a": "1"})
    linked.run_git("commit", "-q", "--amend", "-m", "amended")
    amended = linked.rev("HEAD")
    linked.run_git("reset", "-q", "--hard", start)
    linked.run_git("checkout", "-q", "--detach")
    git_dir = contents.git_dir_of(linked.path)
    assert set(contents.reflog_commits(git_dir)) == {start, lost, amended}
    assert contents.reflog_commits(git_dir, "refs/heads/topic")[:2] == [start, amended]


def test_the_reflog_is_read_even_when_its_branch_is_gone(linked: Repo) -> None:
    made = linked.commit("work", {"a": "1"})
    git_dir = contents.git_dir_of(linked.path)
    linked.run_git("update-ref", "-d", "refs/heads/topic")
    assert made in contents.reflog_commits(git_dir)
    assert contents.reflog_commits(git_dir, "refs/heads/topic") == []


def test_commits_of_an_unfinished_rebase_or_merge_are_in_hand(repo: Repo, linked: Repo) -> None:
    conflict(repo, linked)
    assert repo.rev("main") in contents.commits_in_hand(contents.git_dir_of(linked.path))
    linked.run_git("merge", "--abort")
    linked.run_git("update-ref", "refs/worktree/mine", "HEAD")
    assert linked.rev("HEAD") in contents.commits_in_hand(contents.git_dir_of(linked.path))


def test_objects_that_are_no_commits_or_missing_are_passed_over(linked: Repo) -> None:
    head = linked.rev("HEAD")
    tree = linked.run_git("rev-parse", "HEAD^{tree}")
    git_dir = contents.git_dir_of(linked.path)
    assert contents.existing_commits(git_dir, [tree, head, "1" * 40, head]) == [head]


def test_sha256_repositories_are_looked_at_the_same_way(tmp_path: Path) -> None:
    long = make_repo(tmp_path / "long", object_format="sha256")
    linked = long.worktree(tmp_path / "linked", "topic")
    linked.write("new", "1")
    assert set(linked.files(contents.snapshot_tree(linked.path))) == {"README.md", "new"}
    assert contents.reflog_commits(contents.git_dir_of(linked.path)) == [long.rev("main")]


def test_only_other_processes_that_are_inside_make_it_busy(
    linked: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    (linked.path / "below").mkdir()
    monkeypatch.chdir(linked.path)
    assert contents.busy(linked.path) == []
    script = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd="below", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        assert [resident.pid for resident in contents.busy(linked.path)] == [child.pid]
        assert contents.busy(linked.path.parent / "link") == []
        child.communicate()


def test_names_in_messages_are_few_and_escaped() -> None:
    assert contents.listing(["a", "b c", "d\n"]) == r"a, 'b c', 'd\n'"
    assert contents.listing(["größe x", "d\udcff\udc80"]) == r"'größe x', 'd\xff\x80'"
    assert contents.listing("abcdefg") == "a, b, c, d, e and 2 more"
