"""Reading the whole fleet at one moment (DESIGN section 6, step 1).

One `for-each-ref` for plans, guard and lead, one for the task tips, one for the plans again, and one
`cat-file --batch` for what the tips hold: one object a task, however long its log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import PENDING, LeadState, PlanLog, PlanState, State, Task, TaskState
from git_fleet.core.snapshot import PlanRecord, Snapshot, TaskRecord
from git_fleet.errors import Busy, GitFailed
from git_fleet.store import lead, names, plans, tasks
from git_fleet.store.base import Store
from git_fleet.store.plans import Revision

_TRIES = 50


class Known(Struct):
    """What the last reading found and what cannot have changed of it: a task as long as its tip is the same,
    a revision by its notes commit. Each reading puts new tables in place of these, so that nothing piles up in
    a process that lives long, and several threads may share them."""

    tasks: Mapping[TaskId, TaskRecord] = field(default_factory=dict)
    revisions: Mapping[Oid, Revision] = field(default_factory=dict)


def read_snapshot(store: Store, now: datetime, *, known: Known | None = None) -> Snapshot:
    """Everything the fleet knows, at `now`.

    `known` is from an earlier reading, and has what is read afterwards. Raises Busy when the plans
    never hold still.
    """
    known = known or Known()
    for _ in range(_TRIES):
        first = store.refs.read(names.PLAN_LOGS, names.PLAN_NOTES, names.GUARD, names.LEAD)
        tips = store.refs.read(names.TASK_LOGS)
        again = store.refs.read(names.PLAN_LOGS)
        if again == {ref: oid for ref, oid in first.items() if ref.startswith(names.PLAN_LOGS)}:
            return _assemble(store, now, first, tips, known)
    raise Busy("the plans change faster than they can be read", hint="try again")


def _assemble(
    store: Store, now: datetime, first: Mapping[str, Oid], tips: Mapping[str, Oid], known: Known
) -> Snapshot:
    plan_ids = sorted(
        {ref.removeprefix(names.PLAN_NOTES) for ref in first if ref.startswith(names.PLAN_NOTES)}
        | {ref.removeprefix(names.PLAN_LOGS) for ref in first if ref.startswith(names.PLAN_LOGS)}
    )
    revisions: dict[Oid, Revision] = {}
    records = {
        plan_id: _plan(
            store,
            plan_id,
            first.get(names.plan_log(plan_id)),
            first.get(names.plan_note(plan_id)),
            known.revisions,
            revisions,
        )
        for plan_id in plan_ids
    }
    wanted = _defined(records.values())
    found = _read_tasks(store, {task_id: task for task_id, (task, _) in wanted.items()}, tips, known.tasks)
    known.tasks, known.revisions = found, revisions
    lead_record = lead.read(store) if names.LEAD in first else lead.LeadRecord(None, LeadState())
    snapshot = Snapshot(
        at=now,
        plans=records,
        tasks={task_id: record for task_id, record in found.items() if wanted[task_id][1]},
        guard=first.get(names.GUARD),
        lead=lead_record.state,
        lead_tip=lead_record.tip,
        incoming={task_id: record for task_id, record in found.items() if not wanted[task_id][1]},
    )
    return with_open_intent(store, snapshot)


def read_task(store: Store, now: datetime, wanted: TaskId, *, known: Known | None = None) -> Snapshot:
    """What the fleet knows at `now` of one task and of its plan, as a snapshot that has nothing else; without the
    task where no approved revision has it. It starts no process for each thing read."""
    known = known or Known()
    refs = [names.plan_log(wanted.plan), names.plan_note(wanted.plan), names.LEAD, names.task_log(wanted)]
    log_, note, leads, task = store.objects.read_many(refs)
    if log_ is None and note is None:
        return Snapshot(now, {}, {})
    tip = log_.oid if log_ else None
    revisions = {note: one for note, one in known.revisions.items() if one.plan.id != wanted.plan}
    plan = _plan(store, wanted.plan, tip, note.oid if note else None, known.revisions, revisions)
    known.revisions = revisions
    defined = plan.approved.task(wanted) if plan.approved and plan.state.counts else None
    found = {wanted: tasks.from_object(defined, task)} if defined else {}
    lead_record = lead.read(store) if leads else lead.LeadRecord(None, LeadState())
    snapshot = Snapshot(now, {plan.id: plan}, found, lead=lead_record.state, lead_tip=lead_record.tip)
    return with_open_intent(store, snapshot)


def _plan(
    store: Store,
    plan_id: str,
    tip: Oid | None,
    note: Oid | None,
    known: Mapping[Oid, Revision],
    kept: dict[Oid, Revision],
) -> PlanRecord:
    """A plan; its revisions, from those that are known or read now, are put into `kept`."""
    state = plans.read_log(store, tip) if tip else PlanLog()
    record = PlanRecord(plan_id, state, tip, note)
    if state.state is PlanState.CLOSED:
        return record
    for note_read in filter(None, (state.revision, state.incoming)):
        kept[note_read] = known.get(note_read) or plans.revision(store, plan_id, note_read)
    approved = kept[state.revision] if state.revision else None
    incoming = kept[state.incoming] if state.incoming else None
    some = approved or incoming
    return replace(
        record,
        base_commit=some.base_commit if some else None,
        approved=approved.plan if approved else None,
        incoming=incoming.plan if incoming else None,
    )


def _defined(records: Iterable[PlanRecord]) -> dict[TaskId, tuple[Task, bool]]:
    """Every task of plans that count, with whether the approved revision has it."""
    found: dict[TaskId, tuple[Task, bool]] = {}
    for record in records:
        for plan in record.counting:
            for task in plan.tasks:
                found.setdefault(task.id, (task, plan is record.approved))
    return found


def _read_tasks(
    store: Store, wanted: Mapping[TaskId, Task], tips: Mapping[str, Oid], known: Mapping[TaskId, TaskRecord]
) -> dict[TaskId, TaskRecord]:
    """The tasks at these tips, in the order wanted: as they are known where nothing of them has changed."""
    found: dict[TaskId, TaskRecord] = {}
    moved: list[TaskRecord] = []
    for task_id, task in wanted.items():
        tip, record = tips.get(names.task_log(task_id)), known.get(task_id)
        if record is None or record.tip != tip:
            record = TaskRecord(task, tip, PENDING)
            moved += [record] if tip else []
        found[task_id] = record if record.task is task else replace(record, task=task)
    read = store.objects.read_many(record.tip for record in moved if record.tip)
    for record, entry in zip(moved, read, strict=True):
        if entry is None:
            raise GitFailed(f"the event {record.tip} of {record.id} is missing", hint="git fsck")
        found[record.id] = tasks.from_object(record.task, entry)
    return found


def with_open_intent(store: Store, snapshot: Snapshot) -> Snapshot:
    """The snapshot in which the tasks of an open intent whose commit main already has count as
    integrated (or reverted): main is the commit point, and their events follow (DESIGN section 3)."""
    if snapshot.lead.intent is None:
        return snapshot
    intent = lead.read_intent(store, snapshot.lead.intent)
    landed = [
        replace(record, state=_landed(record.state, landing))
        for landing in lead.landed(store, intent)
        if (record := snapshot.tasks.get(landing.task)) is not None
    ]
    return snapshot.replacing(landed)


def _landed(state: TaskState, landing: lead.Landing) -> TaskState:
    """The state that the event of a landing leads to, or one after it."""
    if landing.reverts:
        back = state.state is State.INTEGRATED
        return replace(state, state=State.REVERTED, landed=None) if back else state
    if state.state is State.INTEGRATED:
        return state
    return replace(state, state=State.INTEGRATED, landed=landing.commit)
