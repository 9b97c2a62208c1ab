"""The JSON documents of `run` and of what its agents printed (schemas/run, run-outlook, log-output)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from git_fleet.core.ids import TaskId
from git_fleet.core.results import AgentOutput
from git_fleet.core.running import Outlook, RunResult
from git_fleet.core.workspace import WideOutlook
from git_fleet.views.machine import time


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
        "pushes": value.pushes,
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


def outlook(value: Outlook) -> Mapping[str, Any]:
    """`run --dry-run`."""
    return {
        "plan": value.plan,
        "base": value.base,
        "workers": value.workers,
        "text": value.begins,
        "agents": list(value.agents),
        "left": [str(task) for task in value.left],
        "ready": [str(task) for task in value.ready],
    }


def wide_outlook(value: WideOutlook) -> Mapping[str, Any]:
    """`run --workspace --dry-run`."""
    return {
        "workspace": value.workspace,
        "workers": value.workers,
        "repos": [
            {
                "repo": each.repo.name,
                "agents": list(each.value.agents) if each.value else [],
                "left": each.value.left if each.value else 0,
                "error": each.error.message if each.error else None,
            }
            for each in value.repos
        ],
        "ready": [{"repo": each.repo.name, "task_id": str(each.task.id)} for each in value.offers],
    }


def outputs(task: TaskId, found: Sequence[AgentOutput]) -> Mapping[str, Any]:
    """`log --output`, oldest first. The text is as the agent wrote it."""
    return {
        "task_id": str(task),
        "outputs": [
            {
                "attempt": each.attempt,
                "number": each.number,
                "at": time(each.at),
                "path": each.path,
                "text": each.text,
            }
            for each in found
        ],
    }
