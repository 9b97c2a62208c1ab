"""A graph beside a list, one row a task, as `git log --graph` draws one: from the top, what comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from git_fleet.core.ids import TaskId

MOST_LANES = 24
"""Of a graph with more nothing is drawn: nobody can follow it."""

_ASCII = str.maketrans("│├┤┼─╰╯┴●◐◇○✗", "||||-`'-*o=.x")


class _Cell(NamedTuple):
    up: bool
    down: bool
    left: bool
    right: bool


_GLYPHS = {
    _Cell(True, True, False, False): "│",
    _Cell(True, True, False, True): "├",
    _Cell(True, True, True, False): "┤",
    _Cell(True, True, True, True): "┼",
    _Cell(True, False, False, True): "╰",
    _Cell(True, False, True, False): "╯",
    _Cell(True, False, True, True): "┴",
    _Cell(False, False, True, True): "─",
}


def lanes(
    order: Sequence[TaskId], before: Mapping[TaskId, Sequence[TaskId]], glyphs: Mapping[TaskId, str]
) -> dict[TaskId, str]:
    """What stands before each task of `order`, in which a task comes after all that is `before` it; empty where
    more than MOST_LANES would be needed, or nothing comes before anything."""
    left = dict.fromkeys(order, 0)
    for earlier in before.values():
        for task in earlier:
            left[task] += 1
    if not any(left.values()):
        return {}
    drawn: dict[TaskId, str] = {}
    going: list[TaskId | None] = []
    for task in order:
        met = {
            n: other for n, other in enumerate(going) if other is not None and other in before.get(task, ())
        }
        for other in met.values():
            left[other] -= 1
        ended = [lane for lane, other in met.items() if not left[other]]
        mine = ended[0] if ended else next((n for n, other in enumerate(going) if other is None), len(going))
        going += [None] * (mine + 1 - len(going))
        if len(going) > MOST_LANES:
            return {}
        drawn[task] = _row(going, mine, list(met), set(ended), glyphs[task])
        for lane in ended:
            going[lane] = None
        going[mine] = task if left[task] else None
        while going and going[-1] is None:
            going.pop()
    return drawn


def _row(going: Sequence[TaskId | None], mine: int, met: Sequence[int], ended: set[int], glyph: str) -> str:
    """One row: the node in its lane, a line to each lane it comes from, the others passing by."""
    first, last = min([*met, mine]), max([*met, mine])
    text = ""
    for lane, task in enumerate(going):
        inside = first <= lane < last
        here = task is not None
        cell = _Cell(up=here, down=here and lane not in ended, left=first < lane <= last, right=inside)
        text += glyph if lane == mine else _GLYPHS.get(cell, " ")
        text += "─" if inside else " "
    return text.rstrip()


def plain(text: str) -> str:
    """The same for a terminal that has ASCII alone."""
    return text.translate(_ASCII)
