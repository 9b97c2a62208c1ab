"""Work in flight that collides, as text and as JSON (schemas/conflicts.schema.json)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from git_fleet.core.collisions import Collision, Conflicts, Hunk, Kind, SharedFile, Source, Span, why_it_waits
from git_fleet.core.wording import count
from git_fleet.views.look import Look, line, some, wrapped
from git_fleet.views.machine import time
from git_fleet.views.table import Cell, Table

_SHOWN = 4  # hunks of one file in the table
_STYLES = {Kind.TEXTUAL: "red", Kind.SAME_PATH: "dim"}
_WORDS = {Kind.TEXTUAL: "conflict", Kind.SAME_PATH: "same file, merges"}
_SAVED = {
    Source.SNAPSHOT: "as its worker last saved it",
    Source.BRANCH: "as it is committed on its branch",
    Source.PROPOSAL: "as it was last handed in",
}


class Row(NamedTuple):
    """A file in which two collide, what is wrong in it, and the lines of both."""

    of: Collision
    path: str
    kind: Kind
    what: str
    lines: str


def rows(collisions: Iterable[Collision]) -> Iterator[Row]:
    """All files in which these collide, conflicts first."""
    for each in sorted(collisions, key=lambda each: each.kind is not Kind.TEXTUAL):
        for file in each.files:
            what = _WORDS[file.kind] if file.what in ("", "content") else f"{_WORDS[file.kind]}: {file.what}"
            yield Row(each, file.path, file.kind, what, _lines(file))


def conflicts(value: Conflicts, look: Look) -> str:
    """Who collides, in which files and lines, and what to do about it."""
    parts = [_headline(value, look)]
    if value.collisions:
        parts.append(_table(value).render(look))
    told = [*_waiting(value, look), *_remarks(value, look)]
    if told:
        parts.append("\n".join(told))
    return "\n\n".join(parts)


def _headline(value: Conflicts, look: Look) -> str:
    textual = sum(each.kind is Kind.TEXTUAL for each in value.collisions)
    if not value.work:
        return "no work in flight that could be looked at" if value.unseen else "no work in flight"
    begin = look.paint(count(textual, "conflict"), "red bold" if textual else "green bold")
    same = len(value.collisions) - textual
    more = (
        f", {count(same, 'pair')} in the same file that {'merges' if same == 1 else 'merge'}" if same else ""
    )
    seen = f"{count(len(value.work), 'task')} at work, {count(value.checked, 'pair')} checked, {value.merged} merged"
    return wrapped(f"{begin}{more} ({seen})", look)


def _table(value: Conflicts) -> Table:
    table = Table(("TASK", "AND", "FILE", "WHAT", "LINES"), whole=frozenset({0, 1}))
    for row in rows(value.collisions):
        a, b = row.of.a, row.of.b
        other = Cell(str(b), "bold") if b else Cell(row.of.base, "blue")
        table.add(Cell(str(a), "bold"), other, row.path, Cell(row.what, _STYLES[row.kind]), row.lines)
    return table


def _lines(file: SharedFile) -> str:
    """`12–18 × 12`: the lines of the one and of the other."""
    shown = ", ".join(f"{_span(hunk.a)} × {_span(hunk.b)}" for hunk in file.hunks[:_SHOWN])
    more = len(file.hunks) - _SHOWN + file.more
    return f"{shown} and {more} more" if more > 0 else shown


def _span(span: Span) -> str:
    if span.lines == 0:
        return f"after {span.start}"
    return str(span.start) if span.lines == 1 else f"{span.start}–{span.start + span.lines - 1}"


def _waiting(value: Conflicts, look: Look) -> Iterator[str]:
    waiting = dict.fromkeys(each.waits for each in value.collisions if each.waits is not None)
    for task in waiting:
        said = line(why_it_waits(value.collisions, task))
        yield wrapped(f"{look.paint(str(task), 'bold')}: {said}", look, indent=2)


def _remarks(value: Conflicts, look: Look) -> Iterator[str]:
    """What was not looked at, or not as it is now."""
    for work in value.work:
        about = [line(part) for part in (work.note, _SAVED.get(work.source, "") if work.note else "") if part]
        if work.left_out:
            about.append(f"not read: {some(work.left_out)} (large, many, unreadable or a repository)")
        if about:
            yield wrapped(f"{look.paint(str(work.id), 'bold')}: {'; '.join(about)}", look, indent=2)
    for unseen in value.unseen:
        said = f"{look.paint(str(unseen.id), 'bold')}: not looked at: {line(unseen.reason)}"
        yield wrapped(said, look, indent=2)


def document(value: Conflicts) -> dict[str, Any]:
    """`conflicts`."""
    return {
        "at": time(value.at),
        "pairs": [_pair(each) for each in value.collisions],
        "checked": value.checked,
        "merged": value.merged,
        "work": [
            {
                "task_id": str(work.id),
                "state": str(work.state),
                "holder": work.holder or None,
                "source": str(work.source),
                "commit": work.commit,
                "changed": work.changed,
                "left_out": list(work.left_out),
                "note": work.note or None,
            }
            for work in value.work
        ],
        "unseen": [{"task_id": str(one.id), "reason": one.reason} for one in value.unseen],
    }


def _pair(each: Collision) -> dict[str, Any]:
    return {
        "a": str(each.a),
        "b": str(each.b) if each.b else each.base,
        "with_base": each.b is None,
        "paths": list(each.paths),
        "kind": str(each.kind),
        "policy": str(each.policy) if each.policy else None,
        "waits": str(each.waits) if each.waits else None,
        "files": [
            {
                "path": file.path,
                "kind": str(file.kind),
                "what": file.what or None,
                "hunks": [_hunk(hunk) for hunk in file.hunks],
                "more_hunks": file.more,
            }
            for file in each.files
        ],
    }


def _hunk(hunk: Hunk) -> dict[str, Any]:
    return {side: {"start": span.start, "lines": span.lines} for side, span in (("a", hunk.a), ("b", hunk.b))}
