"""What a sparse worktree of a task holds: the files it owns and reads, and what lies beside them.

Beside them are the files directly in their folders and in all folders above, the root's among them, and whole folders
of the root whose names begin with a dot: agents and tools have their settings there. So a new file can be added
wherever the task owns one, and whoever reads `a/b/c.py` finds `a/b/__init__.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from git_fleet.core import patterns
from git_fleet.core.automaton import Shape, shape
from git_fleet.core.ownership import Tree
from git_fleet.core.patterns import Pattern

_MOST_FOLDERS = 300  # git tries every line on every path
_SPECIAL = re.compile(r"([\\*?\[\]])")
_ODD = re.compile(r'[\\*?\[\]"\x00-\x1f]|^\s|\s$')


class Sparse(Struct, frozen=True):
    """What `git sparse-checkout set` gets, a line each: folders in cone mode, else patterns."""

    cone: bool
    lines: tuple[str, ...]


def sparse(texts: Iterable[str], tracked: Iterable[str]) -> Sparse | None:
    """The lines for a task that owns and reads these patterns, of which some may match nothing yet.

    Cone mode, which is git's fast one, where all of them are folders or files of the root. None without patterns: then
    nothing is known about what it needs.
    """
    wanted = [patterns.parse(text) for text in dict.fromkeys(texts)]
    if not wanted:
        return None
    tree = Tree(tracked)
    settings = sorted({path.partition("/")[0] for path in tree.paths if path.startswith(".") and "/" in path})
    folders = _folders(wanted, tree)
    if folders is not None and not any(map(_ODD.search, (*folders, *settings))):
        return Sparse(True, tuple(sorted({*folders, *settings})))
    lines = ["/*", "!/*/"]
    for folder in _beside(wanted, tree):
        lines += [f"/{_escaped(folder)}/*", f"!/{_escaped(folder)}/*/"]
    lines += [f"/{_escaped(folder)}/" for folder in settings]
    return Sparse(False, (*lines, *(pattern.text for pattern in wanted)))


def _folders(wanted: Sequence[Pattern], tree: Tree) -> list[str] | None:
    """The folders that say all of it; None where it takes more than these."""
    found = []
    for meaning in (shape(pattern.text) for pattern in wanted):
        if meaning.folder is not None:
            found.append(os.fsdecode(meaning.folder))
        elif not _is_root_file(meaning, tree):
            return None
    return found


def _is_root_file(meaning: Shape, tree: Tree) -> bool:
    return (
        meaning.exact is not None and b"/" not in meaning.exact and os.fsdecode(meaning.exact) in tree.paths
    )


def _beside(wanted: Sequence[Pattern], tree: Tree) -> list[str]:
    """The folders whose own files come along, those above before those in them. Of too many, those that the patterns
    name themselves."""
    starts = (meaning.exact or meaning.prefix for meaning in (shape(pattern.text) for pattern in wanted))
    named = {folder for start in starts for folder in _above(os.fsdecode(start))}
    met = {folder for pattern in wanted for path in tree.matches(pattern) for folder in _above(path)}
    found = named | met if len(named | met) <= _MOST_FOLDERS else named
    return sorted(folder for folder in found if "\n" not in folder)


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _escaped(folder: str) -> str:
    return _SPECIAL.sub(r"\\\1", folder)
