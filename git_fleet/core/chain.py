"""Why it took as long as it did: the chain of stays that ends when the last task ends.

From the end of the window one goes back in time. Whatever the task that ended last was doing took that time;
where it waited for a task it needs, or for its turn, one goes on with the task it waited for; where it waited
for a worker, with the task that kept the worker. So every moment of the window has one cause, and the
causes add up to the wall time. (What other tasks did meanwhile was for free: the chain is what a faster fleet
would have to shorten.)
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from git_fleet.core.ids import TaskId
from git_fleet.core.lives import Attempt, Life, Phase, Stay
from git_fleet.core.spans import Span


class Cause(StrEnum):
    """What a stretch of the wall time is due to."""

    TASK = "task"  # one task, with nothing before it to wait for
    NEEDS = "needs"  # tasks that need each other, one after another
    FILES = "files"  # tasks that own the same files, one after another
    WORKERS = "workers"  # tasks one after another because all workers were busy
    IDLE = "idle"  # something was ready, a worker was free, and nobody claimed
    SPAWN = "spawn"  # a worker was starting
    REWORK = "rework"  # work done again, and leases that ran out
    REVIEW = "review"  # handed in, and nobody was looking
    INTEGRATION = "integration"  # handed in, and a lead was at work: replay, gates, moving main
    PERSON = "person"  # held, blocked, parked or paused: a person's word was missing


_CAUSES = {
    Phase.STARTING: Cause.SPAWN,
    Phase.REWORK: Cause.REWORK,
    Phase.LOST: Cause.REWORK,
    Phase.NEEDS: Cause.NEEDS,
    Phase.TURNS: Cause.FILES,
    Phase.HOLD: Cause.PERSON,
    Phase.PAUSED: Cause.PERSON,
    Phase.WORKER: Cause.IDLE,
    Phase.REVIEW: Cause.REVIEW,
    Phase.INTEGRATION: Cause.INTEGRATION,
}
"""The cause of every phase but WORK, which is due to what made the tasks of the chain follow each other."""


class Link(NamedTuple):
    """A stretch of the chain: what `task` did from `start` to `end` (None: nothing was going on at all)."""

    task: TaskId | None
    phase: Phase
    start: int
    end: int
    cause: Cause


class _Move(NamedTuple):
    """Where the chain goes on: with which task, and why."""

    task: TaskId
    cause: Cause


def chain(
    lives: Mapping[TaskId, Life],
    stays: Mapping[TaskId, Sequence[Stay]],
    needs: Mapping[TaskId, Sequence[TaskId]],
    partners: Mapping[TaskId, Sequence[TaskId]],
    window: Span,
) -> list[Link]:
    """The chain of the window, oldest first; its links lie end to end and cover it."""
    walk = _Walk(lives, stays, needs, partners, window)
    return walk.back()


class _Walk:
    """One walk back through a window."""

    def __init__(
        self,
        lives: Mapping[TaskId, Life],
        stays: Mapping[TaskId, Sequence[Stay]],
        needs: Mapping[TaskId, Sequence[TaskId]],
        partners: Mapping[TaskId, Sequence[TaskId]],
        window: Span,
    ) -> None:
        self._lives, self._stays, self._needs, self._partners = lives, stays, needs, partners
        self._start, self._at = window
        self._starts = {task: [stay.start for stay in found] for task, found in stays.items()}
        attempts = (a for life in lives.values() for a in life.attempts if a.start < a.end)
        self._ended = sorted(attempts, key=lambda attempt: attempt.end)
        self._ends = [attempt.end for attempt in self._ended]
        self._links: list[Link] = []
        self._entered: Cause | None = None  # why the task at hand is followed by the one before it here
        self._seen: set[TaskId] = set()  # tasks looked at for the moment at hand

    def back(self) -> list[Link]:
        """The links, oldest first."""
        task = self._latest()
        while task is not None and self._at > self._start:
            stay = self._stay(task)
            if stay is None:  # it had not begun, or was reopened: what went on before that?
                task = self._latest()
                continue
            move = None if task in self._seen else self._before(stay)
            self._seen.add(task)
            if move is None:
                self._take(task, stay.phase, stay.start)
            else:
                self._follow(move)
                task = move.task
        self._take(None, Phase.WORKER, self._start)
        return self._links[::-1]

    def _latest(self) -> TaskId | None:
        """The task that went on longest until the moment at hand; of several, one that was doing something.
        The time since then is nobody's."""
        waits = (Phase.NEEDS, Phase.TURNS, Phase.WORKER)
        best: tuple[int, bool] | None = None
        found = None
        for task, stays in self._stays.items():
            place = bisect_left(self._starts[task], self._at) - 1
            if place >= 0:
                rank = min(stays[place].end, self._at), stays[place].phase not in waits
                if best is None or rank > best:
                    best, found = rank, task
        if best is not None:
            self._take(None, Phase.WORKER, best[0])
        return found

    def _stay(self, task: TaskId) -> Stay | None:
        """What the task did just before the moment at hand."""
        place = bisect_left(self._starts.get(task, []), self._at) - 1
        if place < 0:
            return None
        stay = self._stays[task][place]
        return stay if self._at <= stay.end else None

    def _take(self, task: TaskId | None, phase: Phase, start: int) -> None:
        """The time from `start` to the moment at hand goes to this task and phase."""
        start = max(start, self._start)
        if start >= self._at:
            return
        cause = _CAUSES.get(phase) or self._entered or Cause.TASK
        self._links.append(Link(task, phase, start, self._at, cause))
        self._at = start
        self._seen.clear()

    def _follow(self, move: _Move) -> None:
        """Go on with another task. The work that it was waited for is the cause's, and so is the work of the
        last task of the chain, which stood behind it."""
        if self._entered is None:
            self._links = [
                link._replace(cause=move.cause) if link.cause is Cause.TASK else link for link in self._links
            ]
        self._entered = move.cause

    def _before(self, stay: Stay) -> _Move | None:
        """The task that this one was waiting for at the moment at hand; None when it was busy itself."""
        if stay.phase is Phase.NEEDS:
            waited = (n for n in self._needs.get(stay.task, ()) if n in self._lives)
            missing = (n for n in waited if not self._covered(self._lives[n].integrated))
            return self._first(missing, Cause.NEEDS)
        if stay.phase is Phase.TURNS:
            others = (p for p in self._partners.get(stay.task, ()) if p in self._lives)
            return self._first((p for p in others if self._covered(self._lives[p].active)), Cause.FILES)
        if stay.phase is Phase.WORKER:
            return self._worker(stay)
        return None

    def _first(self, tasks: Iterable[TaskId], cause: Cause) -> _Move | None:
        """The first of the tasks that was doing something then."""
        return next((_Move(task, cause) for task in tasks if self._stay(task)), None)

    def _covered(self, spans: Sequence[Span]) -> bool:
        """Whether one of the spans holds the instant before the moment at hand."""
        place = bisect_left(spans, (self._at,)) - 1
        return place >= 0 and self._at <= spans[place][1]

    def _worker(self, stay: Stay) -> _Move | None:
        """The work whose end set a worker free for this task: its own worker's, else anybody's. The time
        from then on nobody took it though somebody could have."""
        after, until = bisect_left(self._ends, stay.start + 1), bisect_left(self._ends, self._at + 1)
        freed = [a for a in self._ended[after:until] if a.task != stay.task]
        if not freed:
            return None
        worker = self._claimer(stay)
        last = next((a for a in reversed(freed) if a.worker == worker), freed[-1])
        self._take(stay.task, stay.phase, last.end)
        return _Move(last.task, Cause.WORKERS)

    def _claimer(self, stay: Stay) -> str | None:
        attempts: Sequence[Attempt] = self._lives[stay.task].attempts
        return next((a.worker for a in attempts if a.start >= stay.end), None)
