"""Everything that is known of one plan, read once and put together. Reading only, few processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from git_fleet.app import inspecting, review, score
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.meetings import Meetings, Refit, meetings
from git_fleet.core.model import PENDING, Plan, PlanState
from git_fleet.core.overlaps import Owned
from git_fleet.core.picture import Picture, picture
from git_fleet.core.reporting import GateLog, Report
from git_fleet.core.reviewing import Review
from git_fleet.core.snapshot import PlanRecord, Snapshot, TaskRecord
from git_fleet.store import logs
from git_fleet.store.log import Entry

LOG_BYTES = 1024 * 1024
"""Of all logs of gates together in a report, half of it of those that did not pass; each has its share."""
_MOST_RED, _MOST_GREEN, _LEAST = 16 * 1024, 4 * 1024, 400

_Entries = Mapping[TaskId, Sequence[Entry]]


def report(session: Session, name: str | None, most: int = LOG_BYTES) -> Report:
    """The report of the plan `name` (None: of the one there is, or the one that is not closed), with `most` bytes of
    what gates printed.

    Raises InvalidInput for a plan that does not exist or was never approved, UnknownFormat for a log that cannot
    be read.
    """
    snapshot = session.snapshot()
    record = score.chosen(snapshot, name)
    plan = score.text_of(session, record)
    entries = logs.task_logs(session.store, record.id, closed=record.state is PlanState.CLOSED)
    records = _records(snapshot, record, plan, entries)
    found = review.look_over(session, record, plan, records, entries, at=snapshot.at)
    scored = score.reckon(session, snapshot, record, plan, entries)
    drawn = _picture(session, record, plan, records)
    return Report(
        review=found,
        score=scored.score,
        lessons=scored.lessons,
        picture=drawn,
        meetings=_meetings(session, plan, found, drawn, entries),
        logs=_logs(session, found, entries, most),
    )


def all_reports(session: Session, most: int = LOG_BYTES) -> tuple[Report, ...]:
    """The reports of all plans that are approved and not closed, each with `most` bytes of what gates printed."""
    plans = session.snapshot().plans.values()
    return tuple(report(session, plan.id, most) for plan in plans if plan.state.counts and plan.approved)


def _records(snapshot: Snapshot, record: PlanRecord, plan: Plan, entries: _Entries) -> list[TaskRecord]:
    """The plan's tasks; those of a closed plan as their logs left them."""
    if record.state is not PlanState.CLOSED:
        return snapshot.of_plan(record.id)
    return [
        TaskRecord(task, told[-1].oid, told[-1].task_state)
        if (told := entries.get(task.id))
        else TaskRecord(task, None, PENDING)
        for task in plan.tasks
    ]


def _picture(session: Session, record: PlanRecord, plan: Plan, records: Iterable[TaskRecord]) -> Picture:
    states = {one.id: one.state for one in records}
    generated = review.config_of(session, plan).generated_paths
    return picture(plan.id, plan.title, plan.base, record.state, plan.tasks, states, generated)


# --- who met whom ------------------------------------------------------------------------------------


def _meetings(session: Session, plan: Plan, found: Review, drawn: Picture, entries: _Entries) -> Meetings:
    everybodys = Owned(review.config_of(session, plan).generated_paths)
    changed = {
        task.id: [one.path for one in task.paths if not everybodys.generates(one.path)]
        for task in found.tasks
    }
    refits = [refit for task, told in entries.items() for refit in _refits(task, told)]
    landed = {task: at for task, told in entries.items() if (at := _landed_at(told)) is not None}
    return meetings([task.id for task in plan.tasks], drawn.overlaps, changed, landed, refits)


def _refits(task: TaskId, told: Sequence[Entry]) -> Iterable[Refit]:
    for entry in told:
        fields = entry.event.fields
        if entry.event.name == "eject" and fields.get("reason") == "conflict":
            paths = fields.get("paths", ())
            yield Refit(
                task, entry.event.at, tuple(map(str, paths)) if isinstance(paths, list | tuple) else ()
            )


def _landed_at(told: Sequence[Entry]) -> datetime | None:
    return next((entry.event.at for entry in reversed(told) if entry.event.name == "integrate"), None)


# --- what gates printed ------------------------------------------------------------------------------


def _logs(
    session: Session, found: Review, entries: _Entries, bytes_in_all: int
) -> dict[TaskId, tuple[GateLog, ...]]:
    """The end of each log, so long that all together stay within `bytes_in_all` (each has _LEAST, whatever that is)."""
    whole = inspecting.newest_gate_logs(
        session, [task.record for task in found.tasks if task.record.state.proposal], entries
    )
    wanted = [(task, gate, oid) for task in found.tasks for gate, oid in whole.get(task.id, {}).items()]
    red = {(task.id, gate.name) for task in found.tasks for gate in task.gates if gate.outcome != "pass"}
    shares = {
        True: min(_MOST_RED, max(_LEAST, bytes_in_all // 2 // max(1, len(red)))),
        False: min(_MOST_GREEN, max(_LEAST, bytes_in_all // 2 // max(1, len(wanted) - len(red)))),
    }
    blobs: list[Oid] = [oid for _, _, oid in wanted]
    made: dict[TaskId, list[GateLog]] = {}
    for (task, gate, _), blob in zip(wanted, session.store.objects.read_many(blobs), strict=True):
        most = shares[(task.id, gate) in red]
        made.setdefault(task.id, []).append(end_of(gate, blob.data if blob else b"", most))
    return {task: tuple(each) for task, each in made.items()}


def end_of(gate: str, data: bytes, most: int) -> GateLog:
    """The end of a log, in whole lines unless they are too long for that."""
    if len(data) <= most:
        return GateLog(gate, data.decode("utf-8", "replace"))
    kept = data[-most:]
    lines = kept.partition(b"\n")[2]
    kept = lines if len(lines) >= most // 2 else kept
    return GateLog(gate, kept.decode("utf-8", "replace"), len(data) - len(kept))
