"""Where the parts of a plan's graph stand in a drawing: waves from left to right, few crossings. All in pixels.

A small version of what graph drawing calls the layered method: an edge that skips a wave gets a place of its own in
it; each wave is sorted by where its neighbours are, forth and back; then each part moves towards what it comes from.
Of a large plan every task is a small square, and of the edges the critical path alone is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from msgspec import Struct

from git_fleet.core.ids import TaskId
from git_fleet.core.picture import Edge, Node, Picture
from git_fleet.views.look import JOINERS, cut, line, width

MOST_BOXES = 120
"""Of a plan with more tasks small squares are drawn."""

_HIGH, _ROW_GAP, _COLUMN_GAP = 44, 14, 56
_LEAST_WIDE, _MOST_WIDE = 170, 280
_BOLD, _LETTER, _FRAME = 7.4, 6.5, 36  # how wide a column is in each, and what is around a text
_PASSING = 10  # how high the place is of an edge that passes a wave
_SWEEPS = 6
_SMALL, _PITCH, _TALL, _BLOCK_GAP = 12, 16, 24, 34
_TOP, _MARGIN = 34, 8


class Box(NamedTuple):
    """A task and its place; `name` and `title` are as much of them as fits."""

    node: Node
    x: float
    y: float
    name: str
    title: str


class Wire(NamedTuple):
    """An edge, as the path of an SVG."""

    edge: Edge
    path: str


class Heading(NamedTuple):
    """A wave and where it begins."""

    wave: int
    tasks: int
    x: float


class Drawing(Struct, frozen=True):
    """All of it. `small` says that tasks are squares of `size` without titles; else boxes of `size`."""

    width: float
    height: float
    size: tuple[float, float]
    small: bool
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    headings: tuple[Heading, ...]


def layout(value: Picture) -> Drawing:
    """The drawing of a plan's graph."""
    return _small(value) if len(value.nodes) > MOST_BOXES else _Layers(value).drawing()


# --- boxes -------------------------------------------------------------------------------------------


