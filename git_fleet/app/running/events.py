"""What happens to a run, as the thread that claims hears of it."""

from __future__ import annotations

from dataclasses import dataclass

from git_fleet.app.running.backlog import Done
from git_fleet.app.running.desk import Seat
from git_fleet.app.running.engagement import Ended


@dataclass(frozen=True, slots=True)
class Changed:
    """Something has moved."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A person asks for the run to end: gently, or at once."""

    now: bool


@dataclass(frozen=True, slots=True)
class Free:
    """A seat is free again."""

    seat: Seat
    ended: Ended


@dataclass(frozen=True, slots=True)
class Looked:
    """A clerk has looked, and has done something or has found nothing to do."""

    what: str
    generation: int
    done: Done | None


Event = Changed | Asked | Free | Looked
