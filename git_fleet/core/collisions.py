"""Work in flight that collides, and whose hand-in waits for it (DESIGN sections 4, 5 and 12, `overlap = "watch"`).

Two pieces of work *collide* in a file that both have changed differently: *textually* when git cannot merge them,
else only in that it is the same file.

A hand-in waits only because of a task that is watched beside it, collides textually, was claimed before it, and
goes on: it is claimed and its lease lives, or it is handed in. One that is in rework, blocked, cancelled, shelved
or whose lease has lapsed keeps nobody waiting; claimed again it is the later one of the two. The order of claims is
read off the tasks' logs, ties are broken by id, so of any tasks one is the first, and waits for none of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from git_fleet.core import lease
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Overlap, State
from git_fleet.core.overlaps import Overlaps
from git_fleet.core.snapshot import Snapshot, TaskRecord

WATCH = "watch"
"""The code of a reason why a hand-in waits."""

_HANDED_IN = frozenset({State.PROPOSED, State.VERIFIED, State.PARKED})
_SHOWN = 3  # paths in a sentence


class Kind(StrEnum):
    """How two pieces of work collide in a file."""

    TEXTUAL = "textual"
    SAME_PATH = "same-path"


class Source(StrEnum):
    """Where a task's work was read: its worktree on this machine, uncommitted and untracked files included; what
    was saved of one with its worker's last sign of life; its branch; what is handed in."""

    WORKTREE = "worktree"
    SNAPSHOT = "snapshot"
    BRANCH = "branch"
    PROPOSAL = "proposal"


class Span(Struct, frozen=True):
    """Lines of a file, the first one counted from 1. With 0 `lines`: between line `start` and the next."""

    start: int
    lines: int


class Hunk(Struct, frozen=True):
    """Changes of both in the same place: the lines each has there, as its own file counts them."""

    a: Span
    b: Span


class SharedFile(Struct, frozen=True):
    """A file that both have changed. `what` is git's word for the conflict (`content`, `modify/delete`, `binary`),
    "" without one. `hunks` are empty where there are no lines to tell; `more` says how many are left out."""

    path: str
    kind: Kind
    what: str = ""
    hunks: tuple[Hunk, ...] = ()
    more: int = 0


class Collision(Struct, frozen=True):
    """Two that collide: tasks, or (`b` None) a task and what is on its base branch by now.

    `policy` is what the plan says of the pair, None where it foresees no overlap: then somebody has left its files.
    `waits` is the one of the two whose hand-in waits for the other.
    """

    a: TaskId
    b: TaskId | None
    base: str
    files: tuple[SharedFile, ...]
    policy: Overlap | None = None
    waits: TaskId | None = None

    @property
    def kind(self) -> Kind:
        """Textual if any of its files is."""
        textual = any(file.kind is Kind.TEXTUAL for file in self.files)
        return Kind.TEXTUAL if textual else Kind.SAME_PATH

    @property
    def paths(self) -> tuple[str, ...]:
        """The files of that kind."""
        return tuple(file.path for file in self.files if file.kind is self.kind)

    def other(self, task: TaskId) -> TaskId | None:
        """The one that is not `task`; None for the base branch."""
        return self.b if task == self.a else self.a


class InFlight(Struct, frozen=True):
    """A task's work as it was looked at: `commit` holds all of it. `changed` counts paths that differ from where it
    left the base branch; `left_out` are paths that were not read (large, unreadable, repositories), `note` says
    what else is worth knowing."""

    id: TaskId
    state: State
    holder: str
    source: Source
    commit: Oid
    changed: int
    left_out: tuple[str, ...] = ()
    note: str = ""


class Unseen(Struct, frozen=True):
    """A task at work whose work could not be looked at, and why."""

    id: TaskId
    reason: str


