"""The files a task owns: gitignore-style patterns, matched against paths and against each other.

Patterns follow gitignore(5) from the repository's root; `automaton` says how, and where git is
stricter than its manual. A name without a slash matches at any depth, as in git: `cli.py` owns
`sub/cli.py` too, `/cli.py` does not. Negation is refused: ownership is what the list says.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left, insort
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from git_fleet.core import automaton
from git_fleet.core.automaton import shape

_CACHE = 1 << 16


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


def literal_path(pattern: Pattern) -> str | None:
    """The one path an anchored pattern without wildcards names, else None.

    `src/a.py` and `/cli.py` do; `cli.py` (any depth) and `docs/` (what is below it) do not. The
    path may still be a directory's, and then all that is below it is owned.
    """
    exact = shape(pattern.text).exact
    return None if exact is None else os.fsdecode(exact)


def is_literal(pattern: Pattern) -> bool:
    """Whether `literal_path` has an answer."""
    return shape(pattern.text).exact is not None


def overlap(left: Pattern, right: Pattern) -> bool:
    """Whether a file that both patterns own could exist, whatever the tree holds now.

    A last component that looks like a file's name (`*.md`, `Makefile`) is not read as a directory's
    unless the other pattern does: git would let `*.md` and `docs/*.txt` meet in `docs/a.txt/a.md`,
    and nobody means that. Existing files are matched without this exception (see `Matcher`).
    """
    ours, theirs = shape(left.text), shape(right.text)
    if automaton.obviously_disjoint(ours, theirs):
        return False
    return _common(*sorted((left.text, right.text))) is not None


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
    """Tells which paths a list of patterns owns. Paths are text as `os.fsdecode` gives it."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._expression = compile_regexes(regexes(patterns))

    def match(self, path: str) -> bool:
        """Whether the file `path` (relative to the root, no trailing slash) is owned."""
        return self._expression.match(os.fsencode(path)) is not None

    def match_all(self, paths: Iterable[str]) -> list[str]:
        """Those of `paths` that are owned, in their order."""
        return [path for path in paths if self.match(path)]


Key = TypeVar("Key", bound=Hashable)


class OverlapIndex(Generic[Key]):
    """Answers which of many owners overlap a list of patterns, without comparing all of them.

    Patterns are kept under the literal start of the paths they match. Two can only overlap if one
    start continues the other, so `src/a/**` never meets `src/b/**`; patterns that begin with a
    wildcard, or match at any depth, meet all.
    """

    def __init__(self) -> None:
        self._owned: dict[bytes, list[tuple[Key, Pattern]]] = {}
        self._prefixes: list[bytes] = []  # the keys of _owned, sorted
        self._added: dict[Key, int] = {}

    def add(self, key: Key, patterns: Iterable[Pattern]) -> None:
        """Add patterns to the owner `key`, who may already have some."""
        self._added.setdefault(key, len(self._added))
        for pattern in patterns:
            prefix = shape(pattern.text).prefix
            if prefix not in self._owned:
                self._owned[prefix] = []
                insort(self._prefixes, prefix)
            self._owned[prefix].append((key, pattern))

    def overlapping(self, patterns: Iterable[Pattern]) -> list[Key]:
        """The owners who overlap any of `patterns`, in the order they were added."""
        return list(self.reasons(patterns))

    def reasons(self, patterns: Iterable[Pattern]) -> dict[Key, tuple[Pattern, Pattern]]:
        """The owners who overlap, each with one pair (the owner's pattern, the given one)."""
        found: dict[Key, tuple[Pattern, Pattern]] = {}
        for given in patterns:
            for key, owned in self._candidates(shape(given.text).prefix):
                if key not in found and overlap(owned, given):
                    found[key] = (owned, given)
        return {key: found[key] for key in sorted(found, key=self._added.__getitem__)}

    def _candidates(self, prefix: bytes) -> Iterator[tuple[Key, Pattern]]:
        for length in range(len(prefix)):
            yield from self._owned.get(prefix[:length], ())
        for at in range(bisect_left(self._prefixes, prefix), len(self._prefixes)):
            if not self._prefixes[at].startswith(prefix):
                return
            yield from self._owned[self._prefixes[at]]


def overlapping_pairs(
    owners: Sequence[tuple[str, Sequence[Pattern]]],
) -> list[tuple[int, int, tuple[Pattern, Pattern]]]:
    """All (i, j, (pattern of i, pattern of j)) with i < j whose owners overlap, sorted.

    `owners` are (name, patterns); the names are not looked at. Each pair comes once, with the
    first reason found.
    """
    index: OverlapIndex[int] = OverlapIndex()
    pairs = []
    for number, (_, patterns) in enumerate(owners):
        pairs += [(earlier, number, reason) for earlier, reason in index.reasons(patterns).items()]
        index.add(number, patterns)
    return sorted(pairs)
