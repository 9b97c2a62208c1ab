"""The state table, walked at random, and its rules one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from git_fleet.core import codec
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import PLAN_TABLE, TABLE, Event, after, after_plan, next_state
from git_fleet.core.model import (
    Claim,
    Finding,
    PlanLog,
    PlanState,
    Proposal,
    State,
    TaskState,
    Usage,
    Verdict,
)
from git_fleet.errors import IllegalEvent, StaleClaim

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
FENCE = Oid("f" * 40)
EVENTS = sorted({name for row in TABLE.values() for name in row})


def oid(number: int) -> Oid:
    return Oid(f"{number:040x}")


def claim(attempt: int = 1, holder: str = "w1", at: datetime = NOW) -> Claim:
    return Claim(holder, None, at, at + timedelta(hours=1), attempt, "feature/x", "/w/x", "host")


def event(name: str, state: TaskState, at: datetime = NOW, **fields: Any) -> Event:
    """An event with all the fields its name asks for, as the current holder where it needs one."""
    fence = state.claim.fence if state.claim else None
    usual: dict[str, dict[str, Any]] = {
        "claim": {"claim": claim(state.attempt + 1, at=at)},
        "progress": {"fence": fence, "status": "half way", "usage": Usage(1, 2, 0.5)},
        "usage": {"fence": fence, "usage": Usage(1, 2, 0.5)},
        "renew": {"fence": fence, "expires_at": at + timedelta(hours=2)},
        "done": {"fence": fence, "proposal": Proposal(1, oid(9), "w1", oid(8), oid(7), oid(6), "subject")},
        "block": {"fence": fence, "code": "no-api", "reason": "there is no API"},
        "release": {"fence": fence},
        "verdict": {"verdict": Verdict("correctness", "v", "upheld", 1)},
        "reject": {"findings": (Finding("wrong", "person:ann"),), "reason": "rejected"},
        "eject": {"findings": (Finding("red", "gate"),), "reason": "gate"},
        "withdraw": {"fence": fence},
        "integrate": {"commit": oid(5)},
    }
    return Event(name, at, "w1", usual.get(name, {}) | fields)


def fenced(state: TaskState) -> TaskState:
    return state.fenced(FENCE)


def claimed(at: datetime = NOW) -> TaskState:
    return fenced(after(TaskState(), event("claim", TaskState(), at)))


def proposed() -> TaskState:
    return after(claimed(), event("done", claimed()))


@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 90)), max_size=25))
def test_a_random_walk_follows_the_table_or_changes_nothing(steps: list[tuple[str, int]]) -> None:
    state, now = TaskState(), NOW
    for name, minutes in steps:
        now += timedelta(minutes=minutes)
        happening = event(name, state, now)
        try:
            following = fenced(after(state, happening))
        except (IllegalEvent, StaleClaim):
            continue
        assert name in TABLE[state.state]
        assert following.attempt == state.attempt + (name == "claim")
        assert following.attempts_used >= 0
        stored = codec.encode(following)
        assert codec.decode_task_state(stored, FENCE) == following
        assert len(codec.canonical(stored)) < 16 * 1024
        state = following


@pytest.mark.parametrize(
    ("state", "possible"),
    [
        (State.BLOCKED, "while the task is blocked (possible: cancel, shelve, unblock)"),
        (State.REWORK, "while the task is in rework (possible: cancel, claim, shelve)"),
        (State.INTEGRATED, "while the task is integrated"),
    ],
)
def test_a_refusal_names_what_is_possible_by_a_command(state: State, possible: str) -> None:
    before = replace(claimed(), state=state)
    with pytest.raises(IllegalEvent) as refused:
        next_state(before, event("reopen", before))
    assert refused.value.message == f"reopen is not possible {possible}"


@given(st.sampled_from(list(State)), st.sampled_from([*EVENTS, "nonsense"]))
def test_what_the_table_does_not_have_is_refused(state: State, name: str) -> None:
    before = replace(claimed(), state=state)
    if name in TABLE[state]:
        return
    with pytest.raises(IllegalEvent, match=name):
        next_state(before, event(name, before))


def test_every_state_but_the_ended_ones_can_be_cancelled() -> None:
    assert {state for state in State if "cancel" in TABLE[state]} == {s for s in State if not s.ended}


def test_a_task_is_taken_over_only_after_its_lease_expired() -> None:
    state = claimed()
    with pytest.raises(IllegalEvent, match="held by w1"):
        after(state, event("claim", state, NOW + timedelta(minutes=59)))
    taken = after(state, event("claim", state, NOW + timedelta(minutes=60)))
    assert (taken.state, taken.attempt) == (State.CLAIMED, 2)


@pytest.mark.parametrize("name", ["progress", "renew", "done", "release", "block"])
def test_a_worker_whose_fence_is_stale_cannot_move_the_task(name: str) -> None:
    state = claimed()
    with pytest.raises(StaleClaim, match="taken over by w1"):
        after(state, event(name, state, fence=oid(1)))


@pytest.mark.parametrize("state", State)
def test_what_was_used_can_be_told_in_every_state_and_changes_nothing_else(state: State) -> None:
    before = replace(claimed(), state=state, usage=Usage(10, 20, 1.0))
    assert after(before, event("usage", before)) == replace(before, usage=Usage(11, 22, 1.5))
    with pytest.raises(StaleClaim):
        after(before, event("usage", before, fence=oid(1)))
    with pytest.raises(StaleClaim):  # nobody has claimed it
        after(TaskState(), event("usage", TaskState()))


def test_a_withdrawal_needs_the_fence_of_the_latest_claim() -> None:
    with pytest.raises(StaleClaim):
        after(proposed(), event("withdraw", proposed(), fence=oid(1)))
    assert after(proposed(), event("withdraw", proposed())).state is State.REWORK


def test_only_used_up_attempts_are_blocked_by_somebody_else() -> None:
    state = claimed()
    late = NOW + timedelta(hours=2)
    assert after(state, event("block", state, late, code="attempts", fence=None)).state is State.BLOCKED
    with pytest.raises(IllegalEvent):
        after(state, event("block", state, NOW, code="attempts", fence=None))
    rework = after(proposed(), event("eject", proposed()))
    with pytest.raises(IllegalEvent, match="attempts"):
        after(rework, event("block", rework))


def test_unblocking_starts_the_attempts_anew_but_goes_on_counting() -> None:
    state = claimed()
    blocked = after(state, event("block", state))
    open_again = after(blocked, event("unblock", blocked))
    assert (open_again.state, open_again.attempt, open_again.attempts_used) == (State.REWORK, 1, 0)


def test_a_release_with_nothing_to_keep_is_as_if_nobody_had_claimed() -> None:
    state = claimed()
    assert after(state, event("release", state)).state is State.PENDING
    kept = after(state, event("release", state, salvaged=oid(3), salvages=1))
    assert (kept.state, kept.salvaged, kept.salvages) == (State.REWORK, oid(3), 1)


def test_a_proposal_replaces_what_was_saved_and_what_was_found() -> None:
    rework = after(proposed(), event("eject", proposed(), reason="conflict"))
    assert rework.conflict
    assert rework.findings == (Finding("red", "gate"),)
    again = fenced(after(rework, event("claim", rework, salvaged=oid(3), salvages=1)))
    handed_in = after(again, event("done", again))
    assert (handed_in.findings, handed_in.salvaged, handed_in.conflict) == ((), None, False)


def test_a_parked_proposal_that_was_accepted_is_not_parked_again() -> None:
    verified = after(proposed(), event("accept", proposed()))
    parked = after(verified, event("park", verified))
    assert after(parked, event("accept", parked)).unparked == 1


def test_accepting_a_pending_task_lifts_its_hold() -> None:
    assert after(TaskState(), event("accept", TaskState())).lifted


def test_what_main_already_has_is_integrated_from_any_state() -> None:
    for state in State:
        before = replace(claimed(), state=state)
        landed = after(before, event("integrate", before, completing=True))
        assert (landed.state, landed.landed) == (State.INTEGRATED, oid(5))


def given_verdict(state: TaskState, verdict: Verdict, *findings: Finding) -> TaskState:
    return after(state, event("verdict", state, verdict=verdict, findings=findings))


def test_of_each_lens_the_last_verdict_counts_with_what_it_found() -> None:
    first, second = (Verdict("security", f"verifier:{name}", "refuted", 1) for name in "vw")
    other = Verdict("docs", "verifier:v", "refuted", 1)
    state = given_verdict(proposed(), first, Finding("old", first.source))
    state = given_verdict(state, other, Finding("typo", other.source))
    state = given_verdict(state, second, Finding("new", second.source))
    assert state.verdicts == (other, second)
    assert [found.text for found in state.findings] == ["typo", "new"]


def test_a_worker_is_not_told_what_is_upheld_or_outside_its_task() -> None:
    upheld = Verdict("docs", "verifier:v", "upheld", 1)
    refuted = Verdict("security", "verifier:v", "refuted", 1)
    beyond = Finding("elsewhere", refuted.source, "b", "security", outside=True)
    state = given_verdict(proposed(), upheld, Finding("a nit", upheld.source))
    state = given_verdict(state, refuted, Finding("wrong", refuted.source), beyond)
    assert [found.text for found in state.findings] == ["wrong"]
    only_beyond = given_verdict(proposed(), refuted, beyond)
    assert only_beyond.findings == (beyond,)  # it refuted, so it must say something


def test_what_was_verified_is_asked_anew_after_a_reverify() -> None:
    verdict = Verdict("security", "verifier:v", "upheld", 1)
    state = after(given_verdict(proposed(), verdict), event("uphold", proposed()))
    again = after(state, event("reverify", state))
    assert (again.state, again.verdicts, again.findings) == (State.PROPOSED, (), ())
    assert again.proposal == state.proposal
    assert given_verdict(again, verdict).verdicts == (verdict,)


def test_a_flood_of_verdicts_and_findings_leaves_a_state_small() -> None:
    wide = "\U0001f680"
    state = proposed()
    for number in range(100):
        verdict = Verdict(f"{number}{wide * 200}", f"person:{wide * 200}", "refuted", 1, oid(9), oid(5))
        state = given_verdict(state, verdict, *[Finding(wide * 500, verdict.source)] * 9)
    assert state.verdicts[-1].lens.startswith("99")
    assert state.findings[-1].text.startswith(wide)
    assert len(codec.canonical(codec.encode(state))) < 12 * 1024
    assert codec.decode_task_state(codec.encode(state), FENCE) == state


def test_usage_is_summed_and_long_texts_are_cut() -> None:
    state = claimed()
    for _ in range(2):
        state = after(state, event("progress", state, status="x" * 5000))
    assert state.usage == Usage(2, 4, 1.0)
    assert len(state.summary) == 400


def test_a_paused_plan_stays_paused_through_an_approval() -> None:
    log = PlanLog(PlanState.PAUSED, oid(1))
    log = after_plan(log, Event("approving", NOW, "p", {"incoming": oid(2), "paused": True}))
    assert (log.state, log.revision, log.incoming) == (PlanState.APPROVING, oid(1), oid(2))
    log = after_plan(log, Event("approve", NOW, "p", {"revision": oid(2), "paused": True}))
    assert (log.state, log.revision, log.incoming) == (PlanState.PAUSED, oid(2), None)


@given(st.lists(st.sampled_from(sorted({name for row in PLAN_TABLE.values() for name in row})), max_size=20))
def test_a_closed_plan_never_comes_back(names: list[str]) -> None:
    log = PlanLog()
    for name in names:
        try:
            following = after_plan(log, Event(name, NOW, "p", {}))
        except IllegalEvent:
            continue
        assert log.state is not PlanState.CLOSED
        log = following
