"""A plan's time as bars: a row for each worker, and one for each task. Places are parts of a hundred, from the left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from msgspec import Struct

from git_fleet.core.ids import TaskId
from git_fleet.core.lessons import duration
from git_fleet.core.lives import Phase, Stay
from git_fleet.core.score import Score
from git_fleet.core.spans import milliseconds
from git_fleet.views.score import PHASES

_ORDER = (
    Phase.STARTING, Phase.WORK, Phase.REWORK, Phase.LOST, Phase.REVIEW, Phase.INTEGRATION, Phase.HOLD, Phase.PAUSED,
    Phase.NEEDS, Phase.TURNS, Phase.WORKER,
)  # fmt: skip
_HANDS = frozenset({Phase.STARTING, Phase.WORK, Phase.REWORK, Phase.LOST})
THIN = frozenset({Phase.NEEDS, Phase.TURNS, Phase.WORKER, Phase.PAUSED})
"""Phases in which nobody had anything of the task in hand."""

_STEPS = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
)  # fmt: skip
_TICKS = 6
_LEAST = 0.2  # a bar that is narrower could not be seen


class Bar(NamedTuple):
    """A stretch of time; `title` says what it is, in words."""

    phase: Phase
    x: str
    width: str
    title: str


class Row(NamedTuple):
    """A worker's (`task` is None) or a task's bars."""

    label: str
    task: TaskId | None
    bars: tuple[Bar, ...]


class Tick(NamedTuple):
    """A mark of the time since the beginning."""

    x: str
    label: str


class Timeline(Struct, frozen=True):
    """All of it, from `start` on. `phases` are those that there are, each with what it is called; `unclaimed` tasks
    have no row: nobody has taken them yet."""

    start: datetime
    seconds: float
    ticks: tuple[Tick, ...]
    phases: tuple[tuple[Phase, str], ...]
    workers: tuple[Row, ...]
    tasks: tuple[Row, ...]
    unclaimed: int


def timeline(score: Score) -> Timeline | None:
    """The bars of a score; None while nobody has claimed anything."""
    if score.started_at is None or not score.wall_seconds:
        return None
    scale = _Scale(milliseconds(score.started_at), score.wall_seconds * 1000)
    by_task = [(task, list(own)) for task, own in groupby(score.stays, key=lambda stay: stay.task)]
    claimed = [(task, own) for task, own in by_task if any(stay.attempt for stay in own)]
    claimed.sort(key=lambda one: next(stay.start for stay in one[1] if stay.attempt))
    there = {stay.phase for stay in score.stays}
    return Timeline(
        start=score.started_at,
        seconds=score.wall_seconds,
        ticks=tuple(_ticks(score.wall_seconds)),
        phases=tuple((phase, PHASES[phase][0]) for phase in _ORDER if phase in there),
        workers=tuple(_workers(score, scale)),
        tasks=tuple(
            Row(task.task, task, tuple(scale.bars(_joined(own), with_task=False))) for task, own in claimed
        ),
        unclaimed=score.tasks - len(claimed),
    )


class _Scale:
    """From moments in milliseconds to places."""

    def __init__(self, start: int, length: float) -> None:
        self._start, self._length = start, length

    def bars(self, stays: Iterable[Stay], *, with_task: bool) -> Iterator[Bar]:
        for stay in stays:
            x = 100 * (stay.start - self._start) / self._length
            width = max(_LEAST, 100 * stay.length / self._length)
            said = f"{PHASES[stay.phase][0]}, {duration(stay.length / 1000)}"
            whose = f"{stay.task.task}: " if with_task else ""
            by = (
                f" ({stay.attempt.worker})" if stay.attempt and not with_task and stay.phase in _HANDS else ""
            )
            yield Bar(stay.phase, percent(min(x, 100 - width)), percent(width), f"{whose}{said}{by}")


def _workers(score: Score, scale: _Scale) -> Iterator[Row]:
    """What each worker had in hand, in the order of first claims."""
    hands: dict[str, list[Stay]] = {}
    for stay in sorted(score.stays, key=lambda stay: stay.start):
        if stay.attempt is not None and stay.phase in _HANDS:
            hands.setdefault(stay.attempt.worker, []).append(stay)
    for worker, stays in hands.items():
        yield Row(worker, None, tuple(scale.bars(stays, with_task=True)))


def _joined(stays: Sequence[Stay]) -> list[Stay]:
    """Stays of one phase that follow each other, as one."""
    found: list[Stay] = []
    for stay in stays:
        last = found[-1] if found else None
        if last and last.phase is stay.phase and last.end == stay.start and last.attempt is stay.attempt:
            found[-1] = last._replace(end=stay.end)
        else:
            found.append(stay)
    return found


def _ticks(seconds: float) -> Iterator[Tick]:
    step = next(
        (step for step in _STEPS if seconds / step <= _TICKS), _STEPS[-1] * (1 + seconds // _STEPS[-1] // 6)
    )
    at = 0.0
    while at <= seconds:
        yield Tick(percent(100 * at / seconds), _label(at) if at else "0")
        at += step


def _label(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds >= 86_400:
        return f"{seconds / 86_400:.1f} d".replace(".0", "")
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{minutes} min" if not hours else f"{hours} h {minutes}" if minutes else f"{hours} h"


def percent(value: float) -> str:
    """As short as it may be: two digits are a tenth of a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"
