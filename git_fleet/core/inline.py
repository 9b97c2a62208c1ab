"""The fleet in one short line. No other module is imported: who has it in a prompt waits for it with every command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_WORDS = ("claimed", "expired", "proposed", "verified", "parked", "rework", "blocked", "reverted")

Plan = tuple[str, str, Mapping[str, int]]
"""A plan's id, its state, and how many tasks are in each state; a claim that has run out is `expired`."""


def one_line(plans: Iterable[Plan], mine: str = "") -> str:
    """`bump/memory claimed; bump 4/9, 2 claimed`: so many of the tasks that are not cancelled are integrated.

    `mine` is the task of the worktree that one is in, and its state; it is said first.
    """
    return "; ".join([*([mine] if mine else []), *(_words(*plan) for plan in plans)])


def _words(plan: str, state: str, counts: Mapping[str, int]) -> str:
    total = sum(counts.values()) - counts.get("cancelled", 0)
    shown = "" if state == "open" else f" ({state})"
    words = [f"{plan}{shown} {counts.get('integrated', 0)}/{total}"]
    return ", ".join([*words, *(f"{counts[name]} {name}" for name in _WORDS if counts.get(name))])
