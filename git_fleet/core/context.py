"""What an agent should read first for a task: files in order, within a budget of tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from msgspec import Struct

from git_fleet.core.coupling import partners
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.wording import count

DEFAULT_BUDGET = 16_000
CHARACTERS = 4
"""Characters a token, as is usual for English and for code."""

MOST = 1000
_LFS = b"version https://git-lfs.github.com/spec/"
_LOOKED_AT = 8000  # bytes in which git looks for a zero byte


class Reason(StrEnum):
    """Why a file is worth reading, the best reason first."""

    OWNED = "owned"
    READS = "reads"
    IMPORTED = "imported"
    IMPORTER = "importer"
    HISTORY = "history"


class Why(StrEnum):
    """Why a file is left out."""

    SIZE = "size"
    BINARY = "binary"
    GENERATED = "generated"
    LFS = "lfs"


class Candidate(Struct, frozen=True):
    """A file and its reason; `about` says more ("" for nothing)."""

    path: str
    reason: Reason
    about: str = ""


class Read(Struct, frozen=True):
    """A file to read, and how long it is."""

    file: Candidate
    tokens: int


class LeftOut(Struct, frozen=True):
    """A file that is not among those to read; `tokens` is None where it is no text."""

    file: Candidate
    why: Why
    tokens: int | None


class Context(Struct, frozen=True):
    """What to read for a task, the most important first, of the tip `commit` of `base`.

    `unmatched` are patterns it owns or reads that match nothing there (yet); `more` counts further candidates that were
    not looked at; `note` says what was not looked for.
    """

    task: TaskId
    base: str
    commit: Oid
    budget: int
    files: tuple[Read, ...]
    left_out: tuple[LeftOut, ...]
    unmatched: tuple[str, ...] = ()
    more: int = 0
    note: str = ""

    @property
    def tokens(self) -> int:
        """All that is to be read."""
        return sum(each.tokens for each in self.files)


def rank(
    words: str,
    owned: frozenset[str],
    reads: frozenset[str],
    imports: Mapping[str, frozenset[str]],
    history: Iterable[tuple[str, ...]],
) -> list[Candidate]:
    """Every file once, under its best reason, the most important first.

    `words` are the task's title and prompt: what they name comes before the rest of its kind, then what changes most
    often. `imports` has, by file, what it imports; of it what `owned` imports and is imported by counts.
    """
    commits = [*history]
    changes = Counter(path for paths in commits for path in paths)
    found = [
        Candidate(path, reason)
        for reason, paths in ((Reason.OWNED, owned), (Reason.READS, reads))
        for path in sorted(paths, key=lambda path: (path not in words, -changes[path], path))
    ]
    found += _neighbours(owned, imports)
    found += (
        Candidate(one.path, Reason.HISTORY, f"{count(one.commits, 'commit')} with {one.of} ({one.share:.0%})")
        for one in partners(commits, owned)
    )
    return [*_once(found)]


def _once(found: Iterable[Candidate]) -> Iterator[Candidate]:
    seen: set[str] = set()
    for each in found:
        if each.path not in seen:
            seen.add(each.path)
            yield each


def _neighbours(owned: frozenset[str], imports: Mapping[str, frozenset[str]]) -> Iterator[Candidate]:
    """What most of its files import first; then who imports most of them."""
    imported = Counter(path for one in sorted(owned) for path in imports.get(one, ()))
    importers = Counter(
        {path: len(found & owned) for path, found in imports.items() if path not in owned and found & owned}
    )
    for path, _ in sorted(imported.items(), key=lambda each: (-each[1], each[0])):
        by = sorted(one for one in owned if path in imports.get(one, ()))
        yield Candidate(path, Reason.IMPORTED, f"by {_listed(by)}")
    for path, _ in sorted(importers.items(), key=lambda each: (-each[1], each[0])):
        yield Candidate(path, Reason.IMPORTER, f"of {_listed(sorted(imports[path] & owned))}")


def _listed(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def cannot_fit(size: int, budget: int) -> bool:
    """Whether a file of so many bytes is larger than the budget whatever its letters are (at most 4 bytes each)."""
    return size > budget * CHARACTERS * 4


def measure(data: bytes) -> int | Why:
    """How many tokens a file's content has, or why it is not for reading."""
    if data.startswith(_LFS):
        return Why.LFS
    if b"\0" in data[:_LOOKED_AT]:
        return Why.BINARY
    return tokens(len(data.decode("utf-8", "replace")))


def tokens(characters: int) -> int:
    """Rounded up: an empty file has none."""
    return -(-characters // CHARACTERS)
