"""What a transaction changes about refs, and what a `git update-ref --stdin` is told to make it happen."""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from git_fleet.core.ids import Oid
from git_fleet.git import locks
from git_fleet.git.along import Along, meanwhile
from git_fleet.git.process import Child
from git_fleet.git.repository import Repository


class Absent(enum.Enum):
    """The value of a ref that does not exist."""

    ABSENT = "absent"

    def __str__(self) -> str:
        return "absent"


ABSENT: Final = Absent.ABSENT
Value = Oid | Absent


class Update(Struct, frozen=True):
    """One ref's change from exactly `old` to `new`.

    new ABSENT deletes, old ABSENT creates, and the same value twice only verifies.
    """

    ref: str
    old: Value
    new: Value

    @property
    def changes(self) -> bool:
        """Whether this moves the ref (a verification does not)."""
        return self.old != self.new


class Transaction:
    """One transaction of a git that is listening. Where it was told not to flush what it writes (`flushes`), that is
    done here."""

    def __init__(self, child: Child, repo: Repository, batch: Sequence[Update], *, flushes: bool) -> None:
        self._child, self._repo, self._batch = child, repo, batch
        self._written = [
            repo.common_dir / f"{update.ref}.lock"
            for update in batch
            if flushes and update.changes and update.new is not ABSENT
        ]
        self._deletes = flushes and any(update.new is ABSENT for update in batch)

    def lock(self, along: Along) -> tuple[bool, bool]:
        """Let git take the locks: whether it has all and all old values were right, and whether the new values are
        where they should be, and on their way to the disk."""
        self._child.send(self._script())
        if self._written:
            return meanwhile(self._locked, along.asked)
        along.asked()
        return self._locked()

    def _locked(self) -> tuple[bool, bool]:
        if self._child.line() != b"start: ok" or self._child.line() != b"prepare: ok":
            return False, False
        packed = self._repo.common_dir / "packed-refs.new"
        if self._deletes and packed.exists():  # the packed refs without those that are deleted
            self._written.append(packed)
        return True, locks.begin_flush(self._written)

    def move(self, along: Along) -> bool:
        """Let git move the refs, once their values are on the disk: whether it says that it has. Many are waited for
        beside what is done along. Raises GitFailed, and nothing moves, when the disk refuses."""
        if self._written:
            return meanwhile(self._moved, along.moving)
        told = self._child.send(b"commit\0")
        along.moving()
        return told and self._child.line() == b"commit: ok"

    def _moved(self) -> bool:
        # A git that was told to end has removed its lock files.
        return (
            locks.flush(self._written)
            and self._child.send(b"commit\0")
            and self._child.line() == b"commit: ok"
        )

    def _script(self) -> bytes:
        """What git is told up to the point where it has the locks."""
        zero = self._repo.zero
        parts = ["start"]
        for update in self._batch:
            old = zero if isinstance(update.old, Absent) else update.old
            if not update.changes:
                parts += [f"verify {update.ref}", old]
            elif isinstance(update.new, Absent):
                parts += [f"delete {update.ref}", old]
            elif isinstance(update.old, Absent):
                parts += [f"create {update.ref}", update.new]
            else:
                parts += [f"update {update.ref}", update.new, old]
        return os.fsencode("\0".join([*parts, "prepare", ""]))
