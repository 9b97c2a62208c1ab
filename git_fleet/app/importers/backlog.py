"""Backlog.md: task files with front matter, one or a folder of them (`backlog/`, or its `tasks/`).

What is Done, or in `completed/`, becomes no task. A task waits for its `dependencies`, and for its subtasks. It owns
its `modified_files` and what its text names (app/importers/owned.py). All other front matter is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from git_fleet.app.importers import extra, frontmatter, owned
from git_fleet.app.importers.document import Document
from git_fleet.app.importers.links import Links, with_hierarchy
from git_fleet.core import followups
from git_fleet.core.fields import Fields
from git_fleet.core.problems import Folder, Problems, found
from git_fleet.core.problems import Path as Place
from git_fleet.errors import InvalidInput

_COMPLETED = "completed"
_PRIORITIES = {"high": 1, "medium": 0, "low": -1}
_MARKER = re.compile(r"\s*<!-- [A-Z_:]+:(?:BEGIN|END) -->\s*$")
_LINE_OF = {
    "id": "id", "title": "title", "labels": "labels", "dependencies": "needs", "modified_files": "files",
    "priority": "priority",
}  # fmt: skip


def open_folder(path: Path) -> tuple[bytes, Folder]:
    """The task files of a folder as one text, and the name that tells them apart again.

    Raises InvalidInput when there are none or they cannot be read.
    """
    tasks = path / "tasks"
    folders = [(tasks, ""), (path / _COMPLETED, f"{_COMPLETED}/")] if tasks.is_dir() else [(path, "")]
    starts: list[tuple[int, str]] = []
    parts: list[bytes] = []
    line = 1
    try:
        for folder, prefix in folders:
            for file in sorted(folder.glob("*.md"), key=_natural):
                data = file.read_bytes().removeprefix(b"\xef\xbb\xbf").rstrip(b"\n") + b"\n"
                starts.append((line, prefix + file.name))
                parts.append(data)
                line += data.count(b"\n")
    except OSError as error:
        raise InvalidInput(f"cannot read {error.filename}: {error.strerror}") from error
    if not parts:
        raise InvalidInput(
            f"{path.name}: no task files in this folder; allowed: a folder of Backlog.md, with *.md in it or in tasks/",
            hint="name a file, a folder of Backlog.md, or - for standard input",
        )
    return b"".join(parts), Folder(path.name, starts)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Numbers in a name count as numbers: task-2 stands before task-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


class _Task(Struct):
    """One task file while it is read: the line before its first, its front matter, typed, and its text."""

    offset: int
    matter: frontmatter.FrontMatter
    fields: Fields
    body: str
    done: bool

    @property
    def id(self) -> str:
        return self.fields.text("id").strip().lower()


def read(text: str, source: str) -> Document:
    """The document of one task file, or of a folder opened with `open_folder`. Raises InvalidInput."""
    problems = Problems(source)
    files = [task for task in _files(text, source, problems) if task is not None]
    links = Links()
    tasks: list[_Task] = []
    for task in files:
        if task.done:
            links.done[task.id] = None
        else:
            links.tasks[task.id] = None
            tasks.append(task)
    blockers = {task.id: [_name(each, task.id) for each in _waits(task)] for task in tasks}
    parents = {
        task.id: _name(above, task.id) for task in tasks if (above := task.fields.text("parent_task_id"))
    }
    needs = with_hierarchy(blockers, parents, inherit=False)
    data: dict[str, Any] = {"version": 1, "task": []}
    lines: dict[Place, int] = {}
    for task in tasks:
        place = ("task", len(data["task"]))
        lines[place] = task.offset + 1
        lines |= {
            (*place, ours): task.offset + task.matter.lines.get(key, 1) for key, ours in _LINE_OF.items()
        }
        data["task"].append(_table(task, needs[task.id], links, problems))
    problems.raise_if_any(hint="nothing was stored; correct the files and import them again")
    return Document(data, lines, links.notes())


def _files(text: str, source: str, problems: Problems) -> Iterator[_Task | None]:
    lines = text.replace("\r\n", "\n").split("\n")
    starts = source.starts if isinstance(source, Folder) else ((1, source),)
    ends = [first - 1 for first, _ in starts[1:]] + [len(lines)]
    for (first, name), end in zip(starts, ends, strict=True):
        yield _file(lines[first - 1 : end], first - 1, problems, done=name.startswith(f"{_COMPLETED}/"))


def _file(lines: list[str], offset: int, problems: Problems, *, done: bool) -> _Task | None:
    matter = frontmatter.read(lines, lambda line, text: problems.add(text, line=offset + line))
    if matter is None:
        problems.add(
            "no front matter; expected a task file of Backlog.md, whose first line is '---'", line=offset + 1
        )
        return None
    name = matter.values.get("id")

    def report(field: str, text: str) -> None:
        line = offset + matter.lines.get(field, 1)
        problems.add(text, where=f"task {name}" if isinstance(name, str) else "", field=field, line=line)

    fields = Fields({key: value for key, value in matter.values.items() if value is not None}, (), report)
    for field in ("id", "title"):
        if field not in fields.table and (field not in matter.lines or field in matter.values):
            report(field, "it is missing")
    done = done or fields.text("status").strip().lower() == "done"
    return _Task(offset, matter, fields, "\n".join(lines[matter.length :]), done)


def _waits(task: _Task) -> tuple[str, ...]:
    return task.fields.texts("dependencies") + task.fields.texts("subtasks")


def _name(text: str, like: str) -> str:
    """An id as a plan has it. A bare number is short for one with the prefix of `like` (`task-`)."""
    name = text.strip().lower()
    return f"{like.rpartition('-')[0]}-{name}" if re.fullmatch(r"\d[\d.]*", name) and "-" in like else name


def _table(task: _Task, needs: list[str], links: Links, problems: Problems) -> dict[str, Any]:
    fields = task.fields
    said = owned.read(task.body)
    for line, text in said.unclear:
        at = task.offset + task.matter.length + line
        problems.add(f"found {text[:80]!r}; {owned.RULE}", where=f"task {task.id}", line=at)
    table: dict[str, Any] = {"id": task.id, "title": fields.text("title")}
    files = [*map(followups.pattern, fields.texts("modified_files")), *said.files]
    waits = links.needs(
        needs,
        lambda text: fields.report("dependencies", text),
        elsewhere="tasks of the folder; what is done counts, in tasks/ or in completed/",
    )
    lines = [line for line in task.body.split("\n") if not _MARKER.match(line)]
    several = {"files": list(dict.fromkeys(files)), "needs": waits, "labels": list(fields.texts("labels"))}
    table |= {key: value for key, value in several.items() if value}
    if prompt := "\n".join(lines).strip():
        table["prompt"] = prompt
    priority = fields.text("priority", "medium").lower()
    if priority not in _PRIORITIES:
        fields.report("priority", found(priority, ", ".join(_PRIORITIES)))
    elif _PRIORITIES[priority]:
        table["priority"] = _PRIORITIES[priority]
    kept = {key: value for key, value in task.matter.values.items() if key not in ("title", "labels")}
    return {**table, "extra": extra.pack("backlog", kept)}
