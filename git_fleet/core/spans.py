"""Stretches of time as sorted pairs of milliseconds, and what is left where they meet.

A span is (start, end) with start < end; a list of spans is sorted and disjoint unless said otherwise.
Integers keep sums exact, and events are stored to the millisecond (store/log.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

Span = tuple[int, int]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def milliseconds(moment: datetime) -> int:
    """A moment as whole milliseconds since 1970."""
    return (moment - _EPOCH) // _MILLISECOND


def moment(at: int) -> datetime:
    """The inverse of `milliseconds`, in UTC."""
    return _EPOCH + at * _MILLISECOND


def union(spans: Iterable[Span]) -> list[Span]:
    """What any of `spans` (in any order, maybe overlapping or empty) covers."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def common(ones: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """What both cover."""
    found: list[Span] = []
    here = there = 0
    while here < len(ones) and there < len(others):
        start, end = max(ones[here][0], others[there][0]), min(ones[here][1], others[there][1])
        if start < end:
            found.append((start, end))
        if ones[here][1] < others[there][1]:
            here += 1
        else:
            there += 1
    return found


def without(ones: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """What `ones` cover and `others` do not."""
    found: list[Span] = []
    there = 0
    for start, end in ones:
        while there < len(others) and others[there][1] <= start:
            there += 1
        at = there
        while start < end and at < len(others) and others[at][0] < end:
            if start < others[at][0]:
                found.append((start, others[at][0]))
            start = others[at][1]  # noqa: PLW2901 - what is left of this one
            at += 1
        if start < end:
            found.append((start, end))
    return found


def length(spans: Iterable[Span]) -> int:
    """Their milliseconds in all."""
    return sum(end - start for start, end in spans)


def most_at_once(spans: Iterable[Span]) -> int:
    """How many of `spans` (in any order, overlapping) there are at the busiest moment."""
    turns = sorted((at, step) for span in spans for at, step in ((span[0], 1), (span[1], -1)))
    now = most = 0
    for _, step in turns:
        now += step
        most = max(most, now)
    return most
