"""The lead: one at a time, a lease in a log, and the intents by which main moves.

The log `refs/fleet/lead` has the events acquire, renew, release, intent, complete, void. The acquire
event is the lead's fence. An intent says what is about to become true (DESIGN section 3, *commit
point*): main old → new and, for each task landing, its finished event and evidence note. The next
event, `complete` or `void`, closes it. Main moves in one transaction with a `verify` of this log at
the intent (on a remote: with one more event of it), so that a lead who lost the lease cannot move main.
"""

from __future__ import annotations

import json
from datetime import datetime

from msgspec import Struct
from msgspec.structs import asdict, replace

from git_fleet.core import codec
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import LeadState
from git_fleet.core.wording import count
from git_fleet.errors import Held, IllegalEvent
from git_fleet.git.refs import Absent, Update
from git_fleet.store import log, names
from git_fleet.store.base import Store
from git_fleet.store.shared import SharedRefs

_INTENT = "intent.json"


class Landing(Struct, frozen=True):
    """One task on its way onto main: its commit there, the event that says so (written already,
    on top of `tip`) and the text of its evidence note. `reverts`: the commit takes back what the task had
    become."""

    task: TaskId
    proposal: int
    commit: Oid
    tip: Oid
    event: Oid
    note: str
    reverts: bool = False


class Intent(Struct, frozen=True):
    """`ref` is to move from `old` to `new`; `checkout` is the worktree that has it checked out, or ""."""

    ref: str
    old: Oid
    new: Oid
    checkout: str
    landings: tuple[Landing, ...]


class LeadRecord(Struct, frozen=True):
    """The lead's log as read."""

    tip: Oid | None
    state: LeadState

    def held_by_other(self, worktree: str, now: datetime) -> bool:
        """Whether somebody else leads: bound to another worktree and not run out."""
        state = self.state
        lives = state.expires_at is not None and now < state.expires_at
        return state.fence is not None and state.worktree != worktree and lives


def read(store: Store) -> LeadRecord:
    """Who leads now."""
    found = store.objects.read_ref(names.LEAD)
    if found is None:
        return LeadRecord(None, LeadState())
    return LeadRecord(found[0], log.parse(*found).lead_state)


def _append(store: Store, record: LeadRecord, event: Event, state: LeadState) -> LeadRecord:
    tip = store.append(
        names.LEAD, event, state, parent=record.tip, subject=f"{event.name} lead by {event.actor}"
    )
    return LeadRecord(tip, replace(state, fence=tip) if event.name == "acquire" else state)


def acquire(
    store: Store, record: LeadRecord, *, actor: str, worktree: str, now: datetime, expires_at: datetime
) -> LeadRecord:
    """Take the lead for the worktree whose git dir is `worktree`.

    Raises Held while another worktree's lease runs; Stale when somebody was faster. An intent that
    is still open goes over to the new lead, who completes or voids it.
    """
    if record.held_by_other(worktree, now):
        raise Held(
            f"{record.state.holder} leads until {record.state.expires_at} from {record.state.worktree}",
            hint="git fleet lead show",
        )
    state = LeadState(actor, None, worktree, now, expires_at, record.state.intent)
    return _append(store, record, Event("acquire", now, actor), state)


def renew(store: Store, record: LeadRecord, *, actor: str, now: datetime, expires_at: datetime) -> LeadRecord:
    """Extend the lease one holds."""
    return _append(store, record, Event("renew", now, actor), replace(record.state, expires_at=expires_at))


def release(store: Store, record: LeadRecord, *, actor: str, now: datetime) -> LeadRecord:
    """Give the lead up. Raises IllegalEvent while an intent is open."""
    if record.state.intent is not None:
        raise IllegalEvent("an integration is not finished", hint="git fleet integrate finishes it")
    return _append(store, record, Event("release", now, actor), LeadState())


def begin(store: Store, record: LeadRecord, intent: Intent, *, actor: str, now: datetime) -> LeadRecord:
    """Record the intent on the exact lead's log read; nothing else has moved yet."""
    if record.state.intent is not None:
        raise IllegalEvent("another intent is open", hint="git fleet integrate finishes it")
    document = asdict(intent) | {"landings": [asdict(landing) for landing in intent.landings]}
    blob = store.objects.write("blob", codec.canonical(document).encode())
    event = Event("intent", now, actor, {"ref": intent.ref, "old": intent.old, "new": intent.new})
    tip = store.append(
        names.LEAD,
        event,
        record.state,
        parent=record.tip,
        subject=f"intent: {intent.ref} to {intent.new[:12]}, {count(len(intent.landings), 'task')}",
        attached={_INTENT: blob},
    )
    return LeadRecord(tip, replace(record.state, intent=tip))


def hold(store: Store, record: LeadRecord, *, actor: str, now: datetime) -> tuple[Update, LeadRecord]:
    """What is to be in the transaction that moves main, so that only this lead can make it, and the log after it.

    Here the log is locked as it is; on a remote, where nothing can be, it moves along by an event.
    """
    if record.tip is None:
        raise AssertionError("an intent is an event of the lead's log")
    if not isinstance(store.refs, SharedRefs):
        return Update(names.LEAD, record.tip, record.tip), record
    moving = log.write(
        store.objects, Event("renew", now, actor), record.state, parent=record.tip, subject="main moves"
    )
    return Update(names.LEAD, record.tip, moving), LeadRecord(moving, record.state)


def read_intent(store: Store, event: Oid) -> Intent:
    """The intent that lead event `event` recorded."""
    document = json.loads(store.objects.read(f"{event}:{_INTENT}")[1])
    landings = tuple(
        Landing(**{**landing, "task": TaskId(*landing["task"])}) for landing in document.pop("landings")
    )
    return Intent(**document, landings=landings)


def close(store: Store, record: LeadRecord, name: str, *, actor: str, now: datetime) -> LeadRecord:
    """Mark the open intent: `name` is "complete" or "void"."""
    return _append(store, record, Event(name, now, actor), replace(record.state, intent=None))


def landed(store: Store, intent: Intent) -> tuple[Landing, ...]:
    """The landings of an intent that its branch has: main is the commit point. All or none of them, unless
    somebody moved main back to one in between."""
    main = store.refs.get(intent.ref)
    if isinstance(main, Absent) or main == intent.old:
        return ()
    if main == intent.new or store.objects.is_ancestor(intent.new, main):
        return intent.landings
    return tuple(each for each in intent.landings if store.objects.is_ancestor(each.commit, main))
