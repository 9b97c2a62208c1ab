"""What was found outside of the tasks it was found in, as draft tasks: by `plan add --from-findings`, and what a worker
left alone when it hands in (`done --follow-up`).

For the former findings are read from the whole logs of the tasks: a state has only the latest, and a hand-in takes them away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from msgspec import Struct

from git_fleet.app import plan as planning
from git_fleet.app.session import Session
from git_fleet.core import followups
from git_fleet.core.followups import Found
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Finding, Plan, PlanState, Task
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import Busy, FleetError, InvalidInput, LostRace
from git_fleet.store import logs
from git_fleet.store.log import one_line

_TELLING = frozenset({"done", "verdict", "refute", "reject"})
"""Events by which whoever has made a proposal, or looked at it, says what was found."""

_TRIES = 20
_MAX_TITLE = 200
_MAX_STEM = 80  # of a follow-up's id, which has 100 characters


class Drafted(Struct, frozen=True):
    """The plan's newest text, the notes commit that holds it (None on a dry run), and the tasks that were
    drafted in it, none where there was nothing new."""

    plan: Plan
    note: Oid | None
    tasks: tuple[Task, ...]


def from_findings(session: Session, targets: Sequence[str], *, dry_run: bool = False) -> Drafted:
    """Draft tasks for what was found outside of the `targets`: tasks of one plan, or a plan (the only one).

    A finding that a task of the newest text was drafted for is not drafted again. Raises InvalidInput or
    Ambiguous for names that are not known, or of several plans, Busy when others keep editing the plan.
    """
    for _ in range(_TRIES):
        snapshot = session.snapshot()
        plan_id, records = _chosen(session, snapshot, targets)
        newest = planning.newest(session, snapshot, plan_id).plan
        there = {task.id for task in newest.tasks}
        gone = {record.id for record in records if record.state.state.ended or record.id not in there}
        tables = followups.drafts(_found(session, records), known=followups.marks(newest.tasks), ended=gone)
        ids = {TaskId(plan_id, table["id"]) for table in tables}
        note, text, plan = planning.read_with(session, plan_id, tables)
        if ids and not dry_run:
            try:
                note = planning.save_text(session, plan_id, text, note).note
            except LostRace:
                continue  # somebody edited the plan at this moment
        return Drafted(plan, None if dry_run else note, tuple(t for t in plan.tasks if t.id in ids))
    raise Busy(f"the plan {plan_id} is being edited again and again", hint=f"git fleet plan show {plan_id}")


def _chosen(
    session: Session, snapshot: Snapshot, targets: Sequence[str]
) -> tuple[str, tuple[TaskRecord, ...]]:
    """The plan, and those of its tasks that are asked for."""
    if not targets:
        targets = (planning.only(session),)
    chosen: dict[TaskId, TaskRecord] = {}
    plans = set()
    for target in targets:
        records = snapshot.of_plan(target) if target in snapshot.plans else (snapshot.resolve(target),)
        plans |= {target} if target in snapshot.plans else {record.id.plan for record in records}
        chosen |= {record.id: record for record in records}
    if len(plans) > 1:
        raise InvalidInput(
            f"these are of several plans: {', '.join(sorted(plans))}",
            hint="git fleet plan add --from-findings PLAN, one by one",
        )
    (plan_id,) = plans
    if snapshot.plans[plan_id].state is PlanState.CLOSED:
        raise InvalidInput(f"plan {plan_id} is closed", hint="git fleet log TASK tells what was found")
    return plan_id, tuple(chosen.values())


def _found(session: Session, records: Collection[TaskRecord]) -> Iterator[Found]:
    """What was ever found outside of these tasks, in plan order, oldest first."""
    tips = {record.tip: record for record in records if record.tip is not None}
    histories = logs.histories(session.store.objects, tips)
    for tip, record in tips.items():
        generated = session.config_of(record.id).generated_paths
        for entry in histories[tip]:
            if entry.event.name in _TELLING:
                yield from followups.beyond(record.task, entry.event.fields.get("findings", ()), generated)


def noticed(worker: str, texts: Sequence[str]) -> tuple[Finding, ...]:
    """What a worker noticed and left alone, as the task's log keeps it. So it is not lost where the plan's text may
    not be changed by a worker, and `from_findings` finds it."""
    return tuple(Finding(text, f"worker:{worker}", outside=True) for text in texts)


def from_handin(
    session: Session, record: TaskRecord, left: Sequence[Finding]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Draft a task in the plan's text for each thing the worker left alone: the ids of the drafts, and what is to be
    said of those that could not be made. What was drafted at an earlier hand-in is not drafted again. The task is
    handed in by now, so nothing is raised."""
    drafted, notes = [], []
    for found in followups.beyond(record.task, left):
        try:
            drafted += _draft(session, found)
        except FleetError as error:
            notes.append(
                f"the follow-up {found.text!r} is in the log of {record.id}, but not drafted: {error.message}"
                f" (git fleet plan add --from-findings {record.id} drafts it)"
            )
    return tuple(drafted), tuple(notes)


def _draft(session: Session, found: Found) -> list[str]:
    """The id of the draft made for a finding, if there was none. Raises what stands against changing the plan's text."""
    task, short = found.task, one_line(found.text, _MAX_TITLE)
    for _ in range(_TRIES):
        tasks = planning.newest(session, session.snapshot(), task.plan).plan.tasks
        if found.mark in followups.marks(tasks):
            return []
        number = _free_id(tasks, task)
        said = f"Noticed while working on {task}: {found.text}"
        fields = {"id": number, "title": short, "prompt": said, "remarks": f"finding {found.mark}"}
        with suppress(LostRace):  # somebody edited the plan at this moment
            planning.add_task_once(session, task.plan, fields)
            return [f"{task.plan}/{number}"]
    raise Busy(f"the plan {task.plan} is being edited again and again")


def _free_id(tasks: Sequence[Task], task: TaskId) -> str:
    used = {entry.id.task for entry in tasks}
    stem, count = task.task[:_MAX_STEM], 1
    while f"{stem}-follow-up-{count}" in used:
        count += 1
    return f"{stem}-follow-up-{count}"
