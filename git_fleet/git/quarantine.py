"""Temporary object directories: where a git puts new objects that the repository may never get.

As git's own receive-pack does: GIT_OBJECT_DIRECTORY names the temporary directory, and
GIT_ALTERNATE_OBJECT_DIRECTORIES the real one, which is read only. With GIT_QUARANTINE_PATH git refuses
to write refs, which must not name what may go away.

They are `<common dir>/fleet/drafts/<name>/`, each beside a `<name>.lock` that its owner holds flocked.
Whoever makes one removes those whose owner is gone. A git that outlives its killed owner then fails, and
nothing is lost: nothing of value is ever in one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git import flocks
from git_fleet.git.formats import Object
from git_fleet.git.objects import Objects
from git_fleet.git.packs import loose, store_pack
from git_fleet.git.process import Git
from git_fleet.git.repository import Repository

_ONE_BY_ONE = 64  # up to so many objects are laid out in files of their own: a git takes longer to start


class Quarantine:
    """One temporary object directory, ours until `close`. Raises GitFailed when it cannot be made."""

    def __init__(self, repo: Repository) -> None:
        home = repo.fleet_dir / "drafts"
        with _writing(home):
            home.mkdir(parents=True, exist_ok=True)
            _sweep(home)
            self.path, self._lock = _make(home)
        real = os.fspath(repo.common_dir / "objects").replace("\\", "\\\\").replace('"', '\\"')
        self.env: Mapping[str, str] = {
            "GIT_OBJECT_DIRECTORY": os.fspath(self.path),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{real}"',  # quoted: a bare colon would part it in two
            "GIT_QUARANTINE_PATH": os.fspath(self.path),
        }
        self._repo = repo
        self._git = Git(repo.common_dir, git_dir=repo.common_dir, env=lambda: self.env)
        self._reader = Objects(repo, git=self._git)
        self._known: set[Oid] = set()
        self._packs: set[str] = set()

    def lay_out(self, objects: Mapping[Oid, Object]) -> None:
        """Let every git that starts with `env` see these objects, too. Nothing is flushed to the disk."""
        new = [objects[oid] for oid in objects.keys() - self._known]
        if len(new) > _ONE_BY_ONE:
            pack = store_pack(self._git, new, self._repo.object_format, flush=False)
            self._packs.add(f"{pack}.idx")
        else:
            with _writing(self.path):
                for each in new:
                    place = self.path / each.oid[:2] / each.oid[2:]
                    place.parent.mkdir(exist_ok=True)
                    part = place.with_suffix(".part")  # a full disk leaves the beginning of a file
                    part.write_bytes(loose(each))
                    part.rename(place)
        self._known.update(each.oid for each in new)

    def written(self) -> list[Object]:
        """What git has written here and nobody has asked for yet. Raises GitFailed."""
        new = [oid for oid in self._listed() if oid not in self._known]
        found = [self._reader.read(oid) for oid in new]
        self._known.update(new)
        return [Object(oid, kind, data) for oid, (kind, data) in zip(new, found, strict=True)]

    def find(self, names: Iterable[str]) -> list[Object | None]:
        """The objects of these names, here or in the repository; None for a missing one."""
        return list(self._reader.read_many(names))

    def close(self) -> None:
        """Remove it, with all that is in it."""
        self._reader.close()
        _remove(self.path)
        os.close(self._lock)

    def _listed(self) -> Iterator[Oid]:
        """The ids of all objects in files of their own, and in packs that are not ours.

        In a partial clone git may have fetched some that were missing. Whatever is in such a pack the
        remote has promised to give again, so it stays out.
        """
        for folder in self.path.glob("[0-9a-f][0-9a-f]"):
            yield from (Oid(folder.name + name) for name in os.listdir(folder) if name.isalnum())
        for index in self.path.glob("pack/*.idx"):
            if index.name not in self._packs and not index.with_suffix(".promisor").exists():
                lines = self._git.text("show-index", input=index.read_bytes()).splitlines()
                yield from (Oid(line.split()[1]) for line in lines)


def _make(home: Path) -> tuple[Path, int]:
    """A new directory, and the descriptor that holds its lock."""
    while True:
        path = home / os.urandom(8).hex()
        lock = _locked(path.with_suffix(".lock"), os.O_CREAT | os.O_EXCL)
        if lock is not None:
            path.mkdir()
            return path, lock


def _sweep(home: Path) -> None:
    """Remove the directories whose owner is gone: whose lock is free."""
    for place in home.glob("*.lock"):
        with contextlib.suppress(OSError):  # another user's, who will remove it
            lock = _locked(place)
            if lock is not None:
                _remove(place.with_suffix(""))
                os.close(lock)


def _remove(path: Path) -> None:
    """Remove the directory, then its lock; what cannot be removed now is left for the next sweep."""
    import shutil

    shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        with contextlib.suppress(OSError):
            path.with_suffix(".lock").unlink()


def _locked(place: Path, flags: int = 0) -> int | None:
    """The lock file `place`, opened and flocked; None when another has it, or has removed it."""
    try:
        lock = os.open(place, os.O_RDWR | os.O_CLOEXEC | flags, 0o666)
    except FileNotFoundError:
        return None
    # It may be in use, or a sweeper looks at it right now, before we could; or one was faster, between the two calls.
    if flocks.take(lock) and os.fstat(lock).st_nlink:
        return lock
    os.close(lock)
    return None


@contextlib.contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GitFailed(
            f"cannot write {place}: {error.strerror}",
            hint="make the repository writable for you, or free some space; then run the command again",
        ) from error
