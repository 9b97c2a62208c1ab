"""Texts made from one template, each with its own parameter values: what counts in them, and whether two
are alike (DESIGN section 9, *Divergence*).

Two texts are alike when there is one template that gives both. So a value counts as the parameter's name,
in whatever spelling (`prod-eu`, `PROD_EU`, `ProdEu`), and a word that merely happens to be somebody's value
(`/dev/null`) is left alone. Moments, random ids and temporary paths stand for all of their kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property

from msgspec import Struct

from git_fleet.core.ids import TaskId
from git_fleet.core.matrix import Params

_TEMPLATE_COLUMNS = 2_000  # a longer line is not looked into for a template


class Kind(StrEnum):
    """What a text is: the changes of a file, what a gate printed, an artifact."""

    FILE = "file"
    GATE = "gate"
    ARTIFACT = "artifact"


_MARK = "\0"  # what stands for a value: this and one more character; taken out of texts beforehand
_FIRST_KIND, _FIRST_KEY = 0xE000, 0xE100
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_CLOCK = r"\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
_EVERYWHERE = {
    "time": rf"\d{{4}}[-/]\d\d[-/]\d\d(?:[T ]{_CLOCK})?|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b"
    rf"|\b\d{{1,2}} {_MONTH} \d{{4}}\b|\b{_MONTH} +\d{{1,2}}(?:,? \d{{4}})?\b"
    r"|\b1[5-9]\d{8}(?:\d{3}){0,3}\b",
    "uuid": r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b",
    "id": r"\b0x[0-9a-fA-F]{6,}\b|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,128}\b",
    "temp": r"(?:/private)?/(?:tmp|var/tmp|var/folders/[^/\s]+/[^/\s]+/T)/[^/\s'\":,;)\]]+",
}
_IN_LOGS = {
    "duration": r"\b(?:\d+(?:\.\d+)?(?: ?(?:ns|us|µs|ms|s|secs?|seconds?|m|mins?|minutes?|h)\b))"
    r"|\b(?:\d+h)?\d+m\d+(?:\.\d+)?s\b",
    "port": r"(?<=:)\d{4,5}\b",
    "pid": r"(?<=[pP][iI][dD][ =:])\d+\b",
    "number": r"\b\d{5,}\b",
}
_NAMES = (*_EVERYWHERE, *_IN_LOGS)
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def _either(patterns: Iterable[tuple[str, str]]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in patterns), re.ASCII)


_PASSING = {
    Kind.GATE: _either([*_EVERYWHERE.items(), *_IN_LOGS.items()]),
    Kind.FILE: _either(_EVERYWHERE.items()),
    Kind.ARTIFACT: _either(_EVERYWHERE.items()),
}
"""What is never compared, by the kind of part: a log is full of numbers that mean nothing, but a change of
`replicas: 3` to `replicas: 5` is what a reviewer must see."""


class Text(Struct, frozen=True, dict=True):
    """One sibling's reading of one part: `plain` with what is never compared marked, `form` with its own
    parameter values marked, too."""

    plain: str
    form: str

    @cached_property
    def lines(self) -> tuple[list[str], list[str]]:
        """Both, line by line; they have the same number of lines."""
        return self.plain.split("\n"), self.form.split("\n")


class Reader:
    """Reads texts with the eyes of one sibling: its own values are the parameters."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self._keys = [key for key, _ in params]
        longest = sorted(params, key=lambda pair: (-len(pair[1]), pair[0]))
        self._each = [(key, re.compile(_spellings(value), re.ASCII)) for key, value in longest]
        self._any = re.compile(
            "|".join(f"(?P<k{self._keys.index(key)}>{_spellings(value)})" for key, value in longest), re.ASCII
        )

    def read(self, text: str, kind: Kind) -> Text:
        """The text with what does not count marked."""
        if kind is Kind.GATE:
            text = _ESCAPE.sub("", text).replace("\r\n", "\n")
        plain = _PASSING[kind].sub(self._passing, text.replace(_MARK, "\ufffd").rstrip("\n"))
        return Text(plain, self.form(plain))

    def in_order(self, lines: Iterable[str]) -> Text:
        """Plain lines that may have come in any order, in the one that siblings have in common."""
        plain = "\n".join(sorted(lines, key=self.form))
        return Text(plain, self.form(plain))

    def name(self, name: str, *, literal: bool) -> Text:
        """A part's name in the same way, nothing left out but values; `literal`: not even these."""
        plain = name.replace(_MARK, "\ufffd")
        return Text(plain, plain if literal else self.form(plain))

    def form(self, plain: str) -> str:
        """`plain` with this sibling's values marked."""
        if not self._keys:
            return plain
        return self._any.sub(
            lambda found: _MARK + chr(_FIRST_KEY + int((found.lastgroup or "k0")[1:])), plain
        )

    def places(self, line: str) -> dict[int, list[tuple[str, int]]]:
        """Where in a line its values stand: start → parameter and end."""
        found: dict[int, list[tuple[str, int]]] = {}
        for key, pattern in self._each:
            for match in pattern.finditer(line):
                found.setdefault(match.start(), []).append((key, match.end()))
        return found

    def show(self, form: str) -> str:
        """A form as people read it."""
        return re.sub(f"{_MARK}(.)", lambda mark: _shown(ord(mark[1]), self._keys), form, flags=re.DOTALL)

    def _passing(self, found: re.Match[str]) -> str:
        text, name = found[0], found.lastgroup or "time"
        own = self._keys and self._any.fullmatch(text)
        return text if own else _MARK + chr(_FIRST_KIND + _NAMES.index(name))


