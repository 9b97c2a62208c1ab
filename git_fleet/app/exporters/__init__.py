"""Exporters: a plan → text in a format that the importer of the same name reads back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from git_fleet.app.exporters import beads, markdown
from git_fleet.app.exporters.written import Standing, Written
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Plan
from git_fleet.errors import InvalidInput

__all__ = ["FORMATS", "Standing", "Written", "write"]

_WRITERS: dict[str, Callable[[Plan, Mapping[TaskId, Standing]], Written]] = {
    "markdown": markdown.write,
    "beads": beads.write,
}
FORMATS = ("toml", *_WRITERS)
"""`toml` is the text as it is stored, so nobody writes it."""


def write(plan: Plan, standings: Mapping[TaskId, Standing], format_name: str) -> Written:
    """The plan in one of `FORMATS` but TOML; `standings` say where its tasks stand, as far as it is approved.

    Raises InvalidInput for what the format cannot say and must.
    """
    if format_name not in _WRITERS:
        raise InvalidInput(f"format: found {format_name!r}; allowed: {', '.join(FORMATS)}")
    return _WRITERS[format_name](plan, standings)
