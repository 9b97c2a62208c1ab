"""Matrix entries of a plan: one entry, many tasks.

`matrix.cluster = ["dev", "prod"]` makes a task for each value, several keys one for each
combination; `{cluster}` stands for the value. Values are short plain words, so that nothing else
can get into a command, a path or a ref through them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from math import prod
from typing import Any

from git_fleet.core.problems import found

Params = tuple[tuple[str, str], ...]
"""The matrix values of one task, in the order of the keys."""

MAX_TASKS = 20_000
VALUE_RULE = "text of [A-Za-z0-9._-], not beginning with '-'"
_VALUE = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def combinations(matrix: Any, report: Callable[[str, str], None]) -> Iterator[Params]:
    """Every combination of the values of an entry's `matrix`; the first key varies slowest.

    `report(field, text)` hears what is wrong; a matrix with anything wrong yields nothing.
    """
    if not isinstance(matrix, Mapping) or not matrix:
        report("matrix", found(matrix, 'a table such as matrix.cluster = ["dev", "prod"]'))
        return
    problems = [problem for key, values in matrix.items() for problem in _check(key, values)]
    for field, text in problems:
        report(field, text)
    if problems:
        return
    if prod(map(len, matrix.values())) > MAX_TASKS:
        report("matrix", f"more than {MAX_TASKS} combinations")
        return
    for values in product(*matrix.values()):
        yield tuple(zip(matrix, values, strict=True))


def _check(key: Any, values: Any) -> Iterator[tuple[str, str]]:
    field = f"matrix.{key}"
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        yield field, "a key is a word of letters, digits and '_'"
    if not isinstance(values, list | tuple) or not values:
        yield field, found(values, "a list of values")
        return
    for value in values:
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            yield field, found(value, VALUE_RULE)
    if len(set(map(repr, values))) != len(values):
        yield field, found(values, "each value once")


def fill(text: str, params: Params) -> str:
    """`text` with the placeholders of `params` replaced; other braces stay as they are."""
    for key, value in params:
        text = text.replace(f"{{{key}}}", value)
    return text


def placeholders(text: str) -> list[str]:
    """The names that stand in braces in `text`."""
    return _PLACEHOLDER.findall(text)
