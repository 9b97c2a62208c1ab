"""What happens to a task between the claim and the hand-in, and what a person decides about it."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from git_fleet.app import placing, snapshots
from git_fleet.app.acting import act, holder_fence, renewal, same_proposal
from git_fleet.app.session import Session
from git_fleet.app.verdicts import require_other
from git_fleet.core import lease
from git_fleet.core.lifecycle import ATTEMPTS, Event
from git_fleet.core.model import Finding, PlanState, State, Usage
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import IllegalEvent, InvalidInput, LostRace
from git_fleet.store import plans

_CODE = re.compile(r"[^\W\d][\w-]{0,63}")


class Acted(Struct, frozen=True):
    """The task after the event, and what its actor should be told; `collisions` are those of the notes that say what
    the work conflicts with by now."""

    record: TaskRecord
    notes: tuple[str, ...] = ()
    collisions: tuple[str, ...] = ()


def _find(session: Session, name: str) -> TaskRecord:
    return session.record(session.snapshot_of(name), name)


def _held(session: Session, name: str | None) -> TaskRecord:
    return session.holders_record(session.snapshot_of(name), name)


def progress(
    session: Session, name: str | None, status: str, *, log_chunk: bytes = b"", usage: Usage | None = None
) -> Acted:
    """Say how it goes; renews the lease, and saves the worktree. `log_chunk` is kept in the event (its last 64 KiB).

    Raises StaleClaim when the task was taken over.
    """
    record = _held(session, name)

    def decide(now: TaskRecord) -> dict[str, Any]:
        said: dict[str, Any] = {"status": status} if status or not usage else {}
        return renewal(session, now) | said | ({"usage": usage} if usage else {})

    texts = {"log": log_chunk} if log_chunk else None
    record = act(session, record, "progress", decide, texts=texts)
    return _told(session, record)


def use(session: Session, name: str, usage: Usage) -> Acted:
    """Say what the work under the latest claim has used beside what is known, also when it is handed in by now.

    Raises StaleClaim when somebody else has claimed the task.
    """
    record = _find(session, name)
    fence = session.fence(record.id)
    return Acted(act(session, record, "usage", lambda _: {"fence": fence, "usage": usage}))


def renew(session: Session, name: str | None) -> Acted:
    """Renew the lease, and save the worktree. Raises StaleClaim when the task was taken over."""
    record = _held(session, name)
    record = act(session, record, "renew", lambda now: renewal(session, now))
    return _told(session, record)


def _told(session: Session, record: TaskRecord) -> Acted:
    """With what a worker is told with a sign of life, which saves its worktree: what is wrong with that, what its
    work conflicts with by now, that its session is over."""
    from git_fleet.app import conflicts  # much of git, which other verbs do without

    kept = snapshots.keep(session, record)  # first: the others are compared with what it saves
    collisions = conflicts.notes(session, record)
    return Acted(record, (*kept, *collisions, *_session_note(session, record)), collisions)


def _session_note(session: Session, record: TaskRecord) -> tuple[str, ...]:
    """Agents drift: past `session_minutes` the worker is told to come to an end."""
    claim, minutes = record.state.claim, session.config_of(record.id).session_minutes
    if claim is None or not lease.acquired_past(claim, session.now(), minutes):
        return ()
    return (
        f"this session is longer than {minutes:g} minutes: hand in (git fleet done) or git fleet release",
    )


def release(session: Session, name: str | None, reason: str = "") -> Acted:
    """Give the task back; what was done is kept, and the next claim starts from it."""
    record = _held(session, name)
    fence = holder_fence(session, record)
    rescued = placing.rescue(session, record, leave=True)
    fields = {"fence": fence} | ({"reason": reason} if reason else {}) | rescued.fields()
    record = act(session, record, "release", lambda _: fields)
    return Acted(record, rescued.notes())


def block(session: Session, name: str | None, code: str, reason: str) -> Acted:
    """Say that the task cannot go on, with a code that siblings may share; saves the worktree.

    After `breaker` tasks of the plan are blocked with the same code the plan is paused.
    """
    if not _CODE.fullmatch(code) or code == ATTEMPTS:
        raise InvalidInput(
            f"code {code!r}: one word such as missing-api, and not {ATTEMPTS!r}, which git-fleet itself uses",
            hint="git fleet block --code CODE REASON",
        )
    record = _held(session, name)

    def decide(now: TaskRecord) -> dict[str, Any]:
        return {"fence": holder_fence(session, now), "code": code, "reason": reason}

    saved = snapshots.keep(session, record)  # before: a claim that has ended is given no snapshot
    record = act(session, record, "block", decide)
    return Acted(record, (*saved, *_trip_breaker(session, record, code)))


def _trip_breaker(session: Session, record: TaskRecord, code: str) -> tuple[str, ...]:
    """Pause the plan when enough siblings met the same wall (DESIGN section 6, Limits)."""
    limit = session.config_of(record.id).breaker
    snapshot = session.snapshot()
    same = [
        other
        for other in snapshot.of_plan(record.id.plan)
        if other.state.state is State.BLOCKED and other.state.code == code
    ]
    plan = snapshot.plans[record.id.plan]
    if len(same) < limit or plan.state is not PlanState.OPEN:
        return ()
    reason = f"{len(same)} tasks are blocked with the code {code}"
    try:
        plans.append(session.store, plan, Event("pause", session.now(), session.actor, {"reason": reason}))
    except LostRace:
        return ()  # somebody paused, closed or re-approved it at this moment
    return (f"plan {plan.id} is paused: {reason}",)


def withdraw(session: Session, name: str | None, reason: str) -> Acted:
    """Take one's own proposal back into rework."""
    record = _held(session, name)

    def decide(now: TaskRecord) -> dict[str, Any]:
        return {"fence": holder_fence(session, now), "reason": reason or "withdrawn"}

    return Acted(act(session, record, "withdraw", decide))


