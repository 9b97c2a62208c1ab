"""Claiming: who gets which task (DESIGN section 6).

The protocol is explored whole, every interleaving and crash of small worlds, by
`tests/races/claim_model.py`; each step below names the rule of the model it is:

    rereading    the plans are read before and after the tasks; if they differ, start over
    helping      a claim that the guard names but its task's log lacks is appended by whoever sees it
    guard-first  a task that overlaps another moves the guard, from the value read, to its claim
                 event; this decides, the task's own log follows
    approving, revised   (app/approve.py) an approval is announced, then touches every task whose
                 overlaps it changes, so that a claim computed before is refused by its own ref
    closing      (here and app/plan.py) after the claim the plan is read again; in a closing plan the
                 claim is given back

Each step writes one ref by its exact old value, objects first. Losing a candidate is normal. Any time may pass
between reading and writing, so where a remote decides it is not listed again before a push.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby, islice

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.app import placing, sharing
from git_fleet.app.decided import found_out, help_guard, remembered
from git_fleet.app.session import Session
from git_fleet.core import lease
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import ATTEMPTS, Event, after
from git_fleet.core.model import Claim, PlanState, State
from git_fleet.core.progress import Stop
from git_fleet.core.ready import INTEGRATES, claimable_state, first_obstacle, limit, out_of_attempts, reasons
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.core.wording import count
from git_fleet.errors import AnswerIsNo, Busy, FleetError, GitFailed, Held, InvalidInput, LostRace
from git_fleet.git.refs import Update
from git_fleet.store import bucket, guard, log, names, plans, tasks
from git_fleet.store.base import value

_ROUNDS = 200
_SPREAD = 64
_RETRY_SECONDS = {"limit": 30, "waiting": 60, "paused": 300, "complete": 0}


class Request(Struct, frozen=True):
    """What a worker asks for: one task by name, or any ready one with one of `labels`, of `plan` where one is
    named, and none of `but`."""

    task: str | None = None
    labels: tuple[str, ...] = ()
    worktree: bool = True
    plan: str = ""
    but: frozenset[TaskId] = frozenset()

    def wants(self, record: TaskRecord) -> bool:
        """Whether the task may be offered to whoever asks so, as far as the request goes."""
        if self.labels and not set(self.labels) & set(record.task.labels):
            return False
        return self.plan in ("", record.id.plan) and record.id not in self.but


class Claimed(Struct, frozen=True):
    """A task that is now ours. `record` is as after the claim event; its `tip` is the fence."""

    record: TaskRecord
    salvaged_from: str = ""


class NothingReady(Struct, frozen=True):
    """Nothing to claim: why, a sentence, and when asking again may help (0: never). `passes` says that it may
    help though nobody does anything: a limit that other workers or time will lift."""

    reason: str
    text: str
    retry_after_seconds: int
    passes: bool = False


def claim(session: Session, request: Request) -> Claimed | NothingReady:
    """Take one task, or say why there is none; never waits.

    Raises InvalidInput or Ambiguous for a task that does not exist, Held for one somebody holds,
    AnswerIsNo for a named task that is not ready, Busy when others are faster for very long.
    """
    for round_number in range(_ROUNDS):
        # A named task is looked at anew: what was kept may be too old for a no that is an error.
        fresh = round_number > 0 or request.task is not None or bool(session.untold)
        snapshot = session.recent_snapshot(fresh=fresh)
        if help_guard(session, snapshot):
            continue
        named = snapshot.resolve(request.task).id if request.task is not None else None
        known = found_out(session, snapshot, named, request.but)
        if known is not None:
            return Claimed(*known)
        found = _claim_from(session, snapshot, request)
        if found is None or (not isinstance(found, Claimed) and session.long_lived and round_number == 0):
            continue  # what was kept may be old: look again before saying no
        if isinstance(found, FleetError):
            raise found
        return found
    raise Busy("others are faster again and again", hint="git fleet claim")


def _claim_from(
    session: Session, snapshot: Snapshot, request: Request
) -> Claimed | NothingReady | FleetError | None:
    """One pass over what was read; None to start over. The error is that of the first candidate which
    cannot be had as things are, when no other can."""
    config = session.config()
    reached = limit(session.under_way(snapshot), config, snapshot.at, host=session.around.host)
    if reached is not None:
        return NothingReady("limit", reached.text, _RETRY_SECONDS["limit"], passes=reached.fix != INTEGRATES)
    if request.task is not None:
        candidates = iter([_named(session, snapshot, request.task, config)])
    else:
        candidates = _candidates(session, snapshot, request, config)
    lost, trouble, paid = False, None, sharing.offline(session.store) is not None
    for record in candidates:
        wait_seconds = 0 if paid else bucket.take(session.store, config.bucket, session.actor, snapshot.at)
        if wait_seconds:
            text = "claims are rate-limited (bucket in fleet.toml)"
            return NothingReady("limit", text, wait_seconds, passes=True)
        paid = True
        got = _attempt(session, snapshot, record, request, session.config_of(record.id))
        if isinstance(got, Claimed):
            return got
        if got is not None:
            trouble = trouble or got
            continue
        lost = True
        if session.index(snapshot).overlaps.of(record.id) and not session.long_lived:
            return None  # the guard has moved: what is left of this snapshot proves nothing
    return None if lost else trouble or nothing(session, snapshot, request.plan)


def _named(session: Session, snapshot: Snapshot, name: str, config: Config) -> TaskRecord:
    """The task asked for by name. Raises when it cannot be claimed now, with every reason."""
    record = snapshot.resolve(name)
    index, host = session.index(snapshot), session.around.host
    if first_obstacle(record, snapshot, index, config, host=host) is None:
        return record
    found = list(reasons(record, snapshot, index, config, host=host))
    text = f"{record.id} cannot be claimed now: " + "; ".join(reason.text for reason in found)
    kind = Held if found[0].code == "claimed" else AnswerIsNo
    hint = next((reason.fix for reason in found if reason.fix), "")
    holder = record.state.claim.holder if record.state.claim else ""
    if kind is Held and holder == session.actor:  # an earlier command of ours claimed it and then failed
        hint = f"git fleet claim --resume {record.id} --worker {holder}"
    raise kind(text, hint=hint)


def _candidates(
    session: Session, snapshot: Snapshot, request: Request, config: Config
) -> Iterator[TaskRecord]:
    """The ready tasks in order, and those whose attempts are used up. Of those that are equally good, a few at a
    time are begun with at a random one, so that workers who ask at the same moment do not all race for the
    first. Whether one is ready is asked only when its turn comes."""
    import random

    index, host = session.index(snapshot), session.around.host
    wanted = (
        record
        for record in session.unfinished(snapshot)
        if request.wants(record) and claimable_state(record, snapshot, host)
    )
    for _, equal in groupby(wanted, key=lambda one: (one.task.priority, index.dependents[one.id])):
        while few := list(islice(equal, _SPREAD)):
            start = random.randrange(len(few))  # noqa: S311 - spreading load, not a secret
            for record in (*few[start:], *few[:start]):
                if first_obstacle(record, snapshot, index, config, host=host) is None:
                    yield record


def _attempt(
    session: Session, snapshot: Snapshot, record: TaskRecord, request: Request, config: Config
) -> Claimed | FleetError | None:
    """Try to take one candidate; None when it was lost (or had no attempts left), the reason when it
    cannot be placed: its work cannot be saved, its base is gone, its names are no good.

    Raises Busy when a lock stays although it was waited for: starting over would only wait again.
    """
    hindered = sharing.not_offline(session.store, record)
    if hindered is not None:
        return hindered
    if session.long_lived:
        again = _look_again(session, snapshot, record, config)
        if again is None:
            return None
        snapshot = again
    try:
        if _renewed_by_signs(session, record, config):
            return None
        if out_of_attempts(record, config):
            _block_exhausted(session, record)
            return None
    except Busy:
        raise
    except LostRace:
        return None
    try:
        rescued = placing.rescue(session, record)
        event = _event(session, snapshot, record, request, config, rescued)
    except (GitFailed, InvalidInput, Held) as error:
        return error
    state, subject = after(record.state, event), tasks.subject(record.id, event)
    tip = log.write(session.store.objects, event, state, parent=record.tip, subject=subject)
    try:
        with remembered(session, record, tip, rescued.ref):
            made = TaskRecord(record.task, tip, state.fenced(tip))
            taken, guard_now = _take(session, snapshot, record, event, made, tip)
            session.remember(taken, guard_now)
            given_back = _closing(session, snapshot, taken)  # which asks the server once more
    except Busy:
        raise
    except LostRace:
        return None
    return None if given_back else Claimed(taken, rescued.ref)


def _look_again(session: Session, snapshot: Snapshot, record: TaskRecord, config: Config) -> Snapshot | None:
    """What a claim of `record` rests on, read again in the order of the protocol; None when it is
    not ready any more, or more has changed than this can tell."""
    sharing.rely(session.store, session.config().refresh_seconds)
    again = session.reread_around(snapshot, record)
    if again is None:
        current = session.store.objects.read_ref(names.GUARD)
        if current is None or current[0] == snapshot.guard:
            return None
        named = snapshot.record(guard.read(session.store, current[0]).task)
        if named is None:
            return None  # of a plan approved since
        snapshot = replace(snapshot.replacing([session.reread(named)]), guard=current[0])
        if help_guard(session, snapshot):
            return None
        again = session.reread_around(snapshot, record)
    if again is None:
        return None
    hindered = first_obstacle(record, again, session.index(again), config, host=session.around.host)
    return again if hindered is None else None


def _event(
    session: Session,
    snapshot: Snapshot,
    record: TaskRecord,
    request: Request,
    config: Config,
    rescued: placing.Rescued,
) -> Event:
    """The claim event: who, until when, where the work will happen, what it starts from."""
    at = session.now()  # the snapshot may be older: what the claim rests on was read again since
    attempt = record.state.attempt + 1
    place = placing.choose(session, snapshot, record, config, attempt, rescued) if request.worktree else None
    claim_ = Claim(
        holder=session.actor,
        fence=None,
        acquired_at=at,
        expires_at=lease.expiry(at, config.lease_seconds),
        attempt=attempt,
        branch=place.branch if place else "",
        worktree=place.worktree if place else "",
        host=session.around.host,
        base=place.base if place else None,
        start=place.start if place else None,
        merge=place.merge if place else False,
    )
    fields: dict[str, object] = {"claim": claim_}
    fields |= rescued.fields()
    fields |= {"offline": True} if sharing.offline(session.store) else {}
    return Event("claim", at, session.actor, fields)


def _take(
    session: Session, snapshot: Snapshot, record: TaskRecord, event: Event, made: TaskRecord, tip: Oid
) -> tuple[TaskRecord, Oid | None]:
    """Guard first where the task overlaps another, then the task's log: the event `tip`, by which it is as `made`. The
    task and the guard as they are then. The step that decides compares what the claim rests on: what the guard names,
    others would put into the log, and a claim that we took for lost would be ours. Raises LostRace."""
    store, offline = session.store, sharing.offline(session.store)
    guard_now, beside = snapshot.guard, sharing.rests_on(store, snapshot, record)
    if offline:  # the guard is asked by `git fleet sync`
        beside = [offline.mark_offline(record.id, tip)]
    elif session.index(snapshot).overlaps.of(record.id):
        guard_now = guard.move(
            store, before=snapshot.guard, task=record.id, claim=tip, event=event, beside=beside
        )
        beside = []
    try:
        store.transact([Update(names.task_log(record.id), value(record.tip), tip), *beside])
    except LostRace:
        now = tasks.reread(store, record.task)
        current = now.state.claim
        if now.state.state is not State.CLAIMED or current is None or current.fence != tip:
            raise  # void; or somebody has helped, but it has been taken over or ended since
        return now, guard_now
    return made, guard_now


def place(
    session: Session, claimed: Claimed, stop: Stop | None = None, *, sparse: bool = False
) -> placing.Placed:
    """The worktree of a claim just made. When its names were taken at the last moment the claim is given
    back, and Held is raised: the next one gets other names. Raises as `placing.place` else."""
    try:
        return placing.place(session, claimed.record, stop, sparse=sparse)
    except Held as held:
        _give_back(session, claimed.record, held.message)
        text = f"{claimed.record.id} was claimed and is given back: {held.message}"
        raise Held(text, hint=f"git fleet claim {claimed.record.id} chooses other names") from held


def resume(session: Session, name: str | None, *, sparse: bool = False) -> placing.Placed:
    """The task this actor holds, as `placing.resume`; also one whose claim a crash left half-made."""
    help_guard(session, session.snapshot())
    return placing.resume(session, name, sparse=sparse)


def _closing(session: Session, snapshot: Snapshot, taken: TaskRecord) -> bool:
    """The last rule: if the plan began to close meanwhile, the claim is given back."""
    ref = names.plan_log(taken.id.plan)
    if sharing.now(session.store, ref) == snapshot.plans[taken.id.plan].tip:
        return False  # nothing has happened to the plan, in which the task was ready
    session.store.refs.refresh()
    tip = session.store.objects.read_ref(ref)
    state = plans.read_log(session.store, tip[0]).state if tip else PlanState.DRAFT
    if state not in (PlanState.CLOSING, PlanState.CLOSED):
        return False
    _give_back(session, taken, f"the plan is {state}")
    return True


def _give_back(session: Session, taken: TaskRecord, reason: str) -> None:
    """Release a claim just made. If someone ended it already it counts for nobody."""
    fields = {"fence": taken.state.claim.fence if taken.state.claim else None, "reason": reason}
    with suppress(LostRace):
        tasks.append(session.store, taken, Event("release", session.now(), session.actor, fields))


def _renewed_by_signs(session: Session, record: TaskRecord, config: Config) -> bool:
    """Whether the holder of an expired lease has committed, or its agent has called a hook, within the last
    lease: then the lease is renewed for it, as if it had said so."""
    claim_ = record.state.claim
    if claim_ is None or record.state.state is not State.CLAIMED:
        return False
    now = session.now().timestamp()
    recent = [at for at in placing.signs(session, record) if now - config.lease_seconds < at <= now]
    if not recent:
        return False
    until = lease.expiry(datetime.fromtimestamp(max(recent), UTC), config.lease_seconds)
    fields = {"fence": claim_.fence, "expires_at": until, "status": record.state.summary}
    tasks.append(session.store, record, Event("renew", session.now(), session.actor, fields))
    return True


def _block_exhausted(session: Session, record: TaskRecord) -> None:
    """Attempts are used up: the task waits for a person instead of looping for ever."""
    reason = f"{count(record.state.attempts_used, 'attempt')} without getting there"
    fields = {"code": ATTEMPTS, "reason": reason}
    tasks.append(session.store, record, Event("block", session.now(), session.actor, fields))


def nothing(session: Session, snapshot: Snapshot, plan: str) -> NothingReady:
    """Why there is nothing to claim (of `plan`, where one is named), for a worker that may come again."""
    left = [record for record in session.unfinished(snapshot) if plan in ("", record.id.plan)]
    if not left:
        of = f"of plan {plan}" if plan else "of every open plan"
        return NothingReady("complete", f"every task {of} has ended", 0)
    plans_meant = [record for record in snapshot.plans.values() if plan in ("", record.id)]
    states = {record.state for record in plans_meant if record.state.counts}
    if states == {PlanState.PAUSED}:
        return NothingReady("paused", "the plan is paused", _RETRY_SECONDS["paused"])
    text = f"{count(len(left), 'task')} to go, and nothing is ready (git fleet explain TASK says why)"
    return NothingReady("waiting", text, _soonest_expiry(left, snapshot))


def _soonest_expiry(left: list[TaskRecord], snapshot: Snapshot) -> int:
    ends = [
        (record.state.claim.expires_at - snapshot.at).total_seconds()
        for record in left
        if record.state.state is State.CLAIMED and record.state.claim
    ]
    most = _RETRY_SECONDS["waiting"]
    return int(min([most, *(max(1.0, end) for end in ends)]))
