"""What is done about an agent: while it lives, and when it has ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from git_fleet.core.config import Config, WorkerProfile
from git_fleet.core.supervision import (
    RATE_LIMIT_TRIES,
    TICK_SECONDS,
    Advice,
    Life,
    Limits,
    Outcome,
    Step,
    Told,
    Tries,
    advise,
    how_it_ended,
    is_rate_limit,
    limits_of,
    outcome,
)

LIMITS = Limits(renew=100.0, idle=900.0, session=2400.0)


def test_limits_come_from_fleet_toml() -> None:
    deep = WorkerProfile(max_cost_usd=2.0)
    config = Config(lease_seconds=60, idle_minutes=0.5, session_minutes=10, profiles=(("deep", deep),))
    assert limits_of(config, "deep") == Limits(20.0, 30.0, 600.0, 2.0, 60)
    assert limits_of(config, "") == Limits(20.0, 30.0, 600.0, 0.0, 60)


def test_a_lease_that_others_see_run_out_is_renewed_at_once() -> None:
    """A machine that slept: the clock that never jumps stood still, and the one that others go by did not."""
    limits, life = replace(LIMITS, lease=300.0), Life.beginning(0.0)
    assert advise(life, limits, TICK_SECONDS, 280.0).step is Step.WAIT
    assert advise(life, limits, TICK_SECONDS, -3600.0).step is Step.RENEW
    assert advise(life, limits, 1.0, -3600.0).step is Step.WAIT  # once is enough, should it fail


def test_a_long_lease_is_renewed_often_enough_to_lose_little() -> None:
    assert limits_of(Config(lease_seconds=86_400), "").renew == 300.0


def test_one_that_has_just_begun_is_waited_for_but_never_longer_than_a_tick() -> None:
    assert advise(Life.beginning(0.0), LIMITS, 1.0) == Advice(Step.WAIT, seconds=TICK_SECONDS)


def test_a_lease_is_renewed_while_nobody_knows_better_than_that_it_lives() -> None:
    assert advise(Life.beginning(0.0), LIMITS, 99.0).step is Step.WAIT
    assert advise(Life.beginning(0.0), LIMITS, 100.0).step is Step.RENEW


def test_one_that_falls_silent_is_looked_at_and_then_ended() -> None:
    life = replace(Life.beginning(0.0), renewed=890.0, looked=890.0)
    assert advise(life, LIMITS, 900.0).step is Step.LOOK
    ended = advise(replace(life, looked=900.0), LIMITS, 900.0)
    assert (ended.step, ended.code) == (Step.END, "idle")
    assert "15 minutes" in ended.reason


def test_a_session_is_told_of_its_end_before_it_is_ended() -> None:
    life = replace(Life.beginning(0.0), sign=2400.0, renewed=2400.0, looked=2400.0)
    assert advise(life, LIMITS, 2400.0).step is Step.TELL
    told = replace(life, told=True)
    assert advise(told, LIMITS, 2400.0).step is Step.WAIT
    assert advise(replace(told, sign=3000.0), LIMITS, 3000.0).code == "session"


def test_what_costs_too_much_is_ended_first_of_all() -> None:
    limits = replace(LIMITS, cost_usd=1.0)
    assert advise(replace(Life.beginning(0.0), cost_usd=1.0), limits, 1.0).step is Step.WAIT
    assert advise(replace(Life.beginning(0.0), cost_usd=1.01), limits, 1.0).code == "cost"


def test_one_that_is_found_at_work_is_as_old_as_it_is() -> None:
    assert advise(Life.beginning(10_000.0, age=3000.0), LIMITS, 10_000.0).code == "session"


moments = st.floats(0, 10_000, allow_nan=False)


@given(moments, moments, moments, moments, moments, st.booleans())
def test_some_advice_is_always_given_and_a_wait_ends(
    began: float, sign: float, renewed: float, looked: float, now: float, told: bool
) -> None:
    latest = max(began, sign, renewed, looked, now)
    life = Life(began, max(began, sign), max(began, renewed), max(began, looked), told)
    found = advise(life, LIMITS, latest)
    assert 0 <= found.seconds <= TICK_SECONDS
    assert (found.step is Step.END) == bool(found.code)


@pytest.mark.parametrize(
    ("code", "words", "tries", "expected"),
    [
        (0, "", Tries(), Outcome.HAND_IN),
        (0, "429 too many requests", Tries(), Outcome.HAND_IN),
        (1, "boom", Tries(), Outcome.AGAIN),
        (1, "boom", Tries(failed=2), Outcome.BLOCK),
        (None, "", Tries(), Outcome.AGAIN),
        (-9, "", Tries(failed=2), Outcome.BLOCK),
        (1, "API Error: 429", Tries(failed=2), Outcome.LATER),
        (75, "", Tries(), Outcome.LATER),
        (75, "", Tries(limited=RATE_LIMIT_TRIES), Outcome.AGAIN),
    ],
)
def test_what_follows_from_an_end(code: int | None, words: str, tries: Tries, expected: Outcome) -> None:
    assert outcome(code, words, tries, 2) is expected


@pytest.mark.parametrize(
    ("code", "told", "expected"),
    [
        (0, Told("it crashed", limited=False), Outcome.AGAIN),  # a success, by its exit code
        (0, Told("too much", limited=True), Outcome.LATER),
        (0, Told("", limited=True), Outcome.HAND_IN),  # it waited itself
        (1, Told("", limited=False), Outcome.AGAIN),  # what else its words may be about
        (1, Told("too much", limited=True), Outcome.LATER),
        (75, Told("", limited=False), Outcome.LATER),
    ],
)
def test_what_an_agent_says_of_its_end_counts_beside_its_exit_code(
    code: int, told: Told, expected: Outcome
) -> None:
    assert outcome(code, "a rate limit: 429", Tries(), 2, None, told) is expected


def test_one_that_was_ended_is_released_blocked_or_started_again() -> None:
    assert outcome(-15, "", Tries(), 2, Advice(Step.END, code="session")) is Outcome.RELEASE
    assert outcome(-15, "", Tries(), 2, Advice(Step.END, code="cost")) is Outcome.BLOCK
    assert outcome(-15, "", Tries(), 2, Advice(Step.END, code="idle")) is Outcome.AGAIN
    assert outcome(-15, "rate limit", Tries(failed=2), 2, Advice(Step.END, code="idle")) is Outcome.BLOCK


@pytest.mark.parametrize(
    "words",
    [
        "rate_limit_error",
        "You've hit your usage limit. Upgrade to Pro or try again at 3:05 PM.",
        "You've hit your session limit · resets 5:10pm (Europe/Paris)",
        "You've hit your limit · resets 2am (Europe/Berlin)",
        "Claude AI usage limit reached|1750708800",
        "The usage limit has been reached",
        "You have exhausted your daily quota on this model.",
        "Rate limit reached",
        "Too Many Requests",
        "overloaded_error",
        "quota exceeded",
        "API Error: 529 Overloaded",
        "The model is overloaded",
        "HTTP/1.1 429",
        '"status": 429,',
        "error code 429",
    ],
)
def test_a_rate_limit_is_known_by_its_words(words: str) -> None:
    assert is_rate_limit(1, f"some text\n{words}\n")


def test_what_was_said_long_before_the_end_is_no_rate_limit() -> None:
    assert not is_rate_limit(1, "rate limit" + "." * 5000)
    assert not is_rate_limit(1, "4290 tests failed")


@pytest.mark.parametrize(
    "words",
    [
        "Ran 429 tests", "app.py:429: AssertionError", "no overloaded function", "test_usage_limit failed",
        "its session limit is 40 minutes",
    ],
)  # fmt: skip
def test_a_number_and_a_word_of_another_matter_are_no_rate_limit(words: str) -> None:
    assert not is_rate_limit(1, f"{words}\n")


def test_an_end_is_said_in_words() -> None:
    assert how_it_ended(0, "", "no model") == "it ended with exit code 0 and said that it failed: no model"
    assert how_it_ended(3) == "it ended with exit code 3"
    assert how_it_ended(-9) == "it was ended by signal 9"
    assert how_it_ended(None, "cannot be started: no such file") == "cannot be started: no such file"
    assert "nobody knows" in how_it_ended(None)
