"""Looking at the fleet: how it stands, what is ready, why something is not, what the others do.

Reading only. However many tasks there are, the processes started are a handful; only what `Details`
adds (commits ahead, uncommitted paths) costs one for each worktree that is worked in here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from git_fleet.app import advice, includes, places, sharing, waiting
from git_fleet.app.details import AT_WORK, Details, count_dirty, waves
from git_fleet.app.session import Session
from git_fleet.core import ready as readiness
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import PENDING, Plan, PlanState, Schedule, State, TaskState
from git_fleet.core.ready import Index
from git_fleet.core.results import (
    Explanation,
    PlanStatus,
    ReadyTask,
    Sibling,
    Status,
    TaskRow,
    WorktreeRow,
)
from git_fleet.core.snapshot import PlanRecord, Snapshot, TaskRecord
from git_fleet.core.wording import first_line
from git_fleet.errors import FleetError, InvalidInput
from git_fleet.store import names, plans

if TYPE_CHECKING:
    from git_fleet.app.comparing import Known

_MOST_IN_WAVES = 2_000
"""Tasks of a plan whose waves are counted: of more nobody reads them, and it would take longer than the rest."""


def status(
    session: Session, plan: str | None = None, *, closed: bool = False, details: bool = True
) -> Status:
    """The fleet at this moment; plans that are closed only with `closed`. Or the plan `plan` alone, whatever it is.

    `details` fills in `ahead` and `dirty` of tasks that are worked on in a worktree here, the last signs of life,
    and the waves. Raises InvalidInput when there is no such plan.
    """
    look = Details() if details else None
    return standing(session, session.snapshot(), look, plan=plan, closed=closed)


def standing(
    session: Session,
    snapshot: Snapshot,
    look: Details | None,
    known: Known | None = None,
    *,
    plan: str | None = None,
    closed: bool = False,
) -> Status:
    """The fleet as the snapshot has it. Who looks again and again hands in the same `look` and `known` each time."""
    only = snapshot.plan(plan) if plan is not None else None
    if not snapshot.plans:
        main = _main(session)
        steps = (advice.first_step(main, set_up=_set_up(session)),)
        return Status(snapshot.at, (), main, "", steps, sharing=sharing.standing(session.store))
    config = session.config()
    index = _index_of_the_unended(snapshot, config)
    unended = [task for task, record in snapshot.tasks.items() if not record.state.state.ended]
    found = readiness.ready_tasks(snapshot, index, config, host=session.around.host, among=unended)
    full = readiness.limit(snapshot.tasks.values(), config, snapshot.at, host=session.around.host)
    ready_at_all = full is None and next(found, None) is not None
    if look is not None:
        look.read(session, snapshot, config)
    going = [record for record in snapshot.plans.values() if record.state is not PlanState.CLOSED]
    shown = [only] if only is not None else [*snapshot.plans.values()] if closed else going
    rows = _grouped(snapshot) | _of_closed(session, snapshot, shown)
    made = (_plan_status(session, snapshot, index, each, rows.get(each.id, []), look) for each in shown)
    return Status(
        at=snapshot.at,
        plans=waiting.shown(session, snapshot, made, known) if look is not None else tuple(made),
        main=_main(session),
        lead=_lead(snapshot),
        steps=advice.steps(
            snapshot,
            config,
            ready=ready_at_all,
            unfit=partial(_unfit, session),
            placement=session.placement,
        ),
        closed=len(snapshot.plans) - len(going),
        sharing=sharing.standing(session.store),
    )


def _set_up(session: Session) -> bool:
    """Whether `git fleet init` has nothing to do here; it cannot do anything without a work tree."""
    if session.repo.worktree is None:
        return True
    from git_fleet.app import install

    return all(problem.code != "hooks-missing" for problem in install.inspect(session.repo))


def _unfit(session: Session, record: PlanRecord) -> str:
    """Why the plan's newest text cannot be approved as it is; "" when it can."""
    from git_fleet.core import plandoc  # slow to import, and only drafts need it

    try:
        plan = _draft(session, record)
    except FleetError:
        plan = None
    if plan is None:
        return "it cannot be read"
    if problems := plandoc.approval_problems(plan):
        return problems[0].partition(";")[0]
    there = session.store.objects.read_ref(names.branch(plan.base))
    return "" if there else f"there is no branch {plan.base}"


def _index_of_the_unended(snapshot: Snapshot, config: Config) -> Index:
    """What overlaps what among the tasks that have not ended: no other overlap keeps a task waiting,
    and in a large plan most have. (Waves are counted over the whole plan, so such plans stay whole.)"""
    return Index(
        [_without_ended(snapshot, record) for record in snapshot.plans.values()], config.generated_paths
    )


