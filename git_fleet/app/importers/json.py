"""A plan as JSON, in the shape of plan.toml: `{"version": 1, "plan": "…", "task": [{…}, …]}`."""

from __future__ import annotations

import json
import math
from typing import Any

from git_fleet.app.importers.document import Document
from git_fleet.core.problems import at
from git_fleet.errors import InvalidInput


def read(text: str, source: str) -> Document:
    """The document of a JSON text. Raises InvalidInput with the line of a syntax error."""
    data = decode(text, source)
    if not isinstance(data, dict):
        raise InvalidInput(
            f'{source}: found a {type(data).__name__}; allowed: an object {{"version": 1, "plan": …, "task": […]}}'
        )
    return Document(data, {})


def decode(text: str, source: str, *, line: int = 0) -> Any:
    """What a JSON text holds: all of a file, or line `line` of it. Raises InvalidInput with the line."""
    try:
        return json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        said = f"{error.msg}, in column {error.colno}"
        raise InvalidInput(f"{at(source, max(line, 1) + error.lineno - 1)}: not JSON: {said}") from None
    except RecursionError:
        raise InvalidInput(f"{at(source, line)}: nested too deeply") from None
    except ValueError as error:  # ours, and what int() says of too many digits
        raise InvalidInput(f"{at(source, line)}: not JSON: {error}") from None


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"the number {text} is too large")
    return number


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return table


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
