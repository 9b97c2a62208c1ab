"""The graph of what needs what: waves, the critical path, who waits for whom.

Every function takes the tasks in plan order. A need that names a task outside of them is no edge
here (the plan's own check refuses it). Linear in tasks and edges, except `dependents_count`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from git_fleet.core.ids import TaskId
from git_fleet.core.model import Task
from git_fleet.errors import InvalidInput

Pairs = Iterable[tuple[TaskId, TaskId]]
"""Tasks that may not run together; the order within a pair means nothing."""


def find_cycle(needs: Mapping[TaskId, Iterable[TaskId]]) -> list[TaskId]:
    """A cycle, each task needing the next and the last one the first; empty when there is none."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        cycle: list[TaskId] = error.args[1]
        return cycle[:0:-1]
    return []


def waves(tasks: Sequence[Task], serial_pairs: Pairs = ()) -> list[list[TaskId]]:
    """The tasks in generations that can run side by side, each generation in plan order.

    A task's wave is one after the latest of its needs and of the tasks before it that it must not
    run together with. Which of such a pair comes first: see `in_order`. Raises InvalidInput for a
    cycle.
    """
    wave: dict[TaskId, int] = {}
    for task_id, before in _predecessors(tasks, serial_pairs).items():
        wave[task_id] = 1 + max((wave[other] for other in before), default=-1)
    generations: list[list[TaskId]] = [[] for _ in range(max(wave.values(), default=-1) + 1)]
    for task in tasks:
        generations[wave[task.id]].append(task.id)
    return generations


def in_order(tasks: Sequence[Task]) -> list[TaskId]:
    """The order that serialises overlapping tasks: by depth in the needs, then by plan order.

    Depth is the longest chain of needs below a task, so no task comes before one it needs, and one
    that can start early is not put behind one that has to wait. Raises InvalidInput for a cycle.
    """
    needs = _needs(tasks)
    depth: dict[TaskId, int] = {}
    try:
        for task_id in TopologicalSorter(needs).static_order():
            depth[task_id] = 1 + max((depth[need] for need in needs[task_id]), default=-1)
    except CycleError as error:
        raise InvalidInput(f"needs form a cycle: {' -> '.join(map(str, error.args[1][::-1]))}") from None
    return sorted(needs, key=depth.__getitem__)


def critical_path(tasks: Sequence[Task], serial_pairs: Pairs = ()) -> list[TaskId]:
    """The chain that takes longest by `estimate_minutes`, first task first: no number of workers
    is done sooner. With `serial_pairs`, tasks that overlap take turns as in `waves`. Of chains that take
    equally long the one is taken whose tasks come first in the plan, from its end.

    Raises InvalidInput for a cycle.
    """
    minutes = {task.id: task.estimate_minutes for task in tasks}
    place = {task.id: number for number, task in enumerate(tasks)}
    finish: dict[TaskId, float] = {}
    via: dict[TaskId, TaskId | None] = {}
    for task_id, before in _predecessors(tasks, serial_pairs).items():
        via[task_id] = max(sorted(before, key=place.__getitem__), key=finish.__getitem__, default=None)
        latest = via[task_id]
        finish[task_id] = minutes[task_id] + (finish[latest] if latest else 0.0)
    path: list[TaskId] = []
    at = max(finish, key=finish.__getitem__, default=None)
    while at is not None:
        path.append(at)
        at = via[at]
    return path[::-1]


def direct(tasks: Sequence[Task], serial_pairs: Pairs = ()) -> list[tuple[TaskId, TaskId]]:
    """What comes directly before what, as (before, after): needs and turns alike, without those that others
    imply. In the order of the later tasks, which respects every one of them. Raises InvalidInput for a cycle.
    """
    before = _predecessors(tasks, serial_pairs)
    place = {task_id: number for number, task_id in enumerate(before)}
    below: dict[TaskId, int] = {}
    found: list[tuple[TaskId, TaskId]] = []
    for task_id, others in before.items():
        covered, kept = 0, []
        for other in sorted(others, key=place.__getitem__, reverse=True):
            if not covered >> place[other] & 1:
                kept.append((other, task_id))
                covered |= below[other]
        below[task_id] = covered | 1 << place[task_id]
        found += reversed(kept)
    return found


def dependents_count(tasks: Sequence[Task]) -> dict[TaskId, int]:
    """How many tasks wait for each one, directly or through others.

    Sets of waiting tasks are bit sets in plain integers, dropped as soon as every need has taken
    them over: a chain of 10,000 tasks takes some milliseconds. Raises InvalidInput for a cycle.
    """
    needs = _needs(tasks)
    waiting: dict[TaskId, int] = defaultdict(int)
    counts = dict.fromkeys(needs, 0)
    for number, task_id in enumerate(reversed(in_order(tasks))):
        above = waiting.pop(task_id, 0)
        counts[task_id] = above.bit_count()
        mine = above | 1 << number
        for need in needs[task_id]:
            waiting[need] |= mine
    return counts


def ordered(tasks: Sequence[Task], pairs: Pairs) -> set[tuple[TaskId, TaskId]]:
    """Those of `pairs` of which one task needs the other, directly or through others: they cannot run
    side by side anyway. Raises InvalidInput for a cycle."""
    needs = _needs(tasks)
    bit = {task_id: 1 << number for number, task_id in enumerate(needs)}
    below: dict[TaskId, int] = {}
    for task_id in in_order(tasks):
        below[task_id] = 0
        for need in needs[task_id]:
            below[task_id] |= below[need] | bit[need]
    known = ((a, b) for a, b in pairs if a in below and b in below)
    return {(a, b) for a, b in known if below[a] & bit[b] or below[b] & bit[a]}


def _needs(tasks: Sequence[Task]) -> dict[TaskId, list[TaskId]]:
    known = {task.id for task in tasks}
    return {task.id: [need for need in task.needs_ids if need in known] for task in tasks}


def _predecessors(tasks: Sequence[Task], serial_pairs: Pairs) -> dict[TaskId, set[TaskId]]:
    """What each task comes after, needs and serialised pairs alike; in an order that respects it."""
    order = in_order(tasks)
    place = {task_id: number for number, task_id in enumerate(order)}
    before = {task_id: set[TaskId]() for task_id in order}
    for task_id, needs in _needs(tasks).items():
        before[task_id].update(needs)
    for a, b in serial_pairs:
        if a in place and b in place and a != b:
            first, second = (a, b) if place[a] < place[b] else (b, a)
            before[second].add(first)
    return before
