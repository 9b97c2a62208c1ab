"""How long to wait before something is tried again: ever longer, and never all at the same moment."""

from __future__ import annotations

FAILED = (1.0, 60.0)
"""Seconds, at first and at most, before an agent that failed is started again."""

LIMITED = (5.0, 300.0)
"""The same after one was told to come later."""

HINDERED = (2.0, 60.0)
HINDERED_TRIES = 10
"""The same, and how often, while not even a task's log can be written."""


def backoff(attempt: int, bounds: tuple[float, float]) -> float:
    """Seconds before the `attempt`-th repetition (from 1): doubled each time, with a random part."""
    import tenacity  # slow to import, and hardly ever needed

    first, most = bounds
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = attempt
    return (tenacity.wait_exponential(multiplier=first, max=most) + tenacity.wait_random(0, first))(state)
