"""Was the fan-out worth it? The logs of one plan, read in bulk and scored (DESIGN section 10, end).

Works for open plans and for closed ones, whose logs are folded into an archive (store/archive.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from msgspec import Struct

from git_fleet.app.session import Session
from git_fleet.core import score as scoring
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lessons import Lessons, lessons
from git_fleet.core.lifecycle import Event
from git_fleet.core.lives import Step
from git_fleet.core.model import Overlap, Plan, PlanState, State
from git_fleet.core.overlaps import pairs
from git_fleet.core.score import Records, Score
from git_fleet.core.snapshot import PlanRecord, Snapshot
from git_fleet.core.spans import Span, milliseconds
from git_fleet.errors import InvalidInput, UnknownFormat
from git_fleet.store import logs, names, plans
from git_fleet.store.log import Entry


class Scored(Struct, frozen=True):
    """A score and what it teaches."""

    score: Score
    lessons: Lessons


def score(session: Session, name: str | None) -> Scored:
    """The score of the plan `name` (None: of the one there is, or the one that is not closed).

    Raises InvalidInput for a plan that does not exist or was never approved, UnknownFormat for a log that
    cannot be read.
    """
    snapshot = session.snapshot()
    record = chosen(snapshot, name)
    plan = text_of(session, record)
    entries = logs.task_logs(session.store, record.id, closed=record.state is PlanState.CLOSED)
    return reckon(session, snapshot, record, plan, entries)


def text_of(session: Session, record: PlanRecord) -> Plan:
    """The approved text of the plan. Raises InvalidInput where none ever was: for a draft, closed or not."""
    revision = record.log.revision
    if revision is None:
        closed = record.state is PlanState.CLOSED
        raise InvalidInput(
            f"plan {record.id} {'was closed as' if closed else 'is'} a draft: nobody has worked on it",
            hint=f"git fleet plan {'show' if closed else 'approve'} {record.id}",
        )
    return record.approved or plans.revision(session.store, record.id, revision).plan


def reckon(
    session: Session,
    snapshot: Snapshot,
    record: PlanRecord,
    plan: Plan,
    entries: Mapping[TaskId, Sequence[Entry]],
) -> Scored:
    """The score of a plan that has been read: its approved text and the logs of its tasks."""
    config = session.config(plan.base) if _exists(session, plan.base) else session.config()
    found = pairs(plan.tasks, config.generated_paths)
    serial = [(pair.a, pair.b) for pair in found if pair.policy is Overlap.SERIALIZE]
    made = scoring.score(_records(session, snapshot, record, plan, entries, config, serial))
    return Scored(made, lessons(made, plan.tasks, serial, config))


def chosen(snapshot: Snapshot, name: str | None) -> PlanRecord:
    """The plan that is meant. Raises InvalidInput when that is not clear."""
    if name is not None:
        return snapshot.plan(name)
    begun = [record for record in snapshot.plans.values() if record.log.revision is not None]
    going = [record for record in begun if record.state is not PlanState.CLOSED]
    one = going or begun
    if len(one) == 1:
        return one[0]
    if not one:
        raise InvalidInput("no plan has been approved yet", hint="git fleet plan list")
    listed = ", ".join(record.id for record in one)
    raise InvalidInput(f"name the plan: there are {listed}", hint="git fleet score PLAN")


def _exists(session: Session, base: str) -> bool:
    """Whether the base is still there: a closed plan may have outlived its branch."""
    return session.store.objects.read_ref(names.branch(base)) is not None


def _records(
    session: Session,
    snapshot: Snapshot,
    record: PlanRecord,
    plan: Plan,
    entries: Mapping[TaskId, Sequence[Entry]],
    config: Config,
    serial: Sequence[tuple[TaskId, TaskId]],
) -> Records:
    """What the logs say of the plan."""
    own = _log(session, record.tip)
    closed = record.state is PlanState.CLOSED
    steps = {task: tuple(map(_step, found)) for task, found in entries.items()}
    first = min((found[0].event.at for found in steps.values()), default=snapshot.at)
    return Records(
        plan=plan.id,
        tasks=plan.tasks,
        steps=steps,
        now=snapshot.at,
        spawn_seconds=config.spawn_seconds,
        since=_since(session, record, own),
        pairs=serial,
        closed=list(_closed(own, snapshot.at)),
        led=list(_led(session, snapshot, first)),
        verdicts=config.policy.verdicts,
        over=closed,
    )


def _log(session: Session, tip: Oid | None, back_to: datetime | None = None) -> list[Entry]:
    """One log, oldest event first."""
    if tip is None:
        return []
    return logs.histories(session.store.objects, [tip], back_to=back_to)[tip]


def _step(entry: Entry) -> Step:
    """An event of a task's log and the state it led to. Raises UnknownFormat for what cannot be reckoned
    with: a log is a ref, and anybody may have written it."""
    try:
        state = State(entry.document["state"].get("state", State.PENDING))
        sound = all(_sound(entry.event))
    except (KeyError, TypeError, ValueError, AttributeError):
        sound, state = False, State.PENDING
    if not sound:
        raise UnknownFormat(f"event {entry.oid} is damaged", hint="git fleet doctor")
    return Step(entry.event, state)


def _sound(event: Event) -> Iterator[bool]:
    """Whether what a score is reckoned from is what it should be."""
    times = [event.at]
    if event.name == "claim":
        claim = event.fields["claim"]
        times.append(claim.expires_at)
        yield isinstance(claim.holder, str)
    if "expires_at" in event.fields:
        times.append(event.fields["expires_at"])
    yield from (at.tzinfo is not None for at in times)
    if "usage" in event.fields:
        used = event.fields["usage"]
        numbers = (used.input_tokens, used.output_tokens, used.cost_usd)
        yield from (isinstance(number, (int, float)) for number in numbers)


def _since(session: Session, record: PlanRecord, entries: Iterable[Entry]) -> dict[TaskId, datetime]:
    """When the plan first had each task: by the approvals in its log. Tasks of the first approval are left
    out: they have been there from the start."""
    found: dict[TaskId, datetime] = {}
    known: set[TaskId] = set()
    seen: set[Oid] = set()
    for entry in entries:
        revision = entry.event.fields.get("revision")
        if entry.event.name != "approve" or revision is None or revision in seen:
            continue
        tasks = {task.id for task in plans.revision(session.store, record.id, revision).plan.tasks}
        if seen:
            found |= dict.fromkeys(tasks - known, entry.event.at)
        known |= tasks
        seen.add(revision)
    return found


def _closed(entries: Sequence[Entry], now: datetime) -> Iterator[Span]:
    """When the plan took no claims: paused, being approved, closing."""
    times = [*(entry.event.at for entry in entries), now]
    for entry, (start, end) in zip(entries, pairwise(times), strict=True):
        if entry.plan_log.state not in (PlanState.OPEN, PlanState.DRAFT):
            yield milliseconds(start), milliseconds(end)


def _led(session: Session, snapshot: Snapshot, since: datetime) -> Iterator[Span]:
    """When somebody led, from `since` on: until the release, or until the lease had run out."""
    entries = _log(session, snapshot.lead_tip, back_to=since)
    times = [*(entry.event.at for entry in entries), snapshot.at]
    for entry, (start, end) in zip(entries, pairwise(times), strict=True):
        state = entry.lead_state
        if state.fence is not None and state.expires_at is not None:
            yield milliseconds(start), milliseconds(min(end, state.expires_at))
