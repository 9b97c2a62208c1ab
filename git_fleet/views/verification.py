"""Verdicts, as text and as JSON: one row for each task and lens, what was found below."""

from __future__ import annotations

from collections.abc import Iterable

from git_fleet.core.model import State
from git_fleet.core.results import Given, Verification, Verified
from git_fleet.views import machine
from git_fleet.views.look import Look, line, lines, wrapped
from git_fleet.views.table import Cell, Table

_STYLES = {"upheld": "green", "refuted": "red", "inconclusive": "yellow", "waits": "dim"}
_SIGNS = {State.VERIFIED: ("✓", "green", "is verified"), State.REWORK: ("✗", "red", "goes back to rework")}
_WAITS = ("-", "dim", "waits for more verdicts")


def verification(value: Verification, look: Look) -> str:
    """What was said of each task, and what came of it."""
    if not (value.tasks or value.skipped):
        return "nothing is handed in"
    rows = any(one.verdicts or (one.missing and not one.refuted) for one in value.tasks)
    parts = [_verdicts(value.tasks, look)] if rows else []
    parts += [part for one in value.tasks for part in _task(one, look)]
    parts += [
        wrapped(f"{look.paint('-', 'dim')} {one.id} is left: {line(one.reason)}", look, indent=2)
        for one in value.skipped
    ]
    return "\n".join(parts)


def _verdicts(tasks: Iterable[Verified], look: Look) -> str:
    table = Table(("TASK", "LENS", "VERDICT", "BY", "WHAT"), whole=frozenset({0, 1, 2}))
    for task in tasks:
        for one in task.verdicts:
            table.add(
                str(task.id),
                one.lens,
                Cell(one.verdict, _STYLES.get(one.verdict, "")),
                one.verifier,
                _gist(one),
            )
        for lens in task.missing if not task.refuted else ():
            table.add(str(task.id), lens, Cell("waits", _STYLES["waits"]), "", "")
    return table.render(look)


def _gist(one: Given) -> str:
    """A few words on one row; what was found stands below."""
    if one.findings:
        return f"{len(one.findings)} finding{'' if len(one.findings) == 1 else 's'}"
    return one.summary.partition("\n")[0]


def _task(task: Verified, look: Look) -> list[str]:
    """What came of a task, and everything that was found."""
    sign, style, word = _SIGNS.get(task.state, _WAITS)
    why = f" ({task.reason})" if task.reason else ""
    text = [f"{look.paint(sign, style)} {look.paint(str(task.id), 'bold')} {word}{why}"]
    text += [f"    {look.paint(part, 'dim')}" for part in lines(task.detail.strip()).split("\n") if part]
    for given in task.verdicts:
        for found in given.findings:
            first, *rest = lines(found.text.strip()).split("\n")
            where = f"{line(found.path)}: " if found.path else ""
            label = f" [{line(found.label)}]" if found.label else ""
            beyond = f" (outside the task{label})" if found.outside else label
            text.append(wrapped(f"    {line(given.lens)}: {where}{first}{beyond}", look, indent=6))
            text += [f"      {part}".rstrip() for part in rest]
    return text


def document(value: Verification) -> machine.Document:
    """`verify` and `verdict`."""
    return {
        "tasks": [
            {
                "task_id": str(task.id),
                "state": str(task.state),
                "proposal": task.proposal,
                "commit": task.commit,
                "verdicts": [_given(one) for one in task.verdicts],
                "missing": list(task.missing),
                "reason": task.reason or None,
                "detail": task.detail or None,
            }
            for task in value.tasks
        ],
        "skipped": [{"task_id": str(one.id), "reason": one.reason} for one in value.skipped],
    }


def _given(one: Given) -> machine.Document:
    return {
        "lens": one.lens,
        "verifier": one.verifier,
        "verdict": one.verdict,
        "at": machine.time(one.at),
        "onto": one.onto,
        "summary": one.summary,
        "findings": machine.findings(one.findings),
        "oid": one.oid,
    }
