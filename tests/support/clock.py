"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
"""The moment every test begins at; commits made by tests carry it too."""


class FakeClock:
    """Callable like the real clock: `clock()` is an aware UTC datetime."""

    def __init__(self, start: datetime = START) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock without a time zone hides mistakes")
        self._now = start.astimezone(UTC)

    def __call__(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> datetime:
        """Moves the clock forward and returns the new time. A clock never goes back by itself: no negative steps."""
        if seconds < 0:
            raise ValueError("use FakeClock(earlier) for a machine whose clock is behind")
        self._now += timedelta(seconds=seconds)
        return self._now
