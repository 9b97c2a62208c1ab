from __future__ import annotations

import pytest

from git_fleet.core.ids import TaskId
from git_fleet.core.model import PENDING, Plan, PlanLog, PlanState, State, Task, TaskState
from git_fleet.core.snapshot import PlanRecord, Snapshot, TaskRecord
from git_fleet.errors import Ambiguous, InvalidInput
from tests.support.clock import START


def a_record(name: str, plan: str = "p") -> TaskRecord:
    return TaskRecord(Task(TaskId(plan, name), name, name), None, PENDING)


def a_snapshot(*records: TaskRecord, incoming: tuple[TaskRecord, ...] = ()) -> Snapshot:
    return Snapshot(
        START, {}, {each.id: each for each in records}, incoming={each.id: each for each in incoming}
    )


@pytest.mark.parametrize("name", ["42", "#42", "p/42", " P/42 "])
def test_a_task_is_named_in_full_or_in_short(name: str) -> None:
    assert a_snapshot(a_record("42"), a_record("43")).resolve(name).id == TaskId("p", "42")


def test_a_short_name_that_fits_two_plans_is_ambiguous() -> None:
    snapshot = a_snapshot(a_record("42"), a_record("42", "q"))
    with pytest.raises(Ambiguous, match=r"fits several: p/42, q/42"):
        snapshot.resolve("42")
    assert snapshot.resolve("q/42").id.plan == "q"


@pytest.mark.parametrize("name", ["4", "", "q/42", "/42", "p/"])
def test_a_name_that_fits_no_task_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="no task"):
        a_snapshot(a_record("42")).resolve(name)


def test_a_task_that_only_an_incoming_revision_has_is_found_by_id_but_not_by_name() -> None:
    snapshot = a_snapshot(a_record("a"), incoming=(a_record("b"),))
    assert snapshot.record(TaskId("p", "b")) == a_record("b")
    assert snapshot.record(TaskId("p", "c")) is None
    with pytest.raises(InvalidInput):
        snapshot.resolve("b")


def test_replacing_a_task_keeps_the_order_and_the_others() -> None:
    before = a_snapshot(a_record("a"), a_record("b"))
    again = TaskRecord(before.tasks[TaskId("p", "a")].task, None, TaskState(State.CANCELLED))
    after = before.replacing([again])
    assert [(each.id.task, each.state.state) for each in after.of_plan("p")] == [
        ("a", State.CANCELLED),
        ("b", State.PENDING),
    ]
    assert before.tasks[TaskId("p", "a")].state is PENDING


@pytest.mark.parametrize(
    ("state", "counting"),
    [
        (PlanState.DRAFT, 0),
        (PlanState.APPROVING, 2),
        (PlanState.OPEN, 2),
        (PlanState.PAUSED, 2),
        (PlanState.CLOSING, 2),
        (PlanState.CLOSED, 0),
    ],
)
def test_revisions_count_from_approving_to_closing(state: PlanState, counting: int) -> None:
    plan = Plan("p", "P", "main", ())
    record = PlanRecord("p", PlanLog(state), None, approved=plan, incoming=plan)
    assert len(record.counting) == counting
