"""Plans to draw, in few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from git_fleet.core.ids import TaskId
from git_fleet.core.model import PlanState, State, Task, TaskState
from git_fleet.core.picture import Picture, picture


def task(name: str, *needs: str, title: str = "", files: Sequence[str] = (), **more: Any) -> Task:
    """A task of plan p; it owns the folder of its name unless `files` says otherwise."""
    own = tuple(files) or (f"{name}/**",)
    return Task(TaskId("p", name), title or f"Do {name}", name, files=own, needs=needs, **more)


def drawn(
    *tasks: Task,
    states: Mapping[str, State] | None = None,
    generated: Sequence[str] = (),
    title: str = "A plan",
) -> Picture:
    """Their picture; `states` by name, the others pending."""
    known = {TaskId("p", name): TaskState(state) for name, state in (states or {}).items()}
    return picture("p", title, "main", PlanState.OPEN, tasks, known, generated)


def plan_of(count: int) -> list[Task]:
    """A plan of any size: every third task needs the one three before it, some share files."""
    return [
        task(
            f"t{number}",
            *([f"t{number - 3}"] if number >= 3 and number % 3 == 0 else []),
            files=[f"shared/{number // 4}.txt"] if number % 4 < 2 else [f"own/{number}/**"],
        )
        for number in range(count)
    ]
