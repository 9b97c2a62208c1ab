"""Was the fan-out worth it? From the logs of a plan alone (DESIGN section 10, end).

The window of a score is from the first claim to the last work or landing, or to now while the plan goes on.
Everything is counted within it.

*Sequence* is what one worker would have taken for the tasks that are integrated: the work of the claims that
handed something in, less the time a worker takes to start, less work that only working side by side made
necessary (after a conflict). Waiting for review, gates and claims that were given up are no part of it, so the
speed-up, sequence / wall, is rather too small than too large.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import reduce
from itertools import chain as chain_of

from msgspec import Struct

from git_fleet.core.bound import Bound, bound
from git_fleet.core.chain import Cause, Link, chain
from git_fleet.core.ids import TaskId
from git_fleet.core.lives import Around, Attempt, Life, Phase, Stay, Step, read, stays
from git_fleet.core.model import State, Task, Usage
from git_fleet.core.schedule import GROWTH
from git_fleet.core.spans import Span, milliseconds, moment, most_at_once, union


class Worth(StrEnum):
    """Was it worth it? `early`: too early to tell."""

    YES = "yes"
    NO = "no"
    EARLY = "early"


class Records(Struct, frozen=True):
    """What a score is made from. `since` says when the plan first had a task (absent: from the start);
    `pairs` take turns; `closed` and `led` say when the plan took no claims and when somebody led, maybe
    overlapping; `over` that the plan is closed. `verdicts` is policy.verdicts."""

    plan: str
    tasks: Sequence[Task]
    steps: Mapping[TaskId, Sequence[Step]]
    now: datetime
    spawn_seconds: float
    since: Mapping[TaskId, datetime]
    pairs: Sequence[tuple[TaskId, TaskId]] = ()
    closed: Sequence[Span] = ()
    led: Sequence[Span] = ()
    verdicts: int = 0
    over: bool = False


class PhaseTime(Struct, frozen=True):
    """How long tasks were in one phase, added up, and how many tasks ever were."""

    phase: Phase
    seconds: float
    tasks: int


class Setback(Struct, frozen=True):
    """Tasks sent back for one reason: how often, how many claims followed from it, and the agent time and
    cost of those."""

    reason: str
    times: int
    claims: int
    seconds: float
    usage: Usage


class WorkerTime(Struct, frozen=True):
    """One worker's claims and working time."""

    worker: str
    claims: int
    seconds: float


class Share(Struct, frozen=True):
    """A part of the wall time and what it is due to; `tasks` are those of the chain, in its order."""

    cause: Cause
    seconds: float
    share: float
    tasks: tuple[TaskId, ...]


class Score(Struct, frozen=True):
    """The answer of `score`. Times in seconds, exact to the millisecond. `workers` counts those at work at
    the busiest moment, `hands` are all there were. `useful_seconds` is the sequence. `phases` add up to the
    tasks' time in the window, `shares` to the wall time; the first of them is the bottleneck. `skew_seconds`
    is how far clocks disagreed, at least. `stays` are the tasks' times in phases, task by task."""

    plan: str
    started_at: datetime | None
    ended_at: datetime | None
    finished: bool
    states: tuple[tuple[State, int], ...]
    worth: Worth
    wall_seconds: float
    agent_seconds: float
    spawn_seconds: float
    useful_seconds: float
    workers: int
    claims: int
    parallelism: float | None
    speedup: float | None
    bound: Bound
    phases: tuple[PhaseTime, ...]
    setbacks: tuple[Setback, ...]
    hands: tuple[WorkerTime, ...]
    shares: tuple[Share, ...]
    links: tuple[Link, ...]
    usage: Usage
    skew_seconds: float
    stays: tuple[Stay, ...] = ()

    @property
    def tasks(self) -> int:
        """How many tasks there are."""
        return sum(number for _, number in self.states)

    @property
    def integrated(self) -> int:
        """How many of them main has."""
        return dict(self.states).get(State.INTEGRATED, 0)

    @property
    def bottleneck(self) -> Share | None:
        """What took most of the wall time."""
        return self.shares[0] if self.shares else None

    @property
    def lost_seconds(self) -> float:
        """Agent time that one worker alone would not have needed."""
        return self.agent_seconds - self.useful_seconds

    def seconds(self, *phases: Phase) -> float:
        """How long tasks were in these phases, added up."""
        return sum(found.seconds for found in self.phases if found.phase in phases)


def score(records: Records) -> Score:
    """The score of a plan. A pure function of what the logs say."""
    lives = _lives(records)
    finished = records.over or all(life.state.ended for life in lives.values())
    window = _window(lives.values(), milliseconds(records.now), finished=finished)
    needs = {task.id: [need for need in task.needs_ids if need in lives] for task in records.tasks}
    partners = _partners(records.pairs, lives)
    found = _stays(records, lives, needs, partners, window)
    attempts = [attempt for life in lives.values() for attempt in life.attempts]
    useful = sum(a.end - a.ready for life in lives.values() for a in life.useful)
    agent = sum(a.end - a.start for a in attempts)
    wall = window[1] - window[0]
    links = chain(lives, found, needs, partners, window)
    workers = most_at_once((a.start, a.end) for a in attempts)
    speedup = useful / wall if wall and useful else None
    return Score(
        plan=records.plan,
        started_at=moment(window[0]) if attempts else None,
        ended_at=moment(window[1]) if attempts else None,
        finished=finished,
        states=tuple(sorted(Counter(life.state for life in lives.values()).items(), key=_state_order)),
        worth=_worth(speedup, began=bool(attempts), finished=finished),
        wall_seconds=wall / 1000,
        agent_seconds=agent / 1000,
        spawn_seconds=sum(a.ready - a.start for a in attempts) / 1000,
        useful_seconds=useful / 1000,
        workers=workers,
        claims=len(attempts),
        parallelism=agent / wall if wall else None,
        speedup=speedup,
        bound=bound(lives, found, needs, partners, useful=useful, workers=workers),
        phases=_phases(found.values()),
        setbacks=_setbacks(lives.values()),
        hands=_hands(attempts),
        shares=_shares(links, wall),
        links=tuple(links),
        usage=reduce(Usage.__add__, (life.usage for life in lives.values()), Usage()),
        skew_seconds=max((life.skew for life in lives.values()), default=0) / 1000,
        stays=tuple(chain_of.from_iterable(found.values())),
    )


