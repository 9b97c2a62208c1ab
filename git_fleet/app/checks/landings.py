"""What is on main: integrations brought to their end, tasks that are really there, proposals and evidence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from git_fleet.app import foreign
from git_fleet.app.acting import act
from git_fleet.app.checks.finding import Finding
from git_fleet.app.lead import leading
from git_fleet.app.session import Session
from git_fleet.app.settling import settle
from git_fleet.core import codec
from git_fleet.core.ids import Oid
from git_fleet.core.model import State
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.core.trailers import read_stamp
from git_fleet.git import contents
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import evidence, log, names

_GATE_LOG = re.compile(r"\d+-(.+)\.log")
_SHORT = 12  # characters of an object id
_SHOWN = 5


def intent(session: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """No integration was interrupted."""
    if snapshot.lead.intent is not None:
        yield Finding(
            "intent-open",
            "an integration was interrupted",
            "git fleet integrate, or git fleet doctor --fix, finishes it",
            partial(_settle, session),
        )


def _settle(session: Session) -> None:
    with leading(session) as lead:
        settle(lead)


def proposals(session: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """The proposal that a task's state names is kept by its ref."""
    kept = session.store.refs.read(names.PROPOSALS)
    for record in snapshot.tasks.values():
        proposal = record.state.proposal
        if proposal is None:
            continue
        ref = names.proposal(record.id, proposal.number)
        if kept.get(ref) == proposal.oid:
            continue
        there = session.store.objects.exists(proposal.oid)
        yield Finding(
            "proposal",
            f"{ref} should be {proposal.oid[:_SHORT]} and is {kept.get(ref, ABSENT)}",
            "git fleet doctor --fix" if there else f"git fetch {ref} from where it still is",
            partial(_bring_back, session, ref, proposal.oid) if there and ref not in kept else None,
        )


def _bring_back(session: Session, ref: str, oid: Oid) -> None:
    session.store.transact([Update(ref, ABSENT, oid)])


