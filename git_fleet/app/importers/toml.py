"""plan.toml and fleet.toml: TOML with the line numbers of its keys."""

from __future__ import annotations

import re
import tomllib

from git_fleet.app.importers.document import Document
from git_fleet.core.problems import Path
from git_fleet.errors import InvalidInput

_TABLE = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\s-]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=")
_WHERE = re.compile(r" \(at line (\d+), column (\d+)\)$")
_LONG_QUOTES = re.compile(r'"""|' + r"'''")


def read(text: str, source: str) -> Document:
    """The document of a TOML text. Raises InvalidInput with the line of a syntax error."""
    try:
        return Document(tomllib.loads(text), key_lines(text))
    except RecursionError:
        raise InvalidInput(f"{source}: nested too deeply") from None
    except ValueError as error:  # tomllib's own, and what int() says of too many digits
        message = str(error)
        place = _WHERE.search(message)
        if place is None:
            raise InvalidInput(f"{source}: not TOML: {message}") from None
        said = f"{message[: place.start()]}, in column {place[2]}"
        raise InvalidInput(f"{source}:{place[1]}: not TOML: {said}") from None


def key_lines(text: str) -> dict[Path, int]:
    """The line of every table and of every plain key that begins a line.

    A look at the text, no second parser: quoted keys and inline tables have no line of their own.
    """
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    inside = ""
    for number, line in enumerate(text.split("\n"), start=1):
        started_inside, inside = inside, _open_quotes(line, inside)
        if started_inside:
            continue
        if header := _TABLE.match(line):
            table = _table_path(header[1], header[2], counts)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            parts: Path = tuple(part.strip() for part in key[1].split("."))
            for length in range(1, len(parts) + 1):
                lines.setdefault(table + parts[:length], number)
    return lines


def _table_path(brackets: str, name: str, counts: dict[Path, int]) -> Path:
    """The path of a header, with the number of the entry after each list of tables on its way."""
    path: Path = ()
    parts = [part.strip() for part in name.split(".")]
    for number, part in enumerate(parts, start=1):
        path = (*path, part)
        if number == len(parts) and brackets == "[[":
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path = (*path, counts[path] - 1)
    return path


def _open_quotes(line: str, inside: str) -> str:
    """The long quotes that are open at the end of `line`, if `inside` was open at its start."""
    for quotes in _LONG_QUOTES.findall(line):
        if not inside:
            inside = quotes
        elif quotes == inside:
            inside = ""
    return inside
