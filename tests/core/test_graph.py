"""Waves, critical path and dependents against slow, obvious versions of themselves."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core import graph
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Task
from git_fleet.errors import InvalidInput


def task(name: str, *needs: str, minutes: float = 10.0) -> Task:
    return Task(TaskId("p", name), name, name, files=(), needs=needs, estimate_minutes=minutes)


def ids(*names: str) -> list[TaskId]:
    return [TaskId("p", name) for name in names]


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[Task], list[tuple[TaskId, TaskId]]]:
    """Tasks in any plan order whose needs have no cycle, and pairs that may not run together."""
    count = draw(st.integers(0, 9))
    names = [f"t{number}" for number in range(count)]
    tasks = []
    for number, name in enumerate(names):
        needs = draw(st.lists(st.sampled_from(names[:number]), unique=True)) if number else []
        tasks.append(task(name, *needs, minutes=draw(st.integers(1, 9))))
    everyone = st.sampled_from(ids(*names) or ids("nobody"))
    return draw(st.permutations(tasks)), draw(st.lists(st.tuples(everyone, everyone), max_size=12))


def test_tasks_without_needs_share_the_first_wave() -> None:
    assert graph.waves([task("a"), task("b")]) == [ids("a", "b")]


def test_a_task_comes_one_wave_after_its_latest_need() -> None:
    tasks = [task("d", "a", "c"), task("a"), task("b", "a"), task("c", "b")]
    assert graph.waves(tasks) == [ids("a"), ids("b"), ids("c"), ids("d")]


def test_overlapping_tasks_take_turns_in_plan_order() -> None:
    pairs = [(TaskId("p", "b"), TaskId("p", "a")), (TaskId("p", "b"), TaskId("p", "c"))]
    assert graph.waves([task("a"), task("b"), task("c")], pairs) == [ids("a"), ids("b"), ids("c")]


def test_a_task_that_can_start_goes_before_an_overlapping_one_that_has_to_wait() -> None:
    tasks = [task("late", "first"), task("early"), task("first")]
    pairs = [(TaskId("p", "late"), TaskId("p", "early"))]
    assert graph.waves(tasks, pairs) == [ids("early", "first"), ids("late")]


def test_pairs_of_unknown_tasks_and_of_a_task_with_itself_change_nothing() -> None:
    mine = TaskId("p", "a")
    assert graph.waves([task("a")], [(mine, mine), (mine, TaskId("other", "x"))]) == [ids("a")]


@given(plans())
def test_waves_respect_needs_and_pairs_and_hold_every_task_once(
    plan: tuple[list[Task], list[tuple[TaskId, TaskId]]],
) -> None:
    tasks, pairs = plan
    waves = graph.waves(tasks, pairs)
    wave = {task_id: number for number, members in enumerate(waves) for task_id in members}
    assert sorted(task_id for members in waves for task_id in members) == sorted(t.id for t in tasks)
    assert all(wave[need] < wave[t.id] for t in tasks for need in t.needs_ids)
    assert all(wave[a] != wave[b] for a, b in pairs if a != b)


@given(plans())
def test_waves_without_pairs_are_the_depths_of_the_needs(
    plan: tuple[list[Task], list[tuple[TaskId, TaskId]]],
) -> None:
    tasks, _ = plan
    by_id = {t.id: t for t in tasks}

    def depth(task_id: TaskId) -> int:
        return 1 + max(map(depth, by_id[task_id].needs_ids), default=-1)

    depths = sorted({depth(t.id) for t in tasks})
    assert graph.waves(tasks) == [[t.id for t in tasks if depth(t.id) == number] for number in depths]


@given(plans())
def test_no_task_waits_longer_than_something_before_it_explains(
    plan: tuple[list[Task], list[tuple[TaskId, TaskId]]],
) -> None:
    tasks, pairs = plan
    waves = graph.waves(tasks, pairs)
    partners = {frozenset(pair) for pair in pairs}
    needs = {t.id: set(t.needs_ids) for t in tasks}
    for earlier, later in pairwise(waves):
        for task_id in later:
            assert any(
                other in needs[task_id] or frozenset((other, task_id)) in partners for other in earlier
            )


@given(plans())
def test_the_critical_path_is_the_longest_chain(
    plan: tuple[list[Task], list[tuple[TaskId, TaskId]]],
) -> None:
    tasks, _ = plan
    by_id = {t.id: t for t in tasks}

    def longest(task_id: TaskId) -> float:
        own = by_id[task_id]
        return own.estimate_minutes + max(map(longest, own.needs_ids), default=0)

    path = graph.critical_path(tasks)
    assert sum(by_id[task_id].estimate_minutes for task_id in path) == max(map(longest, by_id), default=0)
    assert all(first in by_id[second].needs_ids for first, second in pairwise(path))


def test_overlapping_tasks_lengthen_the_critical_path() -> None:
    tasks = [task("a", minutes=3), task("b", minutes=4), task("c", minutes=5)]
    assert graph.critical_path(tasks) == ids("c")
    assert graph.critical_path(tasks, [(TaskId("p", "a"), TaskId("p", "b"))]) == ids("a", "b")


@given(plans())
def test_dependents_are_counted_through_others_and_once(
    plan: tuple[list[Task], list[tuple[TaskId, TaskId]]],
) -> None:
    tasks, _ = plan
    by_id = {t.id: t for t in tasks}

    def below(task_id: TaskId) -> set[TaskId]:
        needs = set(by_id[task_id].needs_ids)
        return needs.union(*map(below, needs))

    expected = {t.id: sum(t.id in below(other.id) for other in tasks) for t in tasks}
    assert graph.dependents_count(tasks) == expected


@given(plans())
def test_a_pair_is_ordered_when_one_reaches_the_other_by_needs(
    made: tuple[list[Task], list[tuple[TaskId, TaskId]]],
) -> None:
    tasks, pairs = made
    needs = {each.id: set(each.needs_ids) for each in tasks}

    def reaches(one: TaskId, other: TaskId) -> bool:
        return any(need == other or reaches(need, other) for need in needs.get(one, ()))

    assert graph.ordered(tasks, pairs) == {(a, b) for a, b in pairs if reaches(a, b) or reaches(b, a)}


def test_a_cycle_is_named_in_the_order_of_needs() -> None:
    tasks = [task("a", "b"), task("b", "c"), task("c", "a"), task("d", "a")]
    cycle = graph.find_cycle({t.id: t.needs_ids for t in tasks})
    needs = {t.id: t.needs_ids for t in tasks}
    assert sorted(cycle) == ids("a", "b", "c")
    assert all(second in needs[first] for first, second in zip(cycle, cycle[1:] + cycle[:1], strict=True))
    with pytest.raises(InvalidInput, match=r"needs form a cycle: p/\w -> p/\w -> p/\w"):
        graph.waves(tasks)


def test_no_cycle_is_an_empty_list() -> None:
    assert graph.find_cycle({t.id: t.needs_ids for t in [task("a"), task("b", "a")]}) == []


def test_ten_thousand_tasks_in_a_chain_take_less_than_a_second() -> None:
    tasks = [task(str(n), *([str(n - 1)] if n else [])) for n in range(10_000)]
    began = time.process_time()
    assert len(graph.waves(tasks)) == 10_000
    assert len(graph.critical_path(tasks)) == 10_000
    assert graph.dependents_count(tasks)[TaskId("p", "0")] == 9_999
    assert time.process_time() - began < 1.0 * 5  # five times what it takes: the machine is shared


@given(plans())
def test_what_comes_directly_before_implies_all_that_comes_before_and_no_more(
    made: tuple[list[Task], list[tuple[TaskId, TaskId]]],
) -> None:
    tasks, pairs = made
    needs = {(need, each.id) for each in tasks for need in each.needs_ids}
    wave = {
        task_id: number for number, members in enumerate(graph.waves(tasks, pairs)) for task_id in members
    }
    turns = {(a, b) if wave[a] < wave[b] else (b, a) for a, b in pairs if a in wave and b in wave and a != b}
    found = graph.direct(tasks, pairs)
    assert len(found) == len(set(found))
    assert set(found) <= needs | turns
    assert _closed(set(found)) == _closed(needs | turns)
    assert all((a, b) not in _closed(set(found) - {(a, b)}) for a, b in found)


def _closed(edges: set[tuple[TaskId, TaskId]]) -> set[tuple[TaskId, TaskId]]:
    """With every edge that others imply."""
    while more := {(a, d) for a, b in edges for c, d in edges if b == c} - edges:
        edges = edges | more
    return edges


def test_of_equally_long_chains_the_one_first_in_the_plan_is_critical_whatever_the_hashes() -> None:
    names = [f"m{number}" for number in range(20)]
    tasks = [task("a"), *(task(name, "a") for name in names), task("z", *reversed(names))]
    assert graph.critical_path(tasks) == ids("a", "m0", "z")
