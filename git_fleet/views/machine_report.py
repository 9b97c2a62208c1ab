"""A report as a JSON document (schemas/report.schema.json); see views/machine.py for what holds for all."""

from __future__ import annotations

from git_fleet.core.meetings import Meeting, Refit
from git_fleet.core.reporting import Report
from git_fleet.core.spans import moment
from git_fleet.views import graph, machine_review, matrix, score
from git_fleet.views.machine import Document, time
from git_fleet.views.report import meetings_in_a_sentence


def report(value: Report) -> Document:
    """`report`: what `score`, `review` and `graph` say, and what only a report has."""
    review, found = value.review, value.meetings
    return {
        "plan": review.plan,
        "title": review.title,
        "base": review.base or None,
        "state": str(review.state),
        "at": time(review.at),
        "headline": value.lessons.headline,
        "added": value.added,
        "removed": value.removed,
        "timeline": [
            {
                "task_id": str(stay.task),
                "phase": str(stay.phase),
                "worker": stay.attempt.worker if stay.attempt else None,
                "from": time(moment(stay.start)),
                "to": time(moment(stay.end)),
            }
            for stay in value.score.stays
        ],
        "meetings": {
            "summary": meetings_in_a_sentence(value),
            "predicted": found.predicted,
            "met": found.met,
            "unforeseen": found.unforeseen,
            "conflicted": found.conflicted,
            "pairs": [_meeting(pair) for pair in found.pairs],
            "crowds": [{"path": crowd.path, "tasks": crowd.tasks} for crowd in found.crowds],
            "unexplained": [_refit(refit) for refit in found.unexplained],
        },
        "gate_logs": [
            {"task_id": str(task), "gate": log.gate, "text": log.text, "left_out_bytes": log.left_out}
            for task, logs in value.logs.items()
            for log in logs
        ],
        "score": score.document(value.score, value.lessons),
        "review": machine_review.review(review),
        "graph": graph.document(value.picture),
    }


def _meeting(pair: Meeting) -> Document:
    return {
        "a": str(pair.a),
        "b": str(pair.b),
        "outcome": matrix.kind(pair),
        "policy": str(pair.predicted.policy) if pair.predicted else None,
        "patterns": list(pair.predicted.patterns) if pair.predicted else [],
        "shared": list(pair.shared),
        "conflicts": list(pair.conflicts),
    }


def _refit(refit: Refit) -> Document:
    return {"task_id": str(refit.task), "at": time(refit.at), "paths": list(refit.paths)}
