"""Who may work on what: the guard, overlapping tasks, plans between two states, leases that have run out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from git_fleet.app import snapshots
from git_fleet.app.checks.finding import Finding
from git_fleet.app.decided import help_guard
from git_fleet.app.session import Session
from git_fleet.core import lease
from git_fleet.core.model import PlanState, State
from git_fleet.core.snapshot import Snapshot
from git_fleet.store import archive, guard, kept, names

_FINISHED_BY = {
    PlanState.APPROVING: ("approval-unfinished", "git fleet plan approve {} finishes it"),
    PlanState.CLOSING: ("closing-unfinished", "git fleet plan close {} finishes it"),
}


def guard_helped(session: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """The claim that the guard names is in its task's log, or void."""
    if snapshot.guard is None:
        return
    named = guard.read(session.store, snapshot.guard)
    record = snapshot.record(named.task)
    if record is None or not snapshot.plans[named.task.plan].state.counts:
        return
    parents = session.store.objects.read_commit(named.claim).parents
    if (parents[0] if parents else None) == record.tip:
        yield Finding(
            "claim-unfinished",
            f"the guard names a claim of {named.task} that is not in its log yet",
            "git fleet doctor --fix, or any claim, finishes it",
            lambda: help_guard(session, snapshot),
        )


def overlaps(session: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """No two tasks that overlap are active together."""
    known = session.index(snapshot).overlaps if snapshot.tasks else None
    active = {task for task, record in snapshot.tasks.items() if record.state.state.active}
    for task in sorted(active):
        for other in sorted(known.of(task) & active if known else ()):
            if task < other:
                yield Finding(
                    "overlap",
                    f"{task} and {other} own common files and are both active",
                    f"git fleet release, withdraw, shelve or cancel one of them: git fleet explain {other}",
                )


def plans_between(_: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """No approval and no closing was left half-way."""
    for plan in snapshot.plans.values():
        if plan.state in _FINISHED_BY:
            code, fix = _FINISHED_BY[plan.state]
            yield Finding(code, f"plan {plan.id} is {plan.state}", fix.format(plan.id))


def closed_plans(session: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """A closed plan has no task refs any more; one that reappeared counts for nobody."""
    for plan in snapshot.plans.values():
        if plan.state is not PlanState.CLOSED:
            continue
        left = len(session.store.refs.read(f"{names.TASK_LOGS}{plan.id}/"))
        if left:
            yield Finding(
                "closed-plan",
                f"plan {plan.id} is closed and {left} task logs are not in its archive",
                "git fleet doctor --fix puts them there",
                partial(archive.fold, session.store, plan.id, actor=session.actor, at=session.now()),
            )


def kept_work(session: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """Salvages can be read, and snapshots are of plans that are not closed."""
    kept.salvages(session.store)
    closed = {plan.id for plan in snapshot.plans.values() if plan.state is PlanState.CLOSED}
    for plan in sorted(closed & {one.task.plan for one in kept.snapshots(session.store)}):
        yield Finding(
            "snapshot",
            f"plan {plan} is closed, and snapshots of its tasks are left",
            "git fleet doctor --fix removes them, and keeps what is nowhere else",
            partial(snapshots.retire_all, session, plan),
        )


def leases(session: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """Claims that anyone may take over by now."""
    for record in snapshot.tasks.values():
        claim = record.state.claim
        if record.state.state is not State.CLAIMED or claim is None:
            continue
        if lease.expired(claim, snapshot.at, host=session.around.host):
            text = f"the claim of {claim.holder} on {record.id} ran out at {claim.expires_at:%Y-%m-%d %H:%M:%S} UTC"
            yield Finding("expired", text, f"git fleet claim {record.id} takes it over", note=True)
