"""The whole life of many tasks in three clones of eight workers each, one git server between them."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import handin, integrate
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import State
from git_fleet.errors import LostRace, Unreachable
from git_fleet.store.log import Entry
from tests.support import servers
from tests.support.clock import FakeClock
from tests.support.clones import make_clones
from tests.support.fleet import Table, approved, commit_on, open_fleet, task
from tests.support.race import race, values
from tests.support.repo import Repo
from tests.support.worlds import (
    GENEROUS,
    Held,
    assert_logs_are_legal,
    assert_sound,
    assert_taking_turns,
    pairs_among,
)

CLONES, WORKERS, TASKS = 3, 8, 100
GROUPS, TURNS = 8, 4  # so many files, each of which so many tasks own
LEADS = CLONES - 1
CUT, MENDED = 20, 45  # tasks on main when the last clone is cut off, and when it is back
PATIENCE = 1000  # looks of one process


class _Now(FakeClock):
    """The time it is, so that the logs tell what came after what."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


class _News:
    """How often something has happened. Whoever has nothing to do waits until it happens again."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self._condition = context.Condition()
        self._happened = context.Value("i", 0, lock=False)

    def happened(self) -> int:
        return int(self._happened.value)

    def tell(self) -> None:
        with self._condition:
            self._happened.value += 1
            self._condition.notify_all()

    def wait(self, seen: int, seconds: float = 5.0) -> None:
        """Until more than `seen` has happened. Where a clone is cut off, nobody may have told it: hence the limit."""
        with self._condition:
            self._condition.wait_for(lambda: self.happened() > seen, seconds)


@dataclass(frozen=True)
class _World:
    """`main` is where the work of every task begins; `handed_in` is what leads wait for, `landed` what workers do;
    `cable` tells of the cut and its end, `missed` of who noticed."""

    clones: tuple[Repo, ...]
    main: Oid
    handed_in: _News
    landed: _News
    cable: _News
    missed: _News


@dataclass
class _Seen:
    """What one process has seen: its claims, from when to when it held each for sure; when the landing of which task
    began; how often the server could not be reached."""

    held: list[Held] = field(default_factory=list)
    landed: dict[str, int] = field(default_factory=dict)
    unreachable: int = 0


def _part(number: int, world: _World) -> _Seen:
    """A lead in each clone that is never cut off, then the workers."""
    if number < LEADS:
        return _lead(number, world)
    return _work(number - LEADS, world)


def _trip_over_the_cable(world: _World, landed: int) -> None:
    """The last clone is cut off when so many tasks are on main, and back once that was noticed and more are."""
    if not world.cable.happened() and landed >= CUT:
        servers.cut_off(world.clones[-1])
        world.cable.tell()
    elif world.cable.happened() == 1 and world.missed.happened() and landed >= MENDED:
        servers.reconnect(world.clones[-1])
        world.cable.tell()
        world.landed.tell()


def _lead(number: int, world: _World) -> _Seen:
    seen = _Seen()
    with open_fleet(world.clones[number], f"lead{number}", _Now(), host=f"host{number}") as session:
        for _ in range(PATIENCE):
            known, began = world.handed_in.happened(), time.monotonic_ns()
            states = [record.state.state for record in session.snapshot().tasks.values()]
            if number == 0:
                _trip_over_the_cable(world, states.count(State.INTEGRATED))
            try:
                found = integrate.integrate(session, integrate.Order(("p",)), lambda _: None)
            except LostRace:  # the other leads
                world.handed_in.wait(known, 1.0)
                continue
            if found.integrated:
                seen.landed |= {str(each.id): began for each in found.integrated}
                world.landed.tell()
            elif set(states) == {State.INTEGRATED}:
                return seen
            else:
                world.handed_in.wait(known)
    raise AssertionError("it never ends")


def _work(number: int, world: _World) -> _Seen:
    seen = _Seen()
    with _opened(number, world, seen) as session:
        for _ in range(PATIENCE):
            known = world.landed.happened()
            try:
                got = claiming.claim(session, claiming.Request(worktree=False))
            except Unreachable:
                seen.unreachable += 1
                world.missed.tell()
                world.landed.wait(known)
                continue
            if isinstance(got, claiming.Claimed):
                _finish(session, got, world, seen)
            elif got.reason == "complete":
                return seen
            else:
                world.landed.wait(known)
    raise AssertionError("it never ends")


def _opened(number: int, world: _World, seen: _Seen) -> Session:
    """The worker's session, as soon as it can be had: who begins late begins in a clone that is cut off already."""
    where = number % CLONES
    for _ in range(PATIENCE):
        known = world.landed.happened()
        try:
            return open_fleet(
                world.clones[where], f"w{number}", _Now(), host=f"host{where}", long_lived=number % 2 == 0
            )
        except Unreachable:
            seen.unreachable += 1
            world.missed.tell()
            world.landed.wait(known)
    raise AssertionError("it never ends")


