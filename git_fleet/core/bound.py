"""How fast a fleet could have been at most: Amdahl's bound, from what could not be parallel.

No number of workers is faster than the longest chain of work that followed each other because one task
needed the other or owned its files (with the integration in between), nor than the time in which the lead
was at work, since main takes one task after another. The larger of the two is serial. With the serial
fraction f = serial / sequence, Amdahl's bound is 1/f, and min(W, 1/f) for W workers.

Amdahl's formula for W workers, 1 / (f + (1 − f)/W), supposes that nothing runs beside the serial part. Here
other tasks do, and real fleets beat it; so it is no bound, and given beside the bound as `amdahl`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from git_fleet.core.ids import TaskId
from git_fleet.core.lives import Attempt, Life, Phase, Stay
from git_fleet.core.spans import length, union


class Bound(Struct, frozen=True):
    """What no fleet could have beaten. `chain_seconds` is the longest chain of work, `lead_seconds` the time
    the lead was at work; `fraction` the larger of them as a part of the sequence (above 1 where integrating took longer than
    working). The speed-ups are None where nothing has been integrated."""

    chain_seconds: float
    lead_seconds: float
    fraction: float | None
    with_workers: float | None
    unlimited: float | None
    amdahl: float | None


def bound(
    lives: Mapping[TaskId, Life],
    found: Mapping[TaskId, Sequence[Stay]],
    needs: Mapping[TaskId, Sequence[TaskId]],
    partners: Mapping[TaskId, Sequence[TaskId]],
    *,
    useful: int,
    workers: int,
) -> Bound:
    """The bound, for `useful` milliseconds of sequence and so many workers at the busiest moment."""
    integration = [stay for each in found.values() for stay in each if stay.phase is Phase.INTEGRATION]
    lead = length(union((stay.start, stay.end) for stay in integration))
    longest = _longest_chain(lives, integration, needs, partners)
    if not useful:
        return Bound(longest / 1000, lead / 1000, None, None, None, None)
    serial = max(longest, lead)
    fraction = serial / useful
    formula = 1 / (fraction + (1 - fraction) / workers)
    return Bound(longest / 1000, lead / 1000, fraction, min(workers, 1 / fraction), 1 / fraction, formula)


def _longest_chain(
    lives: Mapping[TaskId, Life],
    integration: Iterable[Stay],
    needs: Mapping[TaskId, Sequence[TaskId]],
    partners: Mapping[TaskId, Sequence[TaskId]],
) -> int:
    """The longest chain of useful claims, each with its integration, in which every one began after the one
    before was done and is of the same task, of one that needs it, or of one that owns the same files.

    Links lie apart in time, so it is never longer than the wall time, whatever the clocks say.
    """
    after: dict[Attempt, list[Stay]] = {}
    for stay in integration:
        if stay.attempt is not None:
            after.setdefault(stay.attempt, []).append(stay)
    best: dict[TaskId, list[tuple[int, int]]] = {}
    longest = 0
    for attempt in sorted((a for life in lives.values() for a in life.useful), key=lambda a: a.start):
        gated = after.get(attempt, ())
        end = max([attempt.end, *(stay.end for stay in gated)])
        own = attempt.end - attempt.ready + sum(stay.length for stay in gated)
        linked = (attempt.task, *needs.get(attempt.task, ()), *partners[attempt.task])
        before = (total for task in linked for done, total in best.get(task, ()) if done <= attempt.start)
        total = own + max(before, default=0)
        best.setdefault(attempt.task, []).append((end, total))
        longest = max(longest, total)
    return longest
