"""Task Master: `.taskmaster/tasks/tasks.json`, `{tag: {"tasks": […]}}`, or `{"tasks": […]}` of older versions.

A subtask becomes a task of its own, `5.2`; its task waits for it, and it waits for what its task waits for. With
tasks under more than one tag an id begins with its tag (`api-5`), because each tag counts from 1. Done tasks become
none, deferred ones are on hold. `relevantFiles` to be created or modified are the files it owns, others it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from git_fleet.app.importers import extra, json
from git_fleet.app.importers.document import Document
from git_fleet.app.importers.links import Links, with_hierarchy
from git_fleet.core import followups
from git_fleet.core.fields import Fields
from git_fleet.core.ids import slugify
from git_fleet.core.problems import Problems, found

_SHAPE = '{"master": {"tasks": […]}}'
_DONE, _GIVEN_UP = ("done", "completed"), ("cancelled",)
_OPEN = ("pending", "in-progress", "blocked", "review", "deferred")
_PRIORITIES = {"critical": 2, "high": 1, "medium": 0, "low": -1}
_ACTIONS = {"create": "files", "modify": "files", "delete": "files", "reference": "reads"}
_MAPPED = ("title", "description", "details", "testStrategy", "acceptanceCriteria", "subtasks")


class _Task(Struct):
    """A task or subtask: its id in the plan, what stands before the number of others of its tag ("" or "api-"),
    the id of the task it is a part of, or ""."""

    id: str
    tag: str
    parent: str
    fields: Fields


def read(text: str, source: str) -> Document:
    """The document of a tasks.json. Raises InvalidInput that names task and field."""
    problems = Problems(source)
    tasks = list(_all(json.decode(text, source), problems))
    known = {task.id for task in tasks}
    links = Links()
    going: list[_Task] = []
    for task in tasks:
        status = task.fields.text("status", "pending").lower()
        if status in _DONE:
            links.done[task.id] = None
        elif status in _GIVEN_UP:
            links.given_up[task.id] = f"is {status}"
        elif status in _OPEN:
            links.tasks[task.id] = None
            going.append(task)
        else:
            task.fields.report("status", found(status, ", ".join((*_OPEN, *_DONE, *_GIVEN_UP))))
    blockers = {task.id: list(_dependencies(task, known)) for task in going}
    parents = {task.id: task.parent for task in going if task.parent}
    needs = with_hierarchy(blockers, parents, inherit=True)
    made = [_table(task, needs[task.id], links) for task in going]
    problems.raise_if_any(hint="nothing was stored; correct the tasks and import them again")
    return Document({"version": 1, "task": made}, {}, links.notes())


def _all(data: Any, problems: Problems) -> Iterator[_Task]:
    """Every task of every tag, each followed by its subtasks."""
    if not isinstance(data, Mapping):
        problems.add(found(data, _SHAPE))
        return
    tags = {"": data} if isinstance(data.get("tasks"), list) else data
    lists: dict[str, list[Any]] = {}
    for tag, table in tags.items():
        tasks = table.get("tasks") if isinstance(table, Mapping) else None
        if isinstance(tasks, list):
            lists[tag] = tasks
        else:
            problems.add(found(table, '{"tasks": […]}'), where=f"tag {tag}")
    used = [tag for tag, tasks in lists.items() if tasks]
    for tag in used:
        prefix = f"{slugify(tag)}-" if len(used) > 1 else ""
        for place, entry in enumerate(lists[tag], start=1):
            yield from _with_parts(
                entry, f"tag {tag}, entry {place}" if tag else f"entry {place}", prefix, "", problems
            )


def _with_parts(entry: Any, where: str, prefix: str, parent: str, problems: Problems) -> Iterator[_Task]:
    number = entry.get("id") if isinstance(entry, Mapping) else None
    if isinstance(number, bool) or not isinstance(number, int | str) or not str(number).strip():
        problems.add(found(entry, 'a task, {"id": 1, "title": …}'), where=where)
        return
    text = str(number).strip().lower()
    name = text if not parent else text if text.startswith(f"{parent}.") else f"{parent}.{text}"

    def report(field: str, said: str) -> None:
        problems.add(said, where=f"task {prefix}{name}", field=field)

    fields = Fields({key: value for key, value in entry.items() if value is not None}, (), report)
    if "title" not in fields.table:
        report("title", "it is missing")
    yield _Task(f"{prefix}{name}", prefix, f"{prefix}{parent}" if parent else "", fields)
    parts = fields.table.get("subtasks", [])
    if not isinstance(parts, list):
        report("subtasks", found(parts, "a list of tasks"))
        return
    for place, part in enumerate(parts, start=1):
        yield from _with_parts(part, f"task {prefix}{name}, subtask {place}", prefix, name, problems)


def _dependencies(task: _Task, known: set[str]) -> Iterator[str]:
    """Ids of the plan. In a subtask a bare number is another subtask of its task, where there is one."""
    values = task.fields.table.get("dependencies", [])
    if not isinstance(values, list):
        task.fields.report("dependencies", found(values, "a list of ids"))
        return
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | str):
            task.fields.report("dependencies", found(value, "ids, such as 3 or 5.2"))
            continue
        name = str(value).strip().lower()
        sibling = f"{task.parent}.{name}"
        yield sibling if task.parent and sibling in known else f"{task.tag}{name}"


def _table(task: _Task, needs: list[str], links: Links) -> dict[str, Any]:
    fields = task.fields
    table: dict[str, Any] = {"id": task.id, "title": fields.text("title")}
    waits = links.needs(
        needs, lambda text: fields.report("dependencies", text), elsewhere="tasks of the same tag"
    )
    several = {"needs": waits, **_files(fields)}
    table |= {key: value for key, value in several.items() if value}
    if prompt := _prompt(fields):
        table["prompt"] = prompt
    priority = fields.text("priority", "medium").lower()
    if priority not in _PRIORITIES:
        fields.report("priority", found(priority, ", ".join(_PRIORITIES)))
    elif _PRIORITIES[priority]:
        table["priority"] = _PRIORITIES[priority]
    if fields.text("status").lower() == "deferred":
        table["hold"] = True
    kept = {key: value for key, value in fields.table.items() if key not in _MAPPED}
    return {**table, "extra": extra.pack("taskmaster", kept)}


def _prompt(fields: Fields) -> str:
    parts = [fields.text("description"), fields.text("details")]
    if strategy := fields.text("testStrategy"):
        parts.append(f"## How it is tested\n\n{strategy}")
    if criteria := fields.texts("acceptanceCriteria"):
        parts.append("\n".join(("## Acceptance criteria\n", *(f"- {each}" for each in criteria))))
    return "\n\n".join(part.strip() for part in parts if part.strip()).replace("\r\n", "\n")


def _files(fields: Fields) -> dict[str, list[str]]:
    """What it owns and what it reads."""
    patterns: dict[str, list[str]] = {"files": [], "reads": []}
    values = fields.table.get("relevantFiles", [])
    if not isinstance(values, list):
        fields.report("relevantFiles", found(values, "a list"))
        return patterns
    for value in values:
        path, action = (
            (value.get("path"), value.get("action", "modify")) if isinstance(value, Mapping) else (None, "")
        )
        if not isinstance(path, str) or not path.strip() or action not in _ACTIONS:
            allowed = f'{{"path": …, "action": …}}, the action one of {", ".join(_ACTIONS)}'
            fields.report("relevantFiles", found(value, allowed))
            continue
        patterns[_ACTIONS[action]].append(followups.pattern(path.removeprefix("./")))
    return {key: list(dict.fromkeys(found)) for key, found in patterns.items()}
