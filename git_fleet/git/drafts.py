"""Objects that are kept in memory until they are wanted for good, and then stored as one pack.

A run of the integration queue makes thousands of objects: candidates, events, notes. One by one, each
flushed to the disk, they would take seconds. As drafts they are read like any other object, and `save`
gives them to the repository by one `git index-pack`: first the objects, then the refs (DESIGN section 1),
so whoever writes a ref or checks a commit out saves before. A run that is given up, or killed, leaves
nothing in the repository but at most a `tmp_pack_…`, which `git gc` removes.

Merging is git's work, and git cannot look into our memory. So the drafts are laid out for it in a
quarantine (git/quarantine.py), and what git writes there becomes drafts.

What is saved and not yet named by a ref is as safe from `git gc` as a fresh commit of any other git: it is
younger than `gc.pruneExpire`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git.formats import Change, Kind, Object, in_order, object_id, parse_commit
from git_fleet.git.objects import Objects
from git_fleet.git.packs import Storing, store_pack
from git_fleet.git.process import Git
from git_fleet.git.quarantine import Quarantine

# Up to so many are stored one by one, without a git. Where each save left a pack, a long run would leave a thousand,
# which every git has to open from then on (10 ms, measured).
_ONE_BY_ONE = 10
# From so many on it pays to store them while others are made: a git more, and a pack more.
_WORTH_A_PACK = 200


class Drafts(Objects):
    """What `objects` has, and drafts. `close` forgets the drafts and leaves `objects` open.

    `save` flushes to the disk if `objects` was opened so. Not for sharing between threads.
    """

    def __init__(self, objects: Objects) -> None:
        super().__init__(objects.repo, git=objects._git)
        self._saved = objects
        self.signer = objects.signer
        self._new: dict[Oid, Object] = {}
        self._adopted = False  # whether git has made some of them
        self._quarantine: Quarantine | None = None
        self._storing: tuple[Storing, tuple[Oid, ...]] | None = None

    def close(self) -> None:
        """Forget what is not saved."""
        with contextlib.suppress(GitFailed):
            self._stored()
        self._new.clear()
        self._end_quarantine()
        super().close()

    def write(self, kind: Kind, data: bytes) -> Oid:
        """Keep an object (a draft again costs nothing) and return its id.

        A saved object is a draft again when it is written again: nobody knows whether a `git gc` has
        removed it since.
        """
        oid = object_id(kind, data, self.repo.object_format)
        if oid not in self._new:
            self._new[oid] = Object(oid, kind, data)
        return oid

    def write_empty_tree(self) -> Oid:
        """The empty tree, as a draft."""
        empty = self.repo.empty_tree
        return empty if empty in self._new else self.write("tree", b"")

    def save(self) -> int:
        """Store every draft in the repository; the number of objects. Raises GitFailed, and has them still.

        Afterwards any git sees them, and there are no drafts.
        """
        self.adopt()
        stored = self._stored()
        objects = tuple(self._new.values())
        if not objects:
            return stored
        # One by one they have to come in such an order that each finds what it names. Ours do; what git has
        # written is listed in any.
        if self._adopted or len(objects) > _ONE_BY_ONE:
            store_pack(self._git, objects, self.repo.object_format)
        else:
            for each in objects:
                self._saved.write(each.kind, each.data)
        self._new.clear()
        self._adopted = False
        self._end_quarantine()
        return stored + len(objects)

    def begin_saving(self) -> None:
        """Begin to store what is there, if it is much; `save` waits for it. Until then these are drafts still."""
        if self._storing is None and len(self._new) >= _WORTH_A_PACK:
            storing = Storing(self._git, self._new.values(), self.repo.object_format)
            self._storing = storing, tuple(self._new)

    def _stored(self) -> int:
        """Wait until what `begin_saving` began is stored, and forget these drafts; how many. Raises GitFailed."""
        if self._storing is None:
            return 0
        (storing, oids), self._storing = self._storing, None
        storing.finish()
        for oid in oids:
            del self._new[oid]
        return len(oids)

    def git(
        self, directory: Path | None = None, git_dir: Path | None = None, *, holding: Sequence[int] = ()
    ) -> Git:
        """git that sees the drafts: each process those there are when it starts. What it writes are drafts.

        It works as `Repository.git` of that directory would (`holding` as for Git), but it refuses to write refs. What it
        has written is to be read here at once. A `save` leaves nothing to see but what is saved.
        """
        if directory is None:
            directory = git_dir = self.repo.common_dir
        return Git(directory, git_dir=git_dir, holding=holding, env=self.environment)

    def adopt(self) -> int:
        """Take what `git` has written into memory; the number of objects. `save` does so by itself."""
        written = [] if self._quarantine is None else self._quarantine.written()
        self._new.update((each.oid, each) for each in written)
        self._adopted = self._adopted or bool(written)
        return len(written)

    def exists(self, oid: Oid) -> bool:
        return oid in self._new or self._saved.exists(oid) or self._written([oid]) != [None]

    def changed_paths(self, old_tree: Oid, new_tree: Oid) -> list[Change]:
        return in_order(self._compare("", old_tree, new_tree))

    def merge_bases(self, one: Oid, other: Oid) -> list[Oid]:
        return self._for(one, other).merge_bases(one, other)

    def is_ancestor(self, old: Oid, new: Oid) -> bool:
        return self._for(old, new).is_ancestor(old, new)

    def _for(self, *oids: Oid) -> Objects:
        """Who is to be asked about the history of these commits."""
        if (self._new or self._quarantine) and not all(map(self._is_saved, oids)):
            return Objects(self.repo, git=self.git())
        return self._saved

    def _is_saved(self, oid: Oid) -> bool:
        return oid not in self._new and self._saved.exists(oid)

    def _fetch(self, names: Sequence[str]) -> list[Object | None]:
        found = {name: self._draft(name) for name in names}
        for ask in (self._saved._fetch, self._written):
            rest = [name for name, known in found.items() if known is None]
            if rest:
                found.update(zip(rest, ask(rest), strict=True))
        return [found[name] for name in names]

    def _draft(self, name: str) -> Object | None:
        """The draft of this id, or what is below it at `<id>:path`."""
        start, colon, path = name.partition(":")
        found = self._new.get(Oid(start))
        if found is None or not colon:
            return found
        if found.kind == "commit":
            found = self._find(parse_commit(found.oid, found.data).tree)
        for part in filter(None, path.split("/")):
            if found is None or found.kind != "tree":
                return None
            below = (entry.oid for entry in self.read_tree(found.oid) if entry.name == part)
            oid = next(below, None)
            found = None if oid is None else self._find(oid)
        return found

    def _written(self, names: Sequence[str]) -> list[Object | None]:
        """What git has made and `adopt` has not taken yet. Refs name no drafts."""
        if self._quarantine is None:
            return [None] * len(names)
        asked = [name for name in names if not name.startswith("refs/")]
        found = dict(zip(asked, self._quarantine.find(asked), strict=True))
        return [found.get(name) for name in names]

    def environment(self) -> Mapping[str, str]:
        """What makes any git see the drafts there are now, and write drafts. (`git` asks for it at each start;
        threads, which must not share this, can be given it.)"""
        if self._quarantine is None:
            self._quarantine = Quarantine(self.repo)
        self._quarantine.lay_out(self._new)
        return self._quarantine.env

    def _end_quarantine(self) -> None:
        if self._quarantine is not None:
            self._quarantine.close()
            self._quarantine = None
