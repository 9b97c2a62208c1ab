from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from git_fleet.core.chain import Cause
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lessons import Lessons, duration, lessons
from git_fleet.core.lifecycle import Event
from git_fleet.core.lives import Step
from git_fleet.core.model import Claim, Proposal, State, Task, Usage
from git_fleet.core.score import Records, Score, Share, Worth, score
from git_fleet.core.spans import milliseconds
from tests.support.clock import START
from tests.support.examples import many
from tests.support.simulator import Simulator, Try, World

SENT_BACK = ("conflict", "gate", "release", "die")


@st.composite
def tries(draw: st.DrawFn) -> tuple[Try, ...]:
    """Some claims that come to nothing, and one that ends the task."""
    each = st.tuples(st.integers(6, 18), st.integers(1, 4))
    failed = draw(st.lists(st.tuples(each, st.sampled_from(SENT_BACK)), max_size=2))
    last = (draw(each), draw(st.sampled_from(("ok", "ok", "ok", "ok", "cancel"))))
    return tuple(Try(*times, outcome) for times, outcome in (*failed, last))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Small fleets that come to an end: nothing needs a task that may be cancelled."""
    made = draw(st.lists(tries(), min_size=1, max_size=7))
    count = len(made)
    certain = [number for number in range(count) if made[number][-1].outcome == "ok"]
    needs = []
    for number in range(count):
        earlier = [n for n in certain if n < number]
        needs.append(tuple(draw(st.sets(st.sampled_from(earlier), max_size=2))) if earlier else ())
    pair = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda p: p[0] < p[1])
    pairs = draw(st.sets(pair, max_size=3)) if count > 1 else set()
    start, length = draw(st.integers(0, 30)), draw(st.integers(0, 5))
    return World(
        tries=tuple(made),
        needs=tuple(needs),
        pairs=tuple(sorted(pairs)),
        workers=draw(st.integers(1, 4)),
        spawn=draw(st.integers(0, 3)),
        lease=draw(st.integers(18, 21)),
        rest=draw(st.integers(0, 5)),
        slow=draw(st.integers(0, 2)),
        paused=(start, start + length),
        tick_ms=draw(st.sampled_from((1, 137, 1000, 60_001))),
    )


def ms(seconds: float) -> int:
    return round(seconds * 1000)


@settings(max_examples=many(300), deadline=None)
@given(worlds())
def test_the_score_adds_up_to_what_a_simulated_fleet_did(world: World) -> None:
    happened = Simulator(world).run()
    found = score(happened.records)
    assert ms(found.wall_seconds) == happened.wall
    assert ms(found.agent_seconds) == happened.agent
    assert ms(found.useful_seconds) == happened.useful
    assert {each.phase: ms(each.seconds) for each in found.phases} == {
        phase: time for phase, time in happened.phases.items() if time
    }
    assert found.finished


@settings(max_examples=many(300), deadline=None)
@given(worlds())
def test_the_causes_add_up_to_the_wall_time_and_lie_end_to_end(world: World) -> None:
    found = score(Simulator(world).run().records)
    assert sum(ms(share.seconds) for share in found.shares) == ms(found.wall_seconds)
    assert all(one.end == other.start for one, other in zip(found.links, found.links[1:], strict=False))
    assert all(link.start < link.end for link in found.links)


@settings(max_examples=many(300), deadline=None)
@given(worlds())
def test_no_fleet_beats_its_workers_or_amdahl(world: World) -> None:
    found = score(Simulator(world).run().records)
    assert found.workers <= world.workers
    if found.speedup is not None:
        bound = found.bound
        assert bound.with_workers is not None
        assert bound.unlimited is not None
        assert found.speedup <= world.workers + 1e-9
        assert found.speedup <= bound.with_workers + 1e-9
        assert bound.with_workers <= bound.unlimited


# --- known stories, in minutes -------------------------------------------------------------------

AFTER = {
    "claim": State.CLAIMED,
    "progress": State.CLAIMED,
    "done": State.PROPOSED,
    "uphold": State.VERIFIED,
    "park": State.PARKED,
    "integrate": State.INTEGRATED,
    "eject": State.REWORK,
    "refute": State.REWORK,
    "reject": State.REWORK,
    "block": State.BLOCKED,
    "unblock": State.REWORK,
    "cancel": State.CANCELLED,
    "revert": State.REVERTED,
    "reopen": State.PENDING,
    "accept": State.PENDING,
}
LEASE = 60


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def steps(*told: tuple[Any, ...]) -> list[Step]:
    """A log: ("claim", 0, "w1") is an event, its minute, its actor; fields may follow."""
    made = []
    for name, at, *rest in told:
        actor = rest[0] if rest else "w1"
        fields: dict[str, Any] = dict(rest[1]) if len(rest) > 1 else {}
        if name == "claim":
            fields["claim"] = Claim(actor, None, minute(at), minute(at + LEASE), 1)
        if name == "done":
            fields.setdefault("proposal", Proposal(1, Oid("0" * 40), actor))
        made.append(Step(Event(name, minute(at), actor, fields), AFTER[name]))
    return made


def task(name: str, *needs: str, hold: bool = False) -> Task:
    return Task(TaskId("p", name), f"Do {name}", name, files=(f"{name}/",), needs=needs, hold=hold)


def scored(
    tasks: Sequence[Task],
    logs: dict[str, list[Step]],
    *,
    now: float = 500,
    pairs: Sequence[tuple[str, str]] = (),
    closed: Sequence[tuple[float, float]] = (),
    led: Sequence[tuple[float, float]] = (),
    since: dict[str, float] | None = None,
    over: bool = False,
) -> Score:
    """The score of these logs. Workers start at once."""
    return score(
        Records(
            plan="p",
            tasks=tasks,
            steps={TaskId("p", name): log for name, log in logs.items()},
            now=minute(now),
            spawn_seconds=0,
            since={TaskId("p", name): minute(at) for name, at in (since or {}).items()},
            pairs=[(TaskId("p", a), TaskId("p", b)) for a, b in pairs],
            closed=[(milliseconds(minute(a)), milliseconds(minute(b))) for a, b in closed],
            led=[(milliseconds(minute(a)), milliseconds(minute(b))) for a, b in led],
            over=over,
        )
    )


def taught(found: Score, tasks: Sequence[Task], **config: Any) -> Lessons:
    return lessons(found, tasks, (), Config(**config))


def phases(found: Score) -> dict[str, float]:
    return {str(each.phase): each.seconds / 60 for each in found.phases}


def shares(found: Score) -> dict[str, float]:
    return {str(each.cause): each.seconds / 60 for each in found.shares}


def test_a_plan_nobody_has_begun_has_nothing_to_tell() -> None:
    tasks = [task("a"), task("b", "a")]
    found = scored(tasks, {})
    assert (found.worth, found.wall_seconds, found.shares, found.started_at) == (Worth.EARLY, 0, (), None)
    told = taught(found, tasks)
    assert told.headline == "Too early to tell: nobody has claimed a task yet"
    assert (told.bottleneck, told.advice, told.predicted) == ("", (), None)


def test_a_plan_without_tasks_is_no_error() -> None:
    assert scored([], {}).worth is Worth.EARLY


def test_two_tasks_side_by_side_are_worth_it() -> None:
    tasks = [task("a"), task("b")]
    logs = {
        "a": steps(("claim", 0), ("done", 30), ("integrate", 33)),
        "b": steps(("claim", 0, "w2"), ("done", 28), ("integrate", 33)),
    }
    found = scored(tasks, logs, led=[(31, 33)])
    assert (found.worth, found.workers, found.wall_seconds / 60) == (Worth.YES, 2, 33)
    assert found.speedup == pytest.approx(58 / 33)
    assert found.parallelism == pytest.approx(58 / 33)
    assert phases(found) == {"work": 58, "review": 4, "integration": 4}
    assert shares(found) == {"task": 30, "integration": 2, "review": 1}
    told = taught(found, tasks)
    assert told.headline == "Worth it: 1.8 times as fast as one worker, 33 min instead of 58 min"
    assert told.bottleneck == "One long task (a): 91% of the wall time (30 min)"
    assert told.predicted is not None
    assert told.predicted.workers == 2


def test_one_task_alone_is_not_worth_a_fleet() -> None:
    found = scored([task("a")], {"a": steps(("claim", 0), ("done", 20), ("integrate", 25))})
    assert (found.worth, found.speedup) == (Worth.NO, 0.8)
    told = taught(found, [task("a")])
    assert told.headline == "Not worth it: the fleet took 25 min, one worker would have taken 20 min"


def test_a_chain_of_needs_is_named() -> None:
    tasks = [task("a"), task("b", "a"), task("c", "b"), task("d")]
    logs = {
        "a": steps(("claim", 0), ("done", 10), ("integrate", 11)),
        "b": steps(("claim", 11), ("done", 21), ("integrate", 22)),
        "c": steps(("claim", 22), ("done", 32), ("integrate", 33)),
        "d": steps(("claim", 0, "w2"), ("done", 15, "w2"), ("integrate", 16)),
    }
    found = scored(tasks, logs)
    assert shares(found) == {"needs": 30, "review": 3}
    assert [str(t) for t in found.shares[0].tasks] == ["p/a", "p/b", "p/c"]
    assert phases(found)["needs"] == 33
    assert taught(found, tasks).bottleneck == "A chain of needs (a → b → c): 91% of the wall time (30 min)"
    assert found.bound.chain_seconds == 30 * 60
    assert found.bound.unlimited == pytest.approx(45 / 30)


def test_overlapping_files_are_named() -> None:
    tasks = [task("a"), task("b")]
    logs = {
        "b": steps(("claim", 0, "w2"), ("done", 10), ("integrate", 12)),
        "a": steps(("claim", 12), ("done", 30), ("integrate", 30)),
    }
    found = scored(tasks, logs, pairs=[("a", "b")])
    assert shares(found) == {"files": 28, "review": 2}
    assert taught(found, tasks).bottleneck.startswith("Overlapping files (b → a took turns): 93%")
    assert found.bound.unlimited == pytest.approx(1.0)


def test_too_few_workers_are_named_and_more_of_them_advised() -> None:
    tasks = [task(name) for name in "abc"]
    logs = {
        "a": steps(("claim", 0), ("done", 10), ("integrate", 10)),
        "b": steps(("claim", 10), ("done", 20), ("integrate", 20)),
        "c": steps(("claim", 21), ("done", 30), ("integrate", 30)),
    }
    found = scored(tasks, logs)
    assert shares(found) == {"workers": 29, "idle": 1}
    told = taught(found, tasks)
    assert told.bottleneck.startswith("Too few workers (1 at most, and all were busy): 97%")
    assert told.advice[:2] == (
        "start more workers",
        "more workers could have made it up to 2.9 times as fast as one",
    )
    limited = taught(found, tasks, max_active=1)
    assert limited.advice[0].startswith("raise max_active in fleet.toml")


def test_waiting_for_the_lead_is_told_from_the_lead_at_work() -> None:
    tasks = [task("a")]
    found = scored(tasks, {"a": steps(("claim", 0), ("done", 5), ("integrate", 65))}, led=[(45, 66)])
    assert phases(found) == {"work": 5, "review": 40, "integration": 20}
    assert taught(found, tasks).advice[0] == "run git fleet integrate as soon as something is handed in"


def test_rework_counts_by_what_caused_it_and_a_conflict_is_no_part_of_the_sequence() -> None:
    tasks = [task("a"), task("b")]
    used = {"usage": Usage(100, 10, 0.5)}
    logs = {
        "a": steps(
            ("claim", 0), ("done", 10, "w1", used), ("eject", 11, "lead", {"reason": "conflict"}),
            ("claim", 12), ("done", 32, "w1", used), ("integrate", 33),
        ),
        "b": steps(
            ("claim", 0, "w2"), ("done", 10), ("eject", 11, "lead", {"reason": "gate"}),
            ("claim", 11, "w2"), ("done", 15), ("integrate", 33),
        ),
    }  # fmt: skip
    found = scored(tasks, logs)
    assert found.useful_seconds / 60 == 10 + 10 + 4
    assert [(s.reason, s.times, s.claims, s.seconds / 60) for s in found.setbacks] == [
        ("conflict", 1, 1, 20),
        ("gate", 1, 1, 4),
    ]
    assert found.setbacks[0].usage == Usage(100, 10, 0.5)
    assert found.usage == Usage(200, 20, 1.0)
    assert phases(found)["rework"] == 24
    assert found.worth is Worth.NO
    told = taught(found, tasks)
    assert told.bottleneck.startswith("Rework (1 × conflict, 1 × gate): 61%")
    assert told.advice[0].startswith("let tasks that own the same files take turns")


@pytest.mark.parametrize(("said", "reason"), [("scope", "scope"), ("gate", "gate"), ("verdict", "verdict"), ("", "verdict")])  # fmt: skip
def test_what_a_verify_sends_back_counts_by_the_reason_it_gives(said: str, reason: str) -> None:
    logs = {"a": steps(("claim", 0), ("done", 10), ("refute", 11, "lead", {"reason": said}))}
    assert [setback.reason for setback in scored([task("a")], logs).setbacks] == [reason]


def test_a_take_over_counts_the_first_claim_until_its_lease_ran_out() -> None:
    tasks = [task("a")]
    logs = {"a": steps(("claim", 0), ("claim", 90, "w2"), ("done", 100, "w2"), ("integrate", 100))}
    found = scored(tasks, logs)
    assert phases(found) == {"work": 60, "lost": 30, "rework": 10}
    assert found.useful_seconds == 600
    assert [s.reason for s in found.setbacks] == ["expired"]
    assert [(hand.worker, hand.seconds / 60) for hand in found.hands] == [("w1", 60), ("w2", 10)]


def test_a_renewed_lease_runs_on() -> None:
    renewed = ("progress", 50, "w1", {"expires_at": minute(110)})
    found = scored([task("a")], {"a": steps(("claim", 0), renewed)}, now=200)
    assert phases(found) == {"work": 110, "lost": 90}


def test_a_holder_that_hands_in_late_was_at_work_all_the_time() -> None:
    found = scored([task("a")], {"a": steps(("claim", 0), ("done", 75), ("integrate", 75))})
    assert phases(found) == {"work": 75}


def test_all_cancelled_is_not_worth_it() -> None:
    tasks = [task("a"), task("b")]
    logs = {
        "a": steps(("claim", 0), ("cancel", 12, "boss")),
        "b": steps(("cancel", 400, "boss")),
    }
    found = scored(tasks, logs)
    assert (found.worth, found.finished, found.wall_seconds / 60) == (Worth.NO, True, 12)
    assert (found.speedup, found.bound.unlimited) == (None, None)
    assert taught(found, tasks).headline == "Not worth it: nothing was integrated, after 12 min of agent time"


def test_a_reverted_task_has_come_to_nothing_and_a_reopened_one_begins_anew() -> None:
    told = [("claim", 0), ("done", 10), ("integrate", 10), ("revert", 20, "boss")]
    found = scored([task("a")], {"a": steps(*told)})
    assert (found.integrated, found.useful_seconds, found.worth) == (0, 0, Worth.NO)
    again = [*told, ("reopen", 30, "boss"), ("claim", 35), ("done", 50), ("integrate", 50)]
    found = scored([task("a")], {"a": steps(*again)})
    assert (found.integrated, found.useful_seconds / 60) == (1, 15)
    assert phases(found) == {"work": 10, "worker": 5, "rework": 15}
    assert shares(found) == {"idle": 25, "rework": 15, "task": 10}


def test_people_and_pauses_are_told_apart_from_missing_workers() -> None:
    tasks = [task("a"), task("b", hold=True), task("c")]
    logs = {
        "a": steps(("claim", 0), ("done", 5), ("integrate", 5)),
        "b": steps(("accept", 10, "boss"), ("claim", 12), ("block", 14), ("unblock", 20), ("cancel", 21)),
        "c": steps(("claim", 30), ("done", 34), ("integrate", 34)),
    }
    found = scored(tasks, logs, closed=[(22, 28)])
    assert phases(found) == {
        "work": 11,  # a 5, b 2, c 4
        "hold": 16,  # b held 10, blocked 6
        "worker": 27,  # b 2 and 1, c 22 and 2
        "paused": 6,
    }


def test_a_plan_that_goes_on_is_scored_until_now_and_not_judged() -> None:
    tasks = [task("a"), task("b")]
    logs = {"a": steps(("claim", 0), ("done", 10), ("integrate", 10)), "b": steps(("claim", 0, "w2"))}
    found = scored(tasks, logs, now=20)
    assert (found.worth, found.finished, found.wall_seconds / 60) == (Worth.EARLY, False, 20)
    headline = taught(found, tasks).headline
    assert headline.startswith("Too early to tell: 1 of 2 tasks integrated after 20 min, 0.5 times")
    closed = scored(tasks, logs, now=20, over=True)
    assert closed.finished


def test_a_clock_that_is_behind_makes_no_negative_time_and_is_reported() -> None:
    logs = {"a": steps(("claim", 10), ("done", 30), ("integrate", 25, "lead"))}
    found = scored([task("a")], logs)
    assert phases(found) == {"work": 20}
    assert (found.wall_seconds / 60, found.skew_seconds / 60) == (20, 5)


def test_the_bound_holds_where_clocks_let_tasks_overlap_that_cannot_have() -> None:
    tasks = [task("a"), task("b", "a")]
    logs = {
        "a": steps(("claim", 0), ("done", 10), ("integrate", 10)),
        "b": steps(("claim", 4, "w2"), ("done", 14), ("integrate", 14)),
    }
    found = scored(tasks, logs)
    assert found.speedup == pytest.approx(20 / 14)
    assert found.bound.with_workers == 2


def test_an_event_from_the_future_is_taken_for_one_of_now() -> None:
    found = scored([task("a")], {"a": steps(("claim", 0), ("done", 30))}, now=20)
    assert phases(found) == {"work": 20}
    assert found.skew_seconds / 60 == 10


def test_a_task_added_later_was_not_waiting_before() -> None:
    tasks = [task("a"), task("b")]
    logs = {
        "a": steps(("claim", 0), ("done", 10), ("integrate", 10)),
        "b": steps(("claim", 9, "w2"), ("done", 20), ("integrate", 20)),
    }
    assert phases(scored(tasks, logs, since={"b": 8}))["worker"] == 1
    assert phases(scored(tasks, logs))["worker"] == 9


def test_a_log_of_a_task_that_left_the_plan_still_counts() -> None:
    logs = {
        "a": steps(("claim", 0), ("done", 10), ("integrate", 10)),
        "gone": steps(("claim", 0, "w2"), ("cancel", 5)),
    }
    found = scored([task("a")], logs)
    assert (found.agent_seconds / 60, found.tasks, found.useful_seconds / 60) == (15, 2, 10)


def test_a_task_that_waits_for_what_was_cancelled_is_told_so() -> None:
    tasks = [task("a"), task("b", "a")]
    found = scored(tasks, {"a": steps(("claim", 0), ("cancel", 10))}, now=30)
    assert shares(found) == {"needs": 30}


def test_bad_estimates_and_small_tasks_are_pointed_out() -> None:
    tasks = [task("a"), task("b")]
    logs = {name: steps(("claim", 0, name), ("done", 1, name), ("integrate", 2)) for name in ("a", "b")}
    records = Records("p", tasks, {TaskId("p", n): s for n, s in logs.items()}, minute(9), 30, {})
    found = score(records)
    advice = taught(found, tasks).advice
    assert any(text.startswith("larger tasks: starting workers was 50%") for text in advice)
    assert any(text.startswith("estimate better: a task took 30 s of work") for text in advice)


def test_a_worker_that_reports_early_had_started_by_then() -> None:
    log = steps(("claim", 0), ("progress", 0.25), ("done", 10), ("integrate", 10))
    found = score(Records("p", [task("a")], {TaskId("p", "a"): log}, minute(9), 30, {}))
    assert found.spawn_seconds == 15


def test_no_more_than_half_of_a_claim_is_starting() -> None:
    log = steps(("claim", 0), ("done", 0.5), ("integrate", 1))
    found = score(Records("p", [task("a")], {TaskId("p", "a"): log}, minute(9), 30, {}))
    assert (found.spawn_seconds, found.useful_seconds) == (15, 15)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (9.96, "10 s"),
        (59, "59 s"),
        (90, "1.5 min"),
        (599, "10 min"),
        (7200, "2 h"),
        (7260, "2 h 1 min"),
    ],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_every_cause_has_a_name_and_a_remedy() -> None:
    tasks = [task("a")]
    found = scored(tasks, {"a": steps(("claim", 0), ("done", 10), ("integrate", 10))})
    for cause in Cause:
        share = Share(cause, 60.0, 1.0, (tasks[0].id,))
        told = taught(replace(found, shares=(share,)), tasks)
        assert told.bottleneck.endswith(": 100% of the wall time (1.0 min)")
        assert told.advice
