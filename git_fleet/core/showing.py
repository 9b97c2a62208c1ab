"""What the board shows: a plan as it stands, and one task with all there is to it. Texts in it are others' own."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from git_fleet.core.collisions import Collision
from git_fleet.core.picture import Picture
from git_fleet.core.ready import Reason
from git_fleet.core.reporting import GateLog, Report
from git_fleet.core.results import LogLine, PlanRow
from git_fleet.core.reviewing import TaskReview


class Shown(Struct, frozen=True):
    """One plan. `report` is None as long as it was never approved; then `picture` is all there is. `plans` are all there are,
    `collisions` those that its tasks have a part in."""

    at: datetime
    plans: tuple[PlanRow, ...]
    plan: str
    title: str
    picture: Picture
    report: Report | None = None
    collisions: tuple[Collision, ...] = ()


class Patch(Struct, frozen=True):
    """What a task has changed so far, its beginning; `of` says of what it is, `left_out` bytes follow."""

    of: str
    text: str
    left_out: int = 0


class Output(Struct, frozen=True):
    """The end of what an agent printed on this machine: the `number`-th of the claim `attempt`."""

    attempt: int
    number: int
    at: datetime
    text: str
    left_out: int = 0


class Detail(Struct, frozen=True):
    """One task at one moment. `reasons` say why it cannot be claimed, or handed in; `prompt` is what its agent is
    told, or `no_prompt` why that cannot be said."""

    at: datetime
    plans: tuple[PlanRow, ...]
    task: TaskReview
    base: str
    reasons: tuple[Reason, ...]
    collisions: tuple[Collision, ...]
    events: tuple[LogLine, ...]
    logs: tuple[GateLog, ...]
    outputs: tuple[Output, ...]
    patch: Patch | None
    prompt: str = ""
    no_prompt: str = ""
