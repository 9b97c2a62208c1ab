"""Issues that tasks came from, as text and as JSON."""

from __future__ import annotations

import shlex
from typing import Any

from git_fleet.core.tracked import Fate, Synced
from git_fleet.core.wording import count
from git_fleet.views.look import Look, line
from git_fleet.views.table import Cell, Table

_FATES = {
    Fate.TO_CLOSE: ("to close", "yellow"),
    Fate.CLOSED: ("closed", "green"),
    Fate.ALREADY_CLOSED: ("was closed already", "dim"),
    Fate.REOPENED: ("opened again: left alone", "dim"),
    Fate.FAILED: ("failed", "red"),
}


def synced(value: Synced, look: Look) -> str:
    """What became of each issue, and the commands for those that a person has to close."""
    if not value.issues:
        return f"no issue of plan {line(value.plan)} is done: none of its tasks both came from one and is integrated"
    table = Table(("ISSUE", "TASKS", "STATE", "DETAIL"), whole=frozenset({0, 1}))
    for issue in value.issues:
        tasks = ", ".join(map(str, issue.tasks))
        table.add(
            Cell(f"{issue.tracker} {issue.reference}", "bold"), tasks, Cell(*_FATES[issue.fate]), issue.detail
        )
    parts = [table.render(look)]
    commands = [shlex.join(issue.command) for issue in value.issues if _is_left(issue.fate) and issue.command]
    if commands and not (value.gh and not value.asked):
        why = "gh is not installed; where it is, these close them:" if not value.gh else "left to do:"
        parts.append("\n".join((look.paint(why, "bold"), *commands)))
    elif commands:
        next_command = f"git fleet plan sync-issues {value.plan} --apply"
        parts.append(f"{look.paint('next:', 'bold')} {next_command}   closes {count(len(commands), 'issue')}")
    return "\n\n".join(parts)


def _is_left(fate: Fate) -> bool:
    return fate in (Fate.TO_CLOSE, Fate.FAILED)


def document(value: Synced) -> dict[str, Any]:
    """`plan sync-issues`."""
    return {
        "plan": value.plan,
        "gh": value.gh,
        "issues": [
            {
                "tracker": issue.tracker,
                "reference": issue.reference,
                "tasks": [str(task) for task in issue.tasks],
                "state": str(issue.fate),
                "detail": issue.detail or None,
                "command": list(issue.command),
            }
            for issue in value.issues
        ],
    }
