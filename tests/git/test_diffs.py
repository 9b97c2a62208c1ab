from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git import diffs
from git_fleet.git.diffs import FileDiff
from git_fleet.git.process import Git
from tests.support.repo import Content, Repo


def tree(repo: Repo, rev: str = "HEAD") -> Oid:
    return Oid(repo.run_git("rev-parse", f"{rev}^{{tree}}"))


def changes(repo: Repo, files: dict[str, Content | None]) -> dict[str, FileDiff]:
    """What a commit of these files changed, by path."""
    before = tree(repo)
    repo.commit("change", files)
    pair = (before, tree(repo))
    return {one.path: one for one in diffs.read(Git(repo.path), [pair])[pair]}


def test_changed_lines_are_kept_without_the_lines_around_them(repo: Repo) -> None:
    repo.commit("before", {"a": "1\n2\n3\n4\n5\n", "gone": "x\n"})
    found = changes(repo, {"a": "1\n2\nthree\n4\n5\n6", "new": "\n+++ b/x\n--- a\n", "gone": None})
    assert found == {
        "a": FileDiff("a", 2, 1, False, "-3\n+three\n+6", False),
        "gone": FileDiff("gone", 0, 1, False, "deleted file mode 100644\n-x", False),
        "new": FileDiff("new", 3, 0, False, "new file mode 100644\n+\n++++ b/x\n+--- a", False),
    }


def test_what_looks_like_a_heading_in_a_file_is_a_line_of_it(repo: Repo) -> None:
    text = f"diff --git b b\n@@ -1 +1 @@\nend\n{'0' * 40} {'1' * 40}\nBinary files a and b differ\n"
    assert changes(repo, {"a": text})["a"].added == 5


@pytest.mark.parametrize(
    "name",
    ["with space", 'qu"ote', "tab\tand\nnewline", "b\\ack", "ü", os.fsdecode(b"\xff"), "\x01", "a b a b"],
)
def test_any_name_survives(repo: Repo, name: str) -> None:
    assert list(changes(repo, {name: "x\n"})) == [name]


def test_binary_and_very_large_files_have_no_lines(repo: Repo) -> None:
    found = changes(repo, {"binary": b"\0\1\2", "large": "x" * 1_100_000 + "\n", "link": "target"})
    assert [found[name].binary for name in ("binary", "large", "link")] == [True, True, False]
    assert (found["large"].added, found["large"].text) == (0, "new file mode 100644")


def test_a_file_that_became_a_link_is_one_change(repo: Repo) -> None:
    repo.commit("before", {"a": "x\n"})
    before = tree(repo)
    (repo.path / "a").unlink()
    (repo.path / "a").symlink_to("README.md")
    repo.commit("link", None)
    repo.run_git("add", "a")
    repo.run_git("commit", "-qm", "link")
    pair = (before, tree(repo))
    (found,) = diffs.read(Git(repo.path), [pair])[pair]
    assert (found.added, found.removed) == (1, 1)
    assert found.text.splitlines()[0] == "deleted file mode 100644"


def test_a_long_diff_is_cut_and_counted_to_its_end(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffs, "PAIR_BYTES", 100)
    found = changes(repo, {"a": "12345678\n" * 20, "b": "1\n"})
    assert (found["a"].added, found["a"].cut) == (20, True)
    assert found["a"].text.count("\n") == 7
    assert (found["b"].added, found["b"].cut) == (1, True)


def test_many_pairs_are_read_by_one_git_whatever_their_size(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = [tree(repo)]
    for number in range(5):
        repo.commit(str(number), {f"f{number}": "a line of some length\n" * 10_000})
        trees.append(tree(repo))
    pairs = [(old, new) for old in trees for new in trees]
    monkeypatch.setattr(diffs, "_AT_ONCE", 7)
    started = []

    class Counted(Git):
        def spawn(self, *args: Any, **options: Any) -> subprocess.Popen[bytes]:
            started.append(args)
            return super().spawn(*args, **options)

    found = diffs.read(Counted(repo.path), [*pairs, pairs[1]])
    assert len(started) == 1
    assert found[trees[2], trees[2]] == ()
    assert [(one.path, one.added) for one in found[trees[1], trees[3]]] == [("f1", 10_000), ("f2", 10_000)]
    assert [(one.path, one.removed) for one in found[trees[3], trees[2]]] == [("f2", 10_000)]


def test_a_missing_tree_is_said(repo: Repo) -> None:
    with pytest.raises(GitFailed):
        diffs.read(Git(repo.path), [(tree(repo), Oid("1" * 40))])


def test_nothing_to_read_starts_nothing(repo: Repo) -> None:
    assert diffs.read(Git(repo.path / "no such folder"), []) == {}
