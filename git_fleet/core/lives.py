"""What became of each task, as stretches of time: from the events of its log alone.

A task's life within the window of a score is cut, without gap or overlap, into stays of one phase each:
worked on, waiting for the tasks it needs, waiting for its turn, for a worker, for review … Times are whole
milliseconds. Events of several machines meet in one log, so a clock may seem to run backwards there: such an
event is taken to be at the moment of the one before it, and how far it was off is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property, reduce
from typing import NamedTuple

from msgspec import Struct

from git_fleet.core.ids import TaskId
from git_fleet.core.lifecycle import ATTEMPTS, Event
from git_fleet.core.model import State, Usage
from git_fleet.core.spans import Span, common, milliseconds, union, without


class Phase(StrEnum):
    """What a task was doing, or waiting for."""

    STARTING = "starting"  # a worker had claimed it and was getting ready
    WORK = "work"  # the first claim
    REWORK = "rework"  # every further claim
    LOST = "lost"  # its worker's lease had run out, and nobody had taken it over
    NEEDS = "needs"  # a task it needs was not integrated
    TURNS = "turns"  # a task that owns the same files was active
    HOLD = "hold"  # held, or blocked, or parked: until a person says something
    PAUSED = "paused"  # the plan took no claims
    WORKER = "worker"  # ready, and nobody claimed it
    REVIEW = "review"  # handed in, and nobody was looking at it
    INTEGRATION = "integration"  # handed in, and a lead was at work: replay, gates, moving main

    @property
    def worked(self) -> bool:
        """Whether an agent was busy with it."""
        return self in (Phase.STARTING, Phase.WORK, Phase.REWORK)


class Step(NamedTuple):
    """An event, and the state it led to."""

    event: Event
    state: State


class Attempt(Struct, frozen=True):
    """One claim. `end` is when the work ended: handed in, given up, or the lease run out. `ready` is when
    the worker had started, as far as can be known. `because` says what made a further claim necessary, ""
    for the first; `era` counts reopenings before it."""

    task: TaskId
    worker: str
    start: int
    ready: int
    end: int
    handed_in: bool
    because: str
    era: int
    usage: Usage


class Stay(NamedTuple):
    """A task's time in one phase. `attempt` is its latest claim until then."""

    task: TaskId
    phase: Phase
    start: int
    end: int
    attempt: Attempt | None

    @property
    def length(self) -> int:
        """In milliseconds."""
        return self.end - self.start


class Leg(NamedTuple):
    """The time between two events of a log: the state then, and the latest claim until then."""

    state: State
    start: int
    end: int
    attempt: Attempt | None


class Life(Struct, frozen=True, dict=True):
    """One task's log, read. `setbacks` says, one word each, what sent it back; `lifted` when a person lifted
    a hold; `skew` how far, at most, an event lay before the one it follows, or after now."""

    task: TaskId
    legs: tuple[Leg, ...]
    attempts: tuple[Attempt, ...]
    setbacks: tuple[str, ...]
    lifted: tuple[Span, ...]
    usage: Usage
    era: int
    skew: int

    @property
    def state(self) -> State:
        """The state after the last event."""
        return self.legs[-1].state

    @cached_property
    def active(self) -> list[Span]:
        """When it kept its files to itself."""
        return union((leg.start, leg.end) for leg in self.legs if leg.state.active)

    @cached_property
    def integrated(self) -> list[Span]:
        """When main had it."""
        return union((leg.start, leg.end) for leg in self.legs if leg.state is State.INTEGRATED)

    @property
    def landings(self) -> list[int]:
        """The moments at which it was integrated."""
        return [leg.start for leg in self.legs if leg.state is State.INTEGRATED]

    @property
    def useful(self) -> list[Attempt]:
        """The claims that one worker alone would have needed, too. None unless the task is integrated; then
        those that handed something in, but for work that only working side by side made necessary (after a
        conflict, or a need that was taken back) and work of before it was reopened."""
        if self.state is not State.INTEGRATED:
            return []
        return [a for a in self.attempts if a.handed_in and a.era == self.era and a.because not in _OTHERS]


