"""Is a plan fan-out-shaped? The arithmetic of DESIGN section 5.

With N tasks of t minutes, W workers, s minutes to start a worker and r minutes to review a task
(reviews come one after another), and a critical path of c minutes:

    T_seq = Σt        T_par(W) = max(c, Σ(t + s)/W, Σr)        speed-up = T_seq / T_par(W)

Parallel pays only if (N − 1) × t > the spawn cost Σs.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from git_fleet.core.wording import count

GROWTH = 1.05
"""Workers are useful as long as more of them make it at least 5 % faster."""


class Shape(StrEnum):
    """The answer: run it side by side, or one after another."""

    PARALLEL = "parallel"
    SERIAL = "serial"


class Inputs(Struct, frozen=True):
    """What the verdict is computed from. All times in minutes; `minutes` is Σt, `spawn_minutes`
    and `review_minutes` are for one task."""

    tasks: int
    minutes: float
    critical_path_minutes: float
    spawn_minutes: float
    review_minutes: float

    @property
    def sequential(self) -> float:
        """T_seq."""
        return self.minutes

    def parallel(self, workers: int) -> float:
        """T_par for `workers` ≥ 1; more workers than tasks are no help."""
        shared = (self.minutes + self.tasks * self.spawn_minutes) / min(workers, max(self.tasks, 1))
        return max(self.critical_path_minutes, shared, self.tasks * self.review_minutes)

    def speedup(self, workers: int) -> float:
        """T_seq / T_par; 1 where there is nothing to do."""
        return self.sequential / self.parallel(workers) if self.minutes else 1.0


class FanOut(Struct, frozen=True):
    """The verdict for `workers`, with what limits it; `useful_workers` is the smallest number
    beyond which no larger one is 5 % faster. Times in minutes."""

    verdict: Shape
    workers: int
    useful_workers: int
    speedup: float
    sequential_minutes: float
    parallel_minutes: float
    inputs: Inputs
    reason: str


def fan_out(
    minutes: Sequence[float],
    critical_path_minutes: float,
    *,
    spawn_minutes: float,
    review_minutes: float,
    workers: int | None = None,
) -> FanOut:
    """Whether tasks of these minutes are worth running side by side, by `workers` workers or, when
    None, by as many as are useful."""
    inputs = Inputs(len(minutes), sum(minutes), critical_path_minutes, spawn_minutes, review_minutes)
    useful = useful_workers(inputs)
    chosen = max(1, useful if workers is None else workers)
    against = _why_serial(inputs, chosen)
    speedup = inputs.speedup(chosen)
    limit = _limit(inputs, chosen)
    reason = against or f"{count(chosen, 'worker')} make it {speedup:.1f} times as fast; the limit is {limit}"
    return FanOut(
        verdict=Shape.SERIAL if against else Shape.PARALLEL,
        workers=chosen,
        useful_workers=useful,
        speedup=round(speedup, 2),
        sequential_minutes=round(inputs.sequential, 2),
        parallel_minutes=round(inputs.parallel(chosen), 2),
        inputs=inputs,
        reason=reason,
    )


def useful_workers(inputs: Inputs) -> int:
    """The smallest W such that no larger number of workers makes it 5 % faster; at least 1."""
    best = inputs.speedup(max(inputs.tasks, 1))
    enough = (w for w in range(1, inputs.tasks + 1) if best < GROWTH * inputs.speedup(w))
    return next(enough, 1)


def _why_serial(inputs: Inputs, workers: int) -> str:
    """Why running it side by side does not pay, or ""."""
    spawn = inputs.tasks * inputs.spawn_minutes
    saved = inputs.minutes * (inputs.tasks - 1) / max(inputs.tasks, 1)
    if inputs.tasks < 2:
        return "run it serially: there is nothing to run side by side"
    if workers < 2:
        return "run it serially: one worker runs the tasks one after another"
    if saved <= spawn:
        return (
            f"run it serially: starting workers costs {_minutes(spawn)}, "
            f"running side by side saves at most {_minutes(saved)}"
        )
    if inputs.speedup(workers) < GROWTH:
        return (
            f"run it serially: one after another takes {_minutes(inputs.sequential)}, side by side "
            f"{_minutes(inputs.parallel(workers))}, because of {_limit(inputs, workers)}"
        )
    return ""


def _limit(inputs: Inputs, workers: int) -> str:
    """Which of the three terms of T_par is the largest, in words."""
    reviews = inputs.tasks * inputs.review_minutes
    total = inputs.parallel(workers)
    if total == inputs.critical_path_minutes:
        return f"the critical path ({_minutes(total)})"
    if total == reviews:
        return f"reviewing one task after another ({_minutes(reviews)})"
    return f"the number of workers ({_minutes(total)})"


def _minutes(value: float) -> str:
    return f"{value:.0f} min" if value >= 10 else f"{value:.1f} min"
