"""Main moves by one lead at a time, and only with tasks that still stand as they were looked at."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from git_fleet.app import integrate, lead, work
from git_fleet.app.session import Session
from git_fleet.core.model import State
from git_fleet.errors import FleetError
from git_fleet.git.locks import left_behind
from tests.support.breaking import Halted, attempt
from tests.support.clock import FakeClock
from tests.support.clones import make_clones
from tests.support.fleet import approved, claimed, on_task, open_fleet, proposed, task
from tests.support.race import Done, Puppet, Raised, race, until, values
from tests.support.repo import Repo
from tests.support.worlds import GENEROUS, assert_logs_are_legal, assert_sound

TASKS = ("a", "b", "c")


def _handed_in(repo: Repo, clock: FakeClock) -> Session:
    repo.commit("Set up", {"fleet.toml": GENEROUS})
    return _all_proposed(repo, clock)


def _all_proposed(repo: Repo, clock: FakeClock) -> Session:
    session = open_fleet(repo, "w1", clock)
    approved(session, *map(task, TASKS))
    for name in TASKS:
        claimed(session, name)
        proposed(session, name)
    return session


def _integrate(place: Path, clock: FakeClock, *targets: str) -> list[str]:
    with open_fleet(place, "lead", clock) as session:
        done = integrate.integrate(session, integrate.Order(targets), lambda _: None)
    return [str(landed.id) for landed in done.integrated]


def _one_of(number: int, places: list[Path], clock: FakeClock) -> list[str]:
    return _integrate(places[number % len(places)], clock)


def _landed(repo: Repo) -> list[str]:
    return repo.run_git("log", "--format=%(trailers:key=Fleet-Task,valueonly,separator=%x2C)", "main").split()


@pytest.mark.parametrize("linked", [False, True])
def test_two_leads_at_once_land_every_task_once(repo: Repo, clock: FakeClock, linked: bool) -> None:
    session = _handed_in(repo, clock)
    places = [repo.path, repo.worktree(repo.path.parent / "other", "other").path] if linked else [repo.path]
    outcomes = race(2, _one_of, places, clock)
    refused = [each for each in outcomes if not isinstance(each, Done)]
    assert all(isinstance(each, Raised) and each.kind == "Held" for each in refused), outcomes
    assert any(isinstance(each, Done) for each in outcomes)
    _integrate(repo.path, clock)
    assert sorted(_landed(repo)) == ["a", "b", "c"]
    assert {record.state.state for record in session.snapshot().tasks.values()} == {State.INTEGRATED}
    assert_logs_are_legal(session)
    assert repo.status() == []
    assert_sound(repo)


def _in_clones(folder: Path, clock: FakeClock) -> tuple[Session, Repo, list[Repo]]:
    """The same, handed in from the first of two clones; the server between them."""
    server, clones = make_clones(folder, config=f'{GENEROUS}remote = "origin"\n')
    return _all_proposed(clones[0], clock), Repo(server), clones


def _assert_landed_once(session: Session, server: Repo, clones: list[Repo]) -> None:
    """All of it is on the server's main, once, and who looks from either clone sees so."""
    assert sorted(_landed(server)) == ["a", "b", "c"]
    assert {record.state.state for record in session.snapshot().tasks.values()} == {State.INTEGRATED}
    assert session.snapshot().lead.intent is None
    assert_logs_are_legal(session)
    for clone in clones:
        assert clone.status() == []
        assert_sound(clone)


def test_two_leads_of_two_clones_land_every_task_once(tmp_path: Path, clock: FakeClock) -> None:
    session, server, clones = _in_clones(tmp_path, clock)
    places = [clone.path for clone in clones]
    outcomes = race(2, _one_of, places, clock)
    refused = [each for each in outcomes if not isinstance(each, Done)]
    assert all(isinstance(each, Raised) and each.kind in ("Held", "Stale") for each in refused), outcomes
    assert any(isinstance(each, Done) for each in outcomes)
    _integrate(places[1], clock)
    _assert_landed_once(session, server, clones)
    assert server.rev("main") in {clone.rev("main") for clone in clones}


PUSHES = 6  # of an integration of one task: lead, intent, main, events, notes, end


