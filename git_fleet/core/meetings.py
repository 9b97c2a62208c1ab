"""Who met whom in a file: what the plan predicted beside what came of it.

Predicted are pairs that own common paths. What really met are pairs whose proposals changed the same file, and
proposals that did not fit main any more because of one that had landed before. Everybody's files (generated ones)
are left to the caller to take out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import combinations

from msgspec import Struct

from git_fleet.core.ids import TaskId
from git_fleet.core.overlaps import Pair

CROWD = 40
"""A file that more tasks changed is no meeting of two: it is named by itself."""


class Refit(Struct, frozen=True):
    """A proposal that conflicted with main, in these files, at that moment."""

    task: TaskId
    at: datetime
    paths: tuple[str, ...]


class Meeting(Struct, frozen=True):
    """Two tasks. `predicted` is their overlap in the plan (None: nobody had foreseen it), `shared` the files that
    both changed, `conflicts` those in which one did not fit any more once the other had landed."""

    a: TaskId
    b: TaskId
    predicted: Pair | None
    shared: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


class Crowd(Struct, frozen=True):
    """A file that so many tasks changed."""

    path: str
    tasks: int


class Meetings(Struct, frozen=True):
    """All of a plan: first those that conflicted, then those nobody had foreseen, then those that changed a
    common file, in plan order. `unexplained` are conflicts with changes of no task of the plan."""

    pairs: tuple[Meeting, ...]
    crowds: tuple[Crowd, ...]
    unexplained: tuple[Refit, ...]

    @property
    def predicted(self) -> int:
        """How many pairs the plan said own common paths."""
        return sum(pair.predicted is not None for pair in self.pairs)

    @property
    def met(self) -> int:
        """How many of the predicted pairs changed a common file, in what they handed in last or before."""
        return sum(pair.predicted is not None and bool(pair.shared or pair.conflicts) for pair in self.pairs)

    @property
    def unforeseen(self) -> int:
        """How many pairs changed a common file, or conflicted, though the plan did not say so."""
        return sum(pair.predicted is None for pair in self.pairs)

    @property
    def conflicted(self) -> int:
        """How many pairs conflicted."""
        return sum(bool(pair.conflicts) for pair in self.pairs)


def meetings(
    order: Sequence[TaskId],
    overlaps: Iterable[Pair],
    changed: Mapping[TaskId, Collection[str]],
    landed: Mapping[TaskId, datetime],
    refits: Sequence[Refit],
) -> Meetings:
    """Who met whom among the tasks of `order`: their overlaps, the paths each changed, when each landed (those
    that did), and the conflicts there were."""
    place = {task: number for number, task in enumerate(order)}

    def pair_of(one: TaskId, other: TaskId) -> tuple[TaskId, TaskId]:
        return (one, other) if place[one] < place[other] else (other, one)

    predicted = {pair_of(pair.a, pair.b): pair for pair in overlaps}
    shared, crowds = _shared(order, changed, predicted)
    conflicts: dict[tuple[TaskId, TaskId], dict[str, None]] = defaultdict(dict)
    unexplained = []
    for refit in refits:
        against = [
            pair_of(refit.task, task) for task in _landed_before(refit, changed, landed) if task in place
        ]
        for pair, paths in ((pair, _common(pair, refit, changed)) for pair in against):
            conflicts[pair] |= dict.fromkeys(paths)
        if not against:
            unexplained.append(refit)
    found = [
        Meeting(*pair, predicted.get(pair), tuple(shared.get(pair, ())), tuple(conflicts.get(pair, ())))
        for pair in {**predicted, **shared, **conflicts}
    ]
    found.sort(
        key=lambda one: (
            not one.conflicts,
            one.predicted is not None,
            not one.shared,
            place[one.a],
            place[one.b],
        )
    )
    return Meetings(tuple(found), crowds, tuple(unexplained))


def _shared(
    order: Sequence[TaskId],
    changed: Mapping[TaskId, Collection[str]],
    predicted: Collection[tuple[TaskId, TaskId]],
) -> tuple[dict[tuple[TaskId, TaskId], list[str]], tuple[Crowd, ...]]:
    """The files that two tasks changed; of a file that a crowd changed only predicted pairs."""
    by_path: dict[str, list[TaskId]] = defaultdict(list)
    for task in order:
        for path in sorted(changed.get(task, ())):
            by_path[path].append(task)
    crowds = {path for path, tasks in by_path.items() if len(tasks) > CROWD}
    found: dict[tuple[TaskId, TaskId], list[str]] = defaultdict(list)
    for path, tasks in by_path.items():
        if path not in crowds:
            for pair in combinations(tasks, 2):
                found[pair].append(path)
    if crowds:
        common = {task: crowds & set(paths) for task, paths in changed.items()}
        for one, other in predicted:
            if both := common.get(one, set()) & common.get(other, set()):
                found[one, other] += sorted(both)
    return dict(found), tuple(Crowd(path, len(by_path[path])) for path in sorted(crowds))


def _landed_before(
    refit: Refit, changed: Mapping[TaskId, Collection[str]], landed: Mapping[TaskId, datetime]
) -> list[TaskId]:
    """Who had brought one of the files to main by then."""
    wanted = set(refit.paths)
    return [
        task
        for task, at in landed.items()
        if task != refit.task and at <= refit.at and wanted.intersection(changed.get(task, ()))
    ]


def _common(
    pair: tuple[TaskId, TaskId], refit: Refit, changed: Mapping[TaskId, Collection[str]]
) -> list[str]:
    other = pair[1] if pair[0] == refit.task else pair[0]
    return [path for path in refit.paths if path in changed.get(other, ())]
