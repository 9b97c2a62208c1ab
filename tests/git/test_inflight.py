"""A worktree read as it is: what comes of it is what `git add --all` would make of it, and nothing is written."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git import contents, inflight
from git_fleet.git.drafts import Drafts
from git_fleet.git.inflight import Edit, Found, look
from git_fleet.git.objects import open_objects
from git_fleet.git.repository import discover
from tests.support.repo import Repo

FILES = {f"{folder}/{n}": f"{folder} {n}\n" * 3 for folder in ("a", "a/b", "c") for n in range(3)}


@pytest.fixture
def drafts(repo: Repo) -> Iterator[Drafts]:
    repo.commit("files", {**FILES, "top": "top\n"})
    with open_objects(discover(repo.path)) as objects, closing(Drafts(objects)) as drafts:
        yield drafts


def found(drafts: Drafts, repo: Repo, *, filters: bool = False) -> Found:
    return look(repo.path, contents.git_dir_of(repo.path), drafts.environment(), filters=filters)


def tree_of(drafts: Drafts, seen: Found) -> Oid:
    return seen.tree or inflight.apply(drafts, drafts.read_commit(seen.head).tree, seen.edits)


def oracle(repo: Repo) -> str:
    """The work tree as git itself adds it to an index of its own."""
    index = repo.path.parent / "oracle-index"
    shutil.copy2(contents.git_dir_of(repo.path) / "index", index)
    env = {"GIT_INDEX_FILE": str(index)}
    repo.run_git("add", "--all", env=env)
    made = repo.run_git("write-tree", env=env)
    index.unlink()
    return made


def disturb(chance: random.Random, repo: Repo) -> None:
    """One thing that a worker may do."""
    path = repo.path / chance.choice([*FILES, "top", "new", "a/new", "c/d/new", "a", "c", "link"])
    what = chance.randrange(9)
    with suppress(OSError):
        if what == 0:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        elif what == 1:
            path.chmod(0o755)
        elif what == 2:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            path.symlink_to(chance.choice(["top", "a", ".//nowhere"]))
        elif what == 3:
            repo.run_git("add", "--all")
        elif what == 4 and path.is_file():
            repo.run_git("rm", "--quiet", "--cached", "-r", "-f", "--ignore-unmatch", str(path))
        else:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(chance.choice(["plain\n", "with\r\n", "", f"{chance.random()}\n", "\0binary"]))


@pytest.mark.parametrize("seed", range(16))
def test_whatever_a_worker_does_it_is_what_git_would_add(repo: Repo, drafts: Drafts, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(5):
        for _ in range(chance.randrange(1, 5)):
            disturb(chance, repo)
        index = (contents.git_dir_of(repo.path) / "index").read_bytes()
        expected = oracle(repo)
        for filters in (False, True):
            assert tree_of(drafts, found(drafts, repo, filters=filters)) == expected
        assert (contents.git_dir_of(repo.path) / "index").read_bytes() == index


def test_plain_changes_take_no_more_than_one_git(repo: Repo, drafts: Drafts) -> None:
    repo.write("a/new", "new\n")
    repo.write("a/1", "changed\n")
    (repo.path / "c" / "2").unlink()
    seen = found(drafts, repo)
    assert seen.tree is None
    assert sorted(seen.edits) == [
        Edit("a/1", 0o100644, b"changed\n"),
        Edit("a/new", 0o100644, b"new\n"),
        Edit("c/2", 0),
    ]


@pytest.mark.parametrize("text", [b"\r\n", b"\0", b"$Id$", b"\xff"])
def test_what_git_may_store_otherwise_goes_through_git(repo: Repo, drafts: Drafts, text: bytes) -> None:
    (repo.path / "top").write_bytes(text)
    seen = found(drafts, repo)
    assert (seen.edits, seen.tree) == ((), oracle(repo))


def test_a_filter_is_obeyed(repo: Repo, drafts: Drafts) -> None:
    repo.run_git("config", "filter.shout.clean", "tr a-z A-Z")
    repo.write(".gitattributes", "top filter=shout\n")
    repo.write("top", "quiet\n")
    tree = tree_of(drafts, found(drafts, repo, filters=True))
    assert drafts.read(f"{tree}:top")[1] == b"QUIET\n"


def test_a_conflict_is_taken_as_it_stands(repo: Repo, drafts: Drafts) -> None:
    repo.branch("other")
    repo.commit("ours", {"top": "ours\n"})
    repo.run_git("checkout", "--quiet", "other")
    repo.commit("theirs", {"top": "theirs\n"})
    assert repo.try_git("merge", "main").returncode == 1
    seen = found(drafts, repo)
    assert (seen.unfinished, seen.merging) == ("merge", repo.rev("main"))
    assert b"<<<<<<<" in drafts.read(f"{tree_of(drafts, seen)}:top")[1]


def test_an_unborn_branch_has_nothing(repo: Repo, drafts: Drafts) -> None:
    repo.run_git("checkout", "--quiet", "--orphan", "fresh")
    with pytest.raises(GitFailed, match="nothing is committed on its branch yet"):
        found(drafts, repo)


def test_names_of_any_bytes_survive(repo: Repo, drafts: Drafts) -> None:
    for name in (b'"quoted"', b"new\nline", b"\xff"):
        Path(os.fsdecode(os.fsencode(repo.path) + b"/" + name)).write_text("x\n")
    assert tree_of(drafts, found(drafts, repo)) == oracle(repo)
