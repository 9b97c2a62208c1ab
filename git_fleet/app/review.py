"""What each task of a plan did, what was said of it, what waits, and what to do (DESIGN section 9, end).

Reading only, and few processes however many tasks there are (app/inspecting.py, store/logs.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from git_fleet.app import inspecting
from git_fleet.app import plan as planning
from git_fleet.app.inspecting import GATED, Inspected, gate_logs
from git_fleet.app.session import Session
from git_fleet.core import followups
from git_fleet.core.config import Config
from git_fleet.core.divergence import Divergence, Work, divergences
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import PENDING, Finding, Plan, PlanState, Ruling, State, Verdict
from git_fleet.core.recommending import recommendations
from git_fleet.core.reviewing import (
    ChangedPath,
    GateRun,
    Opinion,
    Refused,
    Review,
    TaskReview,
    queue,
    summary,
)
from git_fleet.core.snapshot import PlanRecord, Snapshot, TaskRecord
from git_fleet.core.verdicts import by_hand
from git_fleet.errors import FleetError, InvalidInput, UnknownFormat
from git_fleet.git.notes import read_notes
from git_fleet.git.objects import Objects
from git_fleet.store import logs, names, plans
from git_fleet.store.base import tip
from git_fleet.store.log import Entry

_COMPARED = frozenset({State.PROPOSED, State.VERIFIED, State.PARKED, State.INTEGRATED})
"""Whose work is compared with its siblings': what has landed or may. What went back is known to be wrong."""

_SENT_BACK = frozenset({"refute", "reject", "eject", "verdict"})
_NOT_THE_WORKERS = frozenset({"conflict", "needs"})
"""Reasons of an ejection that say nothing of what the worker was told."""

Logs = Mapping[TaskId, Sequence[Entry]]


def review(session: Session, plan: str | None, task: str | None = None) -> Review:
    """The plan `plan` (None: the only one that is not closed, or that of `task`), or one task of it.

    Raises InvalidInput when there is no such plan or task, Ambiguous for a task's short name that fits
    several, UnknownFormat for a log that cannot be read.
    """
    snapshot = session.snapshot()
    wanted = snapshot.resolve(task).id if task is not None and plan is None else None
    record = snapshot.plan(wanted.plan if wanted else plan or planning.only(session))
    text = _text(session, record)
    return look_over(
        session, record, text, *_records(session, snapshot, record, text), at=snapshot.at, task=task
    )


def look_over(
    session: Session,
    record: PlanRecord,
    text: Plan | None,
    every: Sequence[TaskRecord],
    told: Logs,
    *,
    at: datetime,
    task: str | None = None,
) -> Review:
    """The same of a plan that has been read, at that moment: its approved text, its tasks, their logs."""
    chosen = _only(every, record.id, task) if task is not None else every
    reviewed = _reviewed(session, every, chosen, told)
    config = config_of(session, text)
    found = _divergences(every, {one.record.id: inspected for one, inspected in reviewed})
    shown = {one.id for one in chosen}
    if task is not None:
        found = tuple(one for one in found if shown & {*one.odd, one.one, one.other})
    tasks = tuple(one for one, _ in reviewed if one.id in shown)
    waiting = queue(tasks, config, _approved_at(session, record) or at)
    goes_on = record.state in (PlanState.OPEN, PlanState.PAUSED)
    return Review(
        plan=record.id,
        title=text.title if text else record.id,
        base=text.base if text else "",
        state=record.state,
        at=at,
        summary=summary(tasks, found, waiting),
        tasks=tasks,
        divergences=found,
        queue=waiting,
        recommendations=recommendations(
            record.id,
            record.state,
            tasks,
            found,
            waiting,
            outside=_undrafted(session, record, tasks, config) if goes_on else 0,
            unapproved=planning.unapproved(session, record) if goes_on else "",
        ),
    )


def _undrafted(session: Session, record: PlanRecord, tasks: Iterable[TaskReview], config: Config) -> int:
    """How many findings outside of their tasks no task was drafted for yet."""
    found = set[str]()
    for task in tasks:
        said = (
            *task.findings,
            *task.noticed,
            *(each for refused in task.refusals for each in refused.findings),
        )
        found |= {one.mark for one in followups.beyond(task.record.task, said, config.generated_paths)}
    try:
        drafted = planning.newest_of(session, record).plan.tasks if found else ()
    except FleetError:  # what cannot be read has to be edited first
        return 0
    return len(found - followups.marks(drafted))


# --- which plan, which tasks -------------------------------------------------------------------------


def _text(session: Session, record: PlanRecord) -> Plan | None:
    """The approved text; None when none is approved yet."""
    if record.approved is not None or record.log.revision is None:
        return record.approved
    return plans.revision(session.store, record.id, record.log.revision).plan