@pytest.mark.parametrize("number", range(1, PUSHES + 1))
def test_a_lead_that_is_stopped_loses_main_to_another_clone(
    tmp_path: Path, clock: FakeClock, number: int
) -> None:
    session, server, clones = _in_clones(tmp_path, clock)
    with Halted(number, _integrate, clones[0].path, clock, "a", of=("push",)) as halted:
        assert halted.stopped
        clock.advance(4000)
        _integrate(clones[1].path, clock)
        assert sorted(_landed(server)) == ["a", "b", "c"]
        outcome = halted.go_on()
    assert isinstance(outcome, Raised) or outcome == Done([]), outcome
    _assert_landed_once(session, server, clones[1:])
    _integrate(clones[0].path, clock)
    _assert_landed_once(session, server, clones)


@pytest.mark.parametrize("number", range(1, PUSHES + 1))
def test_what_another_clone_took_back_before_main_moved_does_not_land(
    tmp_path: Path, clock: FakeClock, number: int
) -> None:
    session, server, clones = _in_clones(tmp_path, clock)
    record = on_task(session, "accept", "a")
    with Halted(number, _integrate, clones[1].path, clock, "a", of=("push",)) as halted:
        taken_back = isinstance(attempt(_reject, clones[0].path, clock, "a"), Done)
        before = _landed(server)
        halted.go_on()
    if taken_back:
        assert _landed(server) == before
    session.snapshot()
    assert (session.reread(record).state.state is State.INTEGRATED) == (_landed(server) == ["a"])
    assert_logs_are_legal(session)


WRITES = 8  # at least as many as an integration of one task makes
REFS = ("update-ref", "read-tree")  # not while it adds a worktree, which nobody else may do meanwhile


@pytest.mark.parametrize("number", range(1, WRITES + 1))
@pytest.mark.parametrize("verdict", ["rejected", pytest.param("cancelled", marks=pytest.mark.slow)])
def test_what_was_taken_back_before_main_moved_does_not_land(
    repo: Repo, clock: FakeClock, number: int, verdict: str
) -> None:
    session = _handed_in(repo, clock)
    record = on_task(session, "accept", "a")  # a person's word stands while the gates run
    with Halted(number, _integrate, repo.path, clock, "a", of=REFS) as halted:
        taken_back = isinstance(attempt(_take_back, session, verdict), Done)
        before = _landed(repo)
        halted.go_on()
    if taken_back:
        assert _landed(repo) == before
    assert (session.reread(record).state.state is State.INTEGRATED) == (_landed(repo) == ["a"])
    assert_logs_are_legal(session)


def _take_back(session: Session, verdict: str) -> object:
    if verdict == "rejected":
        return work.reject(session, "a", ("no",))
    return work.cancel(session, "a", "no")


def _reject(place: Path, clock: FakeClock, name: str) -> None:
    with open_fleet(place, "person", clock) as session:
        work.reject(session, name, ("no",))


def _integrate_aside(say: Callable[[object], None], place: Path, clock: FakeClock) -> None:
    say(attempt(_integrate, place, clock))


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_rejected_after_the_intent_and_before_all_locks_are_held_does_not_land(
    repo: Repo, clock: FakeClock, killed: bool
) -> None:
    """Somebody who rejects b stops with b's log locked, so the lead, which has written what it intends, waits."""
    session = _handed_in(repo, clock)
    with Halted(1, _reject, repo.path, clock, "b", prepared=True) as halted:
        assert (repo.path / ".git/refs/fleet/task/p/b.lock").exists()
        leading = Puppet(_integrate_aside, repo.path, clock)
        until(lambda: lead.show(session).intent_open)
        work.reject(session, "a", ("no",))
        assert _landed(repo) == []
        if not killed:
            assert halted.go_on() == Done(None)
    said = leading.hear()
    leading.kill()
    assert isinstance(said, Done) or said.kind == "Busy", said
    _integrate(repo.path, clock)
    assert _landed(repo) == (["c", "b"] if killed else ["c"])
    states = {name.task: record.state.state for name, record in session.snapshot().tasks.items()}
    assert states == {
        "a": State.REWORK,
        "b": State.INTEGRATED if killed else State.REWORK,
        "c": State.INTEGRATED,
    }
    assert not lead.show(session).intent_open
    assert_logs_are_legal(session)
    assert_sound(repo)


