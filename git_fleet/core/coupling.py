"""Hidden coupling: files that history shows changing together and that two tasks split between them.

The measure is the degree of coupling of A. Tornhill's code-maat: the commits that change both
files, divided by the mean of the commits that change either. Very large commits say nothing about
two files and are left out, as there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import combinations

from msgspec import Struct

from git_fleet.core.ids import TaskId
from git_fleet.core.ownership import Ownership

MIN_SHARE = 0.5
MIN_SUPPORT = 3
MAX_COMMIT_PATHS = 30
MAX_SHOWN = 100


class Coupling(Struct, frozen=True):
    """Task `a` owns the first path, task `b` the second; `support` commits changed both, a `share`
    (0…1) of those that changed either."""

    a: TaskId
    b: TaskId
    paths: tuple[str, str]
    share: float
    support: int


def couplings(history: Iterable[frozenset[str]], ownership: Ownership) -> list[Coupling]:
    """The strongest couplings (at most 100) between files of different tasks, strongest first.

    `history` has the changed paths of each commit. A pair that one task owns whole is no coupling.
    """
    single: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    for paths in history:
        if len(paths) > MAX_COMMIT_PATHS:
            continue
        owned = sorted(path for path in paths if path in ownership.owners)
        single.update(owned)
        together.update(combinations(owned, 2))
    found: list[Coupling] = []
    for (one, other), support in together.items():
        share = 2 * support / (single[one] + single[other])
        tasks = _split(ownership, one, other) if support >= MIN_SUPPORT and share >= MIN_SHARE else None
        if tasks:
            found.append(Coupling(*tasks, (one, other), round(share, 2), support))
    found.sort(key=lambda coupling: (-coupling.share * coupling.support, coupling.paths))
    return found[:MAX_SHOWN]


def _split(ownership: Ownership, one: str, other: str) -> tuple[TaskId, TaskId] | None:
    """An owner of one file alone and one of the other alone; None where any task owns both."""
    ours, theirs = ownership.of(one), ownership.of(other)
    return None if set(ours) & set(theirs) else (ours[0], theirs[0])
