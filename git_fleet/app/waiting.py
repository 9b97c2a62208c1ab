"""Hand-ins that wait for other work (`overlap = "watch"`): refused meanwhile, and named wherever somebody looks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from git_fleet.app.session import Session
from git_fleet.core.collisions import WATCH, Collision, why_it_waits
from git_fleet.core.ids import Oid
from git_fleet.core.model import Overlap, State
from git_fleet.core.ready import Reason
from git_fleet.core.results import PlanStatus, TaskRow
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import Collides, FleetError

if TYPE_CHECKING:
    from git_fleet.app.comparing import Known


def require_turn(session: Session, record: TaskRecord, commit: Oid | None) -> None:
    """Raises Collides while the hand-in of `commit` has to wait for other work. It is decided on the logs as they are
    now: what it waited for may have ended meanwhile."""
    if record.task.overlap is Overlap.SERIALIZE:  # as most are: no need to read what all others are at
        return
    snapshot = session.snapshot()
    now = snapshot.record(record.id)
    found = _waited_for(session, snapshot, now, commit) if commit and now is not None else ()
    if not found:
        return
    others = sorted({str(each.other(record.id)) for each in found})
    base = found[0].base
    raise Collides(
        f"{record.id} is not handed in: {why_it_waits(found, record.id)}",
        hint=f"git fleet conflicts {record.id} shows the lines; once {', '.join(others)} is on {base}: "
        f"git merge {base}, then git fleet done. To take another task meanwhile: git fleet release",
    )


def must_wait(session: Session, record: TaskRecord) -> bool:
    """Whether the hand-in of the work as it is would have to wait now. Raises GitFailed."""
    snapshot = session.snapshot()
    now = snapshot.record(record.id)
    return now is not None and bool(_waited_for(session, snapshot, now))


def reasons(session: Session, snapshot: Snapshot, record: TaskRecord) -> list[Reason]:
    """Why the hand-in of a claimed task waits, for `explain`; nothing when it does not. Raises GitFailed."""
    if record.state.state is not State.CLAIMED:
        return []
    found = _waited_for(session, snapshot, record)
    if not found:
        return []
    fix = f"git fleet conflicts {record.id} shows the lines"
    return [Reason(WATCH, why_it_waits(found, record.id), fix)]


def shown(
    session: Session, snapshot: Snapshot, plans: Iterable[PlanStatus], known: Known | None = None
) -> tuple[PlanStatus, ...]:
    """`status` with the hand-ins that wait. What hinders looking into work hinders no look at the tasks."""
    if not _watches(snapshot):
        return tuple(plans)
    from git_fleet.app import conflicts

    try:
        waiting = conflicts.waiting(session, snapshot, known)
    except FleetError:
        waiting = {}
    if not waiting:
        return tuple(plans)
    return tuple(
        replace(plan, tasks=tuple(_row(row, waiting.get(row.id, ())) for row in plan.tasks)) for plan in plans
    )


def _row(row: TaskRow, found: Sequence[Collision]) -> TaskRow:
    others = sorted({other for each in found if (other := each.other(row.id)) is not None})
    if not others:
        return row
    return replace(row, why=why_it_waits(found, row.id), waits_for=(*row.waits_for, *others))


def _waited_for(
    session: Session, snapshot: Snapshot, record: TaskRecord, commit: Oid | None = None
) -> tuple[Collision, ...]:
    if not _watches(snapshot):
        return ()
    from git_fleet.app import conflicts

    return conflicts.waited_for(session, snapshot, record, commit)


def _watches(snapshot: Snapshot) -> bool:
    """Whether any two tasks at work may be watched: else nothing of what compares them need be imported."""
    active = (record for record in snapshot.tasks.values() if record.state.state.active)
    return sum(record.task.overlap is not Overlap.SERIALIZE for record in active) > 1