def _without_ended(snapshot: Snapshot, record: PlanRecord) -> PlanRecord:
    plan = record.approved
    if plan is None or plan.schedule is Schedule.WAVES:
        return record
    tasks = tuple(task for task in plan.tasks if not snapshot.tasks[task.id].state.state.ended)
    return replace(record, approved=replace(plan, tasks=tasks))


def _main(session: Session) -> Oid | None:
    """The tip of the default base; None when there is no commit yet."""
    try:
        found = session.store.objects.read_ref(names.branch(session.main))
    except InvalidInput:
        return None
    return found[0] if found else None


def _lead(snapshot: Snapshot) -> str:
    lead = snapshot.lead
    lives = lead.fence is not None and lead.expires_at is not None and snapshot.at < lead.expires_at
    return lead.holder if lives else ""


def _grouped(snapshot: Snapshot) -> dict[str, list[TaskRecord]]:
    """The tasks by plan, those that only an incoming revision has at the end."""
    found: dict[str, list[TaskRecord]] = {}
    for record in (*snapshot.tasks.values(), *snapshot.incoming.values()):
        found.setdefault(record.id.plan, []).append(record)
    return found


def _of_closed(
    session: Session, snapshot: Snapshot, shown: Sequence[PlanRecord]
) -> dict[str, list[TaskRecord]]:
    """The tasks of those that are closed, which a snapshot does not have."""
    ended = [record for record in shown if record.state is PlanState.CLOSED]
    if not ended:
        return {}
    from git_fleet.app import exporting

    return {record.id: exporting.records(session, snapshot, record) for record in ended}


def _plan_status(
    session: Session,
    snapshot: Snapshot,
    index: Index,
    record: PlanRecord,
    rows: list[TaskRecord],
    look: Details | None,
) -> PlanStatus:
    plan = record.approved or record.incoming or _draft(session, record)
    if plan is not None and not rows:
        rows = [TaskRecord(task, None, PENDING) for task in plan.tasks]
    counts = Counter(row.state.state for row in rows)
    counted = look is not None and len(rows) <= _MOST_IN_WAVES
    wave = waves(record.approved, session.index(snapshot)) if record.approved and counted else {}
    return PlanStatus(
        plan=record.id,
        title=plan.title if plan else record.id,
        base=plan.base if plan else "",
        state=record.state,
        reason=record.log.reason,
        counts=tuple((state, counts[state]) for state in State if counts[state]),
        tasks=tuple(_task_row(snapshot, index, row, look, wave.get(row.id)) for row in rows),
        wave=min(
            (wave[row.id] for row in rows if row.id in wave and not row.state.state.ended), default=None
        ),
        waves=max(wave.values(), default=-1) + 1,
    )


def _draft(session: Session, record: PlanRecord) -> Plan | None:
    return plans.revision(session.store, record.id, record.note).plan if record.note else None


def _task_row(
    snapshot: Snapshot, index: Index, record: TaskRecord, look: Details | None, wave: int | None
) -> TaskRow:
    task, state = record.task, record.state
    claim = state.claim if state.state in AT_WORK or state.state is State.INTEGRATED else None
    ahead, dirty = look.changes(record.id) if look else (None, None)
    return TaskRow(
        id=record.id,
        title=task.title,
        state=state.state,
        holder=claim.holder if claim else "",
        attempt=state.attempt,
        expires_at=claim.expires_at if claim and state.state is State.CLAIMED else None,
        branch=claim.branch if claim else "",
        worktree=claim.worktree if claim else "",
        ahead=ahead,
        dirty=dirty,
        files=task.owned,
        needs=task.needs_ids,
        waits_for=_waits_for(snapshot, index, record),
        summary=state.summary,
        usage=state.usage,
        why=_why(state) or _why_not_yet(snapshot, record),
        claimed_at=claim.acquired_at if claim and state.state in AT_WORK else None,
        seen_at=look.seen(record) if look else None,
        wave=wave,
    )


def _why(state: TaskState) -> str:
    """Why a task stands still: the block's code and reason, why it waits for a person, or what was found
    last, in one line."""
    if state.state is State.BLOCKED:
        reason = first_line(state.reason)  # below it is what an agent printed last
        return f"{state.code}: {reason}" if state.code and reason else state.code or reason
    if state.state is State.PARKED:
        return state.reason
    if state.state is not State.REWORK:
        return ""
    found = first_line(state.findings[0].text) if state.findings else ""
    if not state.reason or found.startswith(state.reason):
        return found
    return f"{state.reason}: {found}" if found else state.reason


def _why_not_yet(snapshot: Snapshot, record: TaskRecord) -> str:
    """What of other repositories keeps a task from being claimed; or, handed in, from landing alone."""
    if record.state.state in (State.PENDING, State.REWORK):
        missing = snapshot.missing_elsewhere(record.task)
        return "; ".join(f"needs {name}, which is {found.now}" for name, found in missing[:3])
    if record.task.changeset and record.state.state in (State.PROPOSED, State.VERIFIED):
        return f"lands with change set {record.task.changeset}"
    return ""


