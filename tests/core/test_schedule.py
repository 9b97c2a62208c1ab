"""The fan-out arithmetic, figure by figure and as properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core.schedule import GROWTH, FanOut, Inputs, Shape, fan_out, useful_workers


def even(
    count: int, minutes: float, *, path: float | None = None, spawn: float = 0.5, review: float = 0.0,
    workers: int | None = None,
) -> FanOut:  # fmt: skip
    return fan_out(
        [minutes] * count,
        minutes if path is None else path,
        spawn_minutes=spawn,
        review_minutes=review,
        workers=workers,
    )


def test_the_figures_follow_the_formula() -> None:
    answer = even(8, 10, path=20, spawn=1, review=2, workers=2)
    assert (answer.sequential_minutes, answer.parallel_minutes, answer.speedup) == (80, 44, 1.82)
    assert answer.verdict is Shape.PARALLEL
    assert answer.reason == "2 workers make it 1.8 times as fast; the limit is the number of workers (44 min)"
    assert answer.inputs == Inputs(8, 80, 20, 1, 2)


def test_workers_beyond_the_critical_path_are_not_useful() -> None:
    answer = even(8, 10, path=30, spawn=0.0)
    assert answer.useful_workers == answer.workers == 3
    assert "the critical path (30 min)" in answer.reason


def test_review_limits_the_speedup() -> None:
    answer = even(10, 10, review=6)
    assert (answer.workers, answer.parallel_minutes, answer.speedup) == (2, 60, 1.67)
    assert "reviewing one task after another (60 min)" in answer.reason


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (even(0, 10), "nothing to run side by side"),
        (even(1, 10), "nothing to run side by side"),
        (even(5, 1, spawn=1), "starting workers costs 5.0 min, running side by side saves at most 4.0 min"),
        (even(4, 10, path=40), "because of the critical path (40 min)"),
        (even(4, 10, review=10), "because of reviewing"),
        (even(8, 10, workers=1), "one worker"),
    ],
)
def test_it_says_plainly_when_to_run_it_serially(answer: FanOut, words: str) -> None:
    assert answer.verdict is Shape.SERIAL
    assert answer.reason.startswith("run it serially: ")
    assert words in answer.reason


def test_more_workers_than_tasks_count_as_many_as_tasks() -> None:
    assert even(3, 10, workers=50).parallel_minutes == even(3, 10, workers=3).parallel_minutes


@given(
    st.lists(st.floats(0.5, 100), min_size=1, max_size=30),
    st.floats(0, 1),
    st.floats(0, 10),
    st.floats(0, 10),
)
def test_useful_workers_are_the_fewest_that_come_within_five_percent(
    minutes: list[float], part: float, spawn: float, review: float
) -> None:
    path = max(minutes) + part * (sum(minutes) - max(minutes))
    inputs = Inputs(len(minutes), sum(minutes), path, spawn, review)
    useful = useful_workers(inputs)
    speedups = [inputs.speedup(workers) for workers in range(1, len(minutes) + 1)]
    assert speedups == sorted(speedups)
    assert all(speedup < GROWTH * speedups[useful - 1] for speedup in speedups)
    assert useful == 1 or speedups[-1] >= GROWTH * speedups[useful - 2]
