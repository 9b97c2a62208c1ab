"""The JSON document of `run` (schemas/run.schema.json)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from git_fleet.core.running import RunResult


def run(value: RunResult) -> Mapping[str, Any]:
    """`run`."""
    return {
        "plan": value.plan,
        "base": value.base,
        "ended": value.stop.code,
        "reason": value.stop.text,
        "complete": value.complete,
        "workers": value.workers,
        "seconds": round(value.seconds, 3),
        "commits": value.commits,
        "ejected": value.ejected,
        "recovered": value.recovered,
        "usage": {
            "input_tokens": value.usage.input_tokens,
            "output_tokens": value.usage.output_tokens,
            "cost_usd": value.usage.cost_usd,
        },
        "tasks": [
            {
                "task_id": str(task.task),
                "title": task.title,
                "state": str(task.state),
                "attempts": task.attempts,
                "reason": task.reason or None,
            }
            for task in value.tasks
        ],
        "troubles": list(value.troubles),
    }