_OTHERS = frozenset({"conflict", "needs"})
_HOLDERS = frozenset({"done", "release", "block"})
"""Events that show that the holder was still there, even if the lease had run out."""

_SENT_BACK: Mapping[str, Callable[[Event], str]] = {
    "eject": lambda event: str(event.fields.get("reason") or "gate"),
    "refute": lambda event: str(event.fields.get("reason") or "verdict"),
    "reject": lambda _: "person",
    "withdraw": lambda _: "withdrawn",
    "release": lambda _: "released",
    "unblock": lambda _: "blocked",
    "shelve": lambda _: "shelved",
    "reopen": lambda _: "reopened",
}
"""Why a task had to be claimed again, by the event that sent it back."""

EXPIRED = "expired"


def read(task: TaskId, steps: Sequence[Step], *, since: int, now: int, spawn: int) -> Life:
    """The life that a log tells, from `since` (when the plan first had the task) until `now`.

    A log does not say when a worker had started. `spawn` is how long it takes; one that reported sooner was
    sooner ready, and no more than half of a claim counts as starting.
    """
    times = [*_forward(steps, now), now]
    attempts: list[Attempt] = []
    legs = [Leg(State.PENDING, min(since, times[0]), times[0], None)]
    setbacks: list[str] = []
    lifted: list[Span] = []
    before, era, because = State.PENDING, 0, ""
    for number, (event, state) in enumerate(steps):
        if event.name in _SENT_BACK:
            because = _SENT_BACK[event.name](event)
            setbacks.append(because)
            era += event.name == "reopen"
        elif event.name == "claim":
            if before is State.CLAIMED:
                because = EXPIRED
                setbacks.append(because)
            again = because if attempts else ""
            attempts.append(_attempt(task, steps, times, number, spawn, again, era))
        elif event.name == "accept" and before is State.PENDING:
            lifted.append((times[number], now))
        legs.append(Leg(state, times[number], times[number + 1], attempts[-1] if attempts else None))
        before = state
    usage = _used(event for event, _ in steps)
    return Life(
        task, tuple(legs), tuple(attempts), tuple(setbacks), tuple(lifted), usage, era, _skew(steps, now)
    )


def _forward(steps: Sequence[Step], now: int) -> Iterator[int]:
    """The moments of the events, none before the one it follows nor after now."""
    latest = 0
    for step in steps:
        latest = min(max(latest, milliseconds(step.event.at)), now)
        yield latest


def _skew(steps: Sequence[Step], now: int) -> int:
    latest = most = 0
    for step in steps:
        at = milliseconds(step.event.at)
        most = max(most, latest - at, at - now)
        latest = max(latest, at)
    return most


