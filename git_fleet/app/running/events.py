"""What happens to a run, as the thread that claims hears of it."""

from __future__ import annotations

from msgspec import Struct

from git_fleet.app.running.backlog import Done
from git_fleet.app.running.desk import Seat
from git_fleet.app.running.engagement import Ended

GENTLY = "no new claims; waiting for what goes on (once more ends it and saves the work)"
AT_ONCE = "ending the agents; what they did is saved, and their tasks are given back"
"""What a person is told who asks for the end of a run."""


class Changed(Struct, frozen=True):
    """Something has moved."""


class Asked(Struct, frozen=True):
    """A person asks for the run to end: gently, or at once."""

    now: bool


class Free(Struct, frozen=True):
    """A seat is free again."""

    seat: Seat
    ended: Ended


class Looked(Struct, frozen=True):
    """A clerk has looked, and has done something or has found nothing to do."""

    what: str
    generation: int
    done: Done | None


Event = Changed | Asked | Free | Looked