class Conflicts(Struct, frozen=True):
    """All work in flight, compared: `checked` pairs (the base branches count as one side), of which `merged` had to
    be merged, since both sides have changed something in common."""

    at: datetime
    work: tuple[InFlight, ...]
    collisions: tuple[Collision, ...]
    unseen: tuple[Unseen, ...]
    checked: int
    merged: int

    def of(self, task: TaskId) -> tuple[Collision, ...]:
        """Those of one task."""
        return tuple(each for each in self.collisions if task in (each.a, each.b))

    def says_the_same(self, other: Conflicts) -> bool:
        """Whether who looks would see no difference: work may have gone on where it collides with nothing."""
        return (self.collisions, self.unseen, _sights(self)) == (
            other.collisions,
            other.unseen,
            _sights(other),
        )

    def waiting(self, task: TaskId) -> tuple[Collision, ...]:
        """Those that its hand-in waits for."""
        return tuple(each for each in self.collisions if each.waits == task)


def _sights(found: Conflicts) -> list[tuple[object, ...]]:
    return [(work.id, work.state, work.source, work.left_out, work.note) for work in found.work]


def keeps_waiting(
    record: TaskRecord, snapshot: Snapshot, overlaps: Overlaps, host: str
) -> Iterator[TaskRecord]:
    """The watched tasks that the hand-in of `record` waits for if their work collides with it."""
    if record.state.claim is None:
        return
    for other_id in sorted(overlaps.watched(record.id)):
        other = snapshot.record(other_id)
        if other is None or not _goes_on(other, snapshot, host) or _order(record) < _order(other):
            continue
        if not _needs(snapshot, other_id, record.id):  # else it could not be integrated before this one
            yield other


def _goes_on(record: TaskRecord, snapshot: Snapshot, host: str) -> bool:
    """Whether something becomes of it without a new claim. A plan that is paused goes on with what is claimed."""
    state, claim = record.state.state, record.state.claim
    if claim is None:
        return False
    return state in _HANDED_IN or (
        state is State.CLAIMED and not lease.expired(claim, snapshot.at, host=host)
    )


def _order(record: TaskRecord) -> tuple[datetime, TaskId]:
    claim = record.state.claim
    if claim is None:
        raise AssertionError("only what is claimed has a place in the order")
    return claim.acquired_at, record.id


def _needs(snapshot: Snapshot, task: TaskId, wanted: TaskId) -> bool:
    """Whether `task` cannot be integrated before `wanted`."""
    seen, rest = {task}, [task]
    while rest:
        record = snapshot.record(rest.pop())
        new = set(record.task.needs_ids) - seen if record is not None else set()
        if wanted in new:
            return True
        seen |= new
        rest += new
    return False


def told(collision: Collision, task: TaskId) -> str:
    """What whoever works on `task` is told of it, in a sentence."""
    other = collision.other(task)
    name = str(other) if other else f"what is on {collision.base} by now"
    shown = ", ".join(collision.paths[:_SHOWN])
    more = len(collision.paths) - _SHOWN
    files = shown + (f" and {more} more" if more > 0 else "")
    if collision.kind is Kind.SAME_PATH:
        return f"{name} changes {files}, too; the two merge cleanly so far"
    if other is None:
        return f"your work conflicts with {name} in {files}: git merge {collision.base} shows where"
    if collision.waits == task:
        return f"your work collides with {name} in {files}; {name} was claimed first, so your hand-in waits for it"
    return f"your work collides with {name} in {files}"


def why_it_waits(collisions: Iterable[Collision], task: TaskId) -> str:
    """Why the hand-in of `task` waits, as `explain` and `status` say it; "" when it does not."""
    waited = [each for each in collisions if each.waits == task]
    if not waited:
        return ""
    others = sorted({str(each.other(task)) for each in waited})
    names = f"{', '.join(others)} {'is' if len(others) == 1 else 'are'}"
    paths = sorted({path for each in waited for path in each.paths})
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return f"its hand-in waits until {names} integrated: they collide in {', '.join(paths[:_SHOWN])}{more}"
