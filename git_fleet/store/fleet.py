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
from git_fleet.errors import Busy
from git_fleet.store import lead, log, names, plans
from git_fleet.store.base import Store
from git_fleet.store.plans import Revision

_TRIES = 50


class Known(Struct):
    """What was read before and cannot have changed: states by tip, revisions by notes commit."""

    states: dict[Oid, TaskState] = field(default_factory=dict)
    revisions: dict[Oid, Revision] = field(default_factory=dict)


def read_snapshot(store: Store, now: datetime, *, known: Known | None = None) -> Snapshot:
    """Everything the fleet knows, at `now`.

    `known` is from an earlier reading, and filled with what is read. Raises Busy when the plans
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
    records = {plan_id: _plan(store, plan_id, first, known) for plan_id in plan_ids}
    by_task = {names.task_of_log(ref): oid for ref, oid in tips.items()}
    wanted = _defined(records.values())
    _read_states(store, [by_task[task] for task in wanted if task in by_task], known)
    found = {
        task_id: TaskRecord(task, tip := by_task.get(task_id), known.states[tip] if tip else PENDING)
        for task_id, (task, _) in wanted.items()
    }
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


def _plan(store: Store, plan_id: str, refs: Mapping[str, Oid], known: Known) -> PlanRecord:
    tip = refs.get(names.plan_log(plan_id))
    note = refs.get(names.plan_note(plan_id))
    state = plans.read_log(store, tip) if tip else PlanLog()
    record = PlanRecord(plan_id, state, tip, note)
    if state.state is PlanState.CLOSED:
        return record
    for note_read in filter(None, (state.revision, state.incoming)):
        if note_read not in known.revisions:
            known.revisions[note_read] = plans.revision(store, plan_id, note_read)
    approved = known.revisions[state.revision] if state.revision else None
    incoming = known.revisions[state.incoming] if state.incoming else None
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


def _read_states(store: Store, tips: Iterable[Oid], known: Known) -> None:
    missing = [tip for tip in tips if tip not in known.states]
    for tip, found in zip(missing, store.objects.read_many(missing), strict=True):
        if found is not None:
            known.states[tip] = log.task_state(tip, found.data)


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
