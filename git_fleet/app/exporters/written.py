"""What an exporter is told about tasks, and what it makes of a plan."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from git_fleet.core.model import State

NOT_ALONE = ("needs_elsewhere", "follows_elsewhere", "changeset")
"""Fields of a task that mean something in a workspace alone; formats of other tools have no place for them."""


class Standing(NamedTuple):
    """Where a task stands, and since when, if anything has happened to it."""

    state: State
    since: datetime | None = None


class Written(NamedTuple):
    """The text, and the fields that something says and the format has no place for, as people call them."""

    text: str
    left_out: tuple[str, ...] = ()
