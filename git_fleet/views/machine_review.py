"""A review as a JSON document (schemas/review.schema.json); see views/machine.py for what holds for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from git_fleet.views.machine import Document, findings, ids, time

if TYPE_CHECKING:
    from git_fleet.core.divergence import Divergence
    from git_fleet.core.reviewing import Review, TaskReview, Waiting


def review(value: Review) -> Document:
    """`review`."""
    return {
        "plan": value.plan,
        "title": value.title,
        "base": value.base or None,
        "state": str(value.state),
        "at": time(value.at),
        "summary": value.summary,
        "tasks": [_task(task) for task in value.tasks],
        "divergences": [_divergence(one) for one in value.divergences],
        "queue": [_waiting(one, value) for one in value.queue],
        "recommendations": [
            {"code": one.code, "text": one.text, "commands": list(one.commands)}
            for one in value.recommendations
        ],
    }


def _task(one: TaskReview) -> Document:
    state, proposal = one.record.state, one.record.state.proposal
    return {
        "task_id": str(one.id),
        "title": one.record.task.title,
        "state": str(one.state),
        "since": time(one.state_since),
        "reason": one.why or None,
        "group": one.record.task.group or None,
        "params": dict(one.record.task.params),
        "attempts": state.attempt,
        "worker": proposal.worker if proposal else None,
        "proposal": proposal.number if proposal else None,
        "base": one.base,
        "commit": one.commit,
        "landed": one.landed,
        "did": one.did,
        "paths": [
            {"path": path.path, "added": path.added, "removed": path.removed, "binary": path.binary}
            for path in one.paths
        ],
        "cut": one.cut,
        "gates": [
            {"name": gate.name, "outcome": gate.outcome, "seconds": gate.seconds, "cached": gate.cached}
            for gate in one.gates
        ],
        "verdicts": [
            {
                "lens": each.lens or None,
                "verifier": each.verifier,
                "verdict": each.verdict,
                "at": time(each.at),
                "counts": each.counts,
            }
            for each in one.opinions
        ],
        "findings": [
            {**shown, "outside": found.outside}
            for shown, found in zip(findings(one.findings), one.findings, strict=True)
        ],
        "artifacts": [{"name": each.name, "size": each.size} for each in one.artifacts],
    }


def _divergence(one: Divergence) -> Document:
    return {
        "group": one.group,
        "kind": str(one.kind),
        "name": one.name,
        "odd": ids(one.odd),
        "one": str(one.one),
        "other": str(one.other),
        "siblings": one.siblings,
        "shapes": one.shapes,
        "missing": ids(one.missing),
        "difference": [{"of": "one" if each.odd else "other", "text": each.text} for each in one.difference],
        "cut": one.cut,
    }


def _waiting(one: Waiting, value: Review) -> Document:
    return {
        "task_id": str(one.id),
        "state": str(one.state),
        "waits_for": one.code,
        "text": one.what,
        "since": time(one.since),
        "waiting_seconds": max(0, int((value.at - one.since).total_seconds())),
    }
