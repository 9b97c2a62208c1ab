"""The order in which proposals go onto main: deliberate, never the order of finishing (DESIGN section 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

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
    front = list(dict.fromkeys(first))
    here = {task.id: number for number, task in enumerate(tasks)}
    needs = {task.id: {need for need in task.needs_ids if need in here} for task in tasks}
    _check_first(front, needs)
    done = front
    rank = {task.id: (-dependents.get(task.id, 0), -shared(task.id), here[task.id]) for task in tasks}
    reads: dict[TaskId, set[TaskId]] = {task_id: set() for task_id in here}
    for edge in interfaces(tasks):
        reads[edge.reader].add(edge.owner)
    left = {task_id: needs[task_id] - set(front) for task_id in here if task_id not in front}
    while left:
        free = [task_id for task_id, wanted in left.items() if not wanted]
        calm = [task_id for task_id in free if not reads[task_id] & left.keys()] or free
        chosen = min(calm, key=rank.__getitem__)
        done.append(chosen)
        del left[chosen]
        for wanted in left.values():
            wanted.discard(chosen)
    return done


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
