"""When a claim has run out (DESIGN section 6, Lease)."""

from __future__ import annotations

from datetime import datetime, timedelta

from git_fleet.core.model import Claim

SKEW = timedelta(seconds=120)
"""How far clocks of two machines may differ before a claim made elsewhere is taken over too early."""


def expired(claim: Claim, now: datetime, *, host: str) -> bool:
    """Whether anyone may take the claim over at `now` (aware, UTC).

    On the machine that made the claim its clock is the event's clock. Elsewhere clocks differ, so
    `SKEW` is added.
    """
    grace = timedelta() if claim.host == host else SKEW
    return now >= claim.expires_at + grace


def expiry(now: datetime, lease_seconds: int) -> datetime:
    """When a lease taken or renewed at `now` ends."""
    return now + timedelta(seconds=lease_seconds)


def acquired_past(claim: Claim, now: datetime, session_minutes: float) -> bool:
    """Whether the worker has been at it for longer than a session (agents drift)."""
    return now - claim.acquired_at > timedelta(minutes=session_minutes)
