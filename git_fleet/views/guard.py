"""The wall of a server, as text and as JSON."""

from __future__ import annotations

from typing import Any

from git_fleet.core.results import WallReport
from git_fleet.views.look import Look, line

_STRENGTHS = {
    "": "nothing guards {}",
    "rules": "{} is guarded: who may move which ref",
    "contents": "{} is guarded: who may move which ref, and by what events and commits",
}


def document(value: WallReport, *, dry_run: bool) -> dict[str, Any]:
    """`guard`."""
    return {
        "place": value.place,
        "strength": value.strength or None,
        "allowed": value.allowed,
        "changes": list(value.changes),
        "notes": list(value.notes),
        "dry_run": dry_run,
    }


def text(value: WallReport, look: Look, *, dry_run: bool) -> str:
    """What was done, how strong the wall is, what is still to be said."""
    said = [f"{'would be done: ' if dry_run else ''}{line(change)}" for change in value.changes]
    if not dry_run:
        said.append(_STRENGTHS[value.strength].format(line(value.place)))
    said += [f"{look.paint('note:', 'yellow')} {line(note)}" for note in value.notes]
    return "\n".join(said or ["everything is in place already"])
