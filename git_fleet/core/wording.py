"""Numbers in sentences."""

from __future__ import annotations


def count(number: int, one: str, many: str = "") -> str:
    """`1 task`, `2 tasks`; `many` is for words that end otherwise."""
    return f"{number} {one if number == 1 else many or one + 's'}"
