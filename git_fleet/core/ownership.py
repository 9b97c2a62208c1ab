"""Which tracked files which patterns and tasks own: plan check's view of the tree."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from git_fleet.core import patterns
from git_fleet.core.automaton import Shape, shape
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Task
from git_fleet.core.overlaps import Owned
from git_fleet.core.patterns import Matcher, Pattern


class Tree:
    """Tracked paths, asked by pattern. Each pattern is matched once, and only against the paths
    that begin as it does, or hold its name."""

    def __init__(self, tracked: Iterable[str]) -> None:
        # A slash at the end, because a pattern's literal start may end in one (see automaton.Shape).
        self._sorted = sorted((os.fsencode(path) + b"/", path) for path in set(tracked))
        self._matches: dict[Pattern, frozenset[str]] = {}

    @cached_property
    def paths(self) -> frozenset[str]:
        """All of them."""
        return frozenset(path for _, path in self._sorted)

    @cached_property
    def by_name(self) -> Mapping[str, Sequence[str]]:
        """The paths of each file name, in order."""
        names: dict[str, list[str]] = {}
        for _, path in self._sorted:
            names.setdefault(path.rpartition("/")[2], []).append(path)
        return names

    @cached_property
    def folders(self) -> Sequence[str]:
        """Every folder that holds something, without a slash at its end, sorted."""
        found: set[str] = set()
        for path in self.paths:
            while (path := path.rpartition("/")[0]) and path not in found:
                found.add(path)
        return sorted(found)

    def below(self, folder: str, limit: int) -> list[str]:
        """The first `limit` paths below a folder ("" is the root)."""
        prefix = os.fsencode(folder) + b"/" if folder else b""
        start = bisect_left(self._sorted, (prefix,))
        near = self._sorted[start : start + limit]
        return [path for key, path in near if key.startswith(prefix)]

    def matches(self, pattern: Pattern) -> frozenset[str]:
        """The tracked paths that a pattern owns."""
        if pattern not in self._matches:
            self._matches[pattern] = self._match(pattern)
        return self._matches[pattern]

    def _match(self, pattern: Pattern) -> frozenset[str]:
        return frozenset(Matcher([pattern]).match_all(self._candidates(shape(pattern.text))))

    def _candidates(self, meaning: Shape) -> Iterable[str]:
        names = [item.name for item in meaning.items if item.name is not None]
        if names and not meaning.prefix:
            return self._by_component.get(names[-1], ())
        return self._starting(meaning.prefix)

    def _starting(self, prefix: bytes) -> Iterator[str]:
        for at in range(bisect_left(self._sorted, (prefix,)), len(self._sorted)):
            key, path = self._sorted[at]
            if not key.startswith(prefix):
                return
            yield path

    @cached_property
    def _by_component(self) -> Mapping[bytes, Sequence[str]]:
        """The paths in which a name stands, for patterns without a literal start such as `cli.py`."""
        found: dict[bytes, list[str]] = {}
        for key, path in self._sorted:
            for name in set(key.split(b"/")):
                found.setdefault(name, []).append(path)
        return found

    def owned(self, texts: Iterable[str]) -> frozenset[str]:
        """The tracked paths that a list of patterns owns."""
        return frozenset().union(*(self.matches(patterns.parse(text)) for text in texts))


class Ownership:
    """Who owns each tracked file, generated ones left out."""

    def __init__(self, tree: Tree, tasks: Sequence[Task], generated: Iterable[str]) -> None:
        exempt = Owned(generated)
        self.files: dict[TaskId, frozenset[str]] = {
            task.id: tree.owned(pattern.text for pattern in exempt.patterns(task)) for task in tasks
        }
        """The tracked files of each task."""
        self.owners: dict[str, list[TaskId]] = {}
        """The tasks that own a path, in plan order; paths that nobody owns are absent."""
        for task_id, paths in self.files.items():
            for path in paths:
                self.owners.setdefault(path, []).append(task_id)

    def of(self, path: str) -> Sequence[TaskId]:
        """The tasks that own `path`."""
        return self.owners.get(path, ())
