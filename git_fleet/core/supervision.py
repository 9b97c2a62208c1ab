"""What a supervisor does about an agent that it watches: rules over values, no clock and no process.

While one lives: renew its lease as long as it shows life, tell it when its session is over, end it when it has
fallen silent, has worked for too long or has cost too much. When it has ended: hand in, start it again, or say that
the task cannot go on. Seconds are those of a clock that never jumps; who calls says which.
"""

from __future__ import annotations

import math
import re
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.core.config import Config

TOLD_SHARE = 0.25
"""So much of `session_minutes` is left, after it was told, to an agent that is told that its session is over."""

RENEWALS_PER_LEASE = 3
MOST_BETWEEN_RENEWALS = 300.0
"""Seconds: a renewal also saves the work tree, and no more than this is to be lost with a machine."""

TICK_SECONDS = 15.0
"""So often one looks at the latest: a machine may have slept, or its clock jumped."""

RATE_LIMITED_CODE = 75
"""EX_TEMPFAIL of sysexits.h: how a command says that it may go better later."""

RATE_LIMIT_TRIES = 10

_RATE_LIMIT = re.compile(
    r"rate[ _-]?limit|too many requests|quota exceeded|resource[ _]exhausted|overloaded_error"
    r"|(?:is|are|api|server|model|service|currently|error|529)\W+overloaded\b"
    r"|(?:http|status|error|code)\W*(?:[\d.]+\W+)?(?:429|529)\b"
    r"|\b(?:hit|reached|exceeded|exhausted) your (?:[\w-]+ ){0,3}(?:limit|quota|capacity)\b"
    r"|\b(?:usage|session|weekly|daily|hour)[ _]limit (?:has been |was )?reached\b|usage_limit_reached",
    re.IGNORECASE,
)
_LAST_WORDS = 4_000


class Step(StrEnum):
    """What is to be done about an agent that is at work."""

    WAIT = "wait"
    LOOK = "look"  # whether its work tree has changed, since it says nothing
    RENEW = "renew"
    TELL = "tell"
    END = "end"


class Limits(Struct, frozen=True):
    """How long, in seconds, and for how much, in US dollars (0: no matter how much), an agent may work."""

    renew: float
    idle: float
    session: float
    cost_usd: float = 0.0
    lease: float = math.inf

    @property
    def ended(self) -> float:
        """When an agent is ended that was told that its session is over."""
        return self.session * (1 + TOLD_SHARE)


def limits_of(config: Config, profile: str) -> Limits:
    """What fleet.toml says of a task that asks for this profile."""
    return Limits(
        renew=min(MOST_BETWEEN_RENEWALS, config.lease_seconds / RENEWALS_PER_LEASE),
        idle=config.idle_minutes * 60,
        session=config.session_minutes * 60,
        cost_usd=config.profile(profile).max_cost_usd,
        lease=config.lease_seconds,
    )


class Life(Struct, frozen=True):
    """What is known of an agent at work. `began` and the others are seconds of one clock; `sign` is its last sign
    of life, `looked` when its work tree was looked into, `renewed` when its lease was (or was tried to be)."""

    began: float
    sign: float
    renewed: float
    looked: float
    told: bool = False
    cost_usd: float = 0.0

    @classmethod
    def beginning(cls, now: float, *, age: float = 0.0) -> Life:
        """An agent that has just been started, or is found at work since `age` seconds."""
        return cls(now - age, now, now, now)

    def seen(self, sign: float) -> Life:
        """With a sign of life at that moment."""
        return replace(self, sign=max(self.sign, sign))


class Advice(Struct, frozen=True):
    """What to do now. `code` and `reason` say why an agent is to be ended; `seconds` how long to wait."""

    step: Step
    seconds: float = 0.0
    code: str = ""
    reason: str = ""


