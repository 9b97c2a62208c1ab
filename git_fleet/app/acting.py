"""How a command changes a task: read, decide, append one event; if others were faster, once more.

So two processes that do any two commands at the same moment end in one of the two orders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from git_fleet.app.session import Session
from git_fleet.core import lease
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import State
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import AnswerIsNo, FleetError, Held, IllegalEvent, InvalidInput, Stale, StaleClaim
from git_fleet.store import log, names, tasks

_TRIES = 50
_LET_GO = (State.PENDING, State.CANCELLED, State.REVERTED)

Fields = Mapping[str, Any]
Decide = Callable[[TaskRecord], Fields]
"""What the event carries, decided on the task as just read. May raise to refuse."""

_LOG = "git fleet log {id} tells why"
_HINTS = {
    State.BLOCKED: "git fleet unblock {id} lets it go on, git fleet shelve {id} gives its files back",
    State.CANCELLED: "git fleet reopen {id}",
    State.REVERTED: "git fleet reopen {id}",
}
"""What to do instead of what a task's state does not allow."""


def act(
    session: Session,
    record: TaskRecord,
    name: str,
    decide: Decide,
    *,
    actor: str = "",
    texts: Mapping[str, bytes] | None = None,
) -> TaskRecord:
    """Append event `name` to the task's log and return the task as it is then.

    Raises IllegalEvent or StaleClaim when the table refuses, Stale when others were always faster.
    """
    for attempt in range(_TRIES):
        event = Event(name, session.now(), actor or session.actor, decide(record))
        try:
            return tasks.append(session.store, record, event, texts)
        except IllegalEvent as refused:
            raise IllegalEvent(
                f"{record.id}: {refused.message}",
                hint=refused.hint or _HINTS.get(record.state.state, _LOG).format(id=record.id),
            ) from refused
        except (Stale, Held):
            if attempt == _TRIES - 1:
                raise
            record = session.reread(record)
    raise AssertionError("unreachable: the last try returns or raises")


def same_proposal(record: TaskRecord, decide: Decide) -> Decide:
    """`decide`, for an event that speaks about the proposal which was looked at, not a later one."""

    def checked(now: TaskRecord) -> Fields:
        if now.state.proposal != record.state.proposal:
            raise Stale(f"{now.id} was handed in again meanwhile", hint=f"git fleet log {now.id}")
        return decide(now)

    return checked


def holder_fence(session: Session, record: TaskRecord) -> Oid:
    """The fence under which this actor may speak for the task's holder.

    In the task's worktree, or with its environment, what they say counts (and is checked against
    the log by the table). Elsewhere the actor must be the holder by name. Raises StaleClaim, Held
    or InvalidInput.
    """
    fence, claim = session.fence(record.id), record.state.claim
    nobody = InvalidInput(f"nobody has claimed {record.id}", hint=f"git fleet claim {record.id}")
    if claim is None or claim.fence is None:
        raise nobody if fence is None else taken_over(record)
    mine = claim.holder == session.actor if fence is None else fence == claim.fence
    given_back = record.state.state in _LET_GO
    if mine and not given_back:
        return claim.fence
    if mine or fence is not None or _held_before(session, record):
        raise taken_over(record)
    if given_back:
        raise nobody
    raise Held(
        f"{record.id} is {claim.holder}'s, and you are {session.actor}",
        hint=f"act from its worktree (git fleet path {record.id}), or as --worker NAME",
    )


def _held_before(session: Session, record: TaskRecord) -> bool:
    """Whether an earlier claim of the task was this actor's. Asked only to refuse in the right words."""
    if record.tip is None:
        return False
    events = (entry.event for entry in log.history(session.store.objects, record.tip))
    return any(event.name == "claim" and event.actor == session.actor for event in events)


def taken_over(record: TaskRecord) -> StaleClaim:
    """What a worker is told whose claim has ended, or gone to somebody else."""
    state, claim = record.state, record.state.claim
    ended = f"{record.id} is {state.state.phrase}, and your claim of it has ended"
    if claim is not None and state.state not in _LET_GO:
        ended = f"{record.id} was taken over by {claim.holder} at {claim.acquired_at:%Y-%m-%d %H:%M:%S} UTC"
    kept, shown = "still in its worktree", ""
    if state.salvages:
        ref = names.salvage(record.id, state.salvages)
        kept, shown = f"kept at {ref}", f"{names.shown_by(ref)} what was kept, "
    told = f"git fleet log {record.id} tells what happened"
    return StaleClaim(
        f"{ended}; your work is {kept}", hint=f"stop here; {told}, {shown}git fleet claim takes another task"
    )


def not_held(record: TaskRecord) -> FleetError:
    """What a worker is told that acts on a task which it had claimed and does not hold now."""
    state, hint = record.state.state, f"git fleet log {record.id} tells why"
    if state is State.CLAIMED or state in _LET_GO:
        return taken_over(record)
    if state in (State.PROPOSED, State.VERIFIED, State.PARKED, State.INTEGRATED):
        if state in (State.PROPOSED, State.VERIFIED):
            hint = f"git fleet withdraw {record.id} takes it back"
        return AnswerIsNo(f"{record.id} is handed in already and {state}", hint=hint)
    return IllegalEvent(f"{record.id} is {state.phrase}", hint=hint)


def renewal(session: Session, record: TaskRecord) -> dict[str, Any]:
    """The fields of an event by which the holder renews its lease."""
    fence = holder_fence(session, record)
    seconds = session.config_of(record.id).lease_seconds
    return {"fence": fence, "expires_at": lease.expiry(session.now(), seconds)}
