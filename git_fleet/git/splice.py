"""Disjoint proposals need no merge: their changed entries are put into main's tree (DESIGN section 10).

That gives what git's merge gives if there is one merge base, no side deletes anything (so nothing can have
been renamed), and no path of one side is a path, or a folder of a path, of the other. `Footprint.allows`
knows the last two; the single base is the caller's to know.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Self, TypeAlias

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git.formats import Change, canonical_mode, in_order, parse_change
from git_fleet.git.objects import RAW_DIFF, Objects
from git_fleet.git.process import Git
from git_fleet.git.running import Running

_Node: TypeAlias = "dict[bytes, _Node | Change]"  # what changes in a folder, by name
_Folders: TypeAlias = "dict[bytes, _Folders]"

_FOLDER = b"40000"
_USUAL = frozenset({b"100644", b"100755", b"120000", b"160000", _FOLDER})


class Comparing:
    """One git that finds the paths that differ in each of these pairs (old, new) of trees, while we go on.

    Use it as a context manager.
    """

    def __init__(self, git: Git, pairs: Sequence[tuple[Oid, Oid]]) -> None:
        self._size = len(pairs)
        question = "".join([f"{old} {new}\n" for old, new in pairs]).encode()
        self._running = Running(git, *RAW_DIFF, "--stdin", input=question) if pairs else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget about it."""
        if self._running is not None:
            self._running.close()

    def changes(self) -> list[tuple[Change, ...]]:
        """Those of each pair, as `Objects.changed_paths`. Raises GitFailed when one of them is no tree."""
        out = self._running.answer() if self._running is not None else b""
        found = [tuple(in_order(each)) for each in _groups(out)]
        if len(found) != self._size:
            raise GitFailed("git diff-tree --stdin gave too few answers", hint="git fsck")
        return found


def _groups(out: bytes) -> list[list[Change]]:
    """Each pair of trees is named on a line of its own; its changes follow, two fields each."""
    groups: list[list[Change]] = []
    fields = iter(out.split(b"\0"))
    for field in fields:
        *heads, meta = field.split(b"\n")
        groups += ([] for _ in heads)
        if meta:
            groups[-1].append(parse_change(meta.decode("ascii"), os.fsdecode(next(fields))))
    return groups


class Footprint:
    """The paths that one side has changed so far. `deletes` says whether it has deleted any."""

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self.deletes = False
        self._paths: set[str] = set()
        self._folders: set[str] = set()
        self.add(changes)

    def add(self, changes: Iterable[Change]) -> None:
        """Count these as changed, too."""
        for change in changes:
            self.deletes |= change.status == "D"
            self._paths.add(change.path)
            self._folders.update(_above(change.path))

    def meets(self, changes: Iterable[Change]) -> bool:
        """Whether one of these is at a path of this side, or has a folder where this side has a file, or a
        file where it has a folder."""
        return any(
            change.path in self._paths
            or change.path in self._folders
            or not self._paths.isdisjoint(_above(change.path))
            for change in changes
        )

    def allows(self, changes: Collection[Change]) -> bool:
        """Whether these may be spliced in beside what this side has changed, given a single merge base."""
        deletes = self.deletes or any(change.status == "D" for change in changes)
        return not deletes and not self.meets(changes)


