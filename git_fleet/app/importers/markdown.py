r"""A Markdown document that holds a table of issues, as people write it for themselves:

    | Issue | Branch | Worktree | Files owned | Depends on | Status |
    |-------|--------|----------|-------------|------------|--------|
    | #42 count | `feature/42-count` | `app-42` | `cli.py` (new command) | none | queued |

Columns may stand in any order; Status is ignored, remarks in parentheses are kept as remarks, and
columns of other names too. Tables inside a code block count only where there is none outside.
Nothing is guessed: a cell that cannot be understood is an error with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from msgspec import Struct

from git_fleet.app.importers import cells
from git_fleet.app.importers.document import Document
from git_fleet.core.ids import slugify
from git_fleet.core.problems import Path, Problems

HEADER = "| Issue | Branch | Worktree | Files owned | Depends on | Status |"
_NEEDED = ("issue", "branch", "worktree", "files owned", "depends on")
_IGNORED = "status"
_DELIMITER = re.compile(r"\s*\|?(\s*:?-+:?\s*\|)*\s*:?-+:?\s*\|?\s*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*$")


class _Table(Struct, frozen=True):
    """A table of the document: the line of its header, the header's cells, its rows."""

    line: int
    columns: list[str]
    rows: list[tuple[int, list[str]]]

    @property
    def missing(self) -> list[str]:
        """The columns it would need to be a table of issues."""
        return [column for column in _NEEDED if column not in self.columns]


def read(text: str, source: str) -> Document:
    """The document of every table of issues in the text, in their order.

    The plan's id is the file's stem, its title the first heading. Raises InvalidInput.
    """
    problems = Problems(source)
    lines = text.replace("\r\n", "\n").split("\n")
    fenced = _fenced(lines)
    found = list(_tables(lines))
    right = [table for table in found if not table.missing]
    outside = [table for table in right if not fenced[table.line - 1]]
    if not right:
        _explain(found, problems)
    tasks: list[dict[str, Any]] = []
    places: dict[Path, int] = {}
    for table in outside or right:
        for line, row in table.rows:
            places[("task", len(tasks))] = line
            tasks.append(_task(table, line, row, problems))
    problems.raise_if_any(hint="nothing was stored; correct the table and import it again")
    data: dict[str, Any] = {"version": 1, "task": tasks}
    stem = PurePath(source).stem
    if any(char.isascii() and char.isalnum() for char in stem):
        data["plan"] = slugify(stem)
    titles = (_HEADING.match(line) for line, inside in zip(lines, fenced, strict=True) if not inside)
    if title := next((cells.plain(match[1]) for match in titles if match), ""):
        data["title"] = title
    return Document(data, places)


def _fenced(lines: list[str]) -> list[bool]:
    """For each line, whether it is part of a fenced code block."""
    inside: list[bool] = []
    fence = ""
    for line in lines:
        mark = _FENCE.match(line)
        if not fence and mark:
            fence = mark[1]
            inside.append(True)
        elif fence:
            inside.append(True)
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        else:
            inside.append(False)
    return inside


def _tables(lines: list[str]) -> Iterator[_Table]:
    """Every table: a row of cells, a row of dashes with as many, and rows until a line without '|'."""
    at = 0
    while at + 1 < len(lines):
        columns = cells.split_row(lines[at])
        dashes = lines[at + 1]
        if len(columns) < 2 or not _DELIMITER.match(dashes) or len(cells.split_row(dashes)) != len(columns):
            at += 1
            continue
        end = at + 2
        while end < len(lines) and "|" in lines[end] and not _FENCE.match(lines[end]):
            end += 1
        rows = [(number + 1, cells.split_row(lines[number])) for number in range(at + 2, end)]
        yield _Table(at + 1, [cells.plain(cell).lower() for cell in columns], rows)
        at = end


def _explain(found: list[_Table], problems: Problems) -> None:
    """Why no table is one of issues: the one that is nearest to it, or the header there should be."""
    near = min(found, key=lambda table: len(table.missing), default=None)
    if near is not None and "issue" in near.columns:
        problems.add(
            f"the table lacks {' and '.join(map(repr, near.missing))}; allowed: {HEADER}",
            line=near.line,
        )
    else:
        problems.add(f"no table of issues; expected one with the header {HEADER}")


def _task(table: _Table, line: int, row: list[str], problems: Problems) -> dict[str, Any]:
    """The task of one row. Problems are added; what has one is left out."""
    if len(row) != len(table.columns):
        found = (
            f"found {len(row)} cells under {len(table.columns)} columns; write \\| for a '|' inside a cell"
        )
        problems.add(found, line=line)
        return {}
    cell = dict(zip(table.columns, row, strict=True))
    remarks: list[str] = []

    def read_cell(column: str) -> cells.Cell:
        parsed = cells.read_cell(cell[column])
        remarks.extend(parsed.remarks)
        return parsed

    def problem(column: str, text: str) -> None:
        problems.add(f"found {cell[column]!r}; {text}", where=where, field=column, line=line)

    where = ""
    issue = cells.quoted_issue(cell["issue"]) or cells.issue(read_cell("issue"))
    if issue is None:
        problem("issue", "allowed: a number or a word, and a short title, such as '#42 count'")
        return {}
    where = f"task {issue.id}"
    task: dict[str, Any] = {"id": issue.id, "title": issue.title, "slug": slugify(issue.title)}
    for column in ("branch", "worktree"):
        names = cells.names(read_cell(column))
        if names is None or len(names) > 1:
            problem(column, "allowed: one name, or none")
        elif names:
            task[column] = names[0]
    for column, field, read_names in (
        ("files owned", "files", cells.files),
        ("depends on", "needs", cells.references),
    ):
        several = read_names(read_cell(column))
        if several is None:
            problem(column, cells.RULES[field])
        elif several:
            task[field] = several
    others = [name for name in table.columns if name not in (*_NEEDED, _IGNORED)]
    remarks += [f"{name}: {cells.plain(cell[name])}" for name in others if not cells.is_nothing(cell[name])]
    return {**task, "remarks": "\n".join(remarks)} if remarks else task
