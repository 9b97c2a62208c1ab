"""What tasks of a tracker wait for, and which of its entries become tasks at all.

An entry that is done becomes no task, and nobody waits for it any more. One that was given up becomes none
either, but who waits for it would wait for ever: that is for a person to settle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct, field

from git_fleet.core.problems import nearest

_NAMED = 10


class Links(Struct):
    """The entries of one file by the id that the plan will use. `given_up` says why, in words."""

    tasks: dict[str, None] = field(default_factory=dict)
    done: dict[str, None] = field(default_factory=dict)
    given_up: dict[str, str] = field(default_factory=dict)

    def needs(self, names: Iterable[str], report: Callable[[str], None], *, elsewhere: str) -> list[str]:
        """The tasks among `names`, each once. What is neither a task nor done is reported; `elsewhere`
        says how to get at an entry that is not in the file."""
        found: dict[str, None] = {}
        for name in names:
            if name in self.tasks:
                found[name] = None
            elif name in self.given_up:
                report(f"found {name!r}, which {self.given_up[name]}; allowed: tasks, or what is done")
            elif name not in self.done:
                said = nearest(name, [*self.tasks, *self.done])
                report(f"found {name!r}, which is not in the file{said}; allowed: {elsewhere}")
        return list(found)

    def notes(self) -> tuple[str, ...]:
        """What was left out, for people."""
        told = []
        for names, why in ((self.done, "done"), (self.given_up, "given up or no work")):
            if names:
                more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
                told.append(f"left out, being {why}: {', '.join(list(names)[:_NAMED])}{more}")
        return tuple(told)


def with_hierarchy(
    blockers: Mapping[str, Sequence[str]], parents: Mapping[str, str], *, inherit: bool
) -> dict[str, list[str]]:
    """What every entry waits for: its blockers, and what its parts are.

    A parent is finished when its parts are. With `inherit` a part waits for whatever its parents wait for,
    save other parts of the same parent.
    """
    needs = {name: dict.fromkeys(names) for name, names in blockers.items()}
    above = {name: _above(name, parents) for name in blockers}
    for name in blockers:
        for parent in above[name] if inherit else ():
            others = (each for each in blockers.get(parent, ()) if parent not in above.get(each, ()))
            needs[name].update(dict.fromkeys(others))
        if parents.get(name) in needs:
            needs[parents[name]][name] = None
    return {name: list(names) for name, names in needs.items()}


def _above(name: str, parents: Mapping[str, str]) -> list[str]:
    """The parents of `name`, nearest first. A ring of parents ends where it began."""
    found: list[str] = []
    at = parents.get(name)
    while at is not None and at != name and at not in found:
        found.append(at)
        at = parents.get(at)
    return found
