"""What to read first for a task, as text and as JSON (schemas/context.schema.json)."""

from __future__ import annotations

from git_fleet.core.context import Candidate, Context, LeftOut, Reason, Why
from git_fleet.core.wording import count
from git_fleet.views.look import Look, line
from git_fleet.views.machine import Document
from git_fleet.views.table import Cell, Table

_SHOWN = 20
_REASONS = {
    Reason.OWNED: "owned",
    Reason.READS: "read by the task",
    Reason.IMPORTED: "imported",
    Reason.IMPORTER: "an importer",
    Reason.HISTORY: "changes together:",
}
_WHY = {
    Why.SIZE: "does not fit",
    Why.BINARY: "binary",
    Why.GENERATED: "generated",
    Why.LFS: "stored in LFS",
}


def context(value: Context, look: Look) -> str:
    """The files to read, a line each; then what is left out, and why."""
    used = f"{value.tokens:,} of {value.budget:,} tokens"
    parts = [f"{value.task}: {count(len(value.files), 'file')}, {used}, from {line(value.base)}"]
    if value.files:
        table = Table(("TOKENS", "FILE", "WHY"), whole=frozenset({1}), right=frozenset({0}))
        for each in value.files:
            table.add(f"{each.tokens:,}", each.file.path, _because(each.file))
        parts.append(table.render(look))
    if value.left_out:
        parts.append(f"Left out\n{_left_out(value, look)}")
    told = [f"{line(text)} matches no file yet" for text in value.unmatched]
    told += [f"{value.more:,} more were not looked at"] if value.more else []
    told += [value.note] if value.note else []
    return "\n\n".join([*parts, "\n".join(told)] if told else parts)


def _left_out(value: Context, look: Look) -> str:
    table = Table(("TOKENS", "FILE", "WHY NOT", "WHY"), whole=frozenset({1}), right=frozenset({0}))
    for each in value.left_out[:_SHOWN]:
        size = "" if each.tokens is None else f"{each.tokens:,}"
        table.add(size, each.file.path, Cell(_WHY[each.why], "yellow"), _because(each.file))
    more = len(value.left_out) - _SHOWN
    return table.render(look) + (f"\nand {more:,} more" if more > 0 else "")


def _because(file: Candidate) -> str:
    return f"{_REASONS[file.reason]} {file.about}".rstrip()


def document(value: Context) -> Document:
    """As JSON."""
    return {
        "task_id": str(value.task),
        "base": value.base,
        "commit": value.commit,
        "budget": value.budget,
        "tokens": value.tokens,
        "files": [{**_file(each.file), "tokens": each.tokens} for each in value.files],
        "left_out": [_unread(each) for each in value.left_out],
        "unmatched": list(value.unmatched),
        "more": value.more,
        "note": value.note or None,
    }


def _unread(each: LeftOut) -> Document:
    return {**_file(each.file), "why": str(each.why), "tokens": each.tokens}


def _file(file: Candidate) -> Document:
    return {"path": file.path, "reason": str(file.reason), "about": file.about}
