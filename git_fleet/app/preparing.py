"""A task that lands, written before anything moves: its events and its evidence note."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from git_fleet.app.gates import GateResult
from git_fleet.app.gating import Judgement
from git_fleet.app.session import Session
from git_fleet.app.stacking import Layer
from git_fleet.core import codec
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event, after
from git_fleet.core.model import State, TaskState
from git_fleet.core.snapshot import TaskRecord
from git_fleet.store import evidence, log, tasks
from git_fleet.store.lead import Landing


def prepare(session: Session, layer: Layer, found: Judgement) -> Landing:
    """One task on its way onto main: its events and its evidence note, written as objects.

    Where no verifier is configured, passing gates count as the uphold; then it and the `integrate` event
    are two events in one move of the task's log.
    """
    record, commit = layer.record, layer.commit
    if commit is None or record.tip is None:
        raise AssertionError("what lands has a commit and a log")
    state, tip, person, now = record.state, record.tip, session.person(), session.now()
    number, texts = layer.proposal.number, found.texts
    if state.state is not State.VERIFIED:
        upheld = Event("uphold", now, person, {"by": found.by, "number": number})
        state = after(state, upheld)
        tip = _event(session, record, upheld, state, tip, texts)
        texts = {}
    event = Event("integrate", now, person, {"commit": commit, "number": number})
    prepared = _event(session, record, event, after(state, event), tip, texts)
    note = evidence.text(_evidence(session, layer, found, now))
    return Landing(record.id, number, commit, record.tip, prepared, note)


def _event(
    session: Session,
    record: TaskRecord,
    event: Event,
    state: TaskState,
    parent: Oid,
    texts: Mapping[str, bytes],
) -> Oid:
    subject = tasks.subject(record.id, event)
    return log.write(session.store.objects, event, state, parent=parent, subject=subject, texts=texts)


def _evidence(session: Session, layer: Layer, found: Judgement, now: datetime) -> dict[str, Any]:
    """What the note on the commit says: who did it, what was checked, when, and who took it as verified
    whatever its verifiers say."""
    state, claim, proposal = layer.record.state, layer.record.state.claim, layer.proposal
    document: dict[str, Any] = {
        "plan": layer.record.id.plan,
        "task": layer.record.id.task,
        "worker": proposal.worker,
        "proposal": proposal.oid,
        "number": proposal.number,
        "attempt": state.attempt,
        "integrated_at": codec.format_time(now),
    }
    if found.gated_as is not None:
        document["gated_as"] = found.gated_as
    if state.unparked == proposal.number and layer.record.tip is not None:
        document["accepted_by"] = _accepted_by(session, layer.record.tip)
    if claim is not None:
        document["claimed_at"] = codec.format_time(claim.acquired_at)
    if state.usage.input_tokens or state.usage.output_tokens or state.usage.cost_usd:
        document["usage"] = codec.encode(state.usage)
    document["gate"] = [_gate(result) for result in found.results]
    document["verdict"] = [
        {"lens": verdict.lens, "verifier": verdict.verifier, "verdict": verdict.verdict}
        for verdict in state.verdicts
    ]
    return document


def _accepted_by(session: Session, tip: Oid) -> str:
    """The person who accepted the latest proposal of the task with this log."""
    events = (entry.event for entry in log.history(session.store.objects, tip))
    return [event.actor for event in events if event.name == "accept"][-1]


def _gate(result: GateResult) -> dict[str, Any]:
    document = {"name": result.name, "outcome": str(result.outcome), "seconds": round(result.seconds, 3)}
    return document | ({"cached": True} if result.cached else {})