def _attempt(
    task: TaskId, steps: Sequence[Step], times: Sequence[int], number: int, spawn: int, because: str, era: int
) -> Attempt:
    """The claim that event `number` is, up to the event that ends it."""
    event, start = steps[number].event, times[number]
    last = number + 1
    while last < len(steps) and steps[last].event.name != "claim" and steps[last].state is State.CLAIMED:
        last += 1
    ending = steps[last].event if last < len(steps) else None
    end = times[last]
    if ending is None or ending.name not in _HOLDERS or ending.fields.get("code") == ATTEMPTS:
        end = max(start, min(end, _expiry(steps[number:last])))
    signs = (times[n] for n in range(number + 1, last) if steps[n].event.name in ("progress", "renew"))
    done = ending is not None and ending.name == "done"
    during = [step.event for step in steps[number : last + done]]
    return Attempt(
        task=task,
        worker=event.fields["claim"].holder,
        start=start,
        ready=min(start + spawn, next(signs, end), (start + end) // 2),
        end=end,
        handed_in=done,
        because=because,
        era=era,
        usage=_used(during),
    )


def _used(events: Iterable[Event]) -> Usage:
    return reduce(Usage.__add__, (event.fields.get("usage", Usage()) for event in events), Usage())


def _expiry(during: Iterable[Step]) -> int:
    """When the lease ran out, or will: as the claim says, and each renewal of it."""
    claim, *later = (step.event.fields for step in during)
    until = claim["claim"].expires_at
    for fields in later:
        until = fields.get("expires_at", until)
    return milliseconds(until)


# --- stays ---------------------------------------------------------------------------------------


class Around(Struct, frozen=True):
    """What a task may have to wait for. `needs` and `partners` (tasks that it takes turns with) are lives;
    the spans say when the plan took no claims and when a lead was at work. `verdicts`: a proposal is not
    looked at by the lead before verifiers have upheld it."""

    needs: Sequence[Life] = ()
    partners: Sequence[Life] = ()
    hold: bool = False
    closed: Sequence[Span] = ()
    led: Sequence[Span] = ()
    verdicts: bool = False


def stays(life: Life, around: Around, window: Span) -> list[Stay]:
    """The task's time within the window, in order, without gap or overlap. None after its end."""
    waiting = _Waiting(life, around, window)
    found: list[Stay] = []
    for leg in life.legs:
        for start, end in common([(leg.start, leg.end)], [window]):
            parts = waiting.split(leg._replace(start=start, end=end))
            found += (Stay(life.task, phase, *span, leg.attempt) for phase, span in parts)
    return sorted(found, key=lambda stay: stay.start)


class _Waiting:
    """Tells the phases of each leg of one life."""

    def __init__(self, life: Life, around: Around, window: Span) -> None:
        self._around = around
        held = without([window], union(life.lifted)) if around.hold else []
        self._obstacles = (
            (Phase.NEEDS, union(s for need in around.needs for s in without([window], need.integrated))),
            (Phase.TURNS, union(s for partner in around.partners for s in partner.active)),
            (Phase.HOLD, held),
            (Phase.PAUSED, list(around.closed)),
        )

    def split(self, leg: Leg) -> Iterator[tuple[Phase, Span]]:
        """The leg, phase by phase; nothing for a task that has ended."""
        match leg.state:
            case State.PENDING | State.REWORK:
                yield from self._claimable(leg)
            case State.CLAIMED if leg.attempt is not None:
                yield from _worked(leg, leg.attempt)
            case State.BLOCKED | State.PARKED:
                yield Phase.HOLD, (leg.start, leg.end)
            case State.PROPOSED | State.VERIFIED:
                yield from self._handed_in(leg)

    def _claimable(self, leg: Leg) -> Iterator[tuple[Phase, Span]]:
        rest = [(leg.start, leg.end)]
        for phase, spans in self._obstacles:
            yield from ((phase, span) for span in common(rest, spans))
            rest = without(rest, spans)
        yield from ((Phase.WORKER, span) for span in rest)

    def _handed_in(self, leg: Leg) -> Iterator[tuple[Phase, Span]]:
        whole = [(leg.start, leg.end)]
        waits = self._around.verdicts and leg.state is State.PROPOSED
        led = [] if waits else self._around.led
        yield from ((Phase.INTEGRATION, span) for span in common(whole, led))
        yield from ((Phase.REVIEW, span) for span in without(whole, led))


def _worked(leg: Leg, attempt: Attempt) -> Iterator[tuple[Phase, Span]]:
    kind = Phase.REWORK if attempt.because else Phase.WORK
    parts = (
        (Phase.STARTING, attempt.start, attempt.ready),
        (kind, attempt.ready, attempt.end),
        (Phase.LOST, attempt.end, leg.end),
    )
    for phase, start, end in parts:
        yield from ((phase, span) for span in common([(leg.start, leg.end)], union([(start, end)])))
