"""A plan's graph as it stands now. Reading only."""

from __future__ import annotations

from git_fleet.app import plan as planning
from git_fleet.app.session import Session
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Plan, PlanState, TaskState
from git_fleet.core.picture import Picture, picture
from git_fleet.core.snapshot import PlanRecord, Snapshot
from git_fleet.store import archive, log, names, plans


def graph(session: Session, name: str | None) -> Picture:
    """The graph of the plan `name` (None: of the only one that is not closed), by its approved text; of a draft by
    its newest.

    Raises InvalidInput when there is no such plan, or its needs form a cycle.
    """
    snapshot = session.snapshot()
    record = snapshot.plan(name or planning.only(session))
    plan = _text(session, record)
    there = session.store.objects.read_ref(names.branch(plan.base)) is not None
    config = session.config(plan.base if there else None)
    states = _states(session, snapshot, record)
    return picture(plan.id, plan.title, plan.base, record.state, plan.tasks, states, config.generated_paths)


def _text(session: Session, record: PlanRecord) -> Plan:
    if record.approved is not None:
        return record.approved
    if record.log.revision is not None:
        return plans.revision(session.store, record.id, record.log.revision).plan
    return planning.newest_of(session, record).plan


def _states(session: Session, snapshot: Snapshot, record: PlanRecord) -> dict[TaskId, TaskState]:
    """Of the tasks that somebody has touched; those of a closed plan from its archive."""
    if record.state is not PlanState.CLOSED:
        return {one.id: one.state for one in snapshot.of_plan(record.id)}
    objects = session.store.objects
    tips = archive.tips(session.store, record.id)
    found = zip(tips.items(), objects.read_many(tips.values()), strict=True)
    return {task: log.task_state(oid, one.data) for (task, oid), one in found if one}
