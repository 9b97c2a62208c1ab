"""Claims of many real processes: every task one winner, overlapping tasks never active together."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from git_fleet.app import approve, work
from git_fleet.app import claim as claiming
from git_fleet.core.model import State
from tests.support.clock import FakeClock
from tests.support.clones import make_clones
from tests.support.fleet import Table, approved, open_fleet, saved, task
from tests.support.hosts import hosted
from tests.support.link import slow_line
from tests.support.race import meanwhile, race, values
from tests.support.repo import Repo
from tests.support.worlds import (
    GENEROUS,
    Held,
    assert_logs_are_legal,
    assert_sound,
    assert_taking_turns,
    pairs_among,
)

TURNS = 4  # tasks that own the same file
SLOW_SECONDS = 0.02  # that each piece of what is said takes on a slow line
PATIENCE = 1000  # claims of one worker


def _crowd(place: Path, tasks: int, overlapping: int, clock: FakeClock) -> list[frozenset[str]]:
    """An approved plan of many tasks, the first of them in groups that own the same file; the pairs."""
    tables: list[Table] = []
    groups: dict[int, list[str]] = {}
    for number in range(tasks):
        group = number // TURNS
        shared = {"files": [f"shared/{group}"]} if number < overlapping else {}
        tables.append(task(f"t{number}", **shared))
        if shared:
            groups.setdefault(group, []).append(f"p/t{number}")
    with open_fleet(place, "person", clock) as session:
        approved(session, *tables)
    return pairs_among(groups.values())


def _work_through(number: int, places: list[Path], clock: FakeClock) -> list[Held]:
    """One worker: claims until everything has ended, and ends each task in a way of its own."""
    chance = random.Random(number)
    held: list[Held] = []
    place, long_lived = places[number % len(places)], number // len(places) % 2 == 1
    with open_fleet(place, f"w{number}", clock, long_lived=long_lived) as session:
        for _ in range(PATIENCE):
            got = claiming.claim(session, claiming.Request(worktree=False))
            since = time.monotonic_ns()
            if isinstance(got, claiming.NothingReady):
                if got.reason == "complete":
                    return held
                continue
            name = str(got.record.id)
            ending = chance.randrange(6)
            if ending == 0:
                work.block(session, name, f"met-{name.replace('/', '-')}", "a wall of its own")
            held.append(Held(name, since, time.monotonic_ns()))
            if ending == 1:
                work.release(session, name)
            else:
                work.cancel(session, name, "enough")
    raise AssertionError("another worker has left a task behind")


def _pack(repo: Repo) -> None:
    repo.run_git("pack-refs", "--all")


def _gc(repo: Repo) -> None:
    repo.try_git("gc", "--quiet")  # it gives up when refs move under it: as bad luck as can be


def _assert_crowd_takes_turns(
    repo: Repo, clock: FakeClock, *, workers: int, tasks: int, overlapping: int
) -> None:
    repo.commit("Set up", {"fleet.toml": GENEROUS})
    pairs = _crowd(repo.path, tasks, overlapping, clock)
    linked = [repo.worktree(repo.path.parent / f"linked-{n}", f"linked-{n}") for n in range(2)]
    places = [repo.path, *(tree.path for tree in linked)]
    with meanwhile(_pack, repo), meanwhile(_gc, repo):
        held = [each for found in values(race(workers, _work_through, places, clock)) for each in found]
    assert_taking_turns(held, pairs)
    _assert_each_once(repo.path, held, tasks, clock)
    assert_sound(repo)


SHARED = f'{GENEROUS}remote = "origin"\n'


def _assert_clones_take_turns(
    server: Path, repos: list[Repo], clock: FakeClock, *, workers: int, tasks: int, overlapping: int
) -> None:
    """The same in several clones, the git server between them packing its refs meanwhile."""
    pairs = _crowd(repos[0].path, tasks, overlapping, clock)
    places = [repo.path for repo in repos]
    with meanwhile(_pack, Repo(server)):
        held = [each for found in values(race(workers, _work_through, places, clock)) for each in found]
    assert_taking_turns(held, pairs)
    _assert_each_once(places[-1], held, tasks, clock)
    for repo in repos:
        assert_sound(repo)
        assert repo.refs("refs/fleet") == {}  # nothing is left that the server does not have


def _assert_each_once(place: Path, held: list[Held], tasks: int, clock: FakeClock) -> None:
    """Every claim has had its holder, and every task its end."""
    with open_fleet(place, "person", clock) as session:
        logs = assert_logs_are_legal(session)
        assert len(logs) == tasks
        for name, entries in logs.items():
            events = [entry.event.name for entry in entries]
            assert events.count("claim") - events.count("release") == 1, f"{name}: {events}"
            assert sum(each.task == str(name) for each in held) == events.count("claim"), name
        assert {record.state.state for record in session.snapshot().tasks.values()} == {State.CANCELLED}


def test_many_processes_take_turns_while_refs_are_packed(repo: Repo, clock: FakeClock) -> None:
    _assert_crowd_takes_turns(repo, clock, workers=8, tasks=24, overlapping=16)


def test_clones_take_turns(tmp_path: Path, clock: FakeClock) -> None:
    server, repos = make_clones(tmp_path, 3, config=SHARED)
    _assert_clones_take_turns(server, repos, clock, workers=5, tasks=7, overlapping=6)


@pytest.mark.slow
def test_clones_take_turns_also_at_the_end_of_a_slow_line(tmp_path: Path, clock: FakeClock) -> None:
    """What the ones far away decide on is old by then; they must lose, never overlap."""
    with hosted("http", tmp_path, config=SHARED) as host, slow_line(host.port, SLOW_SECONDS) as far:
        repos = [
            host.clone(tmp_path / name / "repo", name, port=port)
            for name, port in (("near", 0), ("far", far))
        ]
        _assert_clones_take_turns(host.server, repos, clock, workers=4, tasks=8, overlapping=8)


@pytest.mark.slow(seconds=20)
def test_sixteen_processes_claim_two_hundred_tasks(repo: Repo, clock: FakeClock) -> None:
    _assert_crowd_takes_turns(repo, clock, workers=16, tasks=200, overlapping=80)


def _revision(number: int, groups: int) -> list[Table]:
    """The plan after so many approvals: each adds a task beside every file there is."""
    return [
        task(f"t{group}-{turn}", files=[f"shared/{group}"])
        for group in range(groups)
        for turn in range(1 + number)
    ]


def _approve_more_and_more(number: int, places: list[Path], groups: int, clock: FakeClock) -> list[Held]:
    """The first process approves revisions and a second plan on the same files; then all work."""
    if number == 0:
        with open_fleet(places[0], "person", clock) as session:
            for revision in (1, 2):
                saved(session, *_revision(revision, groups))
                approve.approve(session, "p")
                some = range(groups * revision // 2)
                other = [task(f"q{group}", files=[f"shared/{group}"]) for group in some]
                saved(session, *other, plan="q")
                approve.approve(session, "q")
    return _work_through(number, places, clock)


def _assert_approvals_let_none_overlap(
    places: list[Path], clock: FakeClock, *, workers: int, groups: int
) -> None:
    with open_fleet(places[-1], "person", clock) as session:
        approved(session, *_revision(0, groups))
    found = values(race(workers, _approve_more_and_more, places, groups, clock))
    owners = [[*(f"p/t{group}-{turn}" for turn in range(3)), f"q/q{group}"] for group in range(groups)]
    assert_taking_turns([each for held in found for each in held], pairs_among(owners))
    with open_fleet(places[-1], "person", clock) as session:
        assert {record.state.state for record in session.snapshot().tasks.values()} == {State.CANCELLED}
        assert_logs_are_legal(session, same_plans=False)


def test_plans_approved_in_the_middle_let_no_two_claims_overlap(repo: Repo, clock: FakeClock) -> None:
    repo.commit("Set up", {"fleet.toml": GENEROUS})
    _assert_approvals_let_none_overlap([repo.path], clock, workers=6, groups=6)


@pytest.mark.slow
def test_plans_approved_in_the_middle_let_no_two_claims_of_clones_overlap(
    tmp_path: Path, clock: FakeClock
) -> None:
    _, repos = make_clones(tmp_path, config=f'{GENEROUS}remote = "origin"\n')
    _assert_approvals_let_none_overlap([repo.path for repo in repos], clock, workers=4, groups=2)
