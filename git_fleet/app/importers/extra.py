"""What came with a task from an issue tracker, as a plan keeps it: `[task.extra.NAME]`.

TOML has no null, and no half of a surrogate pair, which JSON can write. A field that holds one is kept as JSON text,
beside the others, in `extra.NAME-json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from git_fleet.core.spelling import encoding_problem
from git_fleet.errors import InvalidInput

_AS_TEXT = "-json"


def pack(tracker: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The table `extra` of a task that came from `tracker` with these fields, decoded from JSON."""
    plain = {key: value for key, value in fields.items() if _in_toml(key) and _in_toml(value)}
    rest = {key: value for key, value in fields.items() if key not in plain}
    packed: dict[str, Any] = {tracker: plain}
    if rest:
        packed[tracker + _AS_TEXT] = json.dumps(rest, separators=(",", ":"))
    return packed


def unpack(tracker: str, extra: str) -> dict[str, Any] | None:
    """The fields again, from a task's `extra`; None for a task that did not come from there.

    Raises InvalidInput where somebody has written something else into the plan.
    """
    table = json.loads(extra) if extra else {}
    if tracker not in table:
        return None
    rest = table.get(tracker + _AS_TEXT, "{}")
    try:
        decoded = json.loads(rest) if isinstance(rest, str) else rest
    except ValueError as error:
        raise InvalidInput(f"extra.{tracker}{_AS_TEXT}: not JSON: {error}") from error
    if not isinstance(table[tracker], dict) or not isinstance(decoded, dict):
        raise InvalidInput(
            f"extra.{tracker}: found something else than a table; allowed: what an import wrote"
        )
    return {**table[tracker], **decoded}


def _in_toml(value: Any) -> bool:
    """Whether TOML can say it."""
    if isinstance(value, Mapping):
        return all(_in_toml(key) and _in_toml(each) for key, each in value.items())
    if isinstance(value, list):
        return all(map(_in_toml, value))
    return value is not None and not (isinstance(value, str) and encoding_problem(value))
