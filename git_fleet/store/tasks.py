"""Task logs: reading a task's state, adding an event to it."""

from __future__ import annotations

from collections.abc import Mapping

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event, after
from git_fleet.core.model import PENDING, Task, TaskState
from git_fleet.core.snapshot import TaskRecord
from git_fleet.git.objects import Object
from git_fleet.store import log, names
from git_fleet.store.base import Store


def state_at(store: Store, tip: Oid | None) -> TaskState:
    """The task's state at `tip` of its log; a task without a log is pending."""
    if tip is None:
        return PENDING
    return log.read(store.objects, tip).task_state


def reread(store: Store, task: Task) -> TaskRecord:
    """The task as it is now: one object read through the ref's name."""
    return from_object(task, next(store.objects.read_many([names.task_log(task.id)])))


def from_object(task: Task, found: Object | None) -> TaskRecord:
    """The task whose log's tip is the commit `found` (None: no log)."""
    if found is None:
        return TaskRecord(task, None, PENDING)
    return TaskRecord(task, found.oid, log.task_state(found.oid, found.data))


def subject(task: TaskId, event: Event) -> str:
    """The readable first line of a task's event."""
    return f"{event.name} {task} by {event.actor}"


def misplaced(task: TaskId, event: Event, data: bytes) -> str:
    """Why the event, whose commit is `data`, is none of that task's; "" when it is. Its subject says whose it is, and
    is signed with the rest; no other part of a log does, so that one could be copied whole."""
    said = data.partition(b"\n\n")[2].partition(b"\n")[0]
    own = said.decode("utf-8", "surrogateescape") == log.one_line(subject(task, event))
    return "" if own else "was written for another task"


SIGNS_OF_LIFE = frozenset({"progress", "renew", "usage"})
"""Events that change nothing for anybody else: they may ride along with the next one (DESIGN section 11)."""


def append(
    store: Store, record: TaskRecord, event: Event, texts: Mapping[str, bytes] | None = None
) -> TaskRecord:
    """Add one event to the task's log on the exact state read. One ref, one step.

    Raises IllegalEvent, StaleClaim, Stale, Held or Busy; then nothing has changed.
    """
    state = after(record.state, event)
    tip = store.append(
        names.task_log(record.id),
        event,
        state,
        parent=record.tip,
        subject=subject(record.id, event),
        texts=texts,
        soon=event.name in SIGNS_OF_LIFE,
    )
    return TaskRecord(record.task, tip, state.fenced(tip))
