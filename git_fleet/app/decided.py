"""Claims that are decided, while not everybody knows it who should (DESIGN section 6, rule *helping*).

Between the step that decides and the next a process may die, or the server be out of reach. Whoever sees what the
guard names writes it into its task's log. So may a worker have got what it was told was not known: it is remembered
here, and given to it when it asks again. (Another process of it finds it by `git fleet claim --resume`.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from git_fleet.app import sharing
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import PlanState, State
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import Busy, Held, LostRace, Stale, Unreachable
from git_fleet.git.objects import parse_commit
from git_fleet.git.refs import Update
from git_fleet.store import guard, names
from git_fleet.store.base import value


def help_guard(session: Session, snapshot: Snapshot) -> bool:
    """Finish the claim that the guard names, if its own process did not; True to start over. It is in its task's log
    already, or void, unless that log's tip is exactly the event's parent. A claim in a closed plan counts for nobody."""
    if snapshot.guard is None or sharing.offline(session.store):
        return False
    named = guard.read(session.store, snapshot.guard)
    record = snapshot.record(named.task)
    if record is None or not snapshot.plans[named.task.plan].state.counts:
        return False
    parent = parse_commit(named.claim, session.store.objects.read(named.claim)[1]).parents
    if (parent[0] if parent else None) != record.tip:
        return False
    with suppress(Stale, Held):  # somebody has helped, or the claim is void
        session.store.transact([Update(names.task_log(named.task), value(record.tip), named.claim)])
    return True


@contextmanager
def remembered(session: Session, record: TaskRecord, claim: Oid, salvaged_from: str) -> Iterator[None]:
    """While the block makes this claim of `record`, and from then on where it ends without knowing whether it was made.
    Raises what the block raises; Unreachable says how to find out."""
    session.untold[record.id] = guard.Untold(claim, record.tip, salvaged_from)
    try:
        yield
    except LostRace as lost:
        if not isinstance(lost, Busy):  # that one says nothing
            del session.untold[record.id]
        raise
    except Unreachable as error:
        text = f"{error.message}; whether {record.id} was claimed is not known"
        how = f"git fleet claim --resume {record.id} --worker {session.actor}"
        raise Unreachable(text, hint=f"{how} goes on with it if it was") from error
    del session.untold[record.id]


def found_out(
    session: Session, snapshot: Snapshot, task: TaskId | None, but: Collection[TaskId]
) -> tuple[TaskRecord, str] | None:
    """A claim of this worker's that it was not told of, and what its work goes on from; only of `task` where one is
    named, of none of `but`. None when there is none, or it has not been made as far as is known here, or its plan is
    being closed, which ends soon: it is forgotten when something else has become of its task."""
    for one, untold in list(session.untold.items()):
        record, plan = snapshot.record(one), snapshot.plans.get(one.plan)
        closing = plan is not None and plan.state is PlanState.CLOSING
        if closing or (record is not None and record.tip == untold.parent):
            continue
        held = record.state.claim if record is not None and record.state.state is State.CLAIMED else None
        if record is None or held is None or held.fence != untold.claim:
            del session.untold[one]
        elif held.holder == session.actor and task in (None, one) and one not in but:
            # (A session may be of several workers, in turns.)
            del session.untold[one]
            return record, untold.salvaged_from
    return None
