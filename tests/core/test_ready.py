"""What may be claimed, and why the rest may not: derived from plans and states alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lease import SKEW
from git_fleet.core.model import (
    PENDING,
    Claim,
    Output,
    Overlap,
    Plan,
    PlanLog,
    PlanState,
    Schedule,
    State,
    Task,
    TaskState,
)
from git_fleet.core.ready import Index, Reason, first_obstacle, limit, ready_tasks, reasons
from git_fleet.core.snapshot import PlanRecord, Snapshot, TaskRecord
from tests.support.clock import START

HOUR = timedelta(hours=1)


def a_task(name: str, *files: str, **fields: Any) -> Task:
    return Task(TaskId("p", name), name, name, files=files or (f"/{name}/**",), **fields)


def a_state(state: State, **fields: Any) -> TaskState:
    until: datetime = fields.pop("until", START + HOUR)
    claim = Claim("w1", Oid("f" * 40), until - HOUR, until, 1, host="here")
    return TaskState(state, attempt=1, claim=claim, **fields)


class World:
    """One plan and the states of its tasks (default: pending)."""

    def __init__(self, *tasks: Task, plan: PlanState = PlanState.OPEN, **fields: Any) -> None:
        self.plan = Plan("p", "P", "main", tasks, **fields)
        self.log = PlanLog(plan, reason="so")
        self.states: dict[str, TaskState] = {}
        self.config = Config()
        self.at = START

    def put(self, **states: State | TaskState) -> World:
        """Sets the states of tasks by their names."""
        for name, state in states.items():
            self.states[name] = state if isinstance(state, TaskState) else a_state(state)
        return self

    @property
    def snapshot(self) -> Snapshot:
        plan = PlanRecord("p", self.log, None, approved=self.plan)
        tasks = {t.id: TaskRecord(t, None, self.states.get(t.id.task, PENDING)) for t in self.plan.tasks}
        return Snapshot(self.at, {"p": plan}, tasks)

    def index(self) -> Index:
        return Index(self.snapshot.plans.values(), ())

    def ready(self, host: str = "here") -> str:
        """The tasks that may be claimed, as one word."""
        found = ready_tasks(self.snapshot, self.index(), self.config, host=host)
        return "".join(record.id.task for record in found)

    def why(self, name: str) -> list[Reason]:
        record = self.snapshot.resolve(name)
        return list(reasons(record, self.snapshot, self.index(), self.config, host="here"))

    def codes(self, name: str) -> list[str]:
        return [reason.code for reason in self.why(name)]


def test_pending_tasks_and_rework_are_ready() -> None:
    assert World(a_task("a"), a_task("b")).put(b=State.REWORK).ready() == "ab"


@pytest.mark.parametrize(
    "state",
    [
        State.CLAIMED,
        State.PROPOSED,
        State.VERIFIED,
        State.PARKED,
        State.BLOCKED,
        State.INTEGRATED,
        State.REVERTED,
        State.CANCELLED,
    ],
)
def test_no_other_state_is_ready_and_each_says_why_and_what_helps(state: State) -> None:
    world = World(a_task("a")).put(a=a_state(state, code="missing-api", reason="no API"))
    assert world.ready() == ""
    (reason,) = world.why("a")
    assert reason.code == ("claimed" if state is State.CLAIMED else "state")
    assert reason.text
    assert reason.fix


def test_a_blocked_task_tells_its_code_and_reason() -> None:
    world = World(a_task("a")).put(a=a_state(State.BLOCKED, code="missing-api", reason="no API"))
    assert world.why("a")[0].text == "it is blocked (missing-api): no API"


def test_of_a_reason_with_many_lines_the_first_is_told() -> None:
    """Below it is what an agent printed last."""
    world = World(a_task("a")).put(a=a_state(State.BLOCKED, code="failed", reason="no API\n\nTraceback:\n"))
    assert world.why("a")[0].text == "it is blocked (failed): no API"


def test_a_claim_whose_lease_has_run_out_is_ready_elsewhere_a_little_later() -> None:
    world = World(a_task("a")).put(a=State.CLAIMED)
    world.at = START + HOUR - timedelta(milliseconds=1)
    assert world.ready() == ""
    world.at = START + HOUR
    assert (world.ready(), world.ready(host="elsewhere")) == ("a", "")
    world.at = START + HOUR + SKEW
    assert world.ready(host="elsewhere") == "a"


def test_tasks_are_offered_by_priority_then_by_how_many_wait_then_in_plan_order() -> None:
    tasks = (
        a_task("a"),
        a_task("b"),
        a_task("c"),
        a_task("d", needs=("c",)),
        a_task("e", priority=1),
    )
    assert World(*tasks).ready() == "ecab"


def test_needs_must_be_integrated_nothing_less() -> None:
    world = World(a_task("a"), a_task("b", needs=("a",)))
    for state in set(State) - {State.INTEGRATED}:
        assert "b" not in world.put(a=state).ready()
        assert world.codes("b") == ["needs"]
    assert world.put(a=State.INTEGRATED).ready() == "b"


def test_an_overlapping_task_waits_for_as_long_as_the_other_is_active() -> None:
    world = World(a_task("a", "/x/**"), a_task("b", "/x/y"), a_task("c"))
    assert world.ready() == "abc"
    for state in State:
        world.put(a=state)
        assert ("b" in world.ready()) == (not state.active)
        assert world.codes("b") == (["overlap"] if state.active else [])


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (Overlap.SERIALIZE, Overlap.ACCEPT, False),
        (Overlap.WATCH, Overlap.SERIALIZE, False),
        (Overlap.WATCH, Overlap.ACCEPT, True),
        (Overlap.ACCEPT, Overlap.ACCEPT, True),
    ],
)
def test_the_stricter_policy_of_a_pair_holds(one: Overlap, other: Overlap, together: bool) -> None:
    world = World(a_task("a", "/x", overlap=one), a_task("b", "/x", overlap=other))
    assert world.put(a=State.CLAIMED).ready() == ("b" if together else "")


def test_readers_wait_for_a_joint_owner_and_it_for_them_reports_included() -> None:
    owner, report = a_task("a", "/api.py", joint=True), a_task("r", reads=("/api.py",), output=Output.REPORT)
    reader = a_task("b", reads=("/*.py",))
    world = World(owner, reader, report)
    assert world.put(a=State.CLAIMED).ready() == ""
    assert world.put(a=PENDING, b=State.CLAIMED).ready() == "r"
    assert world.put(b=PENDING, r=State.CLAIMED).ready() == "b"


def test_readers_of_an_owner_that_is_not_joint_do_not_wait() -> None:
    world = World(a_task("a", "/api.py"), a_task("b", reads=("/api.py",)))
    assert world.put(a=State.CLAIMED).ready() == "b"


def test_a_hold_lasts_until_a_person_lifts_it() -> None:
    world = World(a_task("a", hold=True))
    assert world.codes("a") == ["hold"]
    assert world.put(a=replace(PENDING, lifted=True)).ready() == "a"


@pytest.mark.parametrize("state", [PlanState.APPROVING, PlanState.PAUSED, PlanState.CLOSING])
def test_only_tasks_of_an_open_plan_are_ready(state: PlanState) -> None:
    world = World(a_task("a"), plan=state)
    assert world.ready() == ""
    (reason,) = world.why("a")
    assert reason.code == "plan"
    assert f"plan p is {state}: so" in reason.text
    assert reason.fix


def test_in_waves_every_earlier_wave_must_have_ended() -> None:
    tasks = a_task("a", "/x"), a_task("b"), a_task("c", needs=("b",)), a_task("d", "/x")
    world = World(*tasks, schedule=Schedule.WAVES)
    assert world.ready() == "ba"
    world.put(b=State.INTEGRATED)
    assert world.codes("c") == ["turn"]  # its need is there, but `a` is of an earlier wave
    assert world.put(a=State.CANCELLED).ready() == "cd"


def test_used_up_attempts_hinder_but_are_not_in_a_claims_way() -> None:
    world = World(a_task("a"))
    world.put(a=replace(a_state(State.REWORK), attempt=world.config.max_attempts))
    assert world.ready() == ""
    assert world.codes("a") == ["attempts"]
    record = world.snapshot.resolve("a")
    assert first_obstacle(record, world.snapshot, world.index(), world.config, host="here") is None


def test_a_task_given_back_empty_handed_has_not_used_up_anything() -> None:
    assert World(a_task("a")).put(a=TaskState(attempt=9)).ready() == "a"


def test_attempts_that_were_forgiven_do_not_count() -> None:
    assert World(a_task("a")).put(a=replace(a_state(State.REWORK), attempt=5, forgiven=4)).ready() == "a"


def test_every_reason_is_given() -> None:
    tasks = a_task("a", "/x"), a_task("b"), a_task("c", "/x", hold=True, needs=("b",))
    world = World(*tasks, plan=PlanState.PAUSED).put(a=State.CLAIMED)
    assert world.codes("c") == ["plan", "hold", "needs", "overlap"]


def reached(config: Config, *states: TaskState, at: datetime = START) -> str:
    records = [TaskRecord(a_task(str(n)), None, state) for n, state in enumerate(states)]
    found = limit(records, config, at, host="here")
    return found.text if found else ""


def test_no_claim_passes_max_active() -> None:
    config = Config(max_active=2)
    claimed = a_state(State.CLAIMED)
    assert reached(config, claimed, a_state(State.REWORK), a_state(State.PROPOSED)) == ""
    assert "max_active is 2" in reached(config, claimed, claimed)


def test_a_claim_that_can_be_taken_over_does_not_count_as_active() -> None:
    config, claimed = Config(max_active=1), a_state(State.CLAIMED)
    assert reached(config, claimed)
    assert reached(config, claimed, at=START + HOUR) == ""


def test_no_claim_passes_max_review() -> None:
    config = Config(max_review=2)
    assert reached(config, a_state(State.PROPOSED), a_state(State.PARKED)) == ""
    assert "max_review is 2" in reached(config, a_state(State.PROPOSED), a_state(State.VERIFIED))