def _shown(code: int, keys: Sequence[str]) -> str:
    if code >= _FIRST_KEY:
        return f"{{{keys[code - _FIRST_KEY]}}}" if code - _FIRST_KEY < len(keys) else "{}"
    return f"<{_NAMES[code - _FIRST_KIND]}>"


def _spellings(value: str) -> str:
    """A pattern for a value in any spelling, not as a part of a longer word or number: `prod-eu` is in
    `PROD_EU_URL` and `getProdEu()`, but `prod` is not in `product` nor `1` in `10`."""
    words = [word for word in re.split(r"[-_.]+", value) if word]
    if not words:
        return re.escape(value)
    inner = "[-_. ]?".join(map(re.escape, words))
    lead = re.escape(value[: len(value) - len(value.lstrip("-_."))])
    tail = re.escape(value[len(value.rstrip("-_.")) :])
    before = r"(?<![0-9])" if words[0][0].isdigit() else r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))"
    after = r"(?![0-9])" if words[-1][-1].isdigit() else r"(?:(?![A-Za-z])|(?<=[a-z])(?=[A-Z]))"
    return f"{before}{lead}(?i:{inner}){after}{tail}"


Readers = Mapping[TaskId, Reader]
"""The reader of each sibling."""


class Shape(Struct):
    """Siblings whose texts are alike, and one of these texts; None: they have no such text."""

    text: Text | None
    tasks: list[TaskId]


def one_template(one: Shape, other: Shape, texts: Mapping[TaskId, Text], readers: Readers) -> bool:
    """Whether one template gives the texts of both. Every witness of the one is held against every witness
    of the other: a value copied from a sibling fits that sibling's text, but no other's."""
    return all(
        templated_lines(texts.get(mine), texts.get(theirs), readers[mine], readers[theirs]) is not None
        for mine in witnesses(one, readers)
        for theirs in witnesses(other, readers)
    )


def witnesses(shape: Shape, readers: Readers) -> list[TaskId]:
    """Members that between them have two values of each parameter, where the members have two."""
    first, *rest = shape.tasks
    chosen = [first]
    for number, pair in enumerate(readers[first].params):
        chosen += [task for task in rest if readers[task].params[number : number + 1] != (pair,)][:1]
    return list(dict.fromkeys(chosen))


def templated_lines(one: Text | None, other: Text | None, mine: Reader, theirs: Reader) -> int | None:
    """In how many lines two texts are alike by a template alone, since not everything in them that could
    be a value is one; None when they are not alike."""
    if one is None or other is None:
        return None
    plain, form = one.lines
    plain_other, form_other = other.lines
    if len(form) != len(form_other):
        return None
    found = 0
    for a, b, p, q in zip(form, form_other, plain, plain_other, strict=True):
        if a != b:
            found += 1
            if p != q and not same_line(p, q, mine, theirs):
                return None
    return found


def same_line(one: str, other: str, mine: Reader, theirs: Reader) -> bool:
    """Whether one template gives both lines, each with its own values: at every place both have the same
    character, or each has its value of one parameter."""
    if max(len(one), len(other)) > _TEMPLATE_COLUMNS:
        return False
    here, there = mine.places(one), theirs.places(other)
    waiting, seen = [(0, 0)], {(0, 0)}
    while waiting:
        i, j = waiting.pop()
        if i == len(one) and j == len(other):
            return True
        steps = [
            (end, other_end)
            for key, end in here.get(i, ())
            for other_key, other_end in there.get(j, ())
            if key == other_key
        ]
        if i < len(one) and j < len(other) and one[i] == other[j]:
            steps.append((i + 1, j + 1))
        waiting += [step for step in steps if step not in seen]
        seen.update(steps)
    return False


def same_text(one: str, other: str) -> bool:
    """Whether two findings say the same, but for moments, ids and numbers of lines."""
    return _bare(one) == _bare(other)


def _bare(text: str) -> str:
    marked = _PASSING[Kind.GATE].sub(_MARK, text)
    return " ".join(re.sub(r"\d+", "0", marked).casefold().split())