def advise(life: Life, limits: Limits, now: float, lease_left: float = math.inf) -> Advice:
    """What to do about an agent at work, the most pressing first.

    `lease_left` is by another clock, the one that others judge the lease by: a machine that slept finds it run out.
    """
    if limits.cost_usd and life.cost_usd > limits.cost_usd:
        said = f"it has cost {life.cost_usd:.2f} US dollars, and max_cost_usd is {limits.cost_usd:g}"
        return Advice(Step.END, code="cost", reason=said)
    if now - life.began >= limits.ended:
        said = f"it worked for {minutes(now - life.began)}, and session_minutes is {limits.session / 60:g}"
        return Advice(Step.END, code="session", reason=said)
    silent = now - life.sign
    if silent >= limits.idle:
        if life.looked >= life.sign + limits.idle:
            said = f"it gave no sign of life for {minutes(silent)} (idle_minutes is {limits.idle / 60:g})"
            return Advice(Step.END, code="idle", reason=said)
        return Advice(Step.LOOK)
    if now - life.began >= limits.session and not life.told:
        return Advice(Step.TELL)
    pressing = lease_left < limits.lease / RENEWALS_PER_LEASE and now - life.renewed >= TICK_SECONDS
    if now - life.renewed >= limits.renew or pressing:
        return Advice(Step.RENEW)  # silence may be thinking: until it is ended for that, it counts as alive
    due = (
        life.began + limits.ended,
        life.sign + limits.idle,
        life.renewed + limits.renew,
        *(() if life.told else (life.began + limits.session,)),
    )
    return Advice(Step.WAIT, seconds=max(0.0, min(TICK_SECONDS, min(due) - now)))


class Outcome(StrEnum):
    """What follows from the way in which an agent has ended."""

    HAND_IN = "hand in"
    AGAIN = "again"
    LATER = "later"
    RELEASE = "release"
    BLOCK = "block"


class Tries(Struct, frozen=True):
    """How often the agent of a claim was started again: because it failed, because it was told to come later."""

    failed: int = 0
    limited: int = 0


class Told(Struct, frozen=True):
    """What an agent has told of its end itself: that it failed, whatever its exit code is ("": it did not), and
    whether it was `limited`, told to come later; None when only its last words can say that."""

    failure: str = ""
    limited: bool | None = None


_NOTHING = Told()


def outcome(
    code: int | None,
    words: str,
    tries: Tries,
    retries: int,
    ended: Advice | None = None,
    told: Told = _NOTHING,
) -> Outcome:
    """What to do after an agent ended with exit code `code` (None: nobody knows) and these last `words`.

    `ended` is why it was made to, if it was. `retries` says how often one that failed is started again.
    """
    if ended is not None and ended.code == "cost":
        return Outcome.BLOCK
    if ended is not None and ended.code == "session":
        return Outcome.RELEASE
    if ended is None and code == 0 and not told.failure:
        return Outcome.HAND_IN
    limited = told.limited if told.limited is not None else is_rate_limit(code, words)
    if ended is None and (limited or code == RATE_LIMITED_CODE) and tries.limited < RATE_LIMIT_TRIES:
        return Outcome.LATER
    return Outcome.AGAIN if tries.failed < retries else Outcome.BLOCK


def is_rate_limit(code: int | None, words: str) -> bool:
    """Whether a command that failed says that too much was asked of somebody: by its exit code, or in the last
    of its words."""
    if code == RATE_LIMITED_CODE:
        return True
    return code != 0 and _RATE_LIMIT.search(words[-_LAST_WORDS:]) is not None


def how_it_ended(code: int | None, why: str = "", failure: str = "") -> str:
    """For people: the end of an agent; `failure` is what it said of that itself."""
    if why:
        return why
    if failure:
        return f"it ended with exit code {code} and said that it failed: {failure}"
    if code is None:
        return "it was killed, and nobody knows how it ended"
    return f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}"


def minutes(seconds: float) -> str:
    """A length of time for people, such as "40 minutes"; seconds below two minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
