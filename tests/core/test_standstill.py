"""Change sets that could wait for each other for ever are refused, and no others."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from git_fleet.core import wideplan
from git_fleet.core.workspace import Repo, Workspace
from git_fleet.errors import InvalidInput

_SPACE = Workspace("shop", "/shop", tuple(Repo(name, name) for name in ("client", "library", "service")))
_NEVER = "none could ever land"

Tasks = Mapping[str, tuple[str, tuple[str, ...]]]
"""`repo/task` → its file, what it needs."""


def parsed(tasks: Tasks, sets: Mapping[str, tuple[str, ...]], schedule: str = "ready") -> wideplan.WidePlan:
    document: dict[str, Any] = {
        "version": 1,
        "plan": "p",
        "schedule": schedule,
        "task": [
            {"id": name, "files": [f"/{file}"], "needs": list(needs)} for name, (file, needs) in tasks.items()
        ],
        "changeset": [
            {"id": name, "tasks": list(members), "gates": [{"name": "g", "run": "true"}]}
            for name, members in sets.items()
        ],
    }
    found = wideplan.parse(document, _SPACE, source="p.toml", bases={})
    wideplan.refuse_standstill(found, source="p.toml")
    return found


CROSSED: Tasks = dict.fromkeys(("library/a", "client/b", "library/c", "client/d"), ("x", ()))
SETS = {"s": ("library/a", "client/b"), "t": ("library/c", "client/d")}


def test_two_sets_that_take_turns_in_two_repositories_need_an_order() -> None:
    with pytest.raises(InvalidInput, match=_NEVER):
        parsed(CROSSED, SETS)
    parsed({**CROSSED, "library/c": ("x", ("library/a",)), "client/d": ("x", ("client/b",))}, SETS)
    parsed({**CROSSED, "client/d": ("y", ())}, SETS)


def test_a_set_that_needs_what_takes_turns_with_it_needs_it_first() -> None:
    tasks: Tasks = {"library/a": ("x", ()), "client/b": ("y", ("library/c",)), "library/c": ("x", ())}
    sets = {"s": ("library/a", "client/b")}
    with pytest.raises(InvalidInput) as refused:
        parsed(tasks, sets)
    assert "library/c waits while change set s holds library/a" in refused.value.message
    parsed({**tasks, "library/a": ("x", ("library/c",))}, sets)


def test_waves_are_waited_for_by_change_sets_too() -> None:
    apart: Tasks = {"library/a": ("a", ()), "library/x": ("x", ()), "library/d": ("d", ("library/x",))}
    with pytest.raises(
        InvalidInput, match="library/a is in wave 1 and library/d in wave 2, which waits until"
    ):
        parsed(apart, {"s": ("library/a", "library/d")}, "waves")
    parsed(apart, {"s": ("library/a", "library/d")})
    across: Tasks = {
        "library/a": ("x", ()),
        "library/c": ("x", ()),
        "client/c": ("x", ()),
        "client/a": ("x", ()),
    }
    with pytest.raises(InvalidInput, match="a cycle: "):
        parsed(across, {"s": ("library/a", "client/a"), "t": ("library/c", "client/c")}, "waves")
    parsed(CROSSED, SETS, "waves")  # waves put them into an order


# --- every order in which workers may take the tasks of small plans -----------------------------------


def stuck(tasks: Tasks, sets: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether workers can come to a point where nothing can be claimed or landed, and not all has landed."""
    whole = {name: sets[mine] if (mine := of(name, sets)) else (name,) for name in tasks}
    seen, left = set(), [(frozenset[str](), frozenset[str]())]
    while left:
        active, landed = state = left.pop()
        if state in seen:
            continue
        seen.add(state)
        after = list(steps(tasks, whole, active, landed))
        if not after and len(landed) < len(tasks):
            return True
        left += after
    return False


def of(name: str, sets: Mapping[str, tuple[str, ...]]) -> str:
    return next((each for each, members in sets.items() if name in members), "")


def steps(
    tasks: Tasks, whole: Mapping[str, tuple[str, ...]], active: frozenset[str], landed: frozenset[str]
) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    for name, (file, needs) in tasks.items():
        if name in active and set(whole[name]) <= active:
            yield active - set(whole[name]), landed | set(whole[name])
        if name in active | landed:
            continue
        there = all(need in landed or (need in whole[name] and need in active) for need in needs)
        place = name.partition("/")[0]
        free = not any(other.partition("/")[0] == place and tasks[other][0] == file for other in active)
        if there and free:
            yield active | {name}, landed


def plans(count: int) -> Iterator[tuple[Tasks, dict[str, tuple[str, ...]]]]:
    rng = random.Random(8)
    while count:
        names = [f"{repo}/{task}" for repo in ("client", "library", "service") for task in "abc"][
            : rng.randint(4, 9)
        ]
        rng.shuffle(names)
        tasks = {name: (rng.choice("xy"), tuple(rng.sample(names[:at], min(at, rng.choice((0, 0, 1, 2))))))
                 for at, name in enumerate(names)}  # fmt: skip
        loose = rng.sample(names, len(names))
        sizes = [rng.randint(2, 3) for _ in range(rng.randint(1, 3))]
        sets = {
            f"s{at}": tuple(loose.pop() for _ in range(min(size, len(loose))))
            for at, size in enumerate(sizes)
        }
        sets = {name: members for name, members in sets.items() if members}
        try:
            parsed(tasks, sets)
        except InvalidInput as refused:
            if _NEVER not in refused.message:
                continue
        count -= 1
        yield tasks, sets


def test_what_is_refused_can_come_about_and_what_is_not_cannot() -> None:
    verdicts = set()
    for tasks, sets in plans(150):
        try:
            parsed(tasks, sets)
            refused = False
        except InvalidInput:
            refused = True
        assert refused is stuck(tasks, sets), (tasks, sets)
        verdicts.add(refused)
    assert verdicts == {True, False}
