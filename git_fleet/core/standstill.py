"""Change sets that could wait for each other for ever (DESIGN section 18, *Plans*).

A task that overlaps another waits until that one is integrated, and a task of a change set is integrated only when all of
the set are handed in. So a set that holds one task may wait, for another of its tasks, for the very task that waits for
it: by what it needs, or by what a second set holds meanwhile. Workers that take tasks in another order would never see it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from git_fleet.core.model import Overlap, Task
from git_fleet.core.overlaps import pairs


class Standstill(Struct, frozen=True):
    """The task `waits` (`repo/task`) waits while the change set `by` holds `held`, and `by` may wait for `way`: tasks and
    change sets, each for the next, up to that of `waits`."""

    waits: str
    held: str
    by: str
    way: tuple[str, ...]


def find(
    tasks: Mapping[str, Task], needs: Mapping[str, tuple[str, ...]], members: Mapping[str, str]
) -> Standstill | None:
    """One that may come about; None where none can. All by `repo/task`: the tasks, what each needs anywhere, which change
    set it is in. Needs must have no cycle, counted over change sets as wholes."""
    return next(_Waits(tasks, needs, members).standstills(), None)


class _Waits(Struct):
    """Who may wait for whom. A *whole* is a change set, or a task that is in none: what lands at once."""

    tasks: Mapping[str, Task]
    needs: Mapping[str, tuple[str, ...]]
    members: Mapping[str, str]
    turns: dict[str, set[str]] = field(default_factory=dict)
    wholes: dict[str, list[str]] = field(default_factory=dict)
    before: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        repos: dict[str, list[Task]] = {}
        for name, task in self.tasks.items():
            repos.setdefault(name.partition("/")[0], []).append(task)
            self.wholes.setdefault(self.whole(name), []).append(name)
        for repo, own in repos.items():
            for pair in pairs(own):
                one, other = f"{repo}/{pair.a.task}", f"{repo}/{pair.b.task}"
                if pair.policy is Overlap.SERIALIZE and self.whole(one) != self.whole(other):
                    self.turns.setdefault(one, set()).add(other)
                    self.turns.setdefault(other, set()).add(one)

    def whole(self, name: str) -> str:
        """What the task lands with; a change set has no `/` in its name."""
        return self.members.get(name, name)

    def landed_before(self, name: str) -> set[str]:
        """The wholes that have landed whenever the task can be claimed."""
        if name not in self.before:
            found: set[str] = set()
            seen, left = {name}, [name]
            while left:
                one = left.pop()
                for need in self.needs[one]:
                    other = self.whole(need)
                    beside = other == self.whole(one)  # handed in is enough
                    found |= set() if beside else {other}
                    more = {need} if beside else set(self.wholes[other])
                    left += more - seen
                    seen |= more
            self.before[name] = found
        return self.before[name]

    def handed_in(self, name: str) -> set[str]:
        """What of a change set has been claimed when the task is: itself, and what it follows there."""
        found, left = {name}, [name]
        while left:
            own = {need for need in self.needs[left.pop()] if self.whole(need) == self.whole(name)}
            left += own - found
            found |= own
        return found

    def standstills(self) -> Iterator[Standstill]:
        """Each pair that takes turns, of which the one that is held may wait for the other."""
        for held in (name for name in self.tasks if name in self.members):
            for waits in sorted(self.turns.get(held, ())):
                by, other = self.whole(held), self.whole(waits)
                if other in self.landed_before(held) or by in self.landed_before(waits):
                    continue
                way = self._way(held, waits)
                if way:
                    yield Standstill(waits, held, by, way)

    def _way(self, held: str, waits: str) -> tuple[str, ...]:
        """Through what the holder of `held` may come to wait for what `waits` is in; empty where it cannot."""
        goal = self.whole(waits)
        ways: dict[tuple[str, str], tuple[str, ...]] = {(self.whole(held), held): ()}
        left = deque(ways)
        while left:
            at = left.popleft()
            for step in self._waits_for(*at):
                whole, other = step
                if step in ways or whole in self.landed_before(held):
                    continue
                if other and goal in self.landed_before(other):
                    continue
                if whole == goal and other and not self._beside(held, waits, other):
                    continue
                ways[step] = (*ways[at], whole)
                if whole == goal:
                    return ways[step]
                left.append(step)
        return ()

    def _beside(self, held: str, waits: str, other: str) -> bool:
        """Whether `other` may be held together with `held` while `waits`, of its own set, is not."""
        taken = self.handed_in(other)
        return waits not in taken and not any(
            self.turns.get(one, set()) & taken for one in self.handed_in(held)
        )

    def _waits_for(self, whole: str, held: str) -> Iterator[tuple[str, str]]:
        """What keeps the other tasks of a whole that holds `held`: a need ("" is held there), or what a set holds."""
        taken = self.handed_in(held) if held else ()
        for name in (one for one in self.wholes[whole] if one not in taken):
            yield from ((self.whole(need), "") for need in self.needs[name] if self.whole(need) != whole)
            for other in sorted(self.turns.get(name, ())):
                if other in self.members and whole not in self.landed_before(other):
                    yield self.whole(other), other
