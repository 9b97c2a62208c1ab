"""Orders for whoever supervises an agent, left in its folder by another process: end it, start it again.

`order` is one JSON object, format version 1, about the claim of that fence:

    {"v":1,"order":"kill","by":"ann","at":"2026-01-01T12:00:00Z","fence":"…"}

A later one replaces it. What cannot be understood, or is about another claim, is no order: agents can write there, too,
and one may come too late.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from git_fleet.app import minding
from git_fleet.errors import InvalidInput
from git_fleet.store import worktree

VERSION = 1
ORDERS = ("kill", "restart", "fresh")

_FILE = "order"


class Order(Struct, frozen=True):
    """What somebody wants the supervisor to do with an agent: one of ORDERS, from whom, when (UTC)."""

    order: str
    by: str
    at: datetime


def leave_order(folder: Path, order: str, *, by: str, at: datetime, fence: str) -> None:
    """Leave an order for whoever works in `folder` on the claim `fence`. Raises InvalidInput, GitFailed."""
    if order not in ORDERS:
        raise InvalidInput(f"no such order: {order}", hint=f"one of: {', '.join(ORDERS)}")
    document = {"v": VERSION, "order": order, "by": by, "at": at.astimezone(UTC).isoformat(), "fence": fence}
    worktree.replace_file(folder / _FILE, json.dumps(document).encode() + b"\n", mode=0o600)


def read_order(folder: Path, fence: str) -> Order | None:
    """The order that was left there last, and not cleared; None when that is not about the claim `fence`."""
    found = minding.read_json(folder / _FILE)
    if found is None or found.get("v") != VERSION or found.get("order") not in ORDERS:
        return None
    if found.get("fence") != fence:
        return None
    try:
        return Order(
            str(found["order"]), str(found["by"]), datetime.fromisoformat(found["at"]).astimezone(UTC)
        )
    except (KeyError, TypeError, ValueError):
        return None


def clear_order(folder: Path) -> None:
    """Take the order away: it is carried out, or about nothing any more."""
    (folder / _FILE).unlink(missing_ok=True)
