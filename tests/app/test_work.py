"""What happens between the claim and the hand-in, and what a person decides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import plan, work
from git_fleet.app.acting import act, renewal
from git_fleet.app.session import Session
from git_fleet.core.model import PlanState, State, Usage
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import AnswerIsNo, Denied, Held, IllegalEvent, InvalidInput
from git_fleet.store import log
from tests.support.clock import FakeClock
from tests.support.fleet import accepted, approved, claimed, integrated, on_task, open_fleet, proposed, task
from tests.support.repo import Repo


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


def last(session: Session, record: TaskRecord) -> log.Entry:
    assert record.tip is not None
    return log.read(session.store.objects, record.tip)


# --- the worker's words --------------------------------------------------------------------------


def test_progress_says_how_it_goes_keeps_the_log_and_renews(session: Session, clock: FakeClock) -> None:
    approved(session, task("a"))
    before = claimed(session, "a").state.claim
    clock.advance(600)
    acted = work.progress(session, "a", "red: 3", log_chunk=b"\xff" * 70_000, usage=Usage(1, 2, 0.25))
    acted = work.progress(session, "a", "green", usage=Usage(1, 2, 0.25))
    state = acted.record.state
    assert (state.summary, state.usage) == ("green", Usage(2, 4, 0.5))
    assert before is not None
    assert state.claim is not None
    assert (state.claim.expires_at - before.expires_at).total_seconds() == 600
    assert acted.notes == ()
    entries = log.history(session.store.objects, acted.record.tip)
    kept = log.texts(session.store.objects, entries[1])["log"]
    assert kept.startswith(b"[")
    assert len(kept) == log.MAX_TEXT_BYTES


def test_past_a_session_the_worker_is_told_to_come_to_an_end(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    repo.commit("Set up", {"fleet.toml": "version = 1\nsession_minutes = 10\n"})
    approved(session, task("a"))
    claimed(session, "a")
    clock.advance(601)
    (note,) = work.renew(session, "a").notes
    assert "longer than 10 minutes" in note


def test_only_the_holder_speaks_for_a_task(session: Session, repo: Repo, clock: FakeClock) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    with open_fleet(repo, "w2", clock) as other:
        with pytest.raises(Held, match="p/a is w1's, and you are w2"):
            work.progress(other, "a", "mine")
        with pytest.raises(Held):
            work.block(other, "a", "missing-api", "x")
        with pytest.raises(Held):
            work.release(other, "a")


def test_nobody_speaks_for_a_task_that_was_never_claimed(session: Session) -> None:
    approved(session, task("a"))
    with pytest.raises(InvalidInput, match="nobody has claimed p/a"):
        work.renew(session, "a")


def test_what_was_proposed_has_no_progress_any_more(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    with pytest.raises(IllegalEvent):
        work.progress(session, "a", "still at it")


def test_a_proposal_is_withdrawn_by_its_worker_alone(session: Session, repo: Repo, clock: FakeClock) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    with open_fleet(repo, "w2", clock) as other, pytest.raises(Held):
        work.withdraw(other, "a", "")
    state = work.withdraw(session, "a", "found a bug").record.state
    assert (state.state, state.reason, state.conflict) == (State.REWORK, "found a bug", False)


# --- blocked -------------------------------------------------------------------------------------


def test_a_blocked_task_keeps_its_files_until_it_is_shelved(session: Session) -> None:
    approved(session, task("a", files=["/x"]), task("b", files=["/x"]))
    claimed(session, "a")
    state = work.block(session, "a", "missing-api", "no API for that").record.state
    assert (state.state, state.code, state.reason) == (State.BLOCKED, "missing-api", "no API for that")
    with pytest.raises(AnswerIsNo, match="p/a owns files of it and is blocked"):
        claimed(session, "b")
    assert work.shelve(session, "a").record.state.state is State.PENDING
    claimed(session, "b")


def test_a_blocked_task_is_not_released_but_unblocked_or_shelved(session: Session) -> None:
    approved(session, task("a"))
    blocked(session, "a", "stuck")
    with pytest.raises(IllegalEvent, match="p/a: release is not possible") as refused:
        work.release(session, "a")
    assert "git fleet unblock p/a" in refused.value.hint
    assert "git fleet shelve p/a" in refused.value.hint


def test_an_unblocked_task_goes_on_with_its_attempts_anew(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    work.block(session, "a", "missing-api", "no API")
    state = work.unblock(session, "a", "it is there now").record.state
    assert (state.state, state.code, state.attempts_used) == (State.REWORK, "", 0)
    assert claimed(session, "a").state.attempt == 2


@pytest.mark.parametrize("code", ["", "two words", "a/b", "x" * 65, "attempts"])
def test_a_code_is_one_word(session: Session, code: str) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    with pytest.raises(InvalidInput, match="code"):
        work.block(session, "a", code, "x")


def blocked(session: Session, name: str, code: str) -> tuple[str, ...]:
    claimed(session, name)
    return work.block(session, name, code, "the same wall").notes


def test_the_breaker_pauses_the_plan_when_enough_siblings_meet_the_same_wall(session: Session) -> None:
    approved(session, *(task(name) for name in "abcde"))
    approved(session, task("z"), plan="q")
    assert blocked(session, "q/z", "missing-api") == ()
    for name, code in (("a", "missing-api"), ("b", "missing-api"), ("c", "no-key")):
        assert blocked(session, name, code) == ()
    assert blocked(session, "d", "missing-api") == (
        "plan p is paused: 3 tasks are blocked with the code missing-api",
    )
    record = session.snapshot().plans["p"]
    assert (record.state, record.log.reason) == (
        PlanState.PAUSED,
        "3 tasks are blocked with the code missing-api",
    )
    nothing = claiming.claim(session, claiming.Request())
    assert isinstance(nothing, claiming.NothingReady)
    plan.resume(session, "p")
    claimed(session, "e")


def test_the_breaker_trips_at_the_configured_number(session: Session, repo: Repo) -> None:
    repo.commit("Set up", {"fleet.toml": "version = 1\nbreaker = 1\n"})
    approved(session, task("a"))
    assert len(blocked(session, "a", "x")) == 1


# --- a person's word -----------------------------------------------------------------------------


def test_a_person_takes_a_proposal_as_verified(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    record = accepted(session, "a", "looks good")
    assert record.state.state is State.VERIFIED
    event = last(session, record).event
    assert (event.actor, event.fields) == (
        "Test Person",
        {"by": "person", "reason": "looks good", "number": 1},
    )


def test_a_person_sends_a_proposal_back_with_findings(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    with pytest.raises(InvalidInput, match="needs a reason"):
        work.reject(session, "a", ())
    state = work.reject(session, "a", ("one", "two")).record.state
    assert state.state is State.REWORK
    assert [(found.text, found.source) for found in state.findings] == [
        ("one", "person:Test Person"),
        ("two", "person:Test Person"),
    ]


def test_a_parked_proposal_is_accepted_once_for_all(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    on_task(session, "uphold", "a")
    on_task(session, "park", "a")
    state = accepted(session, "a").state
    assert (state.state, state.unparked) == (State.VERIFIED, 1)


@pytest.mark.parametrize("sign", ["FLEET_TASK", "CLAUDECODE", "GEMINI_CLI"])
def test_agents_neither_accept_nor_reject(session: Session, repo: Repo, clock: FakeClock, sign: str) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    before = proposed(session, "a")
    with open_fleet(repo, "w1", clock, env={sign: "x"}) as agent:
        with pytest.raises(Denied) as caught:
            work.accept(agent, "a", "")
        assert caught.value.exit_code == 4
        with pytest.raises(Denied):
            work.reject(agent, "a", ("no",))
        assert agent.record(agent.snapshot(), "a") == before


# --- cancelled, reopened -------------------------------------------------------------------------


def test_a_cancelled_task_frees_its_files_and_can_be_reopened(session: Session) -> None:
    approved(session, task("a", files=["/x"]), task("b", files=["/x"]))
    claimed(session, "a")
    assert work.cancel(session, "a", "enough").record.state.reason == "enough"
    claimed(session, "b")
    assert work.reopen(session, "a").record.state.state is State.PENDING
    work.cancel(session, "b", "")
    assert claimed(session, "a").state.attempt == 2


def test_what_is_integrated_is_neither_cancelled_nor_reopened(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    integrated(session, "a")
    with pytest.raises(IllegalEvent):
        work.cancel(session, "a", "")
    with pytest.raises(IllegalEvent):
        work.reopen(session, "a")


def test_a_task_that_moved_meanwhile_is_read_again_and_decided_anew(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    approved(session, task("a"))
    record = claimed(session, "a")
    work.renew(session, "a")
    acted = act(session, record, "progress", lambda now: renewal(session, now) | {"status": "late"})
    assert acted.state.summary == "late"
    with open_fleet(repo, "w2", clock) as other, pytest.raises(IllegalEvent):
        act(other, record, "reopen", lambda _: {})
