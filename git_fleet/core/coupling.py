"""Hidden coupling: files that history shows changing together and that two tasks split between them.

The measure is the degree of coupling of A. Tornhill's code-maat: the commits that change both
files, divided by the mean of the commits that change either. Very large commits say nothing about
two files and are left out, as there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
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


class Partner(Struct, frozen=True):
    """A file that a `share` (0…1) of the commits changed which changed it or `of`, `commits` of them both."""

    path: str
    of: str
    share: float
    commits: int


def partners(history: Iterable[Iterable[str]], paths: Collection[str]) -> list[Partner]:
    """The other files that history changes together with one of `paths` (at most 100, by the same measure), each with
    the one it goes with most, strongest first."""
    single: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    for commit in history:
        changed = frozenset(commit)
        if len(changed) > MAX_COMMIT_PATHS:
            continue
        single.update(changed)
        ours = [path for path in changed if path in paths]
        together.update((path, one) for one in ours for path in changed if path not in paths)
    best: dict[str, Partner] = {}
    for (path, one), support in sorted(together.items()):
        share = 2 * support / (single[one] + single[path])
        if support >= MIN_SUPPORT and share >= MIN_SHARE:
            found = Partner(path, one, round(share, 2), support)
            best[path] = max(best.get(path, found), found, key=_strength)
    return sorted(best.values(), key=lambda one: (-_strength(one), one.path))[:MAX_SHOWN]


def _strength(one: Partner) -> float:
    return one.share * one.commits


def _split(ownership: Ownership, one: str, other: str) -> tuple[TaskId, TaskId] | None:
    """An owner of one file alone and one of the other alone; None where any task owns both."""
    ours, theirs = ownership.of(one), ownership.of(other)
    return None if set(ours) & set(theirs) else (ours[0], theirs[0])
