"""Kept work as people look at it: salvages and snapshots, what is in them, and what became of applying one."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.reviewing import ChangedPath

SNAPSHOT = "snapshot"
"""How a task's snapshot is called where its salvages have numbers."""


class KeptWork(Struct, frozen=True):
    """One salvage of a task, or (`number` 0) its snapshot. Work goes on from the commit `start`.

    It brings `commits` commits to the base branch, beside what was `uncommitted`, and changes `files` files
    since `base`, where it left that branch (None: they have no common history). `worker`, `at`, `worktree`
    and `branch` say whose it was, when it was saved, and from where ("" where that is not known).
    """

    id: TaskId
    number: int
    ref: str
    start: Oid
    base: Oid | None
    worker: str
    at: datetime
    worktree: str
    branch: str
    commits: int
    uncommitted: bool
    files: int

    @property
    def name(self) -> str:
        """What a person calls it, beside the task: `2`, or `snapshot`."""
        return str(self.number) if self.number else SNAPSHOT


class KeptCommit(Struct, frozen=True):
    """A commit in kept work; `made` says that the fleet made it of what was not committed."""

    oid: Oid
    subject: str
    author: str
    at: datetime
    made: bool


class KeptShown(Struct, frozen=True):
    """All of one: its commits, oldest first; what it changes; what else it holds, newest first; and the
    diff where that was asked for, `cut` when it is longer than what is here."""

    work: KeptWork
    commits: tuple[KeptCommit, ...]
    paths: tuple[ChangedPath, ...]
    others: tuple[KeptCommit, ...]
    patch: str | None = None
    cut: bool = False


class Applied(Struct, frozen=True):
    """Kept work that was taken up: as changes of the worktree here (`paths`, in conflict in `conflicts`), or
    as the new `branch`."""

    work: KeptWork
    branch: str = ""
    paths: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


class SnapshotTaken(Struct, frozen=True):
    """What `snapshot` did: `work` is None when there is nothing to save. `written` is False where it was saved
    already; `left_out` are the paths that are not in it."""

    id: TaskId
    work: KeptWork | None
    written: bool
    left_out: tuple[str, ...]
