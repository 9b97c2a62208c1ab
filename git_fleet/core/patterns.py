"""The files a task owns: gitignore-style patterns, matched against paths and against each other.

Patterns follow gitignore(5) from the repository's root; `automaton` says how, and where git is
stricter than its manual. A name without a slash matches at any depth, as in git: `cli.py` owns
`sub/cli.py` too, `/cli.py` does not. Negation is refused: ownership is what the list says.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left, insort
from collections.abc import Hashable, Iterable, Iterator
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from git_fleet.core import automaton, globs
from git_fleet.core.automaton import Shape, shape

_CACHE = 1 << 16
_FEW = 1 << 12


class Pattern(NamedTuple):
    """A pattern that `parse` accepted; two are equal if their texts are."""

    text: str


def parse(text: str) -> Pattern:
    """`text` as a pattern, without the trailing spaces git ignores.

    Raises InvalidInput for what git would read as something else (comment, negation) or never
    match (empty components, unclosed classes), for paths that leave the repository, and where
    versions of git disagree; the message says what was found and what is allowed.
    """
    normal = automaton.normalise(text)
    automaton.shape(normal)
    return Pattern(normal)


def forget() -> None:
    """Let go of what many patterns were found to mean, 500 bytes each: for who stays, and has few more questions."""
    for kept in (automaton.shape, globs.component, _common):
        if kept.cache_info().currsize > _FEW:
            kept.cache_clear()


def literal_path(pattern: Pattern) -> str | None:
    """The one path an anchored pattern without wildcards names, else None.

    `src/a.py` and `/cli.py` do; `cli.py` (any depth) and `docs/` (what is below it) do not. The
    path may still be a directory's, and then all that is below it is owned.
    """
    exact = shape(pattern.text).exact
    return None if exact is None else os.fsdecode(exact)


def overlap(left: Pattern, right: Pattern) -> bool:
    """Whether a file that both patterns own could exist, whatever the tree holds now.

    A last component that looks like a file's name (`*.md`, `Makefile`) is not read as a directory's
    unless the other pattern does: git would let `*.md` and `docs/*.txt` meet in `docs/a.txt/a.md`,
    and nobody means that. Existing files are matched without this exception (see `Matcher`).
    """
    return _overlap(left, shape(left.text), right, shape(right.text))


def _overlap(left: Pattern, ours: Shape, right: Pattern, theirs: Shape) -> bool:
    if automaton.obviously_disjoint(ours, theirs):
        return False
    return automaton.obviously_common(ours, theirs) or witness(left, right) is not None


def witness(left: Pattern, right: Pattern) -> str | None:
    """A short path that both patterns match, as an example; None unless they overlap."""
    found = _common(*sorted((left.text, right.text)))
    return None if found is None else os.fsdecode(found)


@lru_cache(maxsize=_CACHE)
def _common(left: str, right: str) -> bytes | None:
    return automaton.common_path(shape(left), shape(right))


def regexes(patterns: Iterable[Pattern]) -> list[str]:
    """Sources for `re`, ASCII only, that together match what `Matcher` matches.

    They are for path *bytes*: `re.match(source.encode(), os.fsencode(path))`, or `compile_regexes`.
    """
    return [automaton.regex(shape(pattern.text)) for pattern in patterns]


def compile_regexes(sources: Iterable[str]) -> re.Pattern[bytes]:
    """One expression for all `sources` of `regexes`; use `.match(os.fsencode(path))`. None: nothing matches."""
    return re.compile(("|".join(sources) or "(?!)").encode())


class Matcher:
    """Tells which paths a list of patterns owns. Paths are text as `os.fsdecode` gives it.

    Most patterns name one path, or all that is below one folder. Those need no expression, which takes a
    hundred times longer to compile than such a path takes to look up.
    """

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        meanings = [shape(pattern.text) for pattern in patterns]
        self._paths = {meaning.exact for meaning in meanings if meaning.exact is not None}
        self._folders = {meaning.folder for meaning in meanings if meaning.folder is not None}
        rest = [meaning for meaning in meanings if meaning.exact is None and meaning.folder is None]
        self._expression = compile_regexes(map(automaton.regex, rest)) if rest else None

    def match(self, path: str) -> bool:
        """Whether the file `path` (relative to the root, no trailing slash) is owned."""
        name = os.fsencode(path)
        if name in self._paths or (self._expression is not None and self._expression.match(name)):
            return True
        return any(folder in self._paths or folder in self._folders for folder in _above(name))

    def match_all(self, paths: Iterable[str]) -> list[str]:
        """Those of `paths` that are owned, in their order."""
        return [path for path in paths if self.match(path)]


def _above(path: bytes) -> Iterator[bytes]:
    """The folders that a path is in."""
    while path := path.rpartition(b"/")[0]:
        yield path


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class _Starts(Generic[Value]):
    """Values, each under the bytes that what it stands for starts with."""

    def __init__(self) -> None:
        self._values: dict[bytes, list[Value]] = {}
        self._sorted: list[bytes] = []
        self._lengths: list[int] = []  # of all starts, each once

    def add(self, start: bytes, value: Value) -> None:
        if start not in self._values:
            self._values[start] = []
            insort(self._sorted, start)
            if len(start) not in self._lengths:
                insort(self._lengths, len(start))
        self._values[start].append(value)

    def meeting(self, start: bytes) -> Iterator[Value]:
        """The values under every start that continues `start` or that `start` continues."""
        for length in self._lengths[: bisect_left(self._lengths, len(start))]:
            yield from self._values.get(start[:length], ())
        for at in range(bisect_left(self._sorted, start), len(self._sorted)):
            if not self._sorted[at].startswith(start):
                return
            yield from self._values[self._sorted[at]]


class _Entry(NamedTuple, Generic[Key]):
    key: Key
    pattern: Pattern
    meaning: Shape


class OverlapIndex(Generic[Key]):
    """Answers which of many owners overlap a list of patterns, without comparing all of them.

    Two patterns can only overlap if the literal start of the paths that one matches continues the
    other's, so `src/a/**` never meets `src/b/**`. That tells nothing of a pattern that matches at
    any depth; but two that name files only meet if one of these names, or of the directories that
    look like files (see `overlap`), continues the other's start too. So `a.py` never meets `b.py`
    or `src/b.py`, and is compared with `src/**`, with `src/*.py`, and with other owners of `a.py`.
    """

    def __init__(self) -> None:
        self._added: dict[Key, int] = {}
        self._trees: list[_Entry[Key]] = []  # what may own all that is below a directory
        self._floating: list[_Entry[Key]] = []  # what names files and has no literal start
        self._by_prefix: _Starts[_Entry[Key]] = _Starts()  # all but the floating ones
        self._floating_by_name: _Starts[_Entry[Key]] = _Starts()
        self._anchored_by_name: _Starts[_Entry[Key]] = _Starts()  # what names files and has a start

    def add(self, key: Key, patterns: Iterable[Pattern]) -> None:
        """Add patterns to the owner `key`, who may already have some."""
        self._added.setdefault(key, len(self._added))
        for pattern in patterns:
            meaning = shape(pattern.text)
            entry = _Entry(key, pattern, meaning)
            floating = meaning.file is not None and not meaning.prefix
            if meaning.file is None:
                self._trees.append(entry)
            if floating:
                self._floating.append(entry)
            else:
                self._by_prefix.add(meaning.prefix, entry)
            by_name = self._floating_by_name if floating else self._anchored_by_name
            for start in meaning.starts:
                by_name.add(start, entry)

    def overlapping(self, patterns: Iterable[Pattern]) -> list[Key]:
        """The owners who overlap any of `patterns`, in the order they were added."""
        return list(self.reasons(patterns))

    def reasons(self, patterns: Iterable[Pattern]) -> dict[Key, tuple[Pattern, Pattern]]:
        """The owners who overlap, each with one pair (the owner's pattern, the given one)."""
        found: dict[Key, tuple[Pattern, Pattern]] = {}
        for given in patterns:
            meaning = shape(given.text)
            for key, owned, other in self._candidates(meaning):
                if key not in found and _overlap(owned, other, given, meaning):
                    found[key] = (owned, given)
        return {key: found[key] for key in sorted(found, key=self._added.__getitem__)}

    def _candidates(self, given: Shape) -> Iterator[_Entry[Key]]:
        if given.file is None:
            yield from self._floating
        for start in given.starts:
            yield from self._floating_by_name.meeting(start)
        if given.file is None or given.prefix:
            yield from self._by_prefix.meeting(given.prefix)
        else:
            for start in given.starts:
                yield from self._anchored_by_name.meeting(start)
            yield from self._trees
