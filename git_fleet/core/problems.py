"""What is wrong with a document, collected so that a person sees all of it at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from msgspec import Struct, field

from git_fleet.errors import InvalidInput

MAX_SHOWN = 20
_MAX_VALUE = 80

Path = tuple[str | int, ...]
"""A place in a document: `("task", 0, "files")`."""

Lines = Mapping[Path, int]
"""Line numbers, 1-based, of the places whose line is known."""


def line_of(lines: Lines, path: Path) -> int:
    """The line of a place, else of the nearest thing around it, else 0."""
    around = (path[:length] for length in range(len(path), 0, -1))
    return next((lines[place] for place in around if place in lines), 0)


class Folder(str):
    """The name of a folder whose files are read as one text, each from a line of its own on.

    `starts` are the files' names and first lines (1-based), in order.
    """

    __slots__ = ("starts",)
    starts: tuple[tuple[int, str], ...]

    def __new__(cls, name: str, starts: Iterable[tuple[int, str]]) -> Folder:
        """The folder `name` with its files."""
        made = super().__new__(cls, name)
        made.starts = tuple(starts)
        return made


def at(source: str, line: int) -> str:
    """`file:line`, as people look for it; the file alone where the line is not known (0)."""
    if isinstance(source, Folder) and line:
        first, name = next((start for start in reversed(source.starts) if start[0] <= line), (1, source))
        return f"{name}:{line - first + 1}"
    return f"{source}:{line}" if line else str(source)


class Problem(NamedTuple):
    """One thing that is wrong: where (`task 42`, or "" for the document), field, and what."""

    where: str
    field: str
    text: str
    line: int = 0


class Problems(Struct):
    """Collects problems of one document. `source` is what people call it: a file's name."""

    source: str
    found: dict[Problem, None] = field(default_factory=dict)

    def add(self, text: str, *, where: str = "", field: str = "", line: int = 0) -> None:
        """Remember one problem; the same one twice counts once."""
        self.found[Problem(where, field, text, line)] = None

    def raise_if_any(self, *, hint: str = "") -> None:
        """Raises InvalidInput that names every problem (the first twenty), if there is one."""
        if not self.found:
            return
        shown = [self._line(problem) for problem in islice(self.found, MAX_SHOWN)]
        hidden = len(self.found) - len(shown)
        if hidden:
            shown.append(f"… and {hidden} more")
        raise InvalidInput("\n".join(shown), hint=hint)

    def _line(self, problem: Problem) -> str:
        place = at(self.source, problem.line)
        named = (_on_one_line(name) for name in (problem.where, problem.field))
        return ": ".join(filter(None, (place, *named, problem.text)))


def _on_one_line(name: str) -> str:
    """A place in a document; a key of it may be any text, and must not look like another problem."""
    return name if name.isprintable() else repr(name)[1:-1]


def found(value: Any, allowed: str) -> str:
    """`found VALUE; allowed: …`, with a value that is not too long to read."""
    return f"found {show(value)}; allowed: {allowed}"


def show(value: Any) -> str:
    """A value as people wrote it, more or less, and on one line."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` for the known word that is most like `word`, else nothing."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