class _Layers:
    """What stands in each wave, and how it is connected. A part is a task, by its number, or a place of an edge on
    its way, with a number of its own."""

    def __init__(self, value: Picture) -> None:
        self._value = value
        self._tasks = {node.id: number for number, node in enumerate(value.nodes)}
        self._layers = [[self._tasks[task] for task in wave] for wave in value.waves]
        self._count = len(value.nodes)
        self._wide = _wide(value)
        self._before: dict[int, list[int]] = {}
        self._after: dict[int, list[int]] = {}
        self._ways = [self._way(edge) for edge in value.edges]

    def _way(self, edge: Edge) -> list[int]:
        """The parts that an edge goes through, its tasks included."""
        start, end = self._tasks[edge.before], self._tasks[edge.after]
        way = [start]
        for layer in range(self._value.nodes[start].wave, self._value.nodes[end].wave - 1):
            self._layers[layer].append(self._count)
            way.append(self._count)
            self._count += 1
        way.append(end)
        for one, other in pairwise(way):
            self._after.setdefault(one, []).append(other)
            self._before.setdefault(other, []).append(one)
        return way

    def drawing(self) -> Drawing:
        """Everything in its place."""
        for sweep in range(_SWEEPS):
            self._sort(self._layers[1:], self._before)
            if sweep < _SWEEPS - 1:
                self._sort(self._layers[-2::-1], self._after)
        middles = self._middles()
        highest = min((y - self._high(part) / 2 for part, y in middles.items()), default=0.0)
        middles = {part: y - highest + _TOP for part, y in middles.items()}
        lowest = max((y + self._high(part) / 2 for part, y in middles.items()), default=0.0)
        return Drawing(
            width=len(self._layers) * (self._wide + _COLUMN_GAP) - _COLUMN_GAP + 2 * _MARGIN,
            height=lowest + _MARGIN,
            size=(self._wide, _HIGH),
            small=False,
            boxes=tuple(self._boxes(middles)),
            wires=tuple(
                Wire(edge, self._path(way, middles))
                for edge, way in zip(self._value.edges, self._ways, strict=True)
            ),
            headings=tuple(
                Heading(number, len(wave), self._left(number))
                for number, wave in enumerate(self._value.waves, start=1)
            ),
        )

    def _left(self, wave: int) -> float:
        return _MARGIN + (wave - 1) * (self._wide + _COLUMN_GAP)

    def _high(self, part: int) -> int:
        return _HIGH if part < len(self._tasks) else _PASSING

    def _sort(self, layers: Iterable[list[int]], beside: Mapping[int, list[int]]) -> None:
        """Each of these waves by the mean place of what its parts are connected with in the one beside it."""
        place = {part: number for layer in self._layers for number, part in enumerate(layer)}
        for layer in layers:
            weights = {
                part: _mean([place[one] for one in beside.get(part, ())], place[part]) for part in layer
            }
            layer.sort(key=weights.__getitem__)
            place |= {part: number for number, part in enumerate(layer)}

    def _middles(self) -> dict[int, float]:
        """How far down the middle of each part is: at the mean of what it comes from, or lower where there is no
        room, and all of a wave moved up by what they lie too low on the whole."""
        found: dict[int, float] = {}
        for layer in self._layers:
            wanted = [_mean([found[one] for one in self._before.get(part, ())], 0.0) for part in layer]
            lowest, placed = float("-inf"), []
            for part, want in zip(layer, wanted, strict=True):
                half = self._high(part) / 2
                middle = max(want, lowest + _ROW_GAP + half)
                placed.append(middle)
                lowest = middle + half
            shift = _mean([middle - want for middle, want in zip(placed, wanted, strict=True)], 0.0)
            found |= {part: middle - shift for part, middle in zip(layer, placed, strict=True)}
        return found

    def _boxes(self, middles: Mapping[int, float]) -> Iterator[Box]:
        for number, node in enumerate(self._value.nodes):
            room = self._wide - _FRAME
            name = cut(line(node.id.task), int((room - _LETTER * len(node.state)) / _BOLD))
            title = cut(line(node.task.title, keep=JOINERS), int((room + _FRAME / 3) / _LETTER))
            yield Box(node, self._left(node.wave), middles[number] - _HIGH / 2, name, title)

    def _path(self, way: Sequence[int], middles: Mapping[int, float]) -> str:
        """From the right side of the first to the left side of the last, straight where it passes a wave."""
        wave = self._value.nodes[way[0]].wave
        x, y = self._left(wave) + self._wide, middles[way[0]]
        path = f"M{x:.0f} {y:.1f}"
        for number, part in enumerate(way[1:], start=1):
            left, to = self._left(wave + number), middles[part]
            half = (left - x) / 2
            path += f"C{x + half:.0f} {y:.1f} {left - half:.0f} {to:.1f} {left:.0f} {to:.1f}"
            x, y = left, to
            if number < len(way) - 1:
                x += self._wide
                path += f"H{x:.0f}"
        return path


def _wide(value: Picture) -> float:
    """How wide a box is, so that most ids are whole beside their states."""
    needed = (_BOLD * width(node.id.task) + _LETTER * len(node.state) for node in value.nodes)
    return min(_MOST_WIDE, max(_LEAST_WIDE, _FRAME + max(needed, default=0)))


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


# --- squares -----------------------------------------------------------------------------------------


def _small(value: Picture) -> Drawing:
    """A block of squares for each wave."""
    nodes = {node.id: node for node in value.nodes}
    boxes: dict[TaskId, Box] = {}
    headings = []
    x: float = _MARGIN
    for number, wave in enumerate(value.waves, start=1):
        headings.append(Heading(number, len(wave), x))
        for place, task in enumerate(wave):
            column, row = divmod(place, _TALL)
            boxes[task] = Box(nodes[task], x + column * _PITCH, _TOP + row * _PITCH, "", "")
        x += max(-(-len(wave) // _TALL) * _PITCH + _BLOCK_GAP, 4 * _PITCH)
    rows = min(_TALL, max((len(wave) for wave in value.waves), default=0))
    return Drawing(
        width=x,
        height=_TOP + rows * _PITCH + _MARGIN,
        size=(_SMALL, _SMALL),
        small=True,
        boxes=tuple(boxes[node.id] for node in value.nodes),
        wires=tuple(
            Wire(edge, _straight(boxes[edge.before], boxes[edge.after]))
            for edge in value.edges
            if edge.critical
        ),
        headings=tuple(headings),
    )


def _straight(one: Box, other: Box) -> str:
    half = _SMALL / 2
    return f"M{one.x + half:.0f} {one.y + half:.0f}L{other.x + half:.0f} {other.y + half:.0f}"