class Splicer:
    """Puts changes into trees, one after the other, each mostly on top of the last.

    The folders of the newest tree that were touched are kept as lists of their entries, so that a folder
    of thousands of files is taken apart once.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._size = len(objects.repo.empty_tree) // 2
        self._entry = re.compile(rb"([0-7]+) ([^\0]+)\0.{%d}" % self._size, re.DOTALL)
        self._known: dict[Oid, _Folder] = {}

    def foresee(self, tree: Oid, changes: Iterable[Change]) -> None:
        """Read the folders of `tree` that these are in, each level at once: `splice` has to ask for one after the
        other. Raises GitFailed for a damaged one."""
        root: _Folders = {}
        for above in {change.path.rpartition("/")[0] for change in changes} - {""}:
            node = root
            for name in os.fsencode(above).split(b"/"):
                node = node.setdefault(name, {})
        level = [(tree, root)]
        while level:
            stored = self._objects.read_many(oid for oid, _ in level)
            below: list[tuple[Oid, _Folders]] = []
            for (oid, node), found in zip(level, stored, strict=True):
                if found is None:
                    continue  # `splice` says so, if it is wanted
                folder = self._known[oid] = self._parsed(oid, found.kind, found.data)
                entries = ((folder.get(name + b"/"), inner) for name, inner in node.items())
                below += [(self._oid(entry), inner) for entry, inner in entries if entry is not None]
            level = below

    def splice(self, tree: Oid, changes: Iterable[Change]) -> Oid:
        """`tree` (not a commit) with these added or changed; only folders above them are written anew.

        The modes of entries in these become those git writes today, as in a merge by git. Raises GitFailed
        when a tree is missing. The changes must be such as `Footprint.allows`.
        """
        root: _Node = {}
        for change in changes:
            if not change.new_mode:
                raise AssertionError("what deletes is merged, not spliced")
            *folders, name = os.fsencode(change.path).split(b"/")
            node = root
            for folder in folders:
                below = node.setdefault(folder, {})
                if not isinstance(below, dict):
                    raise AssertionError("a path is a file or a folder")
                node = below
            node[name] = change
        if not root:
            return tree
        if tree not in self._known:
            self._known.clear()  # another line of trees than before
        return self._put(tree, root)

    def _put(self, tree: Oid, node: _Node) -> Oid:
        # It changes in place, so it stands for the new tree only.
        folder = self._known.pop(tree, None) or self._read(tree)
        for name, below in node.items():
            if isinstance(below, dict):
                old = folder.get(name + b"/")
                start = self._objects.repo.empty_tree if old is None else self._oid(old)
                folder.put(name, _FOLDER, self._put(start, below))
            else:
                folder.put(name, b"%o" % below.new_mode, below.new_oid)
        new = self._objects.write("tree", b"".join(folder.entries))
        self._known[new] = folder
        return new

    def _read(self, tree: Oid) -> _Folder:
        if tree == self._objects.repo.empty_tree:
            return _Folder([], [])
        return self._parsed(tree, *self._objects.read(tree))

    def _oid(self, entry: bytes) -> Oid:
        return Oid(entry[-self._size :].hex())

    def _parsed(self, tree: Oid, kind: str, data: bytes) -> _Folder:
        found = _Folder([], [])
        end = 0
        for match in self._entry.finditer(data) if kind == "tree" else ():
            mode, name = match.groups()
            entry = match[0]
            if mode not in _USUAL:
                mode = b"%o" % canonical_mode(int(mode, 8))
                entry = b"%b %b" % (mode, entry.partition(b" ")[2])
            found.keys.append(name + b"/" if mode == _FOLDER else name)
            found.entries.append(entry)
            end = match.end() if match.start() == end else -1
        if kind != "tree" or end != len(data):
            raise GitFailed(f"{tree} is not a well-formed tree", hint="git fsck")
        return found


class _Folder:
    """A tree as two lists in git's order: what its entries are sorted by, and their stored forms."""

    def __init__(self, keys: list[bytes], entries: list[bytes]) -> None:
        self.keys = keys
        self.entries = entries

    def get(self, key: bytes) -> bytes | None:
        at = bisect_left(self.keys, key)
        return self.entries[at] if self.keys[at : at + 1] == [key] else None

    def put(self, name: bytes, mode: bytes, oid: Oid) -> None:
        is_folder = mode == _FOLDER
        key = name + b"/" if is_folder else name
        entry = b"%b %b\0%b" % (mode, name, bytes.fromhex(oid))
        at = bisect_left(self.keys, key)
        if self.keys[at : at + 1] == [key]:
            self.entries[at] = entry
            return
        if self.get(name if is_folder else name + b"/") is not None:
            raise AssertionError("what takes the place of a folder, or a folder that of a file, is merged")
        self.keys.insert(at, key)
        self.entries.insert(at, entry)


def _above(path: str) -> tuple[str, ...]:
    """The folders that a path is in."""
    return _with_above(path.rpartition("/")[0])


@lru_cache(maxsize=4096)  # many paths are in few folders
def _with_above(folder: str) -> tuple[str, ...]:
    return (folder, *_above(folder)) if folder else ()