def _records(
    session: Session, snapshot: Snapshot, record: PlanRecord, text: Plan | None
) -> tuple[list[TaskRecord], Logs]:
    """The plan's tasks and their logs; those of a closed plan from its archive."""
    if record.state is not PlanState.CLOSED:
        records = snapshot.of_plan(record.id)
        by_tip = logs.histories(session.store.objects, [one.tip for one in records if one.tip])
        return records, {one.id: by_tip[one.tip] if one.tip else [] for one in records}
    told = logs.task_logs(session.store, record.id, closed=True)
    tasks = text.tasks if text else ()
    return [
        TaskRecord(task, entries[-1].oid, entries[-1].task_state)
        if (entries := told.get(task.id))
        else TaskRecord(task, None, PENDING)
        for task in tasks
    ], told


def _only(records: Sequence[TaskRecord], plan: str, name: str) -> list[TaskRecord]:
    """The one task of this name."""
    named, _, short = name.strip().lower().lstrip("#").rpartition("/")
    found = [one for one in records if one.id.task == short and named in ("", plan)]
    if not found:
        raise InvalidInput(f"plan {plan} has no task {name!r}", hint=f"git fleet review {plan}")
    return found


def config_of(session: Session, text: Plan | None) -> Config:
    """The configuration of the plan's base; of the default one where a closed plan has outlived its own."""
    there = text is not None and session.store.objects.read_ref(names.branch(text.base)) is not None
    return session.config(text.base if text and there else None)


def _approved_at(session: Session, record: PlanRecord) -> datetime | None:
    """When the plan was approved last."""
    if record.tip is None:
        return None
    entries = logs.histories(session.store.objects, [record.tip])[record.tip]
    return next((entry.event.at for entry in reversed(entries) if entry.event.name == "approve"), None)


# --- siblings ----------------------------------------------------------------------------------------


def _families(records: Iterable[TaskRecord]) -> dict[str, list[TaskRecord]]:
    """The siblings whose work is compared, by their matrix entry."""
    found: dict[str, list[TaskRecord]] = {}
    for record in records:
        if record.task.group and record.state.state in _COMPARED and record.state.proposal is not None:
            found.setdefault(record.task.group, []).append(record)
    return {group: some for group, some in found.items() if len(some) > 1}


def _divergences(
    records: Iterable[TaskRecord], inspected: Mapping[TaskId, Inspected]
) -> tuple[Divergence, ...]:
    found: list[Divergence] = []
    for group, siblings in _families(records).items():
        works = [
            Work(one.id, one.task.params, inspected[one.id].parts)
            for one in siblings
            if one.id in inspected
        ]  # fmt: skip
        found += divergences(group, works)
    return tuple(found)


# --- one task ----------------------------------------------------------------------------------------


def _reviewed(
    session: Session, every: Sequence[TaskRecord], chosen: Sequence[TaskRecord], told: Logs
) -> list[tuple[TaskReview, Inspected]]:
    """The chosen tasks, and the siblings that they are compared with."""
    groups = {one.task.group for one in chosen}
    siblings = {one.id: one for group, some in _families(every).items() if group in groups for one in some}
    wanted = list({one.id: one for one in (*chosen, *siblings.values())}.values())
    found = inspecting.inspect(session, wanted, told, compared=siblings.keys())
    objects, notes = session.store.objects, tip(session.store.refs.get(names.EVIDENCE))
    noted = read_notes(objects, notes, [landed for one in wanted if (landed := one.state.landed)])
    return [
        (_task(objects, noted, one, inspected, told.get(one.id, ())), inspected)
        for one in wanted
        for inspected in [found.get(one.id, Inspected())]
    ]


def _task(
    objects: Objects,
    noted: Mapping[Oid, bytes],
    record: TaskRecord,
    found: Inspected,
    entries: Sequence[Entry],
) -> TaskReview:
    state, proposal = record.state, record.state.proposal
    latest = _since_handed_in(entries)
    entered = _entered(entries)
    return TaskReview(
        record=record,
        did=found.result or (proposal.message.partition("\n")[0] if proposal else "") or state.summary,
        base=proposal.base if proposal else None,
        commit=proposal.commit if proposal else None,
        paths=tuple(ChangedPath(one.path, one.added, one.removed, one.binary) for one in found.files),
        cut=any(one.cut for one in found.files),
        gates=_gates(objects, noted.get(state.landed) if state.landed else None, latest)
        or _known_to_pass(found, latest),
        opinions=tuple(_opinions(latest)),
        findings=tuple(dict.fromkeys(one for entry in latest for one in _findings(entry))),
        artifacts=found.artifacts,
        refusals=tuple(_refusals(entries)),
        state_since=entered.event.at if entered else None,
        why=str(entered.event.fields.get("reason") or "") if entered else "",
        noticed=tuple(one for entry in entries if entry.event.name == "done" for one in _findings(entry)),
    )


