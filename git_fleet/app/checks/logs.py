"""What is stored can be read, and follows from what happened: every log is folded through its table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from git_fleet.app.checks.finding import Finding
from git_fleet.app.session import Session
from git_fleet.core import codec
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event, after, after_plan
from git_fleet.core.model import PENDING, PlanLog, TaskState
from git_fleet.errors import FleetError, UnknownFormat, UnknownVersion
from git_fleet.git.formats import Object, parse_commit
from git_fleet.store import archive, guard, log, names, plans
from git_fleet.store.base import Store
from git_fleet.store.log import Entry

_RESTORE = (
    "nothing repairs this by itself: bring the ref back from a clone or a backup, or keep it for inspection"
)
_UPGRADE = (
    "a newer git-fleet wrote it: install that one on this machine; this one cannot work with it until then"
)
BROKEN = (KeyError, TypeError, ValueError, AttributeError)
"""What reading a document that is no document of ours raises."""


class Chain(Struct):
    """A log as far as it can be read, newest first; `damage` says why not further, `fix` what to do about it."""

    entries: list[Entry] = field(default_factory=list)
    damage: str = ""
    fix: str = _RESTORE


def _fix(error: Exception) -> str:
    """What a person can do about a document that cannot be read."""
    return _UPGRADE if isinstance(error, UnknownVersion) else _RESTORE


def task_logs(session: Session) -> Iterator[Finding]:
    """Each task's state is what its events make of it."""
    for ref, chain in chains(session.store, session.store.refs.read(names.TASK_LOGS)).items():
        yield from _judge(ref.removeprefix(names.TASK_LOGS), chain, fold_task)


def plan_logs(session: Session) -> Iterator[Finding]:
    """Each plan's state is what its events make of it, and its revisions can be read."""
    for ref, chain in chains(session.store, session.store.refs.read(names.PLAN_LOGS)).items():
        plan_id = ref.removeprefix(names.PLAN_LOGS)
        yield from _judge(plan_id, chain, fold_plan)
        if not chain.damage:
            yield from _revisions(session, plan_id, chain.entries[0])


def _revisions(session: Session, plan_id: str, newest: Entry) -> Iterator[Finding]:
    state = newest.plan_log
    for note in filter(None, (state.revision, state.incoming) if state.state.counts else ()):
        try:
            plans.revision(session.store, plan_id, note)
        except (FleetError, *BROKEN) as error:
            yield Finding(
                "plan-text", f"plan {plan_id}: revision {note[:12]} cannot be read: {error}", _fix(error)
            )


def other_documents(session: Session) -> Iterator[Finding]:
    """The lead's log, the guard, the bucket and the archives can be read."""
    lead = session.store.refs.read(names.LEAD)
    for chain in chains(session.store, lead).values():
        yield from _judge("lead", chain, read_leads)
    readers: dict[str, Callable[[Oid], object]] = {
        names.GUARD: lambda oid: read_guard(session.store, oid),
        names.BUCKET: lambda oid: read_bucket(session.store, oid),
    }
    for ref, oid in session.store.refs.read(names.GUARD, names.BUCKET, names.ARCHIVE).items():
        read = readers.get(
            ref, lambda _, ref=ref: archive.read(session.store, ref.removeprefix(names.ARCHIVE))
        )
        try:
            read(oid)
        except (FleetError, *BROKEN) as error:
            yield Finding("format", f"{ref} cannot be read: {error}", _fix(error))


def read_guard(store: Store, oid: Oid) -> None:
    """Raises UnknownFormat, or one of BROKEN, for a guard that does not name its last parent."""
    named = guard.read(store, oid)
    parents = store.objects.read_commit(oid).parents
    if parents[-1:] != (named.claim,) or len(parents) > 2:
        raise UnknownFormat(f"it names claim {named.claim}, which is not its last parent")


def read_bucket(store: Store, oid: Oid) -> None:
    """Raises UnknownFormat, or one of BROKEN, for what is no bucket."""
    line = store.objects.read_commit(oid).message.rstrip("\n").rpartition("\n")[2]
    document = codec.parse_document(line, names.BUCKET)
    codec.parse_time(document["at"])
    float(document["tokens"])


def chains(store: Store, tips: Mapping[str, Oid], *, above: Collection[Oid] = ()) -> dict[str, Chain]:
    """All logs at once, as far as they are not known: the events on top of those in `above`. One generation of
    events after the other: few questions to git, however many logs."""
    found_chains = {ref: Chain() for ref in tips}
    front = {ref: tip for ref, tip in tips.items() if tip not in above}
    while front:
        asked, front = front, {}
        found = store.objects.read_many(asked.values())
        for (ref, oid), stored in zip(asked.items(), found, strict=True):
            chain = found_chains[ref]
            try:
                entry = _event(oid, stored)
            except FleetError as error:
                chain.damage, chain.fix = error.message, _fix(error)
                continue
            chain.entries.append(entry)
            if entry.parent is not None and entry.parent not in above:
                front[ref] = entry.parent
    return found_chains


def _event(oid: Oid, stored: Object | None) -> Entry:
    if stored is None or stored.kind != "commit":
        raise UnknownFormat(f"event {oid} is {'missing' if stored is None else f'a {stored.kind}'}")
    commit = parse_commit(oid, stored.data)
    if len(commit.parents) > 1:
        raise UnknownFormat(f"event {oid} has {len(commit.parents)} parents; a log is one chain")
    return log.from_commit(commit)


Fold = Callable[[Sequence[Entry]], Iterator[str]]


def _judge(name: str, chain: Chain, fold: Fold) -> Iterator[Finding]:
    if chain.damage:
        yield Finding("format", f"the log of {name} cannot be read: {chain.damage}", chain.fix)
        return
    for problem in fold(chain.entries[::-1]):
        yield Finding("log", f"the log of {name}: {problem}", f"git fleet log {name} shows it; {_RESTORE}")


def fold_task(entries: Sequence[Entry], before: TaskState = PENDING) -> Iterator[str]:
    """What does not follow in a task's log from the state `before`, oldest event first; nothing where all does."""

    def step(state: TaskState, event: Event, oid: Oid) -> TaskState:
        return after(state, event).fenced(oid)

    return _fold(entries, before, step, lambda entry: entry.task_state)


def fold_plan(entries: Sequence[Entry], before: PlanLog = PlanLog()) -> Iterator[str]:  # noqa: B008 - frozen
    """The same of a plan's log."""
    return _fold(entries, before, lambda log, event, _: after_plan(log, event), lambda entry: entry.plan_log)


def _fold(
    entries: Sequence[Entry],
    state: Any,
    step: Callable[[Any, Event, Oid], Any],
    stored: Callable[[Entry], Any],
) -> Iterator[str]:
    """The first event whose state is not what the table makes of the one before, if there is one."""
    for entry in entries:
        what = f"event {entry.oid[:12]} ({entry.event.name})"
        try:
            expected, found = step(state, entry.event, entry.oid), stored(entry)
        except (FleetError, *BROKEN) as error:
            yield f"{what} does not follow from the one before: {error}"
            return
        if found != expected:
            different = [
                name for name in found.__struct_fields__ if getattr(found, name) != getattr(expected, name)
            ]
            yield f"{what} has another {', '.join(different)} than follows from the events"
            return
        state = found


def read_leads(entries: Sequence[Entry]) -> Iterator[str]:
    """The events of the lead's log that cannot be read."""
    for entry in entries:
        try:
            entry.lead_state  # noqa: B018 - reading it is the check
        except (FleetError, *BROKEN) as error:
            yield f"event {entry.oid[:12]} ({entry.event.name}) cannot be read: {error}"