def unblock(session: Session, name: str, reason: str) -> Acted:
    """Let a blocked task go on; its attempts start anew."""
    return _simple(session, name, "unblock", {"reason": reason})


def reopen(session: Session, name: str) -> Acted:
    """Bring a cancelled or reverted task back as pending."""
    return _simple(session, name, "reopen", {})


def shelve(session: Session, name: str) -> Acted:
    """Free the files of a blocked or rework task that nobody takes; its work is kept."""
    return _put_away(session, name, "shelve", "")


def cancel(session: Session, name: str, reason: str) -> Acted:
    """End a task for good; its work is kept. A running worker is told at its next step."""
    return _put_away(session, name, "cancel", reason)


def _put_away(session: Session, name: str, event: str, reason: str) -> Acted:
    record = _find(session, name)
    rescued = placing.rescue(session, record, leave=True)
    fields = {"reason": reason} | rescued.fields()
    return Acted(act(session, record, event, lambda _: fields), rescued.notes())


def _simple(session: Session, name: str, event: str, fields: dict[str, Any]) -> Acted:
    record = _find(session, name)
    return Acted(act(session, record, event, lambda _: fields))


def accept(session: Session, name: str, reason: str) -> Acted:
    """A person's word: lifts a hold, or takes a proposal as verified.

    Raises Denied for an agent, and for whoever made the proposal; IllegalEvent where there is neither,
    Stale when there is another proposal by now.
    """
    record = _find(session, name)
    session.require_person("accept", record.id)
    person = session.person()
    if record.state.state is not State.PENDING:
        require_other(session, record, person, verb="accept")

    def decide(now: TaskRecord) -> dict[str, Any]:
        if now.state.state is State.PENDING and (now.state.lifted or not now.task.hold):
            raise IllegalEvent(
                f"{now.id} is not on hold, and nothing is handed in yet",
                hint=f"git fleet explain {now.id}",
            )
        proposal = now.state.proposal
        return {"by": "person", "reason": reason} | ({"number": proposal.number} if proposal else {})

    return Acted(act(session, record, "accept", same_proposal(record, decide), actor=person))


def reject(session: Session, name: str, findings: tuple[str, ...]) -> Acted:
    """A person's word: the proposal goes back to rework with the findings.

    Raises Denied for an agent, Stale when there is another proposal by now.
    """
    record = _find(session, name)
    session.require_person("reject", record.id)
    if not findings:
        raise InvalidInput("a rejection needs a reason", hint=f'git fleet reject {record.id} --finding "…"')
    person = session.person()
    found = tuple(Finding(text, source=f"person:{person}") for text in findings)
    decide = same_proposal(record, lambda _: {"findings": found, "reason": "rejected"})
    return Acted(act(session, record, "reject", decide, actor=person))
