"""beads: one issue a line, as in `.beads/issues.jsonl` and from `bd export`.

`metadata.git_fleet` holds what beads has no field for: `owned`, the files, and every other key of a task as plan.toml
has it (`accept`, `branch`, …), which wins over what the issue says elsewhere. All that a task does not say itself is
kept in its `extra.beads`, so that app/exporters/beads.py can write the same issue again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from git_fleet.app.importers import extra, json
from git_fleet.app.importers.document import Document
from git_fleet.app.importers.links import Links, with_hierarchy
from git_fleet.core.fields import Fields
from git_fleet.core.problems import Path, Problems, at, found
from git_fleet.errors import InvalidInput

BLOCKING = ("blocks", "conditional-blocks", "waits-for")
PARENT = "parent-child"
SECTIONS = {"design": "Design", "acceptance_criteria": "Acceptance criteria", "notes": "Notes"}
"""Fields that become sections of the prompt."""

OWN_KEYS = (
    "slug",
    "reads",
    "labels",
    "worker",
    "prompt",
    "accept",
    "estimate_minutes",
    "priority",
    "hold",
    "joint",
    "output",
    "overlap",
    "branch",
    "worktree",
    "remarks",
    "matrix",
    "group",
)
"""Keys of a task that `metadata.git_fleet` may hold beside `owned`, and `title`."""

_MIDDLE, _LOWEST = 2, 4
_DONE = ("closed", "tombstone")


class Issue(NamedTuple):
    """One line: its number, what it says, and typed access to those of its fields that are not null."""

    line: int
    entry: Mapping[str, Any]
    fields: Fields

    @property
    def id(self) -> str:
        """The id as the plan will have it."""
        return self.fields.text("id").strip().lower()


def read(text: str, source: str) -> Document:
    """The document of issues, one a line. Raises InvalidInput with the line."""
    problems = Problems(source)
    issues = list(_issues(text, problems))
    links = Links()
    tasks: list[Issue] = []
    for issue in issues:
        status = issue.fields.text("status", "open")
        if status in _DONE:
            links.done[issue.id] = None
        elif status == "pinned":
            links.given_up[issue.id] = "is pinned"
        else:
            links.tasks[issue.id] = None
            tasks.append(issue)
    needs = waiting(tasks)
    document: dict[str, Any] = {"version": 1, "task": []}
    lines: dict[Path, int] = {}
    for issue in tasks:
        lines["task", len(document["task"])] = issue.line
        table = table_of(issue.fields)
        waits = _needs(issue, needs[issue.id], links)
        document["task"].append(table | ({"needs": waits} if waits else {}) | _kept(issue, table))
    problems.raise_if_any(hint="nothing was stored; correct the lines and import them again")
    return Document(document, lines, links.notes())


def _needs(issue: Issue, names: list[str], links: Links) -> list[str]:
    return links.needs(
        names,
        lambda text: issue.fields.report("dependencies", text),
        elsewhere="issues of the file, closed ones included (bd export)",
    )


def _issues(text: str, problems: Problems) -> Iterator[Issue]:
    """Every issue there is; lines about other things are skipped."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.decode(line, problems.source, line=number)
        except InvalidInput as error:
            problems.add(error.message.removeprefix(f"{at(problems.source, number)}: "), line=number)
            continue
        if not isinstance(entry, Mapping):
            problems.add(found(entry, 'an issue, {"id": …, "title": …}'), line=number)
        elif entry.get("_type", "issue") == "issue":
            fields = fields_of(entry, number, problems)
            for field in ("id", "title"):
                if field not in fields.table:
                    fields.report(field, "it is missing")
            yield Issue(number, entry, fields)


def fields_of(entry: Mapping[str, Any], line: int, problems: Problems) -> Fields:
    """Typed access to an issue's fields; what is wrong with one is told with its line."""
    name = entry.get("id")

    def report(field: str, text: str) -> None:
        problems.add(text, where=f"issue {name}" if isinstance(name, str) else "", field=field, line=line)

    return Fields({key: value for key, value in entry.items() if value is not None}, (), report)


