"""A worktree as it is now, uncommitted and untracked files included, without writing to it or its repository.

One `git status` for a worktree that has nothing but its HEAD. For others the changed files go through a copy of
the index into objects that are kept elsewhere (git/quarantine.py) and go away. What is read while a worker writes is
the one or the other content of each file. Files that git is told to overlook (ignored, `assume-unchanged`) are
overlooked: nobody could hand them in either.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git import contents
from git_fleet.git.contents import Listed
from git_fleet.git.process import Git

_HEAD = b"# branch.oid "
_SHUT = re.compile(rb"^warning: could not open directory '(.*)': ", re.MULTILINE)
_TRIES = 3


class Most(NamedTuple):
    """How much is read of what is not committed: bytes of one file, bytes of all, paths. What is above stays out."""

    file: int = 16 * 1024 * 1024
    all: int = 256 * 1024 * 1024
    paths: int = 20_000


MOST = Most()


class Found(NamedTuple):
    """A worktree: its HEAD, the tree of its files (None: HEAD's), the commit that is being merged there, what git is
    in the middle of (`merge`, `rebase`, …, or ""), and what is not in the tree (folders end in `/`)."""

    head: Oid
    tree: Oid | None
    merging: Oid | None
    unfinished: str
    left_out: tuple[str, ...]


def look(
    path: Path,
    git_dir: Path,
    env: Mapping[str, str],
    *,
    markers: Collection[str] = (),
    most: Most = MOST,
) -> Found:
    """What is in the worktree at `path`, whose own git dir this is. `env` says where objects go, `markers` as in
    git/contents.py. May be called from several threads, a worktree each.

    Raises GitFailed for one without a commit, and for one that cannot be read.
    """
    git = Git(path, git_dir=git_dir, env=lambda: env)
    for tries_left in reversed(range(_TRIES)):
        seen = git.run(*contents.STATUS, "--branch", "--no-ahead-behind", "--untracked-files=all")
        head = _head(seen.out)
        changed = list(contents.listed(seen.out))
        wanted, left_out = _chosen(path, changed, markers, most)
        left_out |= {os.fsdecode(folder) for folder in _SHUT.findall(seen.err)}
        try:
            tree = _tree(git, git_dir, wanted, left_out) if changed else None
        except (GitFailed, OSError) as error:  # files came and went
            if tries_left:
                continue
            raise _unread(path, error) from error
        merging = contents.named_in(git_dir / "MERGE_HEAD")
        return Found(head, tree, merging, contents.unfinished(git_dir), tuple(sorted(left_out)))
    raise AssertionError("unreachable: the last try returns or raises")


def _head(out: bytes) -> Oid:
    start = out.find(_HEAD)
    named = out[start + len(_HEAD) :].partition(b"\0")[0].decode("ascii", "replace")
    if start < 0 or named == "(initial)":
        raise GitFailed("nothing is committed on its branch yet", hint="git fleet doctor")
    return Oid(named)


def _chosen(
    path: Path, changed: list[Listed], markers: Collection[str], most: Most
) -> tuple[list[str], set[str]]:
    """The paths to read, and those that stay out. Deleted files take no room."""
    wanted: list[str] = []
    left_out: set[str] = set()
    room = most.all
    for one in changed:
        ours = one.untracked and one.path in markers and contents.is_marker(path, one.path)
        if ours or not one.unstaged:
            continue
        size = _size(path / one.path)
        if contents.stays_out(path, one.path, most.file) or size > room or len(wanted) >= most.paths:
            left_out.add(one.path)
        else:
            wanted.append(one.path)
            room -= size
    return wanted, left_out


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _tree(git: Git, git_dir: Path, wanted: list[str], left_out: Collection[str]) -> Oid:
    with contents.index_copy(git_dir) as env:
        contents.update_index(git, env, wanted, left_out)
        return Oid(git.text("write-tree", env=env))


def _unread(path: Path, error: Exception) -> GitFailed:
    said = error.message if isinstance(error, GitFailed) else str(error)
    return GitFailed(f"{path} cannot be read: {said}", hint="git fleet doctor")
