"""How far a run over a workspace may go: for how long, and at what cost in all repositories together."""

from __future__ import annotations

import time

from git_fleet.app.session import Session
from git_fleet.app.surroundings import Surroundings
from git_fleet.app.wide import across
from git_fleet.core.running import Stop
from git_fleet.core.workspace import Workspace

_TICK_SECONDS = 15.0


class Limits:
    """The limits of a run that begins now: `cost_usd` in US dollars, `seconds`; 0 is none."""

    def __init__(self, space: Workspace, around: Surroundings, cost_usd: float, seconds: float) -> None:
        self._space, self._around = space, around
        self._cost_usd, self._seconds = cost_usd, seconds
        self._began = time.monotonic()
        self._before = self._spent() if cost_usd else 0.0

    def patience(self, seconds: float) -> float:
        """For how long, at most `seconds`, none of them need be looked at."""
        if self._cost_usd:
            seconds = min(seconds, _TICK_SECONDS)
        if self._seconds:
            seconds = min(seconds, max(0.0, self._began + self._seconds - time.monotonic()))
        return seconds

    def reached(self, owed_usd: float) -> Stop | None:
        """Why it is to end; None while it may go on. `owed_usd` is what agents that are at work have cost and no task's
        log tells yet."""
        if self._seconds and time.monotonic() - self._began >= self._seconds:
            return Stop("time", f"its {self._seconds / 60:g} minutes (--max-minutes) are over")
        if self._cost_usd and (cost := self._spent() - self._before + owed_usd) >= self._cost_usd:
            return Stop("cost", f"it has cost {cost:.2f} US dollars (--max-cost {self._cost_usd:g})")
        return None

    def _spent(self) -> float:
        """By all tasks there are; a repository that cannot be read cannot be worked either."""
        return sum(answer.value or 0.0 for answer in across.ask(self._space, self._around, _cost))


def _cost(session: Session) -> float:
    return sum(record.state.usage.cost_usd for record in session.snapshot().tasks.values())
