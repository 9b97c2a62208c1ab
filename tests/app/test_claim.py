"""Who gets which task: order, limits, attempts, and what a worker is told when there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import handin, placing, plan, work
from git_fleet.app.claim import Claimed, NothingReady, Request
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import State
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import AnswerIsNo, Held, InvalidInput, StaleClaim
from git_fleet.store import guard, log, names, plans
from tests.support.clock import FakeClock
from tests.support.fleet import (
    approved,
    claimed,
    integrated,
    on_task,
    open_fleet,
    proposed,
    saved,
    task,
    task_id,
    working_on,
)
from tests.support.repo import Repo


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


def configured(repo: Repo, text: str) -> None:
    repo.commit("Set up", {"fleet.toml": f"version = 1\n{text}\n"})


def taken(session: Session, *labels: str) -> str:
    """The id of the task a claim gives, or the reason why there is none in brackets."""
    found = claiming.claim(session, Request(labels=labels, worktree=False))
    return found.record.id.task if isinstance(found, Claimed) else f"[{found.reason}]"


def state(session: Session, name: str) -> TaskRecord:
    return session.record(session.snapshot(), name)


# --- what a claim is -----------------------------------------------------------------------------


def test_a_claim_is_a_lease_with_a_fence(session: Session, repo: Repo, clock: FakeClock) -> None:
    configured(repo, "lease_seconds = 60")
    approved(session, task("a"))
    record = claimed(session, "a")
    claim = record.state.claim
    assert claim is not None
    assert (claim.holder, claim.fence, claim.attempt) == ("w1", record.tip, 1)
    assert claim.acquired_at == clock()
    assert (claim.expires_at - clock()).total_seconds() == 60
    assert (claim.branch, claim.worktree, claim.base) == ("", "", None)
    assert state(session, "a") == record


def test_the_commits_that_a_claim_starts_from_are_recorded(session: Session, repo: Repo) -> None:
    approved(session, task("a", slug="do"))
    path = working_on(session, "a")
    claim = state(session, "a").state.claim
    assert claim is not None
    assert (claim.base, claim.start, claim.merge) == (repo.rev("main"), repo.rev("main"), False)
    assert (claim.branch, path) == ("feature/a-do", repo.path.parent / "repo-a-do")


# --- which task ----------------------------------------------------------------------------------


def test_priority_comes_first_then_how_many_wait_then_plan_order(session: Session) -> None:
    tasks = task("a"), task("b"), task("c"), task("d", needs=["c"]), task("e", priority=1)
    approved(session, *tasks)
    order = [taken(session) for _ in range(4)]
    assert order[:2] == ["e", "c"]
    assert set(order[2:]) == {"a", "b"}
    assert taken(session) == "[waiting]"


def test_workers_do_not_all_begin_with_the_same_task(session: Session) -> None:
    approved(session, *(task(f"t{n}") for n in range(20)))
    first = set()
    for _ in range(8):
        first.add(taken(session))
        on_task(session, "release", next(iter({*first} & _held(session))))
    assert len(first) > 1


def _held(session: Session) -> set[str]:
    tasks = session.snapshot().tasks.values()
    return {record.id.task for record in tasks if record.state.state is State.CLAIMED}


def test_a_worker_may_ask_for_some_labels_only(session: Session) -> None:
    approved(session, task("a", labels=["cli"]), task("b", labels=["docs", "web"]), task("c"))
    assert taken(session, "web", "api") == "b"
    assert taken(session, "web") == "[waiting]"
    assert taken(session, "cli") == "a"


def test_a_task_may_be_named_in_short_or_in_full(session: Session) -> None:
    approved(session, task("a"), task("b"))
    assert claimed(session, "b").id == task_id("b")
    assert claimed(session, "P/A").id == task_id("a")


def test_a_named_task_that_is_held_says_by_whom(session: Session, repo: Repo, clock: FakeClock) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    with open_fleet(repo, "w2", clock) as other, pytest.raises(Held, match="w1 holds it until 13:00:00 UTC"):
        claimed(other, "a")


def test_a_named_task_that_is_not_ready_gives_every_reason(session: Session) -> None:
    approved(session, task("a", files=["/x"]), task("b", files=["/x"], needs=["a"], hold=True))
    claimed(session, "a")
    with pytest.raises(AnswerIsNo) as caught:
        claimed(session, "b")
    for words in ("on hold", "needs p/a, which is claimed", "p/a owns files of it"):
        assert words in caught.value.message
    assert caught.value.hint == "git fleet accept p/b"


def test_an_unknown_task_is_an_error(session: Session) -> None:
    approved(session, task("a"))
    with pytest.raises(InvalidInput, match="no task 'b'"):
        claimed(session, "b")


def test_claim_always_takes_a_new_task(session: Session) -> None:
    approved(session, task("a"), task("b"))
    assert {taken(session), taken(session)} == {"a", "b"}


# --- overlaps and the guard ----------------------------------------------------------------------


def test_only_one_of_two_overlapping_tasks_is_ever_active(session: Session) -> None:
    approved(session, task("a", files=["/x/**"]), task("b", files=["/x/y"]))
    approved(session, task("c", files=["/x/y"]), plan="q")
    held = taken(session)
    assert taken(session) == "[waiting]"
    on_task(session, "release", held)
    assert taken(session) in {"a", "b", "c"}


def test_a_claim_of_an_overlapping_task_goes_through_the_guard_and_others_do_not(session: Session) -> None:
    approved(session, task("a", files=["/x"]), task("b", files=["/x"]), task("c"))
    claimed(session, "c")
    assert session.snapshot().guard is None
    claim = claimed(session, "a")
    first = session.snapshot().guard
    assert first is not None
    assert guard.read(session.store, first) == (task_id("a"), claim.tip)


@pytest.mark.parametrize(("policy", "together"), [("watch", True), ("accept", True), ("serialize", False)])
def test_tasks_that_may_collide_run_together_if_both_say_so(
    session: Session, policy: str, together: bool
) -> None:
    approved(session, task("a", files=["/x"], overlap="accept"), task("b", files=["/x"], overlap=policy))
    assert taken(session) in {"a", "b"}
    assert (taken(session) in {"a", "b"}) == together


def dies_after_the_guard(monkeypatch: pytest.MonkeyPatch, session: Session, name: str) -> None:
    """A claim of the task whose process ends when it has moved the guard."""
    move = guard.move

    def dying(*args: Any, **kwargs: Any) -> None:
        move(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(guard, "move", dying)
        with pytest.raises(KeyboardInterrupt):
            claimed(session, name)


def test_a_guarded_claim_that_its_process_did_not_finish_is_finished_by_the_next(
    session: Session, repo: Repo, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a", files=["/x"]), task("b", files=["/x"]))
    dies_after_the_guard(monkeypatch, session, "a")
    assert state(session, "a").state.state is State.PENDING
    with open_fleet(repo, "w2", clock) as other:
        assert taken(other) == "[waiting]"
    claim = state(session, "a").state.claim
    assert claim is not None
    assert claim.holder == "w1"


def test_a_guarded_claim_of_a_plan_that_was_closed_is_not_helped(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a", files=["/x"]), task("b", files=["/x"]))
    dies_after_the_guard(monkeypatch, session, "a")
    plan.close(session, "p")
    approved(session, task("c"), plan="q")
    assert taken(session) == "c"
    assert session.store.refs.read(f"{names.TASK_LOGS}p/") == {}


def test_a_claim_that_meets_a_closing_plan_is_given_back(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a"))
    write, left = log.write, [True]

    def closing_first(*args: Any, **more: Any) -> Oid:
        if left:
            left.pop()
            record = session.snapshot().plans["p"]
            plans.append(session.store, record, Event("closing", session.now(), "ann"))
        return write(*args, **more)

    monkeypatch.setattr(log, "write", closing_first)
    assert taken(session) == "[waiting]"
    tip = state(session, "a").tip
    events = [entry.event.name for entry in log.history(session.store.objects, tip)]
    assert events == ["claim", "release"]


# --- limits --------------------------------------------------------------------------------------


def test_max_active_counts_what_is_claimed_now(session: Session, repo: Repo) -> None:
    configured(repo, "max_active = 2")
    approved(session, task("a"), task("b"), task("c"))
    claimed(session, "a")
    claimed(session, "b")
    nothing = claiming.claim(session, Request())
    assert isinstance(nothing, NothingReady)
    assert (nothing.reason, nothing.retry_after_seconds) == ("limit", 30)
    assert "max_active is 2" in nothing.text
    proposed(session, "a")
    assert taken(session) == "c"


def test_one_who_stays_counts_what_is_under_way_and_no_more(repo: Repo) -> None:
    """Its own claims, those of others that it has met, and none of the thousands that wait."""
    configured(repo, "max_active = 3")
    with open_fleet(repo, "w1", long_lived=True) as stays:
        approved(stays, *(task(f"t{number}") for number in range(9)))
        assert taken(stays).startswith("t")
        assert len(list(stays.under_way(stays.recent_snapshot(fresh=False)))) == 1
        with open_fleet(repo, "w2") as other:
            theirs = claiming.claim(other, Request(worktree=False))
            assert isinstance(theirs, Claimed)
        held = claiming.claim(stays, Request(worktree=False))
        assert isinstance(held, Claimed)
        seen = {record.id for record in stays.under_way(stays.recent_snapshot(fresh=True))}
        assert len(seen) == 3
        assert theirs.record.id in seen
        assert taken(stays) == "[limit]"


def test_workers_that_died_do_not_keep_the_others_out(session: Session, repo: Repo, clock: FakeClock) -> None:
    configured(repo, "max_active = 1\nlease_seconds = 60")
    approved(session, task("a"))
    claimed(session, "a")
    clock.advance(60)
    assert taken(session) == "a"


def test_max_review_stops_new_claims_until_something_is_integrated(session: Session, repo: Repo) -> None:
    configured(repo, "max_review = 1")
    approved(session, task("a"), task("b"))
    claimed(session, "a")
    proposed(session, "a")
    assert taken(session) == "[limit]"
    integrated(session, "a")
    assert taken(session) == "b"


def test_an_empty_bucket_says_when_to_come_again(session: Session, repo: Repo, clock: FakeClock) -> None:
    configured(repo, "bucket = { capacity = 1, refill_per_minute = 6 }")
    approved(session, task("a"), task("b"))
    assert taken(session) in {"a", "b"}
    nothing = claiming.claim(session, Request())
    assert isinstance(nothing, NothingReady)
    assert (nothing.reason, nothing.retry_after_seconds) == ("limit", 10)
    clock.advance(10)
    assert taken(session) in {"a", "b"}


def test_a_claim_that_finds_nothing_takes_no_token(session: Session, repo: Repo) -> None:
    configured(repo, "bucket = { capacity = 1, refill_per_minute = 6 }")
    approved(session, task("a", hold=True))
    assert taken(session) == "[waiting]"
    assert names.BUCKET not in session.store.refs.read(names.FLEET)


# --- attempts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
def test_after_max_attempts_the_next_claim_blocks_the_task(session: Session, repo: Repo, named: bool) -> None:
    configured(repo, "max_attempts = 2")
    approved(session, task("a"))
    for _ in range(2):
        claimed(session, "a")
        proposed(session, "a")
        on_task(session, "withdraw", "a")
    if named:
        with pytest.raises(AnswerIsNo, match=r"blocked \(attempts\)"):
            claimed(session, "a")
    else:
        assert taken(session) == "[waiting]"
    found = state(session, "a").state
    assert (found.state, found.code) == (State.BLOCKED, "attempts")
    assert "2 attempts" in found.reason
    work.unblock(session, "a", "try once more")
    assert claimed(session, "a").state.attempt == 3


def test_take_overs_count_as_attempts(session: Session, repo: Repo, clock: FakeClock) -> None:
    configured(repo, "max_attempts = 2\nlease_seconds = 60")
    approved(session, task("a"))
    for _ in range(2):
        assert taken(session) == "a"
        clock.advance(60)
    assert taken(session) == "[waiting]"
    assert state(session, "a").state.state is State.BLOCKED


def test_a_task_given_back_empty_handed_is_not_blocked(session: Session, repo: Repo) -> None:
    configured(repo, "max_attempts = 1")
    approved(session, task("a"))
    for _ in range(3):
        claimed(session, "a")
        on_task(session, "release", "a")
    assert state(session, "a").state.state is State.PENDING


# --- leases --------------------------------------------------------------------------------------


def test_an_expired_claim_is_taken_over_and_its_holder_is_told(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    clock.advance(3600)
    with open_fleet(repo, "w2", clock) as other:
        assert taken(other) == "a"
        with pytest.raises(StaleClaim, match="p/a was taken over by w2"):
            work.progress(session, "a", "still here")
        assert claimed_by(other, "a") == "w2"


def claimed_by(session: Session, name: str) -> str:
    claim = state(session, name).state.claim
    return claim.holder if claim else ""


def test_a_worker_with_its_old_fence_cannot_move_the_task_any_more(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    approved(session, task("a"))
    path = working_on(session, "a")
    clock.advance(3600)
    with open_fleet(repo, "w2", clock) as other, open_fleet(path, None, clock) as zombie:
        claimed(other, "a")
        steps: list[Callable[[], object]] = [
            lambda: work.progress(zombie, None, "still here"),
            lambda: work.renew(zombie, None),
            lambda: work.release(zombie, None),
            lambda: work.block(zombie, None, "missing-api", "x"),
            lambda: work.withdraw(zombie, None, "x"),
            lambda: placing.resume(zombie, None),
            lambda: handin.done(zombie, None, handin.Handin()),
        ]
        for step in steps:
            with pytest.raises(StaleClaim, match="taken over by w2 at 2026-01-01 13:00:00 UTC"):
                step()


def test_on_another_machine_a_claim_lasts_a_little_longer(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    clock.advance(3600)
    with open_fleet(repo, "w2", clock, host="elsewhere") as other:
        assert taken(other) == "[waiting]"
        clock.advance(120)
        assert taken(other) == "a"


def test_renewing_keeps_the_task(session: Session, repo: Repo, clock: FakeClock) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    clock.advance(3000)
    work.renew(session, "a")
    clock.advance(3000)
    with open_fleet(repo, "w2", clock) as other:
        assert taken(other) == "[waiting]"


# --- nothing to claim ----------------------------------------------------------------------------


def nothing(session: Session) -> NothingReady:
    found = claiming.claim(session, Request())
    assert isinstance(found, NothingReady)
    return found


def test_waiting_says_when_the_next_lease_ends(session: Session, repo: Repo, clock: FakeClock) -> None:
    configured(repo, "lease_seconds = 90")
    approved(session, task("a"))
    claimed(session, "a")
    assert (nothing(session).reason, nothing(session).retry_after_seconds) == ("waiting", 60)
    clock.advance(50)
    assert nothing(session).retry_after_seconds == 40


def test_when_everything_has_ended_there_is_no_need_to_come_again(session: Session) -> None:
    assert (nothing(session).reason, nothing(session).retry_after_seconds) == ("complete", 0)
    saved(session, task("z"), plan="draft")
    approved(session, task("a"), task("b"))
    for name in "ab":
        on_task(session, "cancel", name)
    assert (nothing(session).reason, nothing(session).retry_after_seconds) == ("complete", 0)


def test_a_paused_plan_is_named_as_the_reason_only_if_no_other_is_open(session: Session) -> None:
    approved(session, task("a"))
    plan.pause(session, "p")
    assert nothing(session).reason == "paused"
    approved(session, task("b", hold=True), plan="q")
    assert nothing(session).reason == "waiting"


# --- needs, holds, waves -------------------------------------------------------------------------


def test_needs_open_one_after_another_as_they_are_integrated(session: Session) -> None:
    approved(session, task("a"), task("b", needs=["a"]), task("c", needs=["b"]))
    for name in "abc":
        assert taken(session) == name
        proposed(session, name)
        integrated(session, name)
    assert taken(session) == "[complete]"


def test_a_task_on_hold_waits_for_a_persons_word(session: Session) -> None:
    approved(session, task("a", hold=True))
    assert taken(session) == "[waiting]"
    work.accept(session, "a", "go")
    assert taken(session) == "a"


def test_in_waves_only_the_lowest_unfinished_one_may_be_claimed(session: Session) -> None:
    approved(session, task("a"), task("b"), task("c", needs=["a"]), schedule="waves")
    claimed(session, "a")
    proposed(session, "a")
    integrated(session, "a")
    with pytest.raises(AnswerIsNo, match="wave 2 waits for p/b"):
        claimed(session, "c")
    on_task(session, "cancel", "b")
    claimed(session, "c")


def test_a_matrix_is_claimed_task_by_task(session: Session) -> None:
    entry = task("bump-{cluster}", files=["live/{cluster}/**"], matrix={"cluster": ["dev", "prod"]})
    approved(session, entry, task("after", needs=["bump-{cluster}"]))
    found = {taken(session), taken(session)}
    assert found == {"bump-dev", "bump-prod"}
    assert taken(session) == "[waiting]"
    record = state(session, "bump-dev")
    assert (record.task.owned, dict(record.task.params)) == (("live/dev/**",), {"cluster": "dev"})


# --- long-lived ----------------------------------------------------------------------------------


def test_a_long_lived_claimer_sees_what_others_did_since(repo: Repo, clock: FakeClock) -> None:
    with open_fleet(repo, "w1", clock) as one, open_fleet(repo, "w2", clock, long_lived=True) as long:
        approved(one, *(task(f"t{n}", files=[f"/{n % 2}"]) for n in range(4)), task("z"))
        first = taken(long)
        second = taken(one)
        assert taken(long) not in {first, second, "[waiting]"}
        assert taken(long) == "[waiting]"
        for name in sorted(_held(one)):
            on_task(one, "cancel", name)
        assert taken(long) in {f"t{n}" for n in range(4)}
