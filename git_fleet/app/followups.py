"""`plan add --from-findings`: what was found outside of the tasks it was found in, as draft tasks.

Findings are read from the whole logs of the tasks: a state has only the latest, and a hand-in takes them away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

from git_fleet.app import plan as planning
from git_fleet.app.session import Session
from git_fleet.core import followups
from git_fleet.core.followups import Found
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Plan, PlanState, Task
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import Busy, InvalidInput, LostRace
from git_fleet.store import logs

_TELLING = frozenset({"done", "verdict", "refute", "reject"})
"""Events by which whoever has made a proposal, or looked at it, says what was found."""

_TRIES = 20


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
