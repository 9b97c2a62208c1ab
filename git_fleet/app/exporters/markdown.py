"""A plan as a Markdown table: for people first, and the importer reads back what it says.

Each cell is written the plainest way that app/importers/cells.py reads as the same; where none does, that is an
error rather than another plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

from git_fleet.app.exporters.written import NOT_ALONE, Standing, Written
from git_fleet.app.importers import cells
from git_fleet.app.importers.markdown import HEADER
from git_fleet.core.ids import TaskId, slugify
from git_fleet.core.model import Output, Plan, Schedule, Task
from git_fleet.core.problems import show
from git_fleet.errors import InvalidInput

_DASHES = "|-------|--------|----------|-------------|------------|--------|"
_NO_COLUMN = ("reads", "labels", "worker", "prompt", "accept", "estimate_minutes", "priority", "hold", "joint",
              "overlap", "params", "extra", *NOT_ALONE)  # fmt: skip

T = TypeVar("T")


def write(plan: Plan, standings: Mapping[TaskId, Standing]) -> Written:
    """The plan's title and a table with a row for each task. Raises InvalidInput that names task and field."""
    left_out: dict[str, None] = {}
    rows = [_row(task, standings.get(task.id), left_out) for task in plan.tasks]
    if plan.schedule is not Schedule.READY:
        left_out["schedule"] = None
    return Written("\n".join([f"# {plan.title}", "", HEADER, _DASHES, *rows, ""]), tuple(left_out))


def _row(task: Task, standing: Standing | None, left_out: dict[str, None]) -> str:
    blank = Task(task.id, "", "")
    left_out.update({name: None for name in _NO_COLUMN if getattr(task, name) != getattr(blank, name)})
    if task.output is Output.REPORT:
        left_out["output"] = None
    if task.slug != slugify(task.title):
        left_out["slug"] = None
    files = _several(task, "files", task.owned, cells.files, _code)
    remarks = "".join(f" ({line})" for line in task.remarks.split("\n")) if task.remarks else ""
    if remarks and not _reads(f"{files}{remarks}", lambda cell: "\n".join(cell.remarks), task.remarks):
        left_out["remarks"] = None
        remarks = ""
    row = (
        _issue(task),
        _one(task, "branch", task.branch),
        _one(task, "worktree", task.worktree),
        f"{files}{remarks}".strip(),
        _several(task, "needs", task.needs, cells.references, _reference),
        str(standing.state) if standing else "draft",
    )
    return f"| {' | '.join(map(_escaped, row))} |"


def _issue(task: Task) -> str:
    name = task.id.task
    wanted = cells.Issue(name, task.title)
    for way in (_reference(name), f"{_number(name)} {task.title}"):
        parsed = _parsed(way)
        if cells.quoted_issue(way) is None and cells.issue(parsed) == wanted and not parsed.remarks:
            return way
    quoted = f"{_number(name)} {_code(task.title)}"
    if cells.quoted_issue(quoted) == wanted:
        return quoted
    raise _cannot(task, "title", task.title)


def _number(name: str) -> str:
    return f"#{name}" if name.isdecimal() else name


def _reference(name: str) -> str:
    return _code(name) if cells.is_nothing(name) else _number(name)


def _one(task: Task, field: str, name: str) -> str:
    if not name or _reads(_code(name), cells.names, [name]):
        return _code(name) if name else ""
    raise _cannot(task, field, name)


def _several(
    task: Task,
    field: str,
    names: Sequence[str],
    read: Callable[[cells.Cell], list[str] | None],
    write_one: Callable[[str], str],
) -> str:
    """Names with commas between them; "none" for none."""
    for name in names:
        if not _reads(write_one(name), read, [name]):
            raise _cannot(task, field, name)
    return ", ".join(map(write_one, names)) or ("none" if field == "needs" else "")


def _reads(text: str, read: Callable[[cells.Cell], T | None], wanted: T) -> bool:
    """Whether a cell with this text says what it should."""
    return cells.split_row(f"| {_escaped(text)} |") == [text.strip()] and read(_parsed(text)) == wanted


def _parsed(text: str) -> cells.Cell:
    return cells.read_cell(text.strip())


def _code(text: str) -> str:
    """The text in code marks, as many as it takes."""
    runs = {len(run) for run in _runs(text)}
    mark = "`" * next(length for length in range(1, len(runs) + 2) if length not in runs)
    blank = " " if text.startswith(("`", " ")) or text.endswith(("`", " ")) else ""
    return f"{mark}{blank}{text}{blank}{mark}"


def _runs(text: str) -> Iterable[str]:
    ends = [0, *(n for n in range(1, len(text)) if (text[n] == "`") != (text[n - 1] == "`")), len(text)]
    return (text[start:end] for start, end in pairwise(ends) if text[start : start + 1] == "`")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _cannot(task: Task, field: str, value: str) -> InvalidInput:
    return InvalidInput(
        f"task {task.id.task}: {field}: found {show(value)}, which a Markdown table cannot say so that it is "
        "read back as the same",
        hint=f"git fleet plan export {task.id.plan} --format toml",
    )
