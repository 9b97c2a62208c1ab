"""Which tasks own common paths (DESIGN sections 4 and 5).

For a pair the stricter policy holds (serialize > watch > accept). A `joint` owner and a reader of
its files are a pair that takes turns. Generated files are nobody's: a pattern that is one of
theirs, or names one of them, is left out. Reports own nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property

from msgspec import Struct

from git_fleet.core import patterns
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Output, Overlap, Task
from git_fleet.core.patterns import Matcher, OverlapIndex, Pattern

_STRICTEST_FIRST = (Overlap.SERIALIZE, Overlap.WATCH, Overlap.ACCEPT)


class Pair(Struct, frozen=True):
    """Two tasks that overlap, in the order given, and what they may do. `patterns` are one pattern
    of each that meet (the reader's is from `reads` where the pair is a joint owner and a reader)."""

    a: TaskId
    b: TaskId
    policy: Overlap
    patterns: tuple[str, str]

    @property
    def turned(self) -> Pair:
        """The same pair the other way round."""
        return Pair(self.b, self.a, self.policy, (self.patterns[1], self.patterns[0]))


Recall = Callable[[Callable[[], Sequence[Pair]]], Sequence[Pair]]


def stricter(one: Overlap, other: Overlap) -> Overlap:
    """The policy that holds for a pair."""
    return min(one, other, key=_STRICTEST_FIRST.index)


def pairs(tasks: Sequence[Task], generated: Iterable[str] = ()) -> list[Pair]:
    """Every overlapping pair once, in plan order. Two revisions of one task are no pair.

    About linear in the tasks as long as few of them overlap (a name such as `cli.py`, at any depth,
    overlaps whoever owns a directory). Raises InvalidInput for a broken pattern.
    """
    owned = Owned(generated)
    files = [owned.patterns(task) for task in tasks]
    place: dict[TaskId, int] = {}
    for task in tasks:
        place.setdefault(task.id, len(place))
    found: dict[tuple[TaskId, TaskId], Pair] = {}
    for pair in (*_joint_pairs(tasks, files), *_owner_pairs(tasks, files)):
        ordered = pair if place[pair.a] < place[pair.b] else pair.turned
        known = found.setdefault((ordered.a, ordered.b), ordered)
        if stricter(known.policy, pair.policy) is not known.policy:
            found[ordered.a, ordered.b] = ordered
    return sorted(found.values(), key=lambda pair: (place[pair.a], place[pair.b]))


def _owner_pairs(tasks: Sequence[Task], files: Sequence[Sequence[Pattern]]) -> Iterator[Pair]:
    """Owners of a common path."""
    index: OverlapIndex[int] = OverlapIndex()
    for number, task in enumerate(tasks):
        for earlier, (theirs, ours) in index.reasons(files[number]).items():
            other = tasks[earlier]
            if other.id != task.id:
                policy = stricter(other.overlap, task.overlap)
                yield Pair(other.id, task.id, policy, (theirs.text, ours.text))
        index.add(number, files[number])


def _joint_pairs(tasks: Sequence[Task], files: Sequence[Sequence[Pattern]]) -> Iterator[Pair]:
    """A joint owner with everybody who reads its files."""
    owners = [own if task.joint else () for task, own in zip(tasks, files, strict=True)]
    for edge in _edges(tasks, owners) if any(owners) else ():
        yield Pair(edge.owner, edge.reader, Overlap.SERIALIZE, edge.patterns)


class Edge(Struct, frozen=True):
    """An interface: `owner` may change what `reader` relies on. `patterns` are one of the owner's
    `files` and one of the reader's `reads` that meet."""

    owner: TaskId
    reader: TaskId
    patterns: tuple[str, str]


def interfaces(tasks: Sequence[Task], generated: Iterable[str] = ()) -> list[Edge]:
    """Every owner with every other task that reads its files, in plan order of the owners."""
    owned = Owned(generated)
    return list(_edges(tasks, [owned.patterns(task) for task in tasks]))


def _edges(tasks: Sequence[Task], files: Sequence[Sequence[Pattern]]) -> Iterator[Edge]:
    readers: OverlapIndex[int] = OverlapIndex()
    for number, task in enumerate(tasks):
        readers.add(number, map(patterns.parse, task.reads))
    for task, own in zip(tasks, files, strict=True):
        for reader, (read, owned) in readers.reasons(own).items():
            if tasks[reader].id != task.id:
                yield Edge(task.id, tasks[reader].id, (owned.text, read.text))


class Owned:
    """What tasks own once generated files (patterns, from the configuration) are left out."""

    def __init__(self, generated: Iterable[str]) -> None:
        self._generated = [patterns.parse(text) for text in generated]
        self._matcher = Matcher(self._generated)

    def patterns(self, task: Task) -> list[Pattern]:
        """The patterns of a task's files that are exclusively its own."""
        if task.output is Output.REPORT:
            return []
        parsed = map(patterns.parse, task.owned)
        return [pattern for pattern in parsed if not self._is_generated(pattern)]

    def generates(self, path: str) -> bool:
        """Whether a path is a generated one."""
        return bool(self._generated) and self._matcher.match(path)

    def _is_generated(self, pattern: Pattern) -> bool:
        if not self._generated:
            return False
        path = patterns.literal_path(pattern)
        return pattern in self._generated or (path is not None and self._matcher.match(path))


class Overlaps:
    """The overlaps among the tasks of all plans that count; computed once, at the first question.

    While a plan is being approved, `tasks` holds both revisions of a task: what overlaps either
    overlaps the task. `recall` is given what computes the pairs, and may know them without it.
    """

    def __init__(
        self, tasks: Iterable[Task], generated: Iterable[str], recall: Recall = lambda compute: compute()
    ) -> None:
        self._tasks = tuple(tasks)
        self._generated = tuple(generated)
        self._recall = recall

    def find(self) -> None:
        """Find them now, for whoever is told by `recall` later."""
        _ = self._pairs

    def of(self, task_id: TaskId) -> frozenset[TaskId]:
        """The tasks that may not be active while `task_id` is; never itself."""
        return self._serial.get(task_id, _NOBODY)

    def watched(self, task_id: TaskId) -> frozenset[TaskId]:
        """The tasks that may be active beside `task_id` and are watched for the first collision."""
        return self._watched.get(task_id, _NOBODY)

    def policy(self, one: TaskId, other: TaskId) -> Overlap | None:
        """What the plan says of two tasks; None when they own no common path."""
        return self._policies.get(frozenset((one, other)))

    @cached_property
    def _policies(self) -> dict[frozenset[TaskId], Overlap]:
        return {frozenset((pair.a, pair.b)): pair.policy for pair in self._pairs}

    @cached_property
    def _pairs(self) -> Sequence[Pair]:
        return self._recall(self._compute)

    def _compute(self) -> Sequence[Pair]:
        found = pairs(self._tasks, self._generated)
        patterns.forget()  # of the whole fleet, and this was the one time it was asked about
        return found

    @cached_property
    def _serial(self) -> dict[TaskId, frozenset[TaskId]]:
        return _partners(pair for pair in self._pairs if pair.policy is Overlap.SERIALIZE)

    @cached_property
    def _watched(self) -> dict[TaskId, frozenset[TaskId]]:
        return _partners(pair for pair in self._pairs if pair.policy is Overlap.WATCH)


_NOBODY: frozenset[TaskId] = frozenset()


def _partners(found: Iterable[Pair]) -> dict[TaskId, frozenset[TaskId]]:
    partners: dict[TaskId, set[TaskId]] = {}
    for pair in found:
        partners.setdefault(pair.a, set()).add(pair.b)
        partners.setdefault(pair.b, set()).add(pair.a)
    return {task_id: frozenset(others) for task_id, others in partners.items()}