def _waits_for(snapshot: Snapshot, index: Index, record: TaskRecord) -> tuple[TaskId, ...]:
    """The tasks that keep this one from being claimed: needs not integrated, overlapping ones active."""
    if record.state.state not in (State.PENDING, State.REWORK):
        return ()
    missing = [
        need
        for need in record.task.needs_ids
        if (other := snapshot.tasks.get(need)) is None or other.state.state is not State.INTEGRATED
    ]
    active = [
        other_id
        for other_id in sorted(index.overlaps.of(record.id))
        if (other := snapshot.record(other_id)) is not None and other.state.state.active
    ]
    return tuple(dict.fromkeys((*missing, *active)))


def ready(session: Session) -> tuple[ReadyTask, ...]:
    """The tasks that can be claimed now, in the order they are offered; none where a limit is reached."""
    return ready_in(session, session.snapshot())


def ready_in(session: Session, snapshot: Snapshot) -> tuple[ReadyTask, ...]:
    """The same of a snapshot that is there."""
    if not snapshot.tasks:
        return ()
    index = session.index(snapshot)
    config, host = session.config(), session.around.host
    if readiness.limit(snapshot.tasks.values(), config, snapshot.at, host=host) is not None:
        return ()
    found = list(readiness.ready_tasks(snapshot, index, config, host=host))
    plans_found = {record.id.plan: snapshot.plans[record.id.plan].approved for record in found}
    wave = {
        task: number for plan in plans_found.values() if plan for task, number in waves(plan, index).items()
    }
    return tuple(
        ReadyTask(
            record.id,
            record.task.title,
            wave[record.id],
            record.task.priority,
            record.task.owned,
            record.task.labels,
        )
        for record in found
    )


def explain(session: Session, name: str | None) -> Explanation:
    """Why the task (None: the one of this worktree) can or cannot be claimed now."""
    snapshot = session.snapshot()
    record = session.record(snapshot, name)
    config, index = session.config(), session.index(snapshot)
    reasons = list(readiness.reasons(record, snapshot, index, config, host=session.around.host))
    if record.state.state.ended:  # what would keep it waiting if it had not
        reasons = [reason for reason in reasons if reason.code in ("state", "plan")]
    reached = readiness.limit(snapshot.tasks.values(), config, snapshot.at, host=session.around.host)
    if reached is not None and not record.state.state.ended:
        reasons.append(reached)
    state = record.state.state
    reasons += waiting.reasons(session, snapshot, record)
    look = Details()
    look.read(session, replace(snapshot, tasks={record.id: record}), config)
    plan = snapshot.plans[record.id.plan].approved
    return Explanation(
        id=record.id,
        state=state,
        ready=not reasons,
        reasons=tuple(reasons),
        findings=() if state.ended else record.state.findings,
        row=_task_row(snapshot, index, record, look, None),
        base=plan.base if plan else "",
        landed=record.state.landed,
        waiting=tuple(
            other.id
            for other in snapshot.tasks.values()
            if other.id != record.id and record.id in _waits_for(snapshot, index, other)
        ),
    )


def siblings(session: Session, name: str | None) -> tuple[Sibling, ...]:
    """The other tasks of the plan of task `name` (None: of the task of this worktree); all tasks of
    the plan when `name` is a plan's id."""
    snapshot = session.snapshot()
    if name is not None and name in snapshot.plans:
        return tuple(map(_sibling, snapshot.of_plan(name)))
    mine = session.record(snapshot, name).id
    return tuple(_sibling(record) for record in snapshot.of_plan(mine.plan) if record.id != mine)


def _sibling(record: TaskRecord) -> Sibling:
    state = record.state
    holder = state.claim.holder if state.claim and state.state in AT_WORK else ""
    return Sibling(record.id, state.state, state.summary, holder, state.code, state.reason)


def list_worktrees(session: Session) -> tuple[WorktreeRow, ...]:
    """The worktrees of tasks on this machine, those of earlier claims included."""
    found = places.task_places(session)
    if not found:
        return ()
    snapshot, markers = session.snapshot(), includes.check_markers(session.config().touch)
    return tuple(map(partial(_worktree_row, session, snapshot, markers), found))


def _worktree_row(
    session: Session, snapshot: Snapshot, markers: tuple[str, ...], place: places.Place
) -> WorktreeRow:
    state = places.state_of(session, snapshot, place.task)
    return WorktreeRow(
        id=place.task,
        path=str(place.tree.path),
        branch=(place.tree.branch or "").removeprefix(names.branch("")),
        worker=place.placement.worker if place.placement else "",
        slot=place.placement.slot if place.placement else 0,
        state=state.state if state else None,
        current=places.is_current(place, state),
        dirty=count_dirty(place.tree.path, markers) if place.finished else None,
    )