def _finish(session: Session, got: claiming.Claimed, world: _World, seen: _Seen) -> None:
    """Do the task and hand it in, whenever the server can be reached."""
    since, record = time.monotonic_ns(), got.record
    name = str(record.id)
    commit = commit_on(session, world.main, {f"{record.id.task}/new": name})
    for _ in range(PATIENCE):
        known, until = world.landed.happened(), time.monotonic_ns()
        try:
            handin.done(session, name, handin.Handin(commit=commit))
        except Unreachable:
            seen.unreachable += 1
            world.missed.tell()
            world.landed.wait(known)
            continue
        seen.held.append(Held(name, since, until))
        world.handed_in.tell()
        return
    raise AssertionError("it never ends")


def _took_turns_by_their_logs(logs: Mapping[TaskId, list[Entry]], pairs: list[frozenset[str]]) -> None:
    """Of two tasks that overlap one is claimed when the other is on main."""
    spans = {
        str(name): (entries[0].event.at, entries[-1].event.at)  # from the claim to the integration
        for name, entries in logs.items()
    }
    for pair in pairs:
        (_, ended), (began, _) = sorted(spans[name] for name in pair)
        assert ended <= began, f"both at once: {sorted(pair)}"


def _tables() -> list[Table]:
    return [
        task(
            f"t{number}",
            **({"files": [f"shared/{number % GROUPS}", f"t{number}/**"]} if number < GROUPS * TURNS else {}),
        )
        for number in range(TASKS)
    ]


@pytest.mark.slow(seconds=40)
def test_every_task_has_one_winner_and_lands_once_while_a_clone_is_cut_off(tmp_path: Path) -> None:
    server, clones = make_clones(tmp_path, CLONES, config=f'{GENEROUS}remote = "origin"\n')
    with open_fleet(clones[0], "person", _Now()) as session:
        approved(session, *_tables())
    pairs = pairs_among(
        [f"p/t{number}" for number in range(group, GROUPS * TURNS, GROUPS)] for group in range(GROUPS)
    )
    world = _World(tuple(clones), clones[0].rev("main"), _News(), _News(), _News(), _News())
    found = values(race(LEADS + CLONES * WORKERS, _part, world))

    landed = {name: began for each in found for name, began in each.landed.items()}
    winners = Counter(held.task for each in found for held in each.held)
    assert winners == Counter(f"p/t{number}" for number in range(TASKS))
    active = [
        Held(held.task, held.since, max(held.until, landed[held.task]))
        for each in found
        for held in each.held
    ]
    assert_taking_turns(active, pairs)
    assert any(each.unreachable for each in found)
    with open_fleet(clones[-1], "person", _Now()) as session:
        session.snapshot()
        logs = assert_logs_are_legal(session)
        assert {record.state.state for record in session.snapshot().tasks.values()} == {State.INTEGRATED}
    for name, entries in logs.items():
        assert [entry.event.name for entry in entries] == ["claim", "done", "uphold", "integrate"], name
    _took_turns_by_their_logs(logs, pairs)
    on_main = Repo(server).run_git("log", "--format=%(trailers:key=Fleet-Task,valueonly)", "main").split()
    assert sorted(on_main) == sorted(f"t{number}" for number in range(TASKS))
    for clone in clones:
        assert_sound(clone)
        assert clone.refs("refs/fleet/task", "refs/fleet/proposal", "refs/fleet/lost") == {}
