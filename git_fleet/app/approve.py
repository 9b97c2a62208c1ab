"""Approving a plan: three kinds of writes, in an order that claims made meanwhile cannot slip through
(DESIGN section 5; the rules *approving* and *revised* of the claim model).

    approving   in the plan's log: from here on the old and the new revision both count for overlaps
    revised     in the log of every task, of any plan that counts, whose files, needs or set of
                overlapping tasks change: a claim computed before is refused by its own task's ref
    approve     in the plan's log: the new revision is what tasks are read from

All reading and refusing is done again after `approving`; a refusal then goes back to the previous
revision, or to draft. Interrupted anywhere, the same command finishes what was begun: the revision
that was being approved, whatever has been drafted since (a worker's follow-up, say).
"""

from __future__ import annotations

from contextlib import suppress

from msgspec import Struct

from git_fleet.app import plan as planning
from git_fleet.app.acting import act
from git_fleet.app.session import Session
from git_fleet.core import plandoc
from git_fleet.core.check import PlanCheck
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import Plan, Task
from git_fleet.core.overlaps import Overlaps
from git_fleet.core.snapshot import PlanRecord, Snapshot, TaskRecord
from git_fleet.errors import IllegalEvent, InvalidInput, Stale
from git_fleet.store import names, plans
from git_fleet.store.plans import Revision


class Preview(Struct, frozen=True):
    """What approving means: the plan's check, every command that will run, how many worktrees and
    how many bytes of disk they take, and what the person should know besides. `note` is the revision
    that this is about."""

    plan: str
    note: Oid
    check: PlanCheck
    commands: tuple[str, ...]
    worktrees: int
    disk_bytes: int
    warnings: tuple[str, ...]


def preview(session: Session, plan_id: str) -> Preview:
    """What `approve` would do, without doing it. Raises InvalidInput for a plan with errors."""
    snapshot = session.snapshot()
    record = snapshot.plan(plan_id)
    revision, begun = _revision(session, record)
    if not begun:
        _refuse_errors(session, snapshot, revision.plan)
    config = session.config(revision.plan.base)
    checked = planning.check_text(session, revision.plan)
    runs = [gate.run for gate in config.gates] + [entry.run for entry in config.generated]
    runs += [verifier.run for verifier in config.verifiers]
    profiles = dict.fromkeys(config.profile(task.worker) for task in revision.plan.tasks)
    runs += [run for each in profiles for run in (each.setup, each.teardown) if run]
    declared = [run if isinstance(run, str) else " ".join(run) for run in runs]
    accepts = [command for task in revision.plan.tasks for command in task.accept]
    warnings = [] if config.gates or config.gates_none else ["no gate is declared: integrate will refuse"]
    if revision.note != record.note:
        warnings.append(
            "this finishes an approval that was interrupted; what was drafted since comes after it"
        )
    size = planning.checkout_bytes(session, revision.plan.base)
    at_once = min(len(revision.plan.tasks), config.max_active)
    return Preview(
        record.id,
        revision.note,
        checked,
        tuple(dict.fromkeys([*declared, *accepts])),
        at_once,
        size * at_once,
        tuple(warnings),
    )


def approve(session: Session, plan_id: str, *, expected: Oid | None = None) -> PlanRecord:
    """Approve the newest revision of the plan, or finish the approval that was interrupted; a paused
    plan stays paused. `expected` is the revision that the person was shown (`Preview.note`).

    Raises InvalidInput for a plan with errors, or one that removes or re-scopes an active task or
    makes two active tasks overlap; Denied for an agent; Stale when it is not the revision expected, or
    somebody else acts on the plan.
    """
    session.require_person("approve")
    person = session.person()
    snapshot = session.snapshot()
    record = snapshot.plan(plan_id)
    revision, begun = _revision(session, record)
    if expected is not None and revision.note != expected:
        raise Stale(
            f"plan {record.id} was changed while you were looking at it; nothing is approved",
            hint=f"git fleet plan approve {record.id} shows what it says now",
        )
    if not begun:  # else a refusal is for `_approve`, which takes back what was begun
        _refuse_errors(session, snapshot, revision.plan)
    session.keep_config(revision.plan.base)
    plans.keep(session.store, revision)
    plans.refresh_open_file(session.store, besides=[(record.id, revision.plan.base)])
    try:
        _approve(session, record, revision, person)
    finally:
        plans.refresh_open_file(session.store)
    approved = session.snapshot()
    session.index(approved).overlaps.find()  # else the first claim would have to
    return approved.plans[record.id]


def _revision(session: Session, record: PlanRecord) -> tuple[Revision, bool]:
    """The revision to approve, and whether its approval had begun. Raises InvalidInput."""
    planning.refuse_closed(record.id, record.state)
    if record.log.incoming is not None:
        return plans.revision(session.store, record.id, record.log.incoming), True
    return planning.newest_of(session, record), False


