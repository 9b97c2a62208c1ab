"""Settling with the remote what was done here alone (DESIGN section 11).

Events that were to ride along are pushed. A claim made offline is made now, by the same protocol as any claim: its
task has to be free still, the guard moves first where it overlaps another, then the log with all that was done since.
Whoever pushes first wins; of the loser everything is kept, and it is told.
"""

from __future__ import annotations

from git_fleet.app import carrying, homing, placing
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import TaskState
from git_fleet.core.ready import first_obstacle
from git_fleet.core.results import Settled, Synced
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import Busy, InvalidInput, LostRace, NeedsPerson
from git_fleet.store import guard, log, names, tasks
from git_fleet.store.shared import SharedRefs

_TRIES = 50


def sync(session: Session) -> Synced:
    """Exchange with the remote what there is: what was pushed, what came of claims made offline, and what a person
    should know. Raises InvalidInput where no remote decides, Unreachable, Refused."""
    refs = session.store.refs
    if not isinstance(refs, SharedRefs):
        raise InvalidInput(
            "fleet.toml names no remote, so there is nothing to exchange",
            hint='remote = "origin" in fleet.toml on the base branch',
        )
    refs.refresh()
    before = refs.pushes.total()
    settled = [
        _settle(session, refs, names.task_of(mark), Oid(claim))
        for mark, claim in refs.read(names.OFFLINE).items()
    ]
    told = carrying.tell(session)
    snapshot = session.snapshot()
    notes = [*_catch_up(session, snapshot)]
    lost = len(refs.read(names.LOST))
    return Synced(refs.remote.name, refs.pushes.total() - before, told, tuple(settled), lost, tuple(notes))


def _settle(session: Session, refs: SharedRefs, task: TaskId | None, claim: Oid) -> Settled:
    """Make the claim that was made offline, or give it up."""
    if task is None:
        raise AssertionError("a mark is of a task")
    ref = names.task_log(task)
    for _ in range(_TRIES):
        if ref not in refs.waiting():
            at = refs.get(ref)
            if isinstance(at, str) and session.store.objects.is_ancestor(claim, at):
                refs.unmark(task, claim)  # a sync before this one was cut short
                return Settled(task, won=True)
            return _lost(session, refs, task, claim, "somebody else was first")
        mine = tasks.state_at(session.store, refs.waiting()[ref])
        with refs.ignoring(ref):
            snapshot = session.snapshot()
            record = snapshot.record(task)
            why = _taken(refs, task, mine) or _hindrance(session, snapshot, record, claim)
        if why:
            return _lost(session, refs, task, claim, why)
        try:
            _make(session, refs, snapshot, task, claim)
        except Busy:
            raise
        except LostRace:
            continue
        refs.unmark(task, claim)
        return Settled(task, won=True)
    raise Busy("others are faster again and again", hint="git fleet sync")


def _taken(refs: SharedRefs, task: TaskId, mine: TaskState) -> str:
    """Why what was handed in offline cannot be told: its number was not known to be taken."""
    proposal = mine.proposal
    if proposal is None or refs.get(names.proposal(task, proposal.number)) == proposal.oid:
        return ""
    return f"there is another proposal {proposal.number} of it"


def _hindrance(session: Session, snapshot: Snapshot, record: TaskRecord | None, claim: Oid) -> str:
    """Why the claim cannot be made as things are on the remote; "" when it can, or is there already."""
    if record is None:
        return "its plan does not count any more"
    if record.tip is not None and (
        record.tip == claim or session.store.objects.is_ancestor(claim, record.tip)
    ):
        return ""
    parent = log.read(session.store.objects, claim).parent
    if parent != record.tip:
        holder = record.state.claim.holder if record.state.claim else "somebody else"
        return f"{holder} was first"
    index, config = session.index(snapshot), session.config_of(record.id)
    found = first_obstacle(record, snapshot, index, config, host=session.around.host)
    return found.text if found else ""


def _make(session: Session, refs: SharedRefs, snapshot: Snapshot, task: TaskId, claim: Oid) -> None:
    """The guard, where the task overlaps another; the proposals; the log. Raises LostRace."""
    record = snapshot.tasks[task]
    named = snapshot.guard is not None and guard.read(session.store, snapshot.guard).claim == claim
    if session.index(snapshot).overlaps.of(task) and record.tip != claim and not named:
        event = log.read(session.store.objects, claim).event
        guard.move(session.store, before=snapshot.guard, task=task, claim=claim, event=event)
    ahead = refs.waiting()
    refs.tell(*(ref for ref in ahead if ref.startswith(names.PROPOSALS) and names.task_of(ref) == task))
    refs.tell(names.task_log(task))


def _lost(session: Session, refs: SharedRefs, task: TaskId, claim: Oid, why: str) -> Settled:
    """Keep what was done under a claim that did not come about."""
    ref = names.task_log(task)
    mine = refs.waiting().get(ref)
    kept = ""
    snapshot = session.snapshot()
    record = snapshot.record(task)
    state = tasks.state_at(session.store, mine or claim)
    if record is not None:
        own = TaskRecord(record.task, mine, state)
        rescued = placing.rescue(session, own, leave=True)
        kept = rescued.ref
    proposed = [each for each in refs.waiting() if names.task_of(each) == task]
    refs.give_up(*proposed)
    refs.unmark(task, claim)
    where = state.claim.worktree if state.claim else ""
    return Settled(
        task, won=False, reason=why, kept=kept or next(iter(_kept(refs, task)), ""), worktree=where
    )


def _kept(refs: SharedRefs, task: TaskId) -> list[str]:
    found = refs.read(names.LOST)
    return [ref for ref in found if ref.startswith(f"{names.LOST}{task}/")]


def _catch_up(session: Session, snapshot: Snapshot) -> list[str]:
    """Bring the base branches of this clone to where the remote has them: what hinders that."""
    notes = []
    bases = {plan.approved.base for plan in snapshot.plans.values() if plan.approved}
    for base in sorted(bases | {session.main}):
        ref = names.branch(base)
        there = session.store.refs.get(ref)
        try:
            if isinstance(there, str):
                homing.catch_up(session, ref, there)
        except NeedsPerson as error:
            notes.append(f"{base} stays behind: {error.message}")
    return notes
