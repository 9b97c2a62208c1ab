"""A worktree as it is now, uncommitted and untracked files included, without writing to it or its repository.

One `git status` says what is changed. Files that git would store byte by byte are read right here; where one needs
more (a filter, line ends, a conflict, a submodule), all of them go through a copy of the index into objects that are
kept elsewhere (git/quarantine.py) and go away. What is read while a worker writes is the one or the other content of
each file. Files that git is told to overlook (ignored, `assume-unchanged`) are overlooked: nobody could hand them in
either.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git import contents
from git_fleet.git.contents import Listed
from git_fleet.git.formats import EXECUTABLE, FILE, FOLDER, LINK, TreeEntry, format_tree
from git_fleet.git.objects import Objects
from git_fleet.git.process import Git

_HEAD = b"# branch.oid "
_SHUT = re.compile(rb"^warning: could not open directory '(.*)': ", re.MULTILINE)
_TRIES = 3
_AT_HAND = 8 * 1024 * 1024
"""Bytes that are read right here; more goes through git."""
_ODD = re.compile(rb"[\0\r]|\$Id")


class Most(NamedTuple):
    """How much is read of what is not committed: bytes of one file, bytes of all, paths. What is above stays out."""

    file: int = 16 * 1024 * 1024
    all: int = 256 * 1024 * 1024
    paths: int = 20_000


MOST = Most()
_Node: TypeAlias = "dict[str, _Node | Edit]"  # what changes in a folder, by name


class Edit(NamedTuple):
    """A path of a tree that is another one: its mode (0: it is gone), and its bytes, or the blob that has them."""

    path: str
    mode: int
    content: bytes | Oid = b""


class Found(NamedTuple):
    """A worktree: its HEAD, the tree of its files, the commit that is being merged there, what git is in the middle
    of (`merge`, `rebase`, …, or ""), and what is not in it (folders end in `/`). Without a `tree` it is HEAD's with
    these `edits`."""

    head: Oid
    tree: Oid | None
    edits: tuple[Edit, ...]
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
    filters: bool = True,
) -> Found:
    """What is in the worktree at `path`, whose own git dir this is. `env` says where objects go, `markers` as in
    git/contents.py, `filters` whether git's configuration has any. May be called from several threads, a worktree
    each.

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
            edits = None if filters else _edits(path, seen.out, wanted)
            tree = _tree(git, git_dir, wanted, left_out) if changed and edits is None else None
        except (GitFailed, OSError) as error:  # files came and went
            if tries_left:
                continue
            raise _unread(path, error) from error
        merging = contents.named_in(git_dir / "MERGE_HEAD")
        return Found(head, tree, edits or (), merging, contents.unfinished(git_dir), tuple(sorted(left_out)))
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


def _edits(path: Path, out: bytes, wanted: Collection[str]) -> tuple[Edit, ...] | None:
    """What `git add` would make of these paths, and what is staged of others; None where only git knows."""
    read = set(wanted)
    edits: list[Edit] = []
    room = _AT_HAND
    for field in out.split(b"\0"):
        match field[:2]:
            case b"1 ":
                _, _, sub, _, index, work, _, oid, name = field.split(b" ", 8)
                plain = sub == b"N..." and {index, work} <= _PLAIN
                edit = _edit(
                    path, os.fsdecode(name), read, int(work, 8), Edit("", int(index, 8), Oid(oid.decode()))
                )
            case b"? ":
                plain, edit = True, _edit(path, os.fsdecode(field[2:]), read, -1, None)
            case b"# " | b"":
                continue
            case _:
                return None
        if not plain or edit is None:
            return None
        edits += edit
        room -= sum(len(one.content) for one in edit)
        if room < 0:
            return None
    return tuple(edits)


_PLAIN = {b"000000", b"100644", b"100755", b"120000"}


def _edit(path: Path, name: str, read: Collection[str], mode: int, staged: Edit | None) -> list[Edit] | None:
    """The edit of one path, in a list that is empty where it is left out; None where only git knows. `mode` is that of
    its file as git tells it, -1 for an untracked one."""
    if name not in read:
        return [staged._replace(path=name)] if staged is not None else []
    if mode == 0:
        return [Edit(name, 0)]
    try:
        found = (path / name).lstat()
        link = stat.S_ISLNK(found.st_mode)
        if mode == -1:
            mode = LINK if link else EXECUTABLE if found.st_mode & 0o100 else FILE
        if link != (mode == LINK) or not (link or stat.S_ISREG(found.st_mode)):
            return None
        if link:
            target = os.readlink(os.fsencode(path / name))  # noqa: PTH115 - a Path would tidy it up
            return [Edit(name, LINK, target)]
        data = (path / name).read_bytes()
    except OSError:  # it went, or lies behind something that is no folder any more
        return None
    return None if _ODD.search(data) or not _is_utf8(data) else [Edit(name, mode, data)]


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def apply(objects: Objects, tree: Oid, edits: Collection[Edit]) -> Oid:
    """The tree with these edits, written as `objects` writes. What is put somewhere wins over what is taken away there;
    empty folders go. Raises GitFailed."""
    root: _Node = {}
    for edit in sorted(edits, key=lambda edit: edit.mode):  # what goes comes first
        *folders, last = edit.path.split("/")
        node = root
        for folder in folders:
            below = node.get(folder)
            if not isinstance(below, dict):
                below = node[folder] = {}
            node = below
        if edit.mode or not isinstance(node.get(last), dict):
            node[last] = edit
    return _put(objects, tree, root) or objects.write_empty_tree()


def _put(objects: Objects, tree: Oid | None, node: _Node) -> Oid | None:
    entries = {entry.name: entry for entry in objects.read_tree(tree)} if tree else {}
    for name, below in node.items():
        old = entries.pop(name, None)
        if isinstance(below, dict):
            made = _put(objects, old.oid if old is not None and old.mode == FOLDER else None, below)
            if made is not None:
                entries[name] = TreeEntry(FOLDER, name, made)
            elif old is not None and old.mode != FOLDER:
                entries[name] = old  # only what was below a folder of that name has gone
        elif below.mode:
            content = below.content
            oid = objects.write("blob", content) if isinstance(content, bytes) else content
            entries[name] = TreeEntry(below.mode, name, oid)
    return objects.write("tree", format_tree(entries.values())) if entries else None


def _tree(git: Git, git_dir: Path, wanted: list[str], left_out: Collection[str]) -> Oid:
    with contents.index_copy(git_dir) as env:
        contents.update_index(git, env, wanted, left_out)
        return Oid(git.text("write-tree", env=env))


def _unread(path: Path, error: Exception) -> GitFailed:
    said = error.message if isinstance(error, GitFailed) else str(error)
    return GitFailed(f"{path} cannot be read: {said}", hint="git fleet doctor")
