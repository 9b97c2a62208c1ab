from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from git_fleet.core.config import Config
from git_fleet.core.divergence import Divergence
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.likeness import Kind
from git_fleet.core.model import Proposal, State, Task, TaskState
from git_fleet.core.reviewing import (
    TaskReview,
    queue,
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
    now = replace(TaskState(state, 1, proposal=proposal), **fields)
    task = Task(TaskId("p", name), f"Do {name}", name, hold=hold)
    since = None if hold else START - timedelta(minutes=minutes)
    return TaskReview(TaskRecord(task, OID, now), base=OID, commit=OID, state_since=since)


def unlike(*odd: str, one: str = "a", name: str = "x") -> Divergence:
    ids = tuple(TaskId("p", task) for task in odd)
    return Divergence("t-{k}", Kind.FILE, name, ids, TaskId("p", one), TaskId("p", "z"), 5, 2, ())


def test_only_what_waits_for_somebody_here_is_in_the_queue() -> None:
    tasks = [reviewed(state.value, state, minutes=number) for number, state in enumerate(State)]
    tasks.append(reviewed("held", State.PENDING, hold=True))
    waiting = queue(tasks, Config(), START - timedelta(days=1))
    assert [each.id.task for each in waiting] == ["held", "blocked", "parked", "verified", "proposed"]


def test_of_why_a_task_is_blocked_the_queue_has_the_first_line() -> None:
    """Below it is what an agent printed last."""
    blocked = reviewed("a", State.BLOCKED, code="failed", reason="it ended with 1\n\nTraceback")
    assert [each.what for each in queue([blocked], Config(), START)] == ["help: failed: it ended with 1"]


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
