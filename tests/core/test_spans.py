from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core.spans import Span, common, length, milliseconds, moment, most_at_once, union, without
from tests.support.clock import START

LOOSE = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=8)
"""Spans in any order, overlapping, some of them empty or the wrong way round."""


def ticks(spans: list[Span]) -> set[int]:
    return {tick for start, end in spans for tick in range(start, end)}


def assert_tidy(spans: list[Span]) -> None:
    assert spans == sorted(spans)
    assert all(start < end for start, end in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


@given(LOOSE)
def test_a_union_covers_what_its_parts_cover(spans: list[Span]) -> None:
    found = union(spans)
    assert_tidy(found)
    assert ticks(found) == ticks(spans)
    assert length(found) == len(ticks(spans))


@given(LOOSE, LOOSE)
def test_what_is_common_and_what_is_left_are_told_apart(ones: list[Span], others: list[Span]) -> None:
    one, other = union(ones), union(others)
    both, rest = common(one, other), without(one, other)
    assert_tidy(both)
    assert_tidy(rest)
    assert ticks(both) == ticks(one) & ticks(other)
    assert ticks(rest) == ticks(one) - ticks(other)


@given(LOOSE)
def test_the_busiest_moment_is_counted(spans: list[Span]) -> None:
    real = [span for span in spans if span[0] < span[1]]
    busiest = max((sum(start <= tick < end for start, end in real) for tick in range(20)), default=0)
    assert most_at_once(real) == busiest


def test_milliseconds_are_exact_both_ways() -> None:
    for number in (0, 1, 999, 1_001):
        at = START + timedelta(milliseconds=number)
        assert moment(milliseconds(at)) == at
        assert milliseconds(at) - milliseconds(START) == number