def waiting(issues: list[Issue]) -> dict[str, list[str]]:
    """What each issue waits for, by its dependencies: what blocks it, and what it is the parent of."""
    blockers: dict[str, list[str]] = {}
    parents: dict[str, str] = {}
    for issue in issues:
        blockers[issue.id] = []
        for target, kind in links_of(issue.fields):
            if kind in BLOCKING:
                blockers[issue.id].append(target)
            elif kind == PARENT:
                parents[issue.id] = target
    return with_hierarchy(blockers, parents, inherit=True)


def links_of(fields: Fields) -> Iterator[tuple[str, str]]:
    """(the other issue's id as a plan has it, type) of each dependency."""
    values = fields.table.get("dependencies", [])
    if not isinstance(values, list):
        fields.report("dependencies", found(values, "a list"))
        return
    for value in values:
        target, kind = (
            (value.get("depends_on_id"), value.get("type", "blocks"))
            if isinstance(value, Mapping)
            else (None, None)
        )
        if isinstance(target, str) and isinstance(kind, str):
            yield target.strip().lower(), kind
        else:
            fields.report("dependencies", found(value, '{"depends_on_id": …, "type": …}'))


def own(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an issue's metadata says for git-fleet."""
    metadata = table.get("metadata")
    said = metadata.get("git_fleet") if isinstance(metadata, Mapping) else None
    return said if isinstance(said, Mapping) else {}


def table_of(fields: Fields) -> dict[str, Any]:
    """The task an issue is, without its needs."""
    said = own(fields.table)
    task: dict[str, Any] = {"id": fields.text("id").strip().lower(), "title": fields.text("title")}
    if prompt := _prompt(fields):
        task["prompt"] = prompt
    if labels := fields.texts("labels"):
        task["labels"] = list(labels)
    priority = fields.table.get("priority", _MIDDLE)
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= _LOWEST:
        fields.report("priority", found(priority, f"0 (first) to {_LOWEST}"))
    elif priority != _MIDDLE:
        task["priority"] = _MIDDLE - priority
    minutes = fields.table.get("estimated_minutes", 0)
    if isinstance(minutes, bool) or not isinstance(minutes, int) or minutes < 0:
        fields.report("estimated_minutes", found(minutes, "a whole number of minutes"))
    elif minutes:
        task["estimate_minutes"] = minutes
    if fields.text("status") == "deferred":
        task["hold"] = True
    if "owned" in said:
        task["files"] = said["owned"]
    return task | {key: said[key] for key in (*OWN_KEYS, "title") if key in said}


def _prompt(fields: Fields) -> str:
    parts = [fields.text("description")]
    parts += [f"## {title}\n\n{text}" for key, title in SECTIONS.items() if (text := fields.text(key))]
    return "\n\n".join(filter(None, parts)).replace("\r\n", "\n")


def _kept(issue: Issue, task: Mapping[str, Any]) -> dict[str, Any]:
    """The task's `extra`: every field that could not be written again from what the task itself says."""
    table = issue.entry
    said = {restored: task.get(key) for restored, key in RESTORED.items()}
    if any(table.get(key) for key in SECTIONS):
        del said["description"]
    rest = {key: value for key, value in table.items() if value in ("", [], None) or said.get(key) != value}
    ours = own(table)
    known = (*OWN_KEYS, "owned", "title")
    if any(key in known for key in ours):
        unknown = {key: value for key, value in ours.items() if key not in known}
        others = {key: value for key, value in table["metadata"].items() if key != "git_fleet"}
        rest["metadata"] = others | ({"git_fleet": unknown} if unknown else {})
        if not rest["metadata"]:
            del rest["metadata"]
    return {"extra": extra.pack("beads", rest)}


RESTORED = {"id": "id", "title": "title", "description": "prompt", "labels": "labels"}
"""Fields that are written from the task, and from which of its keys."""