MANY = tuple(f"t{number}" for number in range(8))


def _land_or_reject(number: int, place: Path, clock: FakeClock) -> str:
    """The first lands everything; each other rejects a task at the moment when tasks' logs begin to be locked."""
    if number == 0:
        return ",".join(_integrate(place, clock))
    with open_fleet(place, "person", clock) as session:
        folder = place / ".git/refs/fleet/task/p"
        transact = session.store.refs.transact

        def at_that_moment(*args: Any, **kwargs: Any) -> None:
            end = time.monotonic() + 0.5  # by then it may have landed
            while time.monotonic() < end and not any(name.endswith(".lock") for name in os.listdir(folder)):
                pass
            transact(*args, **kwargs)

        session.store.refs.transact = at_that_moment  # type: ignore[method-assign]  # this process ends soon
        try:
            work.reject(session, MANY[-number], ("no",))
        except FleetError as error:
            return error.code
    return "rejected"


def _assert_landed_or_rejected(repo: Repo, clock: FakeClock) -> None:
    repo.commit("Set up", {"fleet.toml": GENEROUS})
    with open_fleet(repo, "w1", clock) as session:
        approved(session, *map(task, MANY))
        for name in MANY:
            claimed(session, name)
            proposed(session, name)
        _, *said = values(race(4, _land_or_reject, repo.path, clock))
        before = set(_landed(repo))
        states = {name.task: record.state.state for name, record in session.snapshot().tasks.items()}
        assert {name for name, state in states.items() if state is State.INTEGRATED} == before
        assert not lead.show(session).intent_open
        for number, answer in enumerate(said, 1):
            assert (answer == "rejected") == (MANY[-number] not in before), (answer, before)
        assert before >= set(MANY[:-3])
        assert_logs_are_legal(session)
    assert_sound(repo)


def test_a_task_lands_or_is_rejected_and_never_both(repo: Repo, clock: FakeClock) -> None:
    _assert_landed_or_rejected(repo, clock)


@pytest.mark.slow
@pytest.mark.parametrize("_again", range(6))
def test_a_task_lands_or_is_rejected_and_never_both_many_times(
    repo: Repo, clock: FakeClock, _again: int
) -> None:
    _assert_landed_or_rejected(repo, clock)


@pytest.mark.parametrize("number", range(1, WRITES + 1))
def test_a_lead_that_is_stopped_loses_main_when_its_lease_ends(
    repo: Repo, clock: FakeClock, number: int
) -> None:
    session = _handed_in(repo, clock)
    other = repo.worktree(repo.path.parent / "other", "other").path
    with Halted(number, _integrate, repo.path, clock, "a", of=REFS) as halted:
        clock.advance(4000)
        if left_behind(session.repo):  # it holds the tasks, and nobody may take their locks from it
            blocked = attempt(_integrate, other, clock)
            assert isinstance(blocked, Raised)
            assert blocked.kind == "Busy"
            assert _landed(repo) == []
            outcome = halted.go_on()
            _integrate(other, clock)
        else:
            _integrate(other, clock)
            assert sorted(_landed(repo)) == ["a", "b", "c"]
            outcome = halted.go_on()
    if halted.stopped:
        assert isinstance(outcome, Raised) or outcome == Done([])
    assert sorted(_landed(repo)) == ["a", "b", "c"]
    assert session.snapshot().lead.intent is None
    assert_logs_are_legal(session)
    assert repo.status() == []


def test_whoever_asks_for_the_lead_while_it_integrates_does_not_end_it(repo: Repo, clock: FakeClock) -> None:
    _handed_in(repo, clock)
    with Halted(3, _integrate, repo.path, clock, of=REFS) as halted:
        assert halted.stopped
        with open_fleet(repo, "lead", clock) as again:
            lead.acquire(again)
        outcome = halted.go_on()
    assert isinstance(outcome, Done), outcome
    assert sorted(_landed(repo)) == ["a", "b", "c"]
