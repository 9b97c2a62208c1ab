from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from git_fleet.core.config import Config
from git_fleet.core.divergence import Divergence
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.likeness import Kind
from git_fleet.core.model import Finding, PlanState, Proposal, State, Task, TaskState
from git_fleet.core.reviewing import (
    Recommendation,
    Refused,
    TaskReview,
    queue,
    recommendations,
    summary,
)
from git_fleet.core.snapshot import TaskRecord
from tests.support.clock import START

OID = Oid("12" * 20)


def reviewed(
    name: str, state: State, *, hold: bool = False, minutes: int = 0, **fields: object
) -> TaskReview:
    """A task in this state since so many minutes before START."""
    proposal = Proposal(1, OID, "w1", OID, OID, OID)
    now = replace(TaskState(state, 1, proposal=proposal), **fields)  # type: ignore[arg-type]  # of TaskState
    task = Task(TaskId("p", name), f"Do {name}", name, hold=hold)
    since = None if hold else START - timedelta(minutes=minutes)
    return TaskReview(TaskRecord(task, OID, now), base=OID, commit=OID, state_since=since)


def unlike(*odd: str, one: str = "a", name: str = "x") -> Divergence:
    ids = tuple(TaskId("p", task) for task in odd)
    return Divergence("t-{k}", Kind.FILE, name, ids, TaskId("p", one), TaskId("p", "z"), 5, 2, ())


def advised(*tasks: TaskReview, found: tuple[Divergence, ...] = ()) -> tuple[Recommendation, ...]:
    waiting = queue(tasks, Config(), START)
    return recommendations("p", PlanState.OPEN, tasks, found, waiting)


def test_only_what_waits_for_somebody_here_is_in_the_queue() -> None:
    tasks = [reviewed(state.value, state, minutes=number) for number, state in enumerate(State)]
    tasks.append(reviewed("held", State.PENDING, hold=True))
    waiting = queue(tasks, Config(), START - timedelta(days=1))
    assert [each.id.task for each in waiting] == ["held", "blocked", "parked", "verified", "proposed"]


def test_a_hold_that_was_lifted_waits_for_nobody() -> None:
    assert queue([reviewed("a", State.PENDING, hold=True, lifted=True)], Config(), START) == ()


def test_the_summary_counts_what_matters_and_leaves_out_what_is_cancelled() -> None:
    states = [State.INTEGRATED, State.INTEGRATED, State.VERIFIED, State.PARKED, State.REWORK, State.CANCELLED]
    tasks = [reviewed(f"t{number}", state) for number, state in enumerate(states)]
    found = (unlike("t2"), unlike("t2", name="y"), unlike())
    assert summary(tasks, found, queue(tasks, Config(), START)) == (
        "2 of 5 tasks integrated; 1 to integrate; 1 waiting for a person; 1 in rework; "
        "1 unlike its siblings; siblings of 1 matrix entry differ."
    )
    assert summary((), (), ()) == "No task of it is approved yet."


def test_an_odd_one_is_named_once_with_all_its_parts() -> None:
    (found, _) = advised(
        reviewed("a", State.PROPOSED), found=tuple(unlike("a", name=name) for name in ("w", "x", "y", "z"))
    )
    assert found.text == "p/a differs from 4 siblings in w, x, y, …: look before integrating."


def test_an_odd_one_that_has_landed_is_shown_where_it_is() -> None:
    (found, _) = advised(reviewed("a", State.INTEGRATED, landed=OID), found=(unlike("a"),))
    assert found.commands == (f"git show {OID[:12]}",)
    assert "already" in found.text


def test_tasks_that_met_the_same_wall_are_one_recommendation() -> None:
    blocked = [reviewed(name, State.BLOCKED, code="quota", reason="ask ops") for name in "ac"]
    other = reviewed("b", State.BLOCKED, code="api", reason="")
    assert [each.text for each in advised(*blocked, other)] == [
        "p/b is blocked (api).",
        "p/a, p/c are blocked (quota: ask ops).",
    ]


def test_a_finding_that_came_back_counts_by_proposals_not_by_verdicts() -> None:
    def refused(*numbers: int) -> TaskReview:
        findings = tuple(Refused(n, (Finding(f"line {n}: no test", "bot"),)) for n in numbers)
        return replace(reviewed("a", State.CLAIMED), refusals=findings)

    assert advised(refused(1, 1)) == ()
    assert [each.code for each in advised(refused(1, 2))] == ["unclear"]


def test_a_plan_whose_tasks_have_ended_can_be_closed_once() -> None:
    ended = reviewed("a", State.INTEGRATED), reviewed("b", State.CANCELLED)
    assert [each.commands for each in advised(*ended)] == [("git fleet plan close p",)]
    assert recommendations("p", PlanState.CLOSED, ended, (), ()) == ()
    assert recommendations("p", PlanState.OPEN, (), (), ()) == ()