def _approve(session: Session, record: PlanRecord, revision: Revision, person: str) -> None:
    paused = planning.was_paused(session, record)
    fields = {"incoming": revision.note, "paused": paused}
    record = plans.append(session.store, record, Event("approving", session.now(), person, fields))
    try:
        _revise(session, session.snapshot(), revision.plan, revision.note, person)
    except InvalidInput as refusal:
        _go_back(session, record, person, paused, str(refusal))
        raise
    fields = {"revision": revision.note, "paused": paused}
    plans.append(session.store, record, Event("approve", session.now(), person, fields))


def _go_back(session: Session, record: PlanRecord, person: str, paused: bool, reason: str) -> None:
    """The refusal of an approval that had begun: the previous revision counts again, or none does."""
    name, fields = "draft", dict[str, object](reason=reason)
    if record.log.revision is not None:
        name, fields = "approve", {"revision": record.log.revision, "paused": paused, "reason": reason}
    plans.append(session.store, record, Event(name, session.now(), person, fields))


def _refuse_errors(session: Session, snapshot: Snapshot, plan: Plan) -> None:
    """Raises InvalidInput with everything that stands against approving `plan`."""
    problems = [*plandoc.approval_problems(plan), *_against_active(session, snapshot, plan)]
    if not session.store.refs.read(names.branch(plan.base)):
        problems.append(f"base {plan.base!r}: there is no such branch")
    if problems:
        raise InvalidInput(
            f"plan {plan.id} cannot be approved: " + "; ".join(problems),
            hint=f"git fleet plan edit {plan.id}",
        )


class _Change(Struct, frozen=True):
    """The plan's tasks before and after, and who overlaps whom before and after, among the tasks of
    all plans that count (those about to count included)."""

    old: dict[TaskId, Task]
    new: dict[TaskId, Task]
    others: tuple[Task, ...]
    before: Overlaps
    after: Overlaps

    def rescopes(self, task: TaskId) -> bool:
        """Whether a task of the plan is removed, or owns, needs or overlaps by other rules."""
        return task in self.old and (task not in self.new or _scope(self.old[task]) != _scope(self.new[task]))


def _change(session: Session, snapshot: Snapshot, plan: Plan) -> _Change:
    record = snapshot.plans.get(plan.id)
    old = record.approved.tasks if record and record.approved else ()
    counting = [each for other in snapshot.plans.values() if other.id != plan.id for each in other.counting]
    others = tuple(task for each in counting for task in each.tasks)
    generated = session.config().generated_paths
    return _Change(
        {task.id: task for task in old},
        {task.id: task for task in plan.tasks},
        others,
        Overlaps([*others, *old], generated),
        Overlaps([*others, *plan.tasks], generated),
    )


def _against_active(session: Session, snapshot: Snapshot, plan: Plan) -> list[str]:
    """How the new revision would pull the rug from under active tasks."""
    change = _change(session, snapshot, plan)
    active = {task_id for task_id, found in snapshot.tasks.items() if found.state.state.active}
    problems = [
        f"{task_id} is active and would be {'re-scoped' if task_id in change.new else 'removed'}"
        for task_id in sorted(active)
        if change.rescopes(task_id)
    ]
    problems += [
        f"{a} and {b} are both active and would overlap"
        for a in sorted(active)
        for b in sorted(change.after.of(a) - change.before.of(a))
        if a < b and b in active
    ]
    return problems


def _scope(task: Task) -> tuple[object, ...]:
    needs = (task.needs, task.needs_elsewhere, task.follows_elsewhere)
    return task.owned, needs, task.output, task.overlap, task.joint, task.changeset


def _revise(session: Session, snapshot: Snapshot, plan: Plan, note: Oid, person: str) -> None:
    """Touch the log of every task that the approval changes; refuse now what has become active.

    What is removed is cancelled last, when nothing can be refused any more: the plan is not open, and
    a claim computed before is void since `revised`.
    """
    _refuse_errors(session, snapshot, plan)
    change = _change(session, snapshot, plan)

    def decide(now: TaskRecord) -> dict[str, object]:
        if now.state.state.active and change.rescopes(now.id):
            raise InvalidInput(f"plan {plan.id} cannot be approved: {now.id} has just been claimed")
        return {"revision": note, "reason": f"plan {plan.id} is being approved"}

    touched = [record for task in _touched(change) if (record := snapshot.record(task.id)) is not None]
    removed = [record for record in touched if record.id in change.old and record.id not in change.new]
    for name, records in (("revised", touched), ("cancel", removed)):
        for record in records:
            with suppress(IllegalEvent):  # it is in a state from which no claim is possible
                act(session, session.reread(record), name, decide, actor=person)


def _touched(change: _Change) -> list[Task]:
    """The tasks whose files, needs or set of overlapping tasks the new revision changes. Of one that
    is new no claim can have been computed, so there is nothing to be refused."""
    known = [*change.others, *change.old.values()]
    return [
        task
        for task in known
        if change.rescopes(task.id) or change.before.of(task.id) != change.after.of(task.id)
    ]
