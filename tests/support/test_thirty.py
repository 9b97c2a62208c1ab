"""The thirty proposals are what they are said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_fleet.app.doctor import doctor
from tests.support.clock import FakeClock
from tests.support.fleet import open_fleet
from tests.support.repo import Repo, make_repo
from tests.support.thirty import Thirty, passes, thirty


def handed_in(folder: Path, seed: int) -> tuple[Repo, Thirty]:
    """The thirty in a repository of their own, with which nothing is wrong."""
    repo = make_repo(folder)
    with open_fleet(repo, "w1", FakeClock(), long_lived=True) as session:
        found = thirty(repo, session, seed)
        assert [problem.code for problem in doctor(session, fix=False).problems] == ["hooks-missing"]
    return repo, found


@pytest.mark.parametrize("seed", [1, 2])
def test_one_by_one_twenty_land_six_are_red_and_four_conflict(tmp_path: Path, seed: int) -> None:
    repo, found = handed_in(tmp_path / "repo", seed)
    ends: dict[str, list[str]] = {"lands": [], "red": [], "conflicts": []}
    repo.run_git("switch", "--quiet", "--detach", "main")
    for name in found.tasks:
        before = repo.rev("HEAD")
        if repo.try_git("merge", "--squash", f"work/{name}").returncode:
            end = "conflicts"
        else:
            repo.run_git("commit", "--quiet", "--message", name)
            end = "lands" if passes(repo, "HEAD", tmp_path / name) else "red"
        ends[end].append(name)
        if end != "lands":
            repo.run_git("reset", "--quiet", "--hard", before)
    assert tuple(ends["lands"]) == found.landing
    assert frozenset(ends["red"]) == found.red
    assert frozenset(ends["conflicts"]) == found.conflicting
    assert [len(names) for names in ends.values()] == [20, 6, 4]


def test_a_seed_gives_the_same_again_and_another_seed_something_else(tmp_path: Path) -> None:
    def made(folder: str, seed: int) -> tuple[object, ...]:
        repo, found = handed_in(tmp_path / folder, seed)
        patches = repo.run_git("log", "--patch", "--format=%an %s", "--branches=work/*", "^main")
        return found.tasks, found.red, found.conflicting, patches

    one, again, other = made("one", 7), made("again", 7), made("other", 8)
    assert one == again
    assert one[1:] != other[1:]
