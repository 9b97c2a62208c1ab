"""A run over a workspace, one step at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_fleet.app.wide import running
from git_fleet.core.ids import TaskId
from git_fleet.core.workspace import Workspace
from tests.support.clock import FakeClock
from tests.support.fleet import surroundings


def test_who_looks_for_a_limit_now_and_then_rests_as_long_as_others(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_REST_SECONDS", 0.03)
    space = Workspace("shop", str(tmp_path))
    run = running.Run(space, surroundings(clock), running.Wanted(1, (), "w"), print, str)
    run._later.add(("lib", TaskId("p", "a")))
    for _ in range(2):
        run._handle(0, 0.01)
        assert (run._generation, len(run._later)) == (1, 1)
    run._handle(0, 0.01)
    assert (run._generation, len(run._later)) == (2, 0)
