"""Two processes doing any two commands at the same moment end in one of the two orders.

One is stopped before one of its writes, the other runs, the first goes on. What stands in the logs afterwards must
be what one command after the other would have left, or what one left while the other was refused and changed
nothing: it lost a race (exit 3), or it met a plan that was being approved or closed at that moment (exit 1).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from git_fleet.app import approve, handin, plan, work
from git_fleet.app import claim as claiming
from git_fleet.app.session import Session
from git_fleet.errors import AnswerIsNo, FleetError, LostRace
from tests.support.breaking import Halted
from tests.support.clock import FakeClock
from tests.support.examples import many
from tests.support.fleet import approved, claimed, on_task, open_fleet, proposed, saved, task
from tests.support.race import Done, Outcome
from tests.support.repo import make_repo
from tests.support.worlds import GENEROUS, assert_logs_are_legal

FIRST = [
    task("a"),
    task("b", files=["same"]),
    task("x", files=["same"]),
    task("r"),
    task("v"),
    task("k"),
    task("gone"),
]
NEXT = [each for each in FIRST if each["id"] != "gone"] + [task("y", files=["same"])]


REFUSED = "refused"


def _claim(name: str | None) -> Callable[[Session], object]:
    return lambda session: claiming.claim(session, claiming.Request(task=name, worktree=False))


COMMANDS: dict[str, tuple[str, Callable[[Session], object]]] = {
    "claim b": ("w2", _claim("b")),
    "claim x": ("w3", _claim("x")),
    "claim r": ("w4", _claim("r")),
    "claim gone": ("w5", _claim("gone")),
    "progress a": ("w1", lambda s: work.progress(s, "a", "half")),
    "renew a": ("w1", lambda s: work.renew(s, "a")),
    "release a": ("w1", lambda s: work.release(s, "a")),
    "block a": ("w1", lambda s: work.block(s, "a", "stuck", "no way")),
    "done a": ("w1", lambda s: handin.done(s, "a", handin.Handin(commit="main"))),
    "cancel a": ("person", lambda s: work.cancel(s, "a", "no")),
    "cancel b": ("person", lambda s: work.cancel(s, "b", "no")),
    "shelve r": ("person", lambda s: work.shelve(s, "r")),
    "accept v": ("person", lambda s: work.accept(s, "v", "good")),
    "reject v": ("person", lambda s: work.reject(s, "v", ("bad",))),
    "withdraw v": ("w1", lambda s: work.withdraw(s, "v", "oops")),
    "unblock k": ("person", lambda s: work.unblock(s, "k", "go")),
    "shelve k": ("person", lambda s: work.shelve(s, "k")),
    "pause": ("person", lambda s: plan.pause(s, "p")),
    "resume": ("person", lambda s: plan.resume(s, "p")),
    "approve": ("person", lambda s: approve.approve(s, "p")),
    "close": ("person", lambda s: plan.close(s, "p")),
}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A fleet with tasks in most states, and a revision to be approved that removes and adds one."""
    repo = make_repo(tmp_path / "repo", {"fleet.toml": GENEROUS})
    with open_fleet(repo, "w1", FakeClock()) as session:
        approved(session, *FIRST)
        for name in ("a", "r", "v", "k"):
            claimed(session, name)
        proposed(session, "v")
        proposed(session, "r")
        on_task(session, "withdraw", "r", reason="not yet")
        on_task(session, "block", "k", code="stuck", reason="no way")
        saved(session, *NEXT)
    return repo.path


@contextmanager
def _copy(world: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="orders-") as folder:
        yield Path(shutil.copytree(world, Path(folder) / "repo", symlinks=True))


def _do(place: Path, name: str) -> str:
    """Run a command: "done", or the kind of its refusal. Anything but our own errors ends the test."""
    worker, command = COMMANDS[name]
    with open_fleet(place, worker, FakeClock()) as session:
        try:
            command(session)
        except (LostRace, AnswerIsNo):
            return REFUSED
        except FleetError as error:
            return error.code
    return "done"


def _facts(place: Path) -> object:
    """What the logs say, apart from what an approval leaves in passing."""
    with open_fleet(place, "person", FakeClock()) as session:
        logs = assert_logs_are_legal(session)
        events = {
            str(name): [
                (entry.event.name, entry.event.actor) for entry in entries if entry.event.name != "revised"
            ]
            for name, entries in logs.items()
        }
        plans = {
            record.id: (str(record.state), record.approved) for record in session.snapshot().plans.values()
        }
        return {name: told for name, told in events.items() if told}, plans


def _in_order(world: Path, *names: str) -> object:
    with _copy(world) as place:
        for name in names:
            _do(place, name)
        return _facts(place)


def _said(outcome: Outcome[str]) -> str:
    assert isinstance(outcome, Done), outcome
    return outcome.value


def _assert_in_some_order(world: Path, one: str, other: str) -> None:
    orders = [_in_order(world, one, other), _in_order(world, other, one)]
    for number in count(1):
        with _copy(world) as place, Halted(number, _do, place, one) as halted:
            if not halted.stopped:
                return
            second = _do(place, other)
            first = _said(halted.go_on())
            found = _facts(place)
        allowed = list(orders)
        if first == REFUSED:
            allowed.append(_in_order(world, other))
        if second == REFUSED:
            allowed.append(_in_order(world, one))
        assert found in allowed, f"{one} stopped before write {number}: {first}; {other}: {second}: {found}"


ANY = st.sampled_from(sorted(COMMANDS))
NO_CHECK = [HealthCheck.function_scoped_fixture]  # every example works on copies


@given(one=ANY, other=ANY)
@settings(max_examples=many(10), suppress_health_check=NO_CHECK)
def test_two_commands_end_in_one_of_two_orders(world: Path, one: str, other: str) -> None:
    _assert_in_some_order(world, one, other)


@pytest.mark.slow(seconds=40)
@given(one=ANY, other=ANY)
@settings(max_examples=many(60), suppress_health_check=NO_CHECK)
def test_many_pairs_of_commands_end_in_one_of_two_orders(world: Path, one: str, other: str) -> None:
    _assert_in_some_order(world, one, other)
