"""Tasks that are watched, handed in at the same moment: whoever claimed first goes first, whoever is faster."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_fleet.app import handin, work
from git_fleet.core.model import State
from git_fleet.errors import Collides
from tests.support.clock import FakeClock
from tests.support.fleet import approved, open_fleet, task, working_on
from tests.support.race import race, values
from tests.support.repo import Repo

NAMES = ("a", "b", "c")


@pytest.fixture
def trees(repo: Repo, clock: FakeClock) -> list[str]:
    """The worktrees of three tasks that have changed the same line, claimed one after the other."""
    repo.commit("a file", {"both.txt": "nobody\n"})
    made = []
    with open_fleet(repo, "w1", clock) as session:
        approved(session, *(task(name, files=["/both.txt"], overlap="watch") for name in NAMES))
        for name in NAMES:
            tree = Repo(working_on(session, name))
            tree.commit(name, {"both.txt": f"{name}\n"})
            made.append(str(tree.path))
            clock.advance(1)
    return made


def hand_in(number: int, trees: list[str]) -> str:
    with open_fleet(Path(trees[number]), None, FakeClock()) as session:
        try:
            return str(handin.done(session, NAMES[number], handin.Handin()).record.state.state)
        except Collides:
            return "waits"


def test_of_those_that_hand_in_at_once_the_first_claim_is_not_kept_waiting(trees: list[str]) -> None:
    assert values(race(3, hand_in, trees)) == ["proposed", "waits", "waits"]


def hand_in_or_cancel(number: int, trees: list[str], path: str) -> str:
    if number:
        return hand_in(number, trees)
    with open_fleet(Path(path), "boss", FakeClock()) as session:
        return str(work.cancel(session, "a", "not needed").record.state.state)


def test_who_waited_for_what_was_cancelled_meanwhile_is_let_in_at_the_next_try(
    trees: list[str], repo: Repo
) -> None:
    cancelled, second, third = values(race(3, hand_in_or_cancel, trees, str(repo.path)))
    assert (cancelled, third) == ("cancelled", "waits")
    if second == "waits":
        assert hand_in(1, trees) == "proposed"
    with open_fleet(repo, "w1") as session:
        states = {record.id.task: record.state.state for record in session.snapshot().tasks.values()}
    assert states == {"a": State.CANCELLED, "b": State.PROPOSED, "c": State.CLAIMED}