def _since_handed_in(entries: Sequence[Entry]) -> Sequence[Entry]:
    """The events after the last hand-in: they are about the latest proposal. None before the first."""
    done = [number for number, entry in enumerate(entries) if entry.event.name == "done"]
    return entries[done[-1] + 1 :] if done else ()


def _entered(entries: Sequence[Entry]) -> Entry | None:
    """The event by which the task came into the state it is in."""
    found = None
    for entry in reversed(entries):
        if found is not None and _state_word(entry) != _state_word(found):
            break
        found = entry
    return found


def _state_word(entry: Entry) -> str:
    state = entry.document.get("state")
    if not isinstance(state, Mapping):
        raise UnknownFormat(f"event {entry.oid} is damaged: no state", hint="git fleet doctor")
    return str(state.get("state", State.PENDING))


def _findings(entry: Entry) -> tuple[Finding, ...]:
    found = entry.event.fields.get("findings", ())
    return tuple(one for one in found if isinstance(one, Finding))


def _opinions(latest: Sequence[Entry]) -> Iterator[Opinion]:
    """Verdicts and a person's words on the latest proposal. A verdict counts unless there is a later one
    under its lens, or all were asked for anew."""
    for number, entry in enumerate(latest):
        event, verdict = entry.event, entry.event.fields.get("verdict")
        if event.name == "verdict" and isinstance(verdict, Verdict):
            later = latest[number + 1 :]
            replaced = any(
                other.event.name == "reverify"
                or (
                    isinstance(said := other.event.fields.get("verdict"), Verdict)
                    and said.lens == verdict.lens
                )
                for other in later
            )
            yield Opinion(verdict.lens, verdict.verifier, verdict.verdict, event.at, not replaced)
        elif event.name in ("accept", "reject"):
            yield Opinion("", f"person:{event.actor}", f"{event.name}ed", event.at)


def _refusals(entries: Sequence[Entry]) -> Iterator[Refused]:
    """What was found wrong with each of the proposals, where the worker could have known better."""
    number = 0
    for entry in entries:
        fields = entry.event.fields
        number += entry.event.name == "done"
        verdict = fields.get("verdict")
        upheld = isinstance(verdict, Verdict) and verdict.verdict == Ruling.UPHELD
        if (
            entry.event.name in _SENT_BACK
            and not upheld
            and fields.get("reason") not in _NOT_THE_WORKERS
            and (found := _findings(entry))
        ):
            yield Refused(number, found)


# --- gates -------------------------------------------------------------------------------------------


def _gates(objects: Objects, evidence: bytes | None, latest: Sequence[Entry]) -> tuple[GateRun, ...]:
    """The gates that the latest proposal met: from the evidence on its commit, else from its log."""
    noted = tuple(_noted(evidence)) if evidence else ()
    if noted:
        return noted
    for entry in reversed(latest):
        if entry.event.name in GATED:
            ran = list(gate_logs(objects, entry))
            if ran:
                return _of_event(entry, ran)
    return ()


def _known_to_pass(found: Inspected, latest: Sequence[Entry]) -> tuple[GateRun, ...]:
    """The gates of what was parked, or shown to verifiers: that is done with what has passed them. Gates
    that ran after the last such event may have been red, and their run killed before it could say so."""
    told = [
        entry.event.at.timestamp()
        for entry in latest
        if entry.event.name == "park"
        or (isinstance(said := entry.event.fields.get("verdict"), Verdict) and not by_hand(said))
    ]
    passed = bool(told) and found.gated_at <= max(told)
    return tuple(GateRun(name, "pass") for name in found.gated) if passed else ()


def _noted(evidence: bytes) -> Iterator[GateRun]:
    """What the evidence note says. One that a person has put there in other words says nothing."""
    import tomllib  # only what has landed needs it

    try:
        document = tomllib.loads(evidence.decode())
    except ValueError:
        return
    ran = document.get("gate")
    for gate in ran if isinstance(ran, list) else ():
        if isinstance(gate, dict) and isinstance(gate.get("name"), str):
            seconds = gate.get("seconds")
            yield GateRun(
                gate["name"],
                str(gate.get("outcome", "")),
                float(seconds) if isinstance(seconds, int | float) else None,
                gate.get("cached") is True,
            )


def _of_event(entry: Entry, ran: Sequence[str]) -> tuple[GateRun, ...]:
    """Gates stop at the first that does not pass, so where gates sent the task back it is the last one."""
    passed = [GateRun(name, "pass") for name in ran]
    if entry.event.fields.get("reason") == "gate":
        error = any("cannot be run" in found.text.partition("\n")[0] for found in _findings(entry))
        passed[-1] = GateRun(ran[-1], "error" if error else "fail")
    return tuple(passed)
