"""What was learned: a tree of files at `refs/fleet/knowledge`, whose format core/learnings.py has.

Each write is a commit on top of the one before, with files added: the new tree has what both have, and is made again
when somebody was faster. Where a git server decides, what it has counts; what it could not be told stays in this
repository's own `refs/fleet/knowledge`, is read together with it, and goes along with the next write or `git fleet sync`.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime

from msgspec import Struct

from git_fleet.core import learnings
from git_fleet.core.ids import Oid
from git_fleet.core.learnings import Knowledge
from git_fleet.core.lifecycle import Event
from git_fleet.errors import GitFailed, LostRace, Unreachable
from git_fleet.git.formats import parse_tree
from git_fleet.git.objects import FOLDER, Objects, TreeEntry
from git_fleet.git.refs import ABSENT, Refs, Update, Value
from git_fleet.store import log, names
from git_fleet.store.base import Store, tip, value
from git_fleet.store.shared import SharedRefs

_TRIES = 60
_PAUSE = (
    0.02  # seconds; grows with each time that somebody else was faster, and a random part of it is waited
)

_MOST_KEPT = 4
_KEPT: OrderedDict[tuple[Oid, ...], Knowledge] = OrderedDict()
"""What was read last in this process, by the commits it is from: what has such a name never changes."""

Files = Mapping[str, bytes]


class Written(Struct, frozen=True):
    """What became of a write: the paths that were new, and whether all know of them (False: a server that decides
    could not be reached, and they wait here)."""

    added: tuple[str, ...]
    told: bool = True


def read(store: Store) -> Knowledge:
    """All that is known here."""
    tips = tuple(_tips(store))
    if tips not in _KEPT:
        found = learnings.read(files(store.objects, tips))
        while len(_KEPT) >= _MOST_KEPT:
            _KEPT.popitem(last=False)
        _KEPT[tips] = found
    return _KEPT[tips]


def files(objects: Objects, tips: Iterable[Oid]) -> dict[str, bytes]:
    """The files of these commits, path → content; of one path what the first has. Raises GitFailed."""
    found: dict[str, Oid] = {}
    for commit in tips:
        found = listing(objects, commit) | found
    blobs = objects.read_many(found.values())
    return {path: blob.data for path, blob in zip(found, blobs, strict=True) if blob and blob.kind == "blob"}


def listing(objects: Objects, commit: Oid) -> dict[str, Oid]:
    """The files of a commit's tree, in its folders and beside them, path → object. Raises GitFailed."""
    root = objects.read_tree(commit)
    folders = [entry for entry in root if entry.mode == FOLDER]
    found = {entry.name: entry.oid for entry in root if entry.mode != FOLDER}
    for folder, tree in zip(folders, objects.read_many(each.oid for each in folders), strict=True):
        if tree is None:
            raise GitFailed(f"the folder {folder.name} of {commit} is missing", hint="git fsck")
        entries = parse_tree(tree.data, len(commit) // 2)
        found |= {f"{folder.name}/{entry.name}": entry.oid for entry in entries}
    return found


def add(store: Store, make: Callable[[], Files], *, actor: str, at: datetime, subject: str) -> Written:
    """Add files; `make` says which, and is asked again whenever somebody else was faster. What is there already stays
    as it is.

    Raises LostRace when others are faster again and again, Refused when a server does not want it.
    """
    who = Event("learn", at, actor)
    for attempt in range(_TRIES):
        try:
            return _add(store, make(), who, subject)
        except LostRace:
            if attempt == _TRIES - 1:
                raise
            time.sleep(os.urandom(1)[0] / 255 * _PAUSE * min(attempt + 1, 10))
            with suppress(LostRace):  # Busy: they change faster than they can be listed
                store.refs.refresh()
    raise AssertionError("unreachable: the last attempt raises")


def tell(store: Store, *, actor: str, at: datetime) -> Written | None:
    """Give a server that decides what waits here for it; None where nothing does. Raises as `add`, and Unreachable."""
    if not waiting(store):
        return None
    done = add(store, dict, actor=actor, at=at, subject="what was learned meanwhile")
    if not done.told:
        raise Unreachable("the remote cannot be told what was learned here", hint="git fleet sync")
    return done


def waiting(store: Store) -> tuple[Oid, ...]:
    """The commit that a server that decides does not have yet; none where there is no such server."""
    if not isinstance(store.refs, SharedRefs):
        return ()
    with Refs(store.repo) as own:
        found = tip(own.get(names.KNOWLEDGE))
    return (found,) if found else ()


def drop(store: Store, paths: Iterable[str], *, actor: str, at: datetime) -> None:
    """Take files that are of no use out of the newest tree; its history keeps them. Raises LostRace, Refused."""
    before = tip(store.refs.get(names.KNOWLEDGE))
    if before is None:
        return
    gone = set(paths)
    tree = _without(store.objects, before, gone)
    commit = _commit(
        store.objects, tree, [before], Event("learn", at, actor), f"drop {len(gone)} broken files"
    )
    store.transact([Update(names.KNOWLEDGE, before, commit)])


def _tips(store: Store) -> list[Oid]:
    there = store.objects.read_ref(names.KNOWLEDGE)
    return [*([there[0]] if there else []), *waiting(store)]


def _add(store: Store, new: Files, who: Event, subject: str) -> Written:
    objects = store.objects
    there = tip(store.refs.get(names.KNOWLEDGE))
    mine = waiting(store)
    added = tuple(_missing(objects, [*([there] if there else []), *mine], new))
    known = [commit for commit in mine if there is None or not objects.is_ancestor(commit, there)]
    if not added and not known:
        _forget(store, mine)
        return Written(())
    parents = [*([there] if there else []), *known]
    commit = _commit(objects, _with_files(objects, there, mine, new), parents, who, subject)
    if isinstance(store.refs, SharedRefs) and store.refs.offline:
        return _keep_here(store, commit, mine, added)
    try:
        store.transact([Update(names.KNOWLEDGE, value(there), commit)])
    except Unreachable:
        return _keep_here(store, commit, mine, added)
    _forget(store, mine)
    return Written(added)


def _missing(objects: Objects, tips: Iterable[Oid], new: Files) -> list[str]:
    known = set().union(*(listing(objects, commit) for commit in tips))
    return [path for path in new if path not in known]


def _keep_here(store: Store, commit: Oid, mine: tuple[Oid, ...], added: tuple[str, ...]) -> Written:
    """The remote cannot be told: the same commit, as this repository's own. Raises LostRace."""
    store.objects.save()
    with Refs(store.repo, durable=True) as own:
        old: Value = mine[0] if mine else ABSENT
        own.transact([Update(names.KNOWLEDGE, old, commit)], message="learned, and not told yet")
    return Written(added, told=False)


def _forget(store: Store, mine: tuple[Oid, ...]) -> None:
    """The remote has what waited here; what came to it meanwhile waits on."""
    for commit in mine:
        with Refs(store.repo) as own, suppress(LostRace):
            own.transact([Update(names.KNOWLEDGE, commit, ABSENT)], message="the remote has it")


def _commit(objects: Objects, tree: Oid, parents: list[Oid], who: Event, subject: str) -> Oid:
    signature = log.signature(who)
    return objects.write_commit(
        tree=tree,
        parents=parents,
        author=signature,
        committer=signature,
        message=f"{log.one_line(subject)}\n",
        signed=True,
    )


# --- trees ---------------------------------------------------------------------------------------


def _with_files(objects: Objects, there: Oid | None, mine: Iterable[Oid], new: Files) -> Oid:
    """The tree of all of these; of one path what comes first stays."""
    tree = there or objects.repo.empty_tree
    for more in (*mine, *([objects.write_files(new)] if new else [])):
        tree = _united(objects, tree, more)
    return tree


def _united(objects: Objects, first: Oid, second: Oid) -> Oid:
    """A tree with what both have, folders united; anything else of one name as the first has it."""
    entries = {entry.name: entry for entry in objects.read_tree(first)}
    for entry in objects.read_tree(second):
        known = entries.setdefault(entry.name, entry)
        if known.oid != entry.oid and known.mode == entry.mode == FOLDER:
            entries[entry.name] = TreeEntry(FOLDER, entry.name, _united(objects, known.oid, entry.oid))
    return objects.write_tree(entries.values())


def _without(objects: Objects, tree: Oid, gone: set[str], prefix: str = "") -> Oid:
    entries = []
    for entry in objects.read_tree(tree):
        path = prefix + entry.name
        if path in gone:
            continue
        below = entry.mode == FOLDER and not prefix
        kept = _without(objects, entry.oid, gone, f"{path}/") if below else entry.oid
        entries.append(entry._replace(oid=kept))
    return objects.write_tree(entries)
