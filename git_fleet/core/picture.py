"""A plan as a graph: its tasks, what comes before what, who shares files, the critical path. For whoever draws it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise

from msgspec import Struct

from git_fleet.core import graph
from git_fleet.core.ids import TaskId
from git_fleet.core.model import PENDING, Overlap, PlanState, State, Task, TaskState
from git_fleet.core.overlaps import Pair, pairs


class Why(StrEnum):
    """Why a task comes after another: it needs it, or both own the same files and take turns."""

    NEEDS = "needs"
    TURNS = "turns"


class Node(Struct, frozen=True):
    """A task in the graph. `wave` counts from 1; `holder` is whose work it is, "" before the first claim."""

    task: Task
    state: State
    holder: str
    wave: int
    critical: bool

    @property
    def id(self) -> TaskId:
        """The task's id."""
        return self.task.id


class Edge(Struct, frozen=True):
    """`before` has to be integrated before `after` begins; `critical` on the longest chain."""

    before: TaskId
    after: TaskId
    why: Why
    critical: bool = False


class Picture(Struct, frozen=True):
    """A plan's graph. `nodes` are in plan order; `edges` are without those that others imply, in an order in which
    each comes after those it builds on; `overlaps` are all pairs that own common paths, whatever the policy.
    `critical_minutes` is what the critical path takes by the estimates."""

    plan: str
    title: str
    base: str
    state: PlanState
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    overlaps: tuple[Pair, ...]
    waves: tuple[tuple[TaskId, ...], ...]
    critical_path: tuple[TaskId, ...]
    critical_minutes: float

    @property
    def integrated(self) -> int:
        """How many tasks main has."""
        return sum(node.state is State.INTEGRATED for node in self.nodes)


def picture(
    plan: str,
    title: str,
    base: str,
    state: PlanState,
    tasks: Sequence[Task],
    states: Mapping[TaskId, TaskState],
    generated: Iterable[str] = (),
) -> Picture:
    """The graph of these tasks; those without a state are pending. `generated` patterns are nobody's.

    Raises InvalidInput for needs that form a cycle and for a broken pattern.
    """
    found = pairs(tasks, generated)
    serial = [(pair.a, pair.b) for pair in found if pair.policy is Overlap.SERIALIZE]
    waves = graph.waves(tasks, serial)
    wave_of = {task: number for number, wave in enumerate(waves, start=1) for task in wave}
    path = graph.critical_path(tasks, serial)
    on_path = set(path)
    links = set(pairwise(path))
    needs = {task.id: set(task.needs_ids) for task in tasks}
    minutes = {task.id: task.estimate_minutes for task in tasks}
    return Picture(
        plan=plan,
        title=title,
        base=base,
        state=state,
        nodes=tuple(
            _node(task, states.get(task.id, PENDING), wave_of[task.id], critical=task.id in on_path)
            for task in tasks
        ),
        edges=tuple(
            Edge(a, b, Why.NEEDS if a in needs[b] else Why.TURNS, (a, b) in links)
            for a, b in graph.direct(tasks, serial)
        ),
        overlaps=tuple(found),
        waves=tuple(map(tuple, waves)),
        critical_path=tuple(path),
        critical_minutes=sum(minutes[task] for task in path),
    )


def _node(task: Task, state: TaskState, wave: int, *, critical: bool) -> Node:
    holder = state.claim.holder if state.claim and state.state not in _NOBODYS else ""
    return Node(task, state.state, holder, wave, critical)


_NOBODYS = frozenset({State.PENDING, State.CANCELLED})
