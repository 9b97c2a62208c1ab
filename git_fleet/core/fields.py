"""Reading typed fields from a decoded table that may hold anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from msgspec import Struct

from git_fleet.core.matrix import Params, fill
from git_fleet.core.problems import found, show

Choice = TypeVar("Choice", bound=StrEnum)
Check = Callable[[str], str]
"""What is wrong with a text, or ""."""


def _fine(_: str) -> str:
    return ""


class Fields(Struct, frozen=True):
    """One table, read with one set of matrix values filled in.

    Each method returns a value of its type whatever the table holds: `report(field, text)` hears
    what is wrong, and the default stands in.
    """

    table: Mapping[str, Any]
    params: Params
    report: Callable[[str, str], None]

    def text(self, field: str, default: str = "", check: Check = _fine) -> str:
        """A text with placeholders filled in."""
        if field not in self.table:
            return default
        value = self.table[field]
        if not isinstance(value, str):
            self.report(field, found(value, "text in quotes"))
            return default
        return self._checked(field, fill(value, self.params), default, check)

    def texts(self, field: str, check: Check = _fine) -> tuple[str, ...]:
        """A list of texts with placeholders filled in; those that fail `check` are left out."""
        values = self.table.get(field, ())
        if not isinstance(values, list | tuple):
            self.report(field, found(values, "a list of texts"))
            return ()
        kept: list[str] = []
        for value in values:
            if not isinstance(value, str) or not value.strip():
                self.report(field, found(value, "texts that are not empty"))
            elif filled := self._checked(field, fill(value, self.params), "", check):
                kept.append(filled)
        return tuple(kept)

    def number(self, field: str, default: float, limit: int) -> float:
        """A number above zero, at most `limit`: sums of what is larger cannot be told or written down."""
        value = self.table.get(field, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= limit:
            self.report(field, found(value, f"a number above 0; at most {limit}"))
            return default
        return float(value)

    def integer(self, field: str, default: int, limit: int) -> int:
        """A whole number from -limit to limit."""
        value = self.table.get(field, default)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > limit:
            self.report(field, found(value, f"a whole number from {-limit} to {limit}"))
            return default
        return value

    def flag(self, field: str) -> bool:
        """true or false; false when missing."""
        value = self.table.get(field, False)
        if not isinstance(value, bool):
            self.report(field, found(value, "true or false"))
            return False
        return value

    def choice(self, field: str, default: Choice) -> Choice:
        """One of the values of `default`'s enumeration."""
        kind = type(default)
        value = self.table.get(field, default)
        if value not in tuple(kind):
            self.report(field, found(value, " or ".join(f'"{one}"' for one in kind)))
            return default
        return kind(value)

    def _checked(self, field: str, value: str, default: str, check: Check) -> str:
        problem = check(value)
        if problem:
            self.report(field, f"found {show(value)}; {problem}")
        return default if problem else value
