"""A fleet on paper: workers, a lead and a plan, moved tick by tick, counting what every task does in each tick.

It writes the events that a real fleet would write. What it counts is counted by looking at each tick, in no
way as core/lives.py and core/score.py reckon with spans; so the two can be held against each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event
from git_fleet.core.lives import Phase, Step
from git_fleet.core.model import Claim, Proposal, State, Task, Usage
from git_fleet.core.score import Records
from git_fleet.core.spans import Span, milliseconds
from tests.support.clock import START

TOO_LONG = 5000


@dataclass(frozen=True)
class Try:
    """How one claim will go: so many ticks of work (starting included), so many at the gates, and what comes
    of it: ok, conflict, gate, release, die (the lease runs out) or cancel."""

    ticks: int
    gates: int
    outcome: str


@dataclass(frozen=True)
class World:
    """What is given. `needs` and `pairs` are of task numbers; the last try of every task ends it. The lead
    rests so many ticks after each task; workers are slow to ask; the plan is paused from tick to tick."""

    tries: tuple[tuple[Try, ...], ...]
    needs: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[int, int], ...]
    workers: int
    spawn: int
    lease: int
    rest: int
    slow: int
    paused: tuple[int, int]
    tick_ms: int


@dataclass
class _Task:
    """One task in the simulator."""

    id: TaskId
    state: State = State.PENDING
    claims: int = 0
    since: int = 0
    worker: int = -1
    because: str = ""
    good: int = 0
    steps: list[Step] = field(default_factory=list)


@dataclass
class Simulated:
    """What happened: the records to score, and what the ticks add up to, in milliseconds."""

    records: Records
    phases: Counter[Phase]
    agent: int
    useful: int
    wall: int


class Simulator:
    """One run through a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tasks = [_Task(TaskId("p", str(number))) for number in range(len(world.tries))]
        self.now = 0
        self.began: int | None = None
        self.last = 0
        self.phases: Counter[Phase] = Counter()
        self.agent = 0
        self.idle = [world.slow * number for number in range(world.workers)]
        self.busy: set[int] = set()
        self.gating: _Task | None = None
        self.gated_at = 0
        self.lead_free = 0
        self.queue: list[_Task] = []
        self.led: list[Span] = []

    def run(self) -> Simulated:
        """Until every task has ended."""
        while not all(task.state.ended for task in self.tasks):
            assert self.now < TOO_LONG, "this world does not end"
            self._finish_work()
            self._lead()
            self._claim()
            self._count()
            self.now += 1
        wall = (self.last - self.began) if self.began is not None else 0
        unit = self.world.tick_ms
        landed = [task for task in self.tasks if task.state is State.INTEGRATED]
        return Simulated(
            self._records(),
            Counter({phase: ticks * unit for phase, ticks in self.phases.items()}),
            self.agent * unit,
            sum(task.good for task in landed) * unit,
            wall * unit,
        )

    def at(self, tick: int) -> datetime:
        return START + timedelta(milliseconds=tick * self.world.tick_ms)

    def _records(self) -> Records:
        closed = [self._span(*self.world.paused)]
        return Records(
            plan="p",
            tasks=[
                Task(
                    task.id,
                    f"Do {task.id}",
                    "x",
                    files=(),
                    needs=tuple(str(need) for need in self.world.needs[number]),
                )
                for number, task in enumerate(self.tasks)
            ],
            steps={task.id: task.steps for task in self.tasks if task.steps},
            now=self.at(self.now),
            spawn_seconds=self.world.spawn * self.world.tick_ms / 1000,
            since={},
            pairs=[(self.tasks[a].id, self.tasks[b].id) for a, b in self.world.pairs],
            closed=[span for span in closed if span[0] < span[1]],
            led=self.led,
        )

    def _span(self, start: int, end: int) -> Span:
        return milliseconds(self.at(start)), milliseconds(self.at(end))

    def _say(self, task: _Task, name: str, state: State, **fields: object) -> None:
        event = Event(name, self.at(self.now), f"w{task.worker}", fields)
        task.steps.append(Step(event, state))
        task.state = state

    def _try(self, task: _Task) -> Try:
        return self.world.tries[int(task.id.task)][task.claims - 1]

    def _worked(self, task: _Task) -> int:
        return self.now - task.since

    def _finish_work(self) -> None:
        for task in self.tasks:
            if task.state is not State.CLAIMED or task.worker not in self.busy:
                continue
            plan = self._try(task)
            if plan.outcome == "die":
                if self._worked(task) == self.world.lease:
                    self._free(task)
            elif self._worked(task) == plan.ticks:
                self._free(task)
                self._end_claim(task, plan)

    def _free(self, task: _Task) -> None:
        self.busy.discard(task.worker)
        self.idle[task.worker] = self.now + self.world.slow
        self.agent += self._worked(task)
        self.last = max(self.last, self.now)

    def _end_claim(self, task: _Task, plan: Try) -> None:
        if plan.outcome == "release":
            task.because = "released"
            self._say(task, "release", State.REWORK)
        elif plan.outcome == "cancel":
            self._say(task, "cancel", State.CANCELLED)
        else:
            if task.because != "conflict":
                task.good += max(0, plan.ticks - self.world.spawn)
            number = task.claims
            self._say(
                task, "done", State.PROPOSED, proposal=Proposal(number, _OID, "w"), usage=Usage(1, 2, 0.5)
            )
            self.queue.append(task)

    def _lead(self) -> None:
        if self.gating and self.now - self.gated_at == self._try(self.gating).gates:
            self._judge(self.gating)
            self.led.append(self._span(self.gated_at, self.now))
            self.gating, self.lead_free = None, self.now + self.world.rest
        if self.gating is None and self.queue and self.now >= self.lead_free:
            self.gating, self.gated_at = self.queue.pop(0), self.now

    def _judge(self, task: _Task) -> None:
        outcome = self._try(task).outcome
        if outcome == "ok":
            self._say(task, "uphold", State.VERIFIED, by="gates")
            self._say(task, "integrate", State.INTEGRATED)
        else:
            task.because = outcome
            self._say(task, "eject", State.REWORK, reason=outcome)
        self.last = max(self.last, self.now) if outcome == "ok" else self.last

    def _claim(self) -> None:
        for worker in range(self.world.workers):
            if worker in self.busy or self.now < self.idle[worker]:
                continue
            task = next(self._ready(), None)
            if task is None:
                return
            if task.state is State.CLAIMED:
                task.because = "expired"
            task.claims += 1
            task.since, task.worker = self.now, worker
            until = self.at(self.now + self.world.lease)
            self._say(
                task,
                "claim",
                State.CLAIMED,
                claim=Claim(f"w{worker}", None, self.at(self.now), until, task.claims),
            )
            self.busy.add(worker)
            self.began = self.now if self.began is None else self.began

    def _ready(self) -> Iterator[_Task]:
        if self._paused():
            return
        for task in self.tasks:
            expired = task.state is State.CLAIMED and task.worker not in self._holders(task)
            if (
                task.state in (State.PENDING, State.REWORK) and self._obstacle(task) is Phase.WORKER
            ) or expired:
                yield task

    def _holders(self, task: _Task) -> set[int]:
        """The worker of the task, as long as its lease runs."""
        dead = self._try(task).outcome == "die" and self._worked(task) >= self.world.lease
        return set() if dead else {task.worker}

    def _paused(self) -> bool:
        return self.world.paused[0] <= self.now < self.world.paused[1]

    def _obstacle(self, task: _Task) -> Phase:
        number = int(task.id.task)
        if any(self.tasks[need].state is not State.INTEGRATED for need in self.world.needs[number]):
            return Phase.NEEDS
        if any(self.tasks[other].state.active for other in _others(self.world.pairs, number)):
            return Phase.TURNS
        return Phase.PAUSED if self._paused() else Phase.WORKER

    def _count(self) -> None:
        """What each task does in the tick that begins now."""
        if self.began is None:
            return
        for task in self.tasks:
            if not task.state.ended:
                self.phases[self._phase(task)] += 1

    def _phase(self, task: _Task) -> Phase:
        if task.state in (State.PENDING, State.REWORK):
            return self._obstacle(task)
        if task.state is State.PROPOSED:
            return Phase.INTEGRATION if self.gating else Phase.REVIEW
        if not self._holders(task):
            return Phase.LOST
        if self._worked(task) < self.world.spawn:
            return Phase.STARTING
        return Phase.REWORK if task.claims > 1 else Phase.WORK


_OID = Oid("0" * 40)


def _others(pairs: Sequence[tuple[int, int]], number: int) -> Iterator[int]:
    for a, b in pairs:
        if number in (a, b):
            yield b if a == number else a
