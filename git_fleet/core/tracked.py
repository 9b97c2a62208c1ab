"""Issues that tasks came from, and what became of them."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from git_fleet.core.ids import TaskId


class Fate(StrEnum):
    """What became of an issue: still to be closed, closed by us, found closed, closed by us before and opened again
    by somebody, or it could not be closed."""

    TO_CLOSE = "to_close"
    CLOSED = "closed"
    ALREADY_CLOSED = "already_closed"
    REOPENED = "reopened"
    FAILED = "failed"


class TrackedIssue(Struct, frozen=True):
    """An issue all of whose tasks are integrated. `command` closes it ("" items never: an argument list, empty
    where only its tracker's own ways do); `detail` says why it failed, or what to do."""

    tracker: str
    reference: str
    tasks: tuple[TaskId, ...]
    command: tuple[str, ...] = ()
    fate: Fate = Fate.TO_CLOSE
    detail: str = ""


class Synced(Struct, frozen=True):
    """The issues of a plan. `asked` says that they were to be closed, `gh` whether that program is there."""

    plan: str
    issues: tuple[TrackedIssue, ...]
    asked: bool
    gh: bool
