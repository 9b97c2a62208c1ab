"""The order onto main says what was meant, whatever finished first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core.graph import dependents_count
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Output, Task
from git_fleet.core.order import integration_order
from git_fleet.errors import InvalidInput


def a_task(name: str, files: str = "", **fields: Any) -> Task:
    return Task(TaskId("p", name), name, name, files=(files or f"{name}/**",), **fields)


def order(
    *tasks: Task, dependents: Mapping[str, int] | None = None, first: str = "", shared: str = ""
) -> str:
    """The ids in order, as one word; `shared` lists the tasks that own files others own too."""
    found = integration_order(
        tasks,
        dependents={TaskId("p", name): count for name, count in (dependents or {}).items()},
        shared=lambda task_id: shared.count(task_id.task),
        first=[TaskId("p", name) for name in first],
    )
    return "".join(task_id.task for task_id in found)


def test_plan_order_holds_where_nothing_else_speaks() -> None:
    assert order(a_task("c"), a_task("a"), a_task("b")) == "cab"


def test_what_others_need_comes_before_them() -> None:
    assert order(a_task("a", needs=("b",)), a_task("b", needs=("c",)), a_task("c")) == "cba"


def test_a_need_that_is_not_handed_in_is_no_hindrance_here() -> None:
    assert order(a_task("a", needs=("elsewhere",)), a_task("b")) == "ab"


def test_owners_come_before_the_readers_of_their_files() -> None:
    assert order(a_task("a", reads=("src/api.py",)), a_task("b", "src/**")) == "ba"


def test_an_owner_that_waits_for_another_task_still_comes_before_its_reader() -> None:
    reader = a_task("a", reads=("src/api.py",))
    assert order(reader, a_task("b", "src/**", needs=("c",)), a_task("c")) == "cba"


def test_a_circle_of_readers_is_cut_in_plan_order() -> None:
    assert order(a_task("a", reads=("b/**",)), a_task("b", reads=("a/**",)), a_task("c")) == "cab"


def test_a_need_weighs_more_than_a_reading() -> None:
    assert order(a_task("a", needs=("b",)), a_task("b", reads=("a/**",))) == "ba"


def test_a_report_owns_nothing_that_others_read() -> None:
    report = a_task("b", "src/**", output=Output.REPORT)
    assert order(a_task("a", reads=("src/**",)), report) == "ab"


def test_foundational_tasks_come_early() -> None:
    tasks = a_task("a"), a_task("b"), a_task("c")
    assert order(*tasks, dependents={"c": 2, "b": 1}) == "cba"
    assert order(*tasks, shared="bcc") == "cba"
    assert order(*tasks, dependents={"a": 1}, shared="bcc") == "acb"


def test_a_persons_own_order_comes_first_and_the_rest_follows() -> None:
    tasks = a_task("a"), a_task("b"), a_task("c", reads=("a/**",))
    assert order(*tasks, first="cb") == "cba"


def test_a_task_named_twice_is_taken_once() -> None:
    assert order(a_task("a"), a_task("b"), first="bb") == "ba"


def test_a_persons_order_may_not_put_a_task_before_one_it_needs() -> None:
    with pytest.raises(InvalidInput, match="puts p/a before p/b, which it needs"):
        order(a_task("a", needs=("b",)), a_task("b"), first="a")
    assert order(a_task("a", needs=("b",)), a_task("b"), first="ba") == "ba"


NUMBERS = st.integers(0, 7)


@given(st.lists(st.tuples(st.sets(NUMBERS), st.sets(NUMBERS)), max_size=8))
def test_every_task_once_and_never_before_its_needs(edges: list[tuple[set[int], set[int]]]) -> None:
    tasks = [
        a_task(str(n), needs=tuple(str(m) for m in needs if m < n), reads=tuple(f"{m}/**" for m in reads))
        for n, (needs, reads) in enumerate(edges)
    ]
    tasks.reverse()
    found = integration_order(tasks, dependents=dependents_count(tasks), shared=lambda _: 0)
    assert sorted(found) == sorted(task.id for task in tasks)
    place = {task_id: number for number, task_id in enumerate(found)}
    assert all(place[need] < place[task.id] for task in tasks for need in task.needs_ids)


@given(st.lists(st.tuples(st.sets(NUMBERS), st.sets(NUMBERS), st.integers(0, 2)), max_size=8))
def test_the_order_is_the_one_that_choosing_anew_each_time_gives(
    edges: list[tuple[set[int], set[int], int]],
) -> None:
    tasks = [
        a_task(str(n), needs=tuple(str(m) for m in needs if m < n), reads=tuple(f"{m}/**" for m in reads))
        for n, (needs, reads, _) in enumerate(edges)
    ]
    tasks.reverse()
    weight = {TaskId("p", str(n)): each[2] for n, each in enumerate(edges)}
    assert integration_order(tasks, dependents=weight, shared=lambda _: 0) == chosen_one_by_one(tasks, weight)


def chosen_one_by_one(tasks: list[Task], weight: Mapping[TaskId, int]) -> list[TaskId]:
    left, done = list(tasks), []
    while left:
        ids = {task.id for task in left}
        free = [task for task in left if not ids & set(task.needs_ids)]
        owners = {task.id: {TaskId("p", text[:-3]) for text in task.reads} - {task.id} for task in free}
        calm = [task for task in free if not owners[task.id] & ids] or free
        chosen = max(calm, key=lambda task: weight[task.id])  # of equals the first in plan order
        left.remove(chosen)
        done.append(chosen.id)
    return done
