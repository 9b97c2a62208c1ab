"""Git notes, read as git reads them and written so that none is lost.

`git notes add` and libgit2 lose concurrent notes (994 and 932 of 1,200 measured): they read the notes ref,
build, and write it without saying what they had read. Here only the new notes commit is built; moving the
notes ref from the exact value read is the caller's transaction, to be tried again when it is stale.

A notes tree maps an object id to a blob. The id is the blob's path, whole (`1f3a…`) or with slashes after
pairs of digits (`1f/3a…`, "fan-out", to any depth). Everything else in the tree is not ours and stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from git_fleet.core.ids import Oid
from git_fleet.git.objects import EXECUTABLE, FILE, FOLDER, Objects, Signature, TreeEntry

_HEX = re.compile(r"[0-9a-f]+")
_FLAT = 64  # so many notes may lie side by side; with more, each costs rewriting a long tree


Notes = Mapping[str, TreeEntry]
"""Notes at one depth of the tree: what is left of each target's id, and its entry there."""


def read_note(objects: Objects, notes: Oid | None, target: Oid) -> bytes | None:
    """The note on `target` in the notes commit (or tree) `notes`; None without one."""
    return read_notes(objects, notes, [target]).get(target)


def read_notes(objects: Objects, notes: Oid | None, targets: Iterable[Oid]) -> dict[Oid, bytes]:
    """The notes on these objects, of those that have one; each tree of notes is read once.

    Notes on one object under two spellings of its id are joined by an empty line, as git does. Raises GitFailed
    for a missing object.
    """
    if notes is None:
        return {}
    places = list(_places(objects, notes, {str(target): target for target in targets}))
    joined: dict[Oid, bytes] = {}
    for (target, blob), found in zip(places, objects.read_many(blob for _, blob in places), strict=True):
        text = found.data if found is not None else objects.read(blob)[1]
        joined[target] = joined[target].removesuffix(b"\n") + b"\n\n" + text if target in joined else text
    return joined


def with_note(
    objects: Objects, notes: Oid | None, target: Oid, data: bytes, *, author: Signature, message: str
) -> Oid:
    """A new notes commit in which `target` has this note instead of any other; see `with_notes`."""
    return with_notes(objects, notes, {target: data}, author=author, message=message)


def with_notes(
    objects: Objects, notes: Oid | None, data: Mapping[Oid, bytes], *, author: Signature, message: str
) -> Oid:
    """A new notes commit on top of `notes` (None: the first) that has these notes. Moves no ref.

    Raises ValueError for no notes or an empty one (git takes that for a removed note), GitFailed when an object
    cannot be read or written.
    """
    if not all(data.values()):
        raise ValueError("a note cannot be empty")
    if not data:
        raise ValueError("no notes to write")
    added = {
        str(target): TreeEntry(FILE, target, objects.write("blob", text)) for target, text in data.items()
    }
    root = objects.repo.empty_tree if notes is None else notes
    return objects.write_commit(
        tree=_put(objects, root, added),
        parents=[] if notes is None else [notes],
        author=author,
        committer=author,
        message=message if message.endswith("\n") else f"{message}\n",
    )


def _places(objects: Objects, tree: Oid, wanted: Mapping[str, Oid]) -> Iterator[tuple[Oid, Oid]]:
    """The target and the blob of each note, by what is left of the targets' ids here; those of one target deepest
    first, the order in which git joins them."""
    if not wanted:
        return
    level = _level(objects, tree, len(next(iter(wanted))))
    for prefix, few in groupby(sorted(wanted), key=lambda rest: rest[:2]):
        if prefix in level.folders:
            yield from _places(objects, level.folders[prefix], {rest[2:]: wanted[rest] for rest in few})
    yield from ((target, level.notes[rest].oid) for rest, target in wanted.items() if rest in level.notes)


def _put(objects: Objects, tree: Oid, added: Notes) -> Oid:
    """The tree with the notes in it, each under one spelling only. Keys: what is left of the ids here."""
    level = _level(objects, tree, len(next(iter(added))))
    beside, below = _split(level, added)
    folders = dict(level.folders)
    for prefix, few in groupby(sorted(below.items()), key=lambda item: item[0][:2]):
        deeper = {rest[2:]: entry._replace(name=rest[2:]) for rest, entry in few}
        folders[prefix] = _put(objects, folders.get(prefix, objects.repo.empty_tree), deeper)
    entries = [TreeEntry(FOLDER, prefix, oid) for prefix, oid in folders.items()]
    return objects.write_tree([*beside.values(), *entries, *level.others])


def _split(level: _Level, added: Notes) -> tuple[Notes, Notes]:
    """Which notes stand in this tree when `added` has been added, and which go into its folders."""
    if level.folders:
        # Fanned out already; notes that someone left beside the folders may stay, unless replaced.
        return {rest: entry for rest, entry in level.notes.items() if rest not in added}, added
    everything = {**level.notes, **added}
    if level.may_fan_out and len(everything) > _FLAT:
        return {}, everything
    return everything, {}


class _Level(NamedTuple):
    """One tree of notes, sorted out: the notes beside each other, the fan-out, and what is no note."""

    notes: dict[str, TreeEntry]
    folders: dict[str, Oid]
    others: list[TreeEntry]
    may_fan_out: bool


def _level(objects: Objects, tree: Oid, length: int) -> _Level:
    """The tree at the depth where `length` digits of each id are left (git's rule for what is a note)."""
    level = _Level({}, {}, [], length > 2)
    for entry in objects.read_tree(tree):
        digits = len(entry.name) if _HEX.fullmatch(entry.name) else 0
        if digits == length and entry.mode in {FILE, EXECUTABLE}:
            level.notes[entry.name] = entry
        elif digits == 2 and level.may_fan_out and entry.mode == FOLDER:
            level.folders[entry.name] = entry.oid
        else:
            level.others.append(entry)
    return level
