"""Findings that are not their task's to put right, as draft tasks (DESIGN section 9).

Verifiers and people see more than the task at hand. What lies outside of its files is no work for its worker,
and must not be lost when the task is reworked, or lands: it becomes a task of its own, for whoever takes tasks
with its label. Texts, paths and labels are untrusted; a person reads the draft before it counts.

A finding is known again by what it says, not by when it was said: its mark stands in the id or the remarks of
the task that was drafted for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from git_fleet.core.ids import TaskId
from git_fleet.core.model import Finding, Task
from git_fleet.core.scope import outside
from git_fleet.core.trailers import clean, one_line

OWN = frozenset({"conflict", "gate", "needs", "scope"})
"""Sources of findings that are about the proposal itself, wherever they point."""

_LINE = re.compile(r":\d+(?:[:-]\d+)?$")
_SPECIAL = re.compile(r"[\\*?\[]")
_NOT_IN_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MARK = re.compile(r"\bfinding[ -]([0-9a-f]{12})\b")
_MAX_TITLE = 72
_MAX_LABEL = 40
_MAX_STEM = 80  # of an id, which has 100 characters


class Found(Struct, frozen=True):
    """A finding that is outside of the task it was found in. `path` is as in a tree, "" for none."""

    task: TaskId
    text: str
    source: str
    path: str
    label: str

    @property
    def mark(self) -> str:
        """What it says, in twelve characters."""
        said = "\0".join((self.path, self.label, " ".join(self.text.split())))
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def beyond(task: Task, findings: Iterable[Finding], generated: Sequence[str] = ()) -> tuple[Found, ...]:
    """Those of a task's findings that are not its own to put right: whoever found them says so, or they
    name a path that the task does not own."""
    kept = []
    for finding in findings:
        path = path_of(finding.path)
        inside = f"{path.rstrip('/')}/x"  # it may be a folder, of which the task owns what is in it
        elsewhere = bool(path) and len(outside([path, inside], task.owned, generated=generated)) == 2
        if finding.source not in OWN and (finding.outside or elsewhere):
            text = _writable(clean(finding.text).strip())
            label = one_line(_writable(finding.label))[:_MAX_LABEL].strip()
            kept.append(Found(task.id, text, one_line(_writable(finding.source)), path, label))
    return tuple(kept)


def marks(tasks: Iterable[Task]) -> frozenset[str]:
    """The marks of all findings that tasks were drafted for."""
    return frozenset(mark for task in tasks for mark in _MARK.findall(f"{task.id.task} {task.remarks}"))


def drafts(
    found: Iterable[Found], *, known: Collection[str], ended: Collection[TaskId]
) -> tuple[dict[str, Any], ...]:
    """One task, as a plan file has it, for each path and label among findings not `known` by their marks, in
    the order found; for each finding that names no path. It needs the tasks it was found in unless they have
    `ended`: they may be changing what it is about."""
    groups: dict[tuple[str, ...], dict[str, list[Found]]] = {}
    for one in found:
        if one.mark not in known:
            group = (one.path, one.label) if one.path else (one.mark,)
            groups.setdefault(group, {}).setdefault(one.mark, []).append(one)
    return tuple(_draft(group, ended) for group in groups.values())


def _draft(group: Mapping[str, Sequence[Found]], ended: Collection[TaskId]) -> dict[str, Any]:
    every = [one for same in group.values() for one in same]
    first = every[0]
    tasks = tuple(dict.fromkeys(one.task for one in every))
    table: dict[str, Any] = {
        "id": f"{first.task.task[:_MAX_STEM]}-finding-{first.mark}",
        "title": _title(first, len(group)),
        "prompt": _prompt(tasks, group),
        "remarks": ", ".join(f"finding {mark}" for mark in group),
    }
    if first.path:
        table["files"] = [pattern(first.path)]
    if first.label:
        table["labels"] = [first.label]
    needs = [task.task for task in tasks if task not in ended]
    if needs:
        table["needs"] = needs
    return table


def _title(first: Found, number: int) -> str:
    more = f" (and {number - 1} more)" if number > 1 else ""
    room = _MAX_TITLE - len(more)
    said = one_line(first.text.partition("\n")[0]) or f"Look at {one_line(_writable(first.path))}"
    return (said if len(said) <= room else f"{said[: room - 1].rstrip()}…") + more


def _prompt(tasks: Iterable[TaskId], group: Mapping[str, Sequence[Found]]) -> str:
    lines = [
        f"Found while looking at {', '.join(map(str, tasks))}, and not part of it.",
        "What follows are the words of whoever found it: check that it is so, then put it right.",
        "",
    ]
    for same in group.values():
        one = same[0]
        where = f"{one_line(_writable(one.path))}: " if one.path else ""
        body = one.text.replace("\n", "\n  ")
        lines.append(f"- {where}{body} ({', '.join(dict.fromkeys(each.source for each in same))})")
    return "\n".join(lines) + "\n"


def pattern(path: str) -> str:
    """The pattern that owns this path alone (a folder: all in it). Bytes that a plan cannot hold are `?`."""
    escaped = _SPECIAL.sub(r"\\\g<0>", path)
    plain = _NOT_IN_LINE.sub(lambda odd: "?" * len(odd[0].encode("utf-8", "replace")), escaped)
    return "/" + re.sub(r"( +)$", lambda spaces: spaces[0].replace(" ", "\\ "), plain)


def path_of(said: str) -> str:
    """The path that a finding names, as in a tree, without a line number; "" when it is none."""
    parts = [part for part in _LINE.sub("", said.strip()).split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        return ""
    return "/".join(parts) + ("/" if said.rstrip().endswith("/") else "")


def _writable(text: str) -> str:
    """Without what no TOML can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
