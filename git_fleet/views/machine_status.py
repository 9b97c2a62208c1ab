"""How the fleet stands, for programs: the JSON of `status`, and its lines for scripts (`--porcelain`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from git_fleet.views.machine import Document, ids, time, usage

if TYPE_CHECKING:
    from git_fleet.core.results import PlanStatus, Sharing, Status, TaskRow

PORCELAIN = 1
"""The version of `--porcelain`. Within it labels may be added, none changes its meaning or goes."""


def status(value: Status) -> Document:
    """`status`."""
    return {
        "at": time(value.at),
        "plans": [_plan(plan) for plan in value.plans],
        "main": value.main,
        "lead": value.lead or None,
        "next": value.next_command or None,
        "steps": [{"command": step.command, "why": step.why or None} for step in value.steps],
        "remote": _remote(value.sharing),
    }


def _remote(found: Sharing | None) -> Document | None:
    if found is None:
        return None
    return {
        "remote": found.remote,
        "age_seconds": round(found.age_seconds, 3),
        "pushes": found.pushes,
        "waiting": found.waiting,
    }


def _plan(plan: PlanStatus) -> Document:
    return {
        "plan": plan.plan,
        "title": plan.title,
        "base": plan.base,
        "state": str(plan.state),
        "reason": plan.reason,
        "counts": {str(state): number for state, number in plan.counts},
        "tasks": [_task(task) for task in plan.tasks],
        "wave": plan.wave,
        "waves": plan.waves,
    }


def _task(task: TaskRow) -> Document:
    return {
        "task_id": str(task.id),
        "title": task.title,
        "state": str(task.state),
        "holder": task.holder or None,
        "attempt": task.attempt,
        "expires_at": time(task.expires_at),
        "branch": task.branch or None,
        "worktree": task.worktree or None,
        "ahead": task.ahead,
        "dirty": task.dirty,
        "files": list(task.files),
        "needs": ids(task.needs),
        "waits_for": ids(task.waits_for),
        "summary": task.summary,
        "usage": usage(task.usage),
        "why": task.why or None,
        "claimed_at": time(task.claimed_at),
        "seen_at": time(task.seen_at),
        "wave": task.wave,
    }


# --- porcelain -----------------------------------------------------------------------------------


def porcelain(value: Status, *, nul: bool = False) -> str:
    """`status --porcelain`: one fact a line, `label value`, an empty line after each record, as `git worktree list
    --porcelain` has it. The first record is about the fleet and begins with `version`; then, of each plan, one
    that begins with `plan` and one for each of its tasks that begins with `task`. What is unknown or empty is left out; a
    label can come several times.

    A value that begins with a quotation mark, or in which something cannot be printed, is in quotation marks, as
    git quotes paths. With `nul` every line ends with NUL instead and no value is quoted.
    """
    records = [_fleet_facts(value)]
    for plan in value.plans:
        records += [_plan_facts(plan), *map(_task_facts, plan.tasks)]
    end = "\0" if nul else "\n"
    lines = (
        f"{label} {text.replace(end, '�') if nul else quoted(text)}{end}" if label else end
        for record in records
        for label, text in (*((name, text) for name, text in record if text), ("", ""))
    )
    return "".join(lines)


Facts = Iterable[tuple[str, str]]


def _fleet_facts(value: Status) -> Facts:
    yield "version", str(PORCELAIN)
    yield "at", time(value.at) or ""
    yield "main", value.main or ""
    yield "lead", value.lead
    for step in value.steps:
        yield "next", step.command


def _plan_facts(plan: PlanStatus) -> Facts:
    yield "plan", plan.plan
    yield "state", str(plan.state)
    yield "base", plan.base
    yield "title", plan.title
    yield "reason", plan.reason
    for state, number in plan.counts:
        yield "count", f"{number} {state}"
    yield "wave", "" if plan.wave is None else str(plan.wave)
    yield "waves", str(plan.waves or "")


def _task_facts(task: TaskRow) -> Facts:
    yield "task", str(task.id)
    yield "state", str(task.state)
    yield "title", task.title
    yield "holder", task.holder
    yield "attempt", str(task.attempt or "")
    yield "claimed", time(task.claimed_at) or ""
    yield "seen", time(task.seen_at) or ""
    yield "expires", time(task.expires_at) or ""
    yield "branch", task.branch
    yield "worktree", task.worktree
    yield "ahead", "" if task.ahead is None else str(task.ahead)
    yield "dirty", "" if task.dirty is None else str(task.dirty)
    yield "wave", "" if task.wave is None else str(task.wave)
    for other in task.waits_for:
        yield "waits-for", str(other)
    yield "summary", task.summary
    yield "why", task.why


_ESCAPES = {"\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r", '"': '"', "\\": "\\"}


def quoted(text: str) -> str:
    """`text` as git quotes a path, where it has to be: by its bytes."""
    if text.isprintable() and not text.startswith('"'):
        return text
    return f'"{"".join(_quoted(char) for char in text)}"'


def _quoted(char: str) -> str:
    if char in _ESCAPES:
        return f"\\{_ESCAPES[char]}"
    if char.isprintable():
        return char
    return "".join(f"\\{byte:03o}" for byte in to_bytes(char))


def to_bytes(text: str) -> bytes:
    """Text as it is printed: what stands for bytes that are no UTF-8 as those bytes."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair, which JSON can have
        return text.encode("utf-8", "replace")
