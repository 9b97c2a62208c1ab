"""Numbers and others' words in sentences."""

from __future__ import annotations


def count(number: int, one: str, many: str = "") -> str:
    """`1 task`, `2 tasks`; `many` is for words that end otherwise."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def first_line(text: str) -> str:
    """What stands in a sentence for a text of many lines, its blanks at both ends left out."""
    return text.strip().partition("\n")[0].rstrip()
