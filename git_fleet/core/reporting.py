"""What a report of a plan is made from: everything that is known of it, read at one moment."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from git_fleet.core.ids import TaskId
from git_fleet.core.lessons import Lessons
from git_fleet.core.meetings import Meetings
from git_fleet.core.picture import Picture
from git_fleet.core.reviewing import Review
from git_fleet.core.score import Score


class GateLog(Struct, frozen=True):
    """The end of what a gate printed about the latest proposal of a task; `left_out` bytes stood before it."""

    gate: str
    text: str
    left_out: int = 0


class Report(Struct, frozen=True):
    """A plan at one moment, `review.at`. `logs` has the gates of each task in the order in which they ran."""

    review: Review
    score: Score
    lessons: Lessons
    picture: Picture
    meetings: Meetings
    logs: Mapping[TaskId, tuple[GateLog, ...]]

    @property
    def added(self) -> int:
        """Lines that came, in all that is integrated."""
        return sum(task.added for task in self.review.tasks if task.landed)

    @property
    def removed(self) -> int:
        """Lines that went."""
        return sum(task.removed for task in self.review.tasks if task.landed)

    @property
    def reworked(self) -> int:
        """How often a task was sent back."""
        return sum(setback.times for setback in self.score.setbacks)
