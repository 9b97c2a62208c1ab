"""Changing single members of a JSON text and leaving every other byte as it is: order, indentation, line ends.

Only strict JSON: with comments or a trailing comma (JSONC) a text is refused, since what we do not understand
whole we do not change. Paths are the keys from the top object down, and indices of lists.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"
_INDENT = "  "

Path = Sequence[str | int]


class NotJson(ValueError):
    """The text is no JSON object; the message says where."""


class _Member(NamedTuple):
    """Where a member of an object or a list stands: its key or index, its value, the end of the value."""

    key: str | int
    starts: int
    value: int
    ends: int


def load(text: str) -> dict[str, Any]:
    """The object that the text is; an empty text is an empty object. Raises NotJson."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotJson(f"not plain JSON: {error}") from error
    if not isinstance(found, dict):
        raise NotJson("not a JSON object")
    return found


def get(document: Any, path: Path) -> Any:
    """The value at the path; None where there is none."""
    for key in path:
        if isinstance(document, list):
            document = document[key] if isinstance(key, int) and 0 <= key < len(document) else None
        else:
            document = document.get(key) if isinstance(document, dict) else None
    return document


def put(text: str, path: Path, value: Any) -> str:
    """The text with the member set; objects on the way to it are made. The length of a list, as its index, adds to it.

    Raises NotJson, also where something else is in the way.
    """
    document = load(text)
    if not text.strip():
        text = "{}\n"
    depth = 0
    at = _skip(text, 0)
    while True:
        members = _members(text, at)
        known = next((member for member in reversed(members) if member.key == path[depth]), None)
        if known is None:
            for key in reversed(path[depth + 1 :]):
                value = {key: value}
            return _add(text, at, members, path[depth], value)
        depth += 1
        if depth == len(path):
            return text[: known.value] + _dump(value, text, known.starts) + text[known.ends :]
        wanted, what = (list, "a list") if isinstance(path[depth], int) else (dict, "an object")
        if not isinstance(get(document, path[:depth]), wanted):
            raise NotJson(f"{'.'.join(map(str, path[:depth]))} is not {what}")
        at = known.value


def remove(text: str, path: Path) -> str:
    """The text without the member, and without what on the way to it is empty then. Raises NotJson."""
    document = load(text)
    if get(document, path) is None:
        return text
    while len(path) > 1 and len(get(document, path[:-1])) == 1:
        path = path[:-1]
    at = _skip(text, 0)
    for key in path[:-1]:
        at = next(member for member in reversed(_members(text, at)) if member.key == key).value
    members = _members(text, at)
    index = max(index for index, member in enumerate(members) if member.key == path[-1])
    if index:  # from the end of the one before, with the comma
        return text[: members[index - 1].ends] + text[members[index].ends :]
    if len(members) > 1:
        return text[: members[0].starts] + text[members[1].starts :]
    closing = _skip(text, members[0].ends)
    return text[: at + 1] + text[closing:]


def _members(text: str, at: int) -> list[_Member]:
    """The members of the object or list that begins at `at`, which is known to be sound."""
    found: list[_Member] = []
    keyed = text[at] == "{"
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        key: str | int = len(found)
        value = at
        if keyed:
            key, after = _DECODER.raw_decode(text, at)
            value = _skip(text, _skip(text, after) + 1)
        ends = _DECODER.raw_decode(text, value)[1]
        found.append(_Member(key, at, value, ends))
        at = _skip(text, ends)
        at = _skip(text, at + 1) if text[at] == "," else at
    return found


def _add(text: str, at: int, members: list[_Member], key: str | int, value: Any) -> str:
    """One more member at the end of the object or list that begins at `at`, laid out as its others are."""
    name = f"{json.dumps(key)}: " if isinstance(key, str) else ""
    if members:
        last = members[-1]
        gap = text[_back(text, last.starts) : last.starts]
        made = name + _dump(value, text, last.starts)
        return text[: last.ends] + "," + (gap or " ") + made + text[last.ends :]
    outer = _indent(text, at)
    inner = outer + _unit(text)
    newline = _newline(text)
    made = name + _lay(value, inner, _unit(text), newline)
    return f"{text[: at + 1]}{newline}{inner}{made}{newline}{outer}{text[_skip(text, at + 1) :]}"


def _dump(value: Any, text: str, at: int) -> str:
    """A value for a member whose key stands at `at`: on one line where the text is on one."""
    if "\n" not in text.strip():
        return json.dumps(value, ensure_ascii=False)
    return _lay(value, _indent(text, at), _unit(text), _newline(text))


def _lay(value: Any, indent: str, unit: str, newline: str) -> str:
    """A value over several lines, lists of plain values on one."""
    if isinstance(value, dict) and value:
        deeper = indent + unit
        rows = [
            f"{deeper}{json.dumps(key)}: {_lay(each, deeper, unit, newline)}" for key, each in value.items()
        ]
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        deeper = indent + unit
        rows = [f"{deeper}{_lay(each, deeper, unit, newline)}" for each in value]
    else:
        return json.dumps(value, ensure_ascii=False)
    opens, closes = "{}" if isinstance(value, dict) else "[]"
    return f"{opens}{newline}{f',{newline}'.join(rows)}{newline}{indent}{closes}"


def _indent(text: str, at: int) -> str:
    """What the line of `at` is indented by."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    """What one level is indented by: as the first member of the top object is."""
    members = _members(text, _skip(text, 0))
    if not members:
        return _INDENT
    gap = text[_back(text, members[0].starts) : members[0].starts]
    return gap.rpartition("\n")[2] or _INDENT if "\n" in gap else _INDENT


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _back(text: str, at: int) -> int:
    """Where the white space before `at` begins."""
    while at and text[at - 1] in _SPACE:
        at -= 1
    return at
