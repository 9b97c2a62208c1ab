"""What came of a run, as values (DESIGN section 12, *run*)."""

from __future__ import annotations

from msgspec import Struct, field

from git_fleet.core.ids import TaskId
from git_fleet.core.model import State, Usage


class Stop(Struct, frozen=True):
    """Why a run ended. `code`: complete, waiting (for a person), paused, interrupted, time, cost."""

    code: str
    text: str


class Tally(Struct):
    """What came of a run so far. `calls` counts how often a person was told of something, `nothing` is why the last
    claim found nothing."""

    claims: int = 0
    calls: int = 0
    integrated: int = 0
    ejected: int = 0
    recovered: int = 0
    ends: dict[TaskId, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    nothing: str = ""
    stop: Stop | None = None

    def ended(self, task: TaskId, how: str) -> None:
        """The last engagement of a task ended so."""
        self.ends[task] = how


class TaskEnd(Struct, frozen=True):
    """How a task stands when the run has ended; `reason` says why it goes no further."""

    task: TaskId
    title: str
    state: State
    attempts: int
    reason: str = ""


class RunResult(Struct, frozen=True):
    """What came of a whole run. `commits` went onto the base branch, `recovered` claims were an earlier run's.
    `pushes` is how many this clone made meanwhile, for whatever plan; 0 where no remote decides."""

    plan: str
    base: str
    stop: Stop
    workers: int
    seconds: float
    commits: int
    ejected: int
    recovered: int
    usage: Usage
    tasks: tuple[TaskEnd, ...]
    troubles: tuple[str, ...] = ()
    pushes: int = 0

    @property
    def complete(self) -> bool:
        """Whether every task has come to an end."""
        return all(task.state.ended for task in self.tasks)


class Outlook(Struct, frozen=True):
    """What a run would do: `begins` says it in words, `agents` are the commands that start agents, placeholders as
    they are; `left` tasks have not ended, `ready` ones could be claimed now."""

    plan: str
    base: str
    workers: int
    begins: str
    agents: tuple[str, ...]
    left: tuple[TaskId, ...]
    ready: tuple[TaskId, ...]


class Engaged(Struct, frozen=True):
    """A task that one worker has had: how its claim ended, in a word, and more about that, for people."""

    task: TaskId
    how: str
    text: str = ""


class Worked(Struct, frozen=True):
    """What came of one worker. `stop.code`: complete (every task has ended, or the one named is handed in), worked (it
    was to work no more), waiting (nothing became ready), nothing (the task named cannot be had), interrupted, trouble,
    unreachable. `left` is the folder that stays because not all in it could be sent away, "" when there is none; `pushes`
    as for a run."""

    plan: str
    worker: str
    stop: Stop
    tasks: tuple[Engaged, ...]
    seconds: float
    left: str = ""
    pushes: int = 0
