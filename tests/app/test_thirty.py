"""Thirty proposals, six red and four conflicting: every mode comes to the same end, and where main stops is green."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from git_fleet.app.integrate import Order, integrate
from git_fleet.core.results import Integration
from tests.support.clock import FakeClock
from tests.support.fleet import open_fleet
from tests.support.repo import Repo, make_repo
from tests.support.thirty import TASKS, Thirty, passes, thirty
from tests.support.worlds import assert_sound

JOBS = 3
MODES: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "speculative": {"jobs": JOBS},
    "batch": {"batch": True},
}


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> tuple[Repo, Thirty]:
    repo = make_repo(tmp_path / "repo")
    with open_fleet(repo, "w1", clock, long_lived=True) as session:
        return repo, thirty(repo, session, request.param)


def drained(repo: Repo, clock: FakeClock, mode: Mapping[str, Any]) -> Integration:
    with open_fleet(repo, "lead", clock) as session:
        return integrate(session, Order(**mode), lambda _: None)


def stops(repo: Repo, found: Integration) -> list[str]:
    """Every commit where main stopped, oldest first."""
    moved = repo.run_git("reflog", "show", "--format=%H", "main").split()[::-1]
    return moved[moved.index(found.main_before) + 1 :]


def test_every_mode_comes_to_the_same_end(
    world: tuple[Repo, Thirty], clock: FakeClock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, expected = world
    trees = set()
    for name, mode in MODES.items():
        repo = Repo(tmp_path / name)
        shutil.copytree(made.path, repo.path, symlinks=True)
        expected.runs.unlink(missing_ok=True)
        found = drained(repo, clock, mode)
        assert tuple(each.id.task for each in found.integrated) == expected.landing
        assert {each.id.task for each in found.ejected if each.reason == "gate"} == expected.red
        assert {each.id.task for each in found.ejected if each.reason == "conflict"} == expected.conflicting
        landed = [each.commit or "" for each in found.integrated]
        at = stops(repo, found)
        assert at[-1] == found.main_after
        assert set(at) <= set(landed)
        for number, commit in enumerate(at if name == "batch" else landed):
            assert passes(repo, commit, tmp_path / f"{name}-{number}")
        runs = len(expected.gated())
        assert runs == found.gate_runs or (
            name == "speculative" and runs > found.gate_runs
        )  # some were stopped
        assert set(repo.run_git("log", "--format=%T", found.main_after, "-1").split()) <= set(
            expected.gated()
        )
        assert runs <= most(name, len(expected.red))
        with capsys.disabled():
            print(
                f"\n{name}: {runs} gate runs for {TASKS} proposals, {len(expected.red)} of them red", end=""
            )
        trees.add(repo.run_git("rev-parse", "main^{tree}"))
        assert_sound(repo)
    assert len(trees) == 1


def most(mode: str, red: int) -> int:
    """How many gate runs a mode may take: one a candidate, plus those that a red one below made void (at most
    the others in flight); with halves, log₂ of them for each red one, and the top again."""
    if mode == "plain":
        return TASKS
    if mode == "speculative":
        return TASKS + red * (JOBS - 1)
    return 1 + red * (math.ceil(math.log2(TASKS)) + 1)
