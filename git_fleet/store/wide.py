"""What a workspace stores in its own repository: the texts and logs of its plans, and the logs of its change sets.

refs/notes/fleet/workspace/plan/<plan>              a note: the plan as TOML; each revision a commit of the ref
refs/fleet/workspace/plan/<plan>                    its log, with the events of any plan's log
refs/fleet/workspace/changeset/<plan>/<changeset>   events of a change set: intent, complete, refuse

They stand beside the plans of a repository, which the workspace may be a folder of. An `intent` says, for each
repository in the order in which they move, what is about to become true there (DESIGN section 18).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from git_fleet.core import codec
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event, after_plan, cut
from git_fleet.core.model import ChangesetLog, PlanLog
from git_fleet.errors import IllegalEvent
from git_fleet.git import notes
from git_fleet.git.refs import Update
from git_fleet.store import log, names, plans
from git_fleet.store.base import Store, tip, value
from git_fleet.store.lead import Landing

_INTENT = "intent.json"


class WideRecord(Struct, frozen=True):
    """A workspace's plan as read: its log's tip and state, the newest notes commit."""

    id: str
    log: PlanLog
    tip: Oid | None
    note: Oid | None


class Part(Struct, frozen=True):
    """One repository of an intent: its branch `ref` is to move from `old` to `new`, by these landings, while the refs
    `unmoved` have these values."""

    repo: str
    ref: str
    old: Oid
    new: Oid
    landings: tuple[Landing, ...]
    unmoved: Mapping[str, Oid]


class WideIntent(Struct, frozen=True):
    """What is about to become true: `parts` in the order in which they move; `beside` the commits of the other
    repositories that the gates saw, `gates` these gates, as canonical JSON."""

    parts: tuple[Part, ...]
    beside: Mapping[str, Oid]
    gates: str = ""


class ChangesetRecord(Struct, frozen=True):
    """A change set's log as read; `at` is the time of its last event."""

    plan: str
    id: str
    tip: Oid | None
    log: ChangesetLog
    at: datetime | None = None


def plan_ids(store: Store) -> list[str]:
    """The ids of all plans there are."""
    return sorted(ref.removeprefix(names.WIDE_NOTES) for ref in store.refs.read(names.WIDE_NOTES))


def read(store: Store, plan_id: str) -> WideRecord:
    """The plan as it is now; without note and tip where there is none."""
    note = tip(store.refs.get(names.wide_note(plan_id)))
    at = tip(store.refs.get(names.wide_log(plan_id)))
    return WideRecord(plan_id, plans.read_log(store, at) if at else PlanLog(), at, note)


def save_text(
    store: Store, record: WideRecord, toml: str, *, base_commit: Oid, actor: str, at: datetime, subject: str
) -> WideRecord:
    """Store a new revision of the text on the exact one read. Raises Stale or Held."""
    on = plans.text(store, record.note)[0] if record.note else base_commit
    who = log.signature(Event("revision", at, actor))
    note = notes.with_note(
        store.objects, record.note, on, toml.encode(), author=who, message=log.one_line(subject) + "\n"
    )
    store.transact([Update(names.wide_note(record.id), value(record.note), note)])
    return WideRecord(record.id, record.log, record.tip, note)


def append(store: Store, record: WideRecord, event: Event) -> WideRecord:
    """Add an event to the plan's log. Raises IllegalEvent, Stale, Held or Busy."""
    try:
        state = after_plan(record.log, event)
    except IllegalEvent as refused:
        raise IllegalEvent(f"plan {record.id} of the workspace: {refused.message}") from refused
    subject = f"{event.name} {record.id} by {event.actor}"
    new = store.append(names.wide_log(record.id), event, state, parent=record.tip, subject=subject)
    return WideRecord(record.id, state, new, record.note)


# --- change sets ---------------------------------------------------------------------------------


def read_changeset(store: Store, plan_id: str, changeset: str) -> ChangesetRecord:
    """The change set's log; without a tip where nothing was done about it yet."""
    at = tip(store.refs.get(names.changeset_log(plan_id, changeset)))
    if at is None:
        return ChangesetRecord(plan_id, changeset, None, ChangesetLog())
    entry = log.read(store.objects, at)
    return ChangesetRecord(plan_id, changeset, at, entry.changeset_log, entry.event.at)


def begin(
    store: Store, record: ChangesetRecord, intent: WideIntent, *, actor: str, now: datetime
) -> ChangesetRecord:
    """Record what is about to be moved, in place of any intent before, on the exact log read. Raises Stale, Held."""
    document = {
        "beside": dict(intent.beside),
        "gates": intent.gates,
        "parts": [
            asdict(part)
            | {"unmoved": dict(part.unmoved), "landings": [asdict(each) for each in part.landings]}
            for part in intent.parts
        ],
    }
    blob = store.objects.write("blob", codec.canonical(document).encode())
    event = Event("intent", now, actor, {"repos": [part.repo for part in intent.parts]})
    return _append(store, record, event, ChangesetLog(), attached={_INTENT: blob})


def read_intent(store: Store, event: Oid) -> WideIntent:
    """The intent that an event recorded."""
    document = json.loads(store.objects.read(f"{event}:{_INTENT}")[1])
    parts = tuple(
        Part(**{**part, "landings": tuple(_landing(each) for each in part["landings"])})
        for part in document["parts"]
    )
    return WideIntent(parts, document["beside"], document.get("gates", ""))


def _landing(document: Mapping[str, Any]) -> Landing:
    return Landing(**{**document, "task": TaskId(*document["task"])})


def complete(store: Store, record: ChangesetRecord, *, actor: str, now: datetime) -> ChangesetRecord:
    """All of it has landed."""
    return _append(store, record, Event("complete", now, actor), ChangesetLog(landed=True))


def refuse(
    store: Store,
    record: ChangesetRecord,
    reason: str,
    texts: Mapping[str, bytes],
    *,
    actor: str,
    now: datetime,
) -> ChangesetRecord:
    """It cannot land (or what is left of it cannot), and why; an intent that is open stays so."""
    state = ChangesetLog(intent=record.log.intent, reason=cut(reason))
    return _append(store, record, Event("refuse", now, actor, {"reason": cut(reason)}), state, texts=texts)


def _append(
    store: Store,
    record: ChangesetRecord,
    event: Event,
    state: ChangesetLog,
    *,
    texts: Mapping[str, bytes] | None = None,
    attached: Mapping[str, Oid] | None = None,
) -> ChangesetRecord:
    tip_ = store.append(
        names.changeset_log(record.plan, record.id),
        event,
        state,
        parent=record.tip,
        subject=f"{event.name} change set {record.plan}/{record.id} by {event.actor}",
        texts=texts,
        attached=attached,
    )
    intent = tip_ if event.name == "intent" else state.intent
    return ChangesetRecord(
        record.plan, record.id, tip_, ChangesetLog(intent, state.reason, state.landed), event.at
    )