def integrated(session: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """Every integrated task is on its base, every task on its base is integrated, with its evidence."""
    for base in _bases(snapshot):
        stamped = _stamped(session, snapshot, base)
        records = [
            record
            for record in snapshot.tasks.values()
            if _base_of(snapshot, record) == base and _ran(record)
        ]
        done = [
            record for record in records if record.state.state is State.INTEGRATED and record.state.landed
        ]
        absent = _absent(session, [record.state.landed for record in done if record.state.landed], base)
        places: dict[Oid, TaskRecord] = {}
        for record in done:
            landed = record.state.landed
            place = landed if landed not in absent else stamped.get(_proposal(record))
            if landed is None or place is None:
                yield _not_there(record, base)
            else:
                places[place] = record
        if snapshot.lead.intent is None:  # else finishing that comes first, and brings these
            yield from _without_evidence(session, places)
            yield from _unrecorded(session, records, stamped)


def _ran(record: TaskRecord) -> bool:
    return record.state.proposal is not None


def _proposal(record: TaskRecord) -> Oid | None:
    return record.state.proposal.oid if record.state.proposal else None


def _bases(snapshot: Snapshot) -> list[str]:
    plans = [record.approved for record in snapshot.plans.values() if record.approved is not None]
    return list(dict.fromkeys(plan.base for plan in plans))


def _base_of(snapshot: Snapshot, record: TaskRecord) -> str:
    plan = snapshot.plans[record.id.plan].approved
    return plan.base if plan is not None else ""


def _stamped(session: Session, snapshot: Snapshot, base: str) -> dict[Oid | None, Oid]:
    """The commits that came onto `base` since its plans began, by the proposal their trailers name."""
    began = [
        record.base_commit
        for record in snapshot.plans.values()
        if record.approved is not None and record.approved.base == base and record.base_commit is not None
    ]
    known = contents.existing_commits(session.repo.common_dir, began)
    out = (
        session.repo.git()
        .run(
            "log",
            "-z",
            "--format=%H%n%B",
            session.store.refs.named(names.branch(base)),
            *(f"^{oid}" for oid in known),
            ok=(0, 128),
        )
        .out
    )
    found: dict[Oid | None, Oid] = {}
    for entry in filter(None, out.split(b"\0")):
        oid, _, message = entry.decode("utf-8", "surrogateescape").partition("\n")
        stamp = read_stamp(message)
        if stamp is not None:
            found[stamp.proposal] = Oid(oid)
    return found


def _absent(session: Session, commits: Iterable[Oid], base: str) -> frozenset[Oid]:
    """Those of `commits` that `base` does not contain. Two processes, however many there are."""
    wanted = list(commits)
    there = contents.existing_commits(session.repo.common_dir, wanted)
    asked = "".join(f"{oid}\n" for oid in there) + f"^{session.store.refs.named(names.branch(base))}\n"
    listed = session.repo.git().text("rev-list", "--stdin", input=asked.encode()).split() if there else []
    return frozenset(wanted) - (frozenset(there) - frozenset(map(Oid, listed)))


def _not_there(record: TaskRecord, base: str) -> Finding:
    return Finding(
        "not-integrated",
        f"{record.id} is integrated as {str(record.state.landed)[:_SHORT]}, which {base} does not contain",
        f"{base} was rewritten: git reflog {base} shows where it was; bring the commit back onto it",
    )


def _without_evidence(session: Session, places: dict[Oid, TaskRecord]) -> Iterator[Finding]:
    bare = {
        commit: record for commit, record in places.items() if evidence.read(session.store, commit) is None
    }
    if bare:
        shown = ", ".join(str(record.id) for record in list(bare.values())[:_SHOWN])
        more = f" and {len(bare) - _SHOWN} more" if len(bare) > _SHOWN else ""
        yield Finding(
            "evidence",
            f"integrated commits without their evidence note: {shown}{more}",
            "git fleet doctor --fix writes them from the logs",
            partial(_write_evidence, session, bare),
        )


def _write_evidence(session: Session, bare: dict[Oid, TaskRecord]) -> None:
    texts = {commit: evidence.text(_evidence(session, record)) for commit, record in bare.items()}
    evidence.add(session.store, texts, actor=session.actor, at=session.now(), where_none=True)


def _evidence(session: Session, record: TaskRecord) -> dict[str, Any]:
    """What the log still knows of what the note said."""
    state, proposal = record.state, record.state.proposal
    entries = log.history(session.store.objects, record.tip)
    document: dict[str, Any] = {"plan": record.id.plan, "task": record.id.task, "rebuilt": True}
    if proposal is not None:
        document |= {"worker": proposal.worker, "proposal": proposal.oid, "number": proposal.number}
    document |= {
        "attempt": state.attempt,
        "integrated_at": codec.format_time(entries[-1].event.at),
        "gate": [{"name": name, "outcome": "pass"} for name in _gates(session, entries)],
        "verdict": [
            {"lens": verdict.lens, "verifier": verdict.verifier, "verdict": verdict.verdict}
            for verdict in state.verdicts
        ],
    }
    return document


def _gates(session: Session, entries: list[log.Entry]) -> list[str]:
    """The gates whose output the latest uphold by gates has kept."""
    upheld = [
        entry for entry in entries if entry.event.name == "uphold" and entry.event.fields.get("by") == "gates"
    ]
    kept = log.texts(session.store.objects, upheld[-1]) if upheld else {}
    return [found[1] for name in sorted(kept) if (found := _GATE_LOG.fullmatch(name))]


def _unrecorded(
    session: Session, records: list[TaskRecord], stamped: dict[Oid | None, Oid]
) -> Iterator[Finding]:
    """Tasks whose latest proposal is on the base although no event says so: the intent was lost."""
    for record in records:
        commit = stamped.get(_proposal(record))
        if commit is None or record.state.state in (State.INTEGRATED, State.REVERTED, State.CANCELLED):
            continue
        history = log.history(session.store.objects, record.tip)
        if any(entry.event.name == "revert" for entry in history):
            continue  # it was on main once, and is to be done again
        yield Finding(
            "landing-unrecorded",
            f"{record.id} is {record.state.state}, and its proposal is on main as {commit[:_SHORT]}",
            "git fleet doctor --fix records it",
            partial(_record_landing, session, record, commit),
        )


def _record_landing(session: Session, record: TaskRecord, commit: Oid) -> None:
    def decide(now: TaskRecord) -> dict[str, Any]:
        number = now.state.proposal.number if now.state.proposal else 0
        return {"commit": commit, "number": number, "completing": True}

    act(session, record, "integrate", decide)


def foreign_commits(session: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """Commits on a base that no integration made: the lead's own are as good as any."""
    for base in _bases(snapshot):
        for commit in foreign.commits(session, snapshot, base):
            yield Finding(
                "foreign-commit",
                f"{base} has {commit.oid[:_SHORT]} {commit.subject!r}, which no integration made",
                f"nothing, if you made it; else git show {commit.oid[:_SHORT]}",
                note=True,
            )
