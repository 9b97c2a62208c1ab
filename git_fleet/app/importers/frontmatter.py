"""The front matter of a Markdown file: the part of YAML that task files are written in, and no more.

`key: text` (plain or in quotes), `key: [a, b]`, a list of `- text` below its key, and long texts folded below `>-`
or `|`. Every value is a text, a list of texts, or None. Anything else is an error with its line: other YAML could
mean more than one thing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from git_fleet.errors import InvalidInput

RULE = "allowed: 'key: text', 'key: [a, b]', or a list of '- text' below its key"

_KEY = re.compile(r"([A-Za-z_][\w-]*):(?:\s+(.*))?$")
_ITEM = re.compile(r"\s*-(?:\s+(.*))?$")
_BLOCK = re.compile(r"([>|])([+-]?)$")
_QUOTED = re.compile(r"'((?:[^']|'')*)'|(\"(?:[^\"\\]|\\.)*\")")
_NOT_PLAIN = tuple("&*!|>%@`{}[],#?\"'")
_NULL = ("", "~", "null")


class FrontMatter(Struct):
    """The values by key, the line of each key, and the number of lines up to the body, all as in the file."""

    values: dict[str, Any]
    lines: dict[str, int]
    length: int


def read(lines: list[str], report: Callable[[int, str], None]) -> FrontMatter | None:
    """The front matter at the beginning of a file; None where there is none. `report` hears (line, what is wrong)."""
    if not lines or lines[0].rstrip() != "---":
        return None
    end = next((number for number in range(1, len(lines)) if lines[number].rstrip() == "---"), None)
    if end is None:
        report(1, "the front matter has no end; expected a second line '---'")
        return FrontMatter({}, {}, len(lines))
    found = FrontMatter({}, {}, end + 1)
    at = 1
    while at < end:
        line = lines[at].rstrip()
        key = _KEY.match(line)
        if not line or line.startswith("#"):
            at += 1
            continue
        below = _below(lines, at + 1, end)
        if key is None:
            report(at + 1, f"found {line[:80]!r}; {RULE}")
        elif key[1] in found.values:
            report(at + 1, f"the key {key[1]!r} stands twice")
        else:
            found.lines[key[1]] = at + 1
            try:
                found.values[key[1]] = _value((key[2] or "").strip(), lines[at + 1 : below])
            except InvalidInput as error:
                report(at + 1, f"{key[1]}: {error.message}; {RULE}")
        at = max(below, at + 1)
    return found


def _below(lines: list[str], start: int, end: int) -> int:
    """Where the lines end that belong to the key before `start`: indented, items of a list, or empty."""
    at = start
    while at < end and (not lines[at].strip() or lines[at][0] in " \t" or _ITEM.match(lines[at])):
        at += 1
    return at


def _value(text: str, below: list[str]) -> Any:
    """A key's value: what stands behind it, and the lines below. Raises InvalidInput."""
    block = _BLOCK.match(text)
    if block:
        return _folded(below, block[1] == "|", block[2])
    rest = [line for line in below if line.strip() and not line.lstrip().startswith("#")]
    if not rest:
        return _flow(text[1:-1]) if text.startswith("[") and text.endswith("]") else _scalar(text)
    items = [_ITEM.match(line.rstrip()) for line in rest]
    if text or not all(items):
        raise InvalidInput(f"found {rest[0].strip()[:80]!r} below it")
    return [_text((item[1] or "").strip()) for item in items if item]


def _folded(below: list[str], literal: bool, chomp: str) -> str:
    """A text of several lines below its key."""
    indent = min((len(line) - len(line.lstrip(" ")) for line in below if line.strip()), default=0)
    lines = [line[indent:].rstrip() for line in below]
    while lines and not lines[-1]:
        lines.pop()
    if literal:
        text = "\n".join(lines)
    else:
        paragraphs = re.split(r"\n(?=\n)", "\n".join(lines))
        text = "\n".join(" ".join(part.strip("\n").split("\n")) for part in paragraphs)
    return text if chomp == "-" or not text else f"{text}\n"


def _scalar(text: str) -> str | None:
    """A text behind its key; None for nothing. Raises InvalidInput."""
    if quoted := _QUOTED.match(text):
        if text[quoted.end() :].split("#")[0].strip():
            raise InvalidInput(f"found {text[:80]!r}")
        return _unquoted(quoted)
    plain = text.split(" #")[0].rstrip()
    if plain in _NULL:
        return None
    if plain.startswith(_NOT_PLAIN) or ": " in plain or plain.endswith(":"):
        raise InvalidInput(f"found {text[:80]!r}")
    return plain


def _text(text: str) -> str:
    found = _scalar(text)
    if found is None:
        raise InvalidInput("found an item that is empty")
    return found


def _unquoted(quoted: re.Match[str]) -> str:
    if quoted[1] is not None:
        return quoted[1].replace("''", "'")
    import json

    try:
        return str(json.loads(quoted[2], strict=False))
    except ValueError as error:
        raise InvalidInput(f"found {quoted[2][:80]}, with an escape that JSON does not have") from error


def _flow(text: str) -> list[str]:
    """The items of `[a, 'b, c']`. Raises InvalidInput."""
    items: list[str] = []
    rest = text.strip()
    while rest:
        quoted = _QUOTED.match(rest)
        if quoted:
            items.append(_unquoted(quoted))
            rest = rest[quoted.end() :].lstrip()
            if rest and not rest.startswith(","):
                raise InvalidInput(f"found {rest[:80]!r} in the list")
            rest = rest[1:].lstrip()
        else:
            item, _, rest = rest.partition(",")
            items.append(_text(item.strip()))
            rest = rest.lstrip()
    return items
