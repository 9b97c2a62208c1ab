"""Values to look at, with names that try to steer the terminal."""

from __future__ import annotations

from datetime import datetime, timedelta

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import PlanState, State, Usage
from git_fleet.core.results import PlanStatus, Status, Step, TaskRow
from tests.support.clock import START

EVIL = "red\x1b[31m\r\n\u202eback\udcff"
OID = Oid("1234567890" * 4)


def row(
    task: str = "1",
    state: State = State.PENDING,
    *,
    title: str = "Do it",
    holder: str = "",
    left: float = 3600,
    branch: str = "",
    ahead: int | None = None,
    dirty: int | None = None,
    waits_for: tuple[TaskId, ...] = (),
    summary: str = "",
    claimed: float | None = None,
    seen: float | None = None,
) -> TaskRow:
    """One task; `left` seconds of its lease where it is claimed, `claimed` and `seen` so many seconds ago."""
    return TaskRow(
        id=TaskId("app", task),
        title=title,
        state=state,
        holder=holder,
        attempt=1,
        expires_at=START + timedelta(seconds=left) if state is State.CLAIMED else None,
        branch=branch,
        worktree="",
        ahead=ahead,
        dirty=dirty,
        files=("a",),
        needs=(),
        waits_for=waits_for,
        summary=summary,
        usage=Usage(),
        claimed_at=_ago(claimed),
        seen_at=_ago(seen),
    )


def _ago(seconds: float | None) -> datetime | None:
    return None if seconds is None else START - timedelta(seconds=seconds)


def fleet(*rows: TaskRow, state: PlanState = PlanState.OPEN, reason: str = "") -> Status:
    """One plan with these tasks."""
    counts = tuple((one, number) for one in State if (number := sum(task.state is one for task in rows)))
    plan = PlanStatus("app", "An app", "main", state, reason, counts, rows)
    return Status(START, (plan,), OID, "", (Step("git fleet claim", "there is a task to claim"),))
