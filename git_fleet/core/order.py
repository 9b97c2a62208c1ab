"""The order in which proposals go onto main: deliberate, never the order of finishing (DESIGN section 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush

from git_fleet.core.ids import TaskId
from git_fleet.core.model import Task
from git_fleet.core.overlaps import interfaces
from git_fleet.errors import InvalidInput


def integration_order(
    tasks: Sequence[Task],
    *,
    dependents: Mapping[TaskId, int],
    shared: Callable[[TaskId], int],
    first: Sequence[TaskId] = (),
) -> list[TaskId]:
    """`tasks` (in plan order) in the order in which they are integrated.

    What others need comes before them; owners before the readers of their files, as far as that goes
    without a circle; then foundational ones (most `dependents`, most overlapping tasks by `shared`);
    then plan order. `first` is a person's own order for the front. Raises InvalidInput when it puts a
    task before one it needs.
    """
    front = dict.fromkeys(first)
    here = {task.id: number for number, task in enumerate(tasks)}
    needs = {task.id: {need for need in task.needs_ids if need in here} for task in tasks}
    _check_first(front, needs)
    rank = {task.id: (-dependents.get(task.id, 0), -shared(task.id), here[task.id]) for task in tasks}
    left = [task_id for task_id in here if task_id not in front]
    waiting = _Waiting(left, rank, needs, _owners(tasks))
    return [*front, *(waiting.take() for _ in left)]


def _owners(tasks: Sequence[Task]) -> Mapping[TaskId, set[TaskId]]:
    """For each task that reads, the owners of what it reads."""
    found: dict[TaskId, set[TaskId]] = {}
    if any(task.reads for task in tasks):  # else no pattern need be looked at
        for edge in interfaces(tasks):
            found.setdefault(edge.reader, set()).add(edge.owner)
    return found


class _Waiting:
    """The tasks that have no place yet. `take` gives the next one, in logarithmic time.

    A task is free once all it needs has its place, and calm once all owners of what it reads have
    theirs too; both stay so. Free ones that are not calm are taken only where nothing calm is left, which
    cuts circles of readers.
    """

    def __init__(
        self,
        left: Sequence[TaskId],
        rank: Mapping[TaskId, tuple[int, ...]],
        needs: Mapping[TaskId, set[TaskId]],
        owners: Mapping[TaskId, set[TaskId]],
    ) -> None:
        self._rank = rank
        self._left = dict.fromkeys(left)
        self._needs = {task_id: {need for need in needs[task_id] if need in self._left} for task_id in left}
        self._owners = {
            task_id: {owner for owner in owners.get(task_id, ()) if owner in self._left} for task_id in left
        }
        self._followers: dict[TaskId, list[TaskId]] = {}
        for task_id in left:
            for other in self._needs[task_id] | self._owners[task_id]:
                self._followers.setdefault(other, []).append(task_id)
        self._free: list[tuple[tuple[int, ...], TaskId]] = []
        self._calm: list[tuple[tuple[int, ...], TaskId]] = []
        for task_id in left:
            self._offer(task_id)

    def take(self) -> TaskId:
        """The next task; the ones that waited for it wait for one less."""
        chosen = self._first(self._calm) or self._first(self._free)
        if chosen is None:
            raise AssertionError("an approved plan's needs make no circle")
        del self._left[chosen]
        for follower in self._followers.get(chosen, ()):
            self._needs[follower].discard(chosen)
            self._owners[follower].discard(chosen)
            self._offer(follower)
        return chosen

    def _offer(self, task_id: TaskId) -> None:
        if not self._needs[task_id]:
            entry = (self._rank[task_id], task_id)
            heappush(self._free if self._owners[task_id] else self._calm, entry)

    def _first(self, heap: list[tuple[tuple[int, ...], TaskId]]) -> TaskId | None:
        while heap:
            _, task_id = heappop(heap)
            if task_id in self._left:  # it may have been offered again, and taken since
                return task_id
        return None


def _check_first(first: Iterable[TaskId], needs: Mapping[TaskId, set[TaskId]]) -> None:
    seen: set[TaskId] = set()
    for task_id in first:
        missing = needs[task_id] - seen
        if missing:
            raise InvalidInput(
                f"--order puts {task_id} before {', '.join(map(str, sorted(missing)))}, which it needs",
                hint="name what is needed first",
            )
        seen.add(task_id)