def _lives(records: Records) -> dict[TaskId, Life]:
    """Every task's life; those of tasks that are in the plan no more, but have a log, come last."""
    now = milliseconds(records.now)
    order = dict.fromkeys((*(task.id for task in records.tasks), *records.steps))
    spawn = round(records.spawn_seconds * 1000)
    return {
        task: read(
            task,
            records.steps.get(task, ()),
            since=milliseconds(records.since[task]) if task in records.since else 0,
            now=now,
            spawn=spawn,
        )
        for task in order
    }


def _window(lives: Iterable[Life], now: int, *, finished: bool) -> Span:
    attempts = [attempt for life in lives for attempt in life.attempts]
    if not attempts:
        return now, now
    start = min(attempt.start for attempt in attempts)
    ends = [*(attempt.end for attempt in attempts), *(at for life in lives for at in life.landings)]
    return start, max(ends) if finished else now


def _partners(
    pairs: Iterable[tuple[TaskId, TaskId]], lives: Mapping[TaskId, Life]
) -> dict[TaskId, list[TaskId]]:
    found: dict[TaskId, list[TaskId]] = {task: [] for task in lives}
    for a, b in pairs:
        if a in found and b in found:
            found[a].append(b)
            found[b].append(a)
    return found


def _stays(
    records: Records,
    lives: Mapping[TaskId, Life],
    needs: Mapping[TaskId, Sequence[TaskId]],
    partners: Mapping[TaskId, Sequence[TaskId]],
    window: Span,
) -> dict[TaskId, list[Stay]]:
    held = {task.id for task in records.tasks if task.hold}
    closed, led = union(records.closed), union(records.led)
    return {
        task: stays(
            life,
            Around(
                needs=[lives[need] for need in needs.get(task, ())],
                partners=[lives[partner] for partner in partners[task]],
                hold=task in held,
                closed=closed,
                led=led,
                verdicts=records.verdicts > 0,
            ),
            window,
        )
        for task, life in lives.items()
    }


def _state_order(entry: tuple[State, int]) -> int:
    return list(State).index(entry[0])


def _worth(speedup: float | None, *, began: bool, finished: bool) -> Worth:
    """Worth it from 5 % on, as plan check reckons."""
    if not began or not finished:
        return Worth.EARLY
    return Worth.YES if (speedup or 0.0) >= GROWTH else Worth.NO


def _phases(found: Iterable[Sequence[Stay]]) -> tuple[PhaseTime, ...]:
    total: Counter[Phase] = Counter()
    tasks: Counter[Phase] = Counter()
    for each in found:
        tasks.update({stay.phase for stay in each})
        for stay in each:
            total[stay.phase] += stay.length
    return tuple(PhaseTime(phase, total[phase] / 1000, tasks[phase]) for phase in Phase if total[phase])


def _setbacks(lives: Iterable[Life]) -> tuple[Setback, ...]:
    """Reason by reason, the most expensive first."""
    times = Counter(reason for life in lives for reason in life.setbacks)
    again: dict[str, list[Attempt]] = {reason: [] for reason in times}
    for life in lives:
        for attempt in life.attempts:
            if attempt.because:
                again[attempt.because].append(attempt)
    found = (
        Setback(
            reason,
            times[reason],
            len(claims),
            sum(a.end - a.start for a in claims) / 1000,
            reduce(Usage.__add__, (a.usage for a in claims), Usage()),
        )
        for reason, claims in again.items()
    )
    return tuple(sorted(found, key=lambda setback: (-setback.seconds, -setback.times, setback.reason)))


def _hands(attempts: Iterable[Attempt]) -> tuple[WorkerTime, ...]:
    """Every worker, the busiest first."""
    time: Counter[str] = Counter()
    claims: Counter[str] = Counter()
    for attempt in attempts:
        time[attempt.worker] += attempt.end - attempt.start
        claims[attempt.worker] += 1
    return tuple(
        WorkerTime(worker, claims[worker], total / 1000)
        for worker, total in sorted(time.items(), key=lambda entry: (-entry[1], entry[0]))
    )


def _shares(links: Iterable[Link], wall: int) -> tuple[Share, ...]:
    """The wall time by cause, the largest first."""
    total: Counter[Cause] = Counter()
    tasks: dict[Cause, dict[TaskId, None]] = {}
    for link in links:
        total[link.cause] += link.end - link.start
        named = tasks.setdefault(link.cause, {})
        if link.task is not None:
            named[link.task] = None
    return tuple(
        Share(cause, time / 1000, time / wall, tuple(tasks[cause])) for cause, time in total.most_common()
    )
