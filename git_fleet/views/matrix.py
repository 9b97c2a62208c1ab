"""Who shares files with whom, as a triangle of cells. In pixels."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from msgspec import Struct

from git_fleet.core.ids import TaskId
from git_fleet.core.meetings import Meeting, Meetings
from git_fleet.core.model import Overlap
from git_fleet.views.look import cut

MOST = 36
"""Tasks shown; of more those that share with the most others."""

_CELL, _LABEL, _LETTER = 20, 18, 6.6
_NAME = 24  # columns of a name


class Cell(NamedTuple):
    """A pair: `kind` is conflict, unforeseen, met or apart; `title` says it in words."""

    x: float
    y: float
    kind: str
    title: str


class Label(NamedTuple):
    """A task, and where its row is."""

    task: TaskId
    y: float
    text: str


class Matrix(Struct, frozen=True):
    """The triangle; `left_out` tasks share files, too."""

    width: float
    height: float
    cell: int
    margin: float
    labels: tuple[Label, ...]
    cells: tuple[Cell, ...]
    left_out: int


def matrix(found: Meetings, order: dict[TaskId, int]) -> Matrix | None:
    """The triangle of all pairs; None where nobody shares anything."""
    often = Counter(task for pair in found.pairs for task in (pair.a, pair.b))
    if not often:
        return None
    shown = sorted(
        (task for task, _ in often.most_common(MOST)), key=lambda task: order.get(task, len(order))
    )
    place = {task: number for number, task in enumerate(shown)}
    names = [cut(task.task, _NAME) for task in shown]
    margin = max(len(name) for name in names) * _LETTER + 10
    size = len(shown) * _CELL
    cells = []
    for pair in found.pairs:
        if pair.a in place and pair.b in place:
            first, second = sorted((place[pair.a], place[pair.b]))
            cells.append(Cell(margin + first * _CELL, second * _CELL, kind(pair), said(pair)))
    return Matrix(
        width=margin + size + _LABEL,
        height=size,
        cell=_CELL,
        margin=margin,
        labels=tuple(Label(task, n * _CELL, names[n]) for n, task in enumerate(shown)),
        cells=tuple(cells),
        left_out=len(often) - len(shown),
    )


def kind(pair: Meeting) -> str:
    """What came of a pair, in a word."""
    if pair.conflicts:
        return "conflict"
    if pair.predicted is None:
        return "unforeseen"
    return "met" if pair.shared else "apart"


def said(pair: Meeting) -> str:
    """The same in words."""
    return f"{pair.a.task} and {pair.b.task}: {foreseen(pair)}; {outcome(pair)}"


def foreseen(pair: Meeting) -> str:
    """What the plan said of it."""
    if pair.predicted is None:
        return "not foreseen"
    return _POLICIES[pair.predicted.policy]


def outcome(pair: Meeting) -> str:
    """What came of it."""
    if pair.conflicts:
        return "conflict"
    return "both changed it, no conflict" if pair.shared else "did not meet"


_POLICIES = {Overlap.SERIALIZE: "take turns", Overlap.WATCH: "watched", Overlap.ACCEPT: "accepted"}
