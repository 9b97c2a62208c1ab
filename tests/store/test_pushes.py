"""What this clone has pushed, counted: in a file that does not grow for ever."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from git_fleet.store.pushes import Pushes

LONG = "refs/fleet/task/p/" + "x" * 2000


def test_what_is_forgotten_is_counted_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "fleet" / "pushes"
    pushes = Pushes(file)
    assert pushes.total() == 0
    for _ in range(400):
        pushes.add([LONG] * 50)
    pushes.add(["refs/fleet/guard"])
    assert pushes.total() == Pushes(file).total() == 401
    assert file.stat().st_size <= 256 * 1024
    assert 0 < pushes.since(0) < 200
    assert pushes.since(time.time() + 60) == 0


def test_how_long_ago_a_ref_was_pushed_is_known_ref_by_ref(tmp_path: Path) -> None:
    (tmp_path / "pushes").write_text("gone 7\n1000.0 a b\n1500.0 worker-1\nnonsense a\n")
    pushes = Pushes(tmp_path / "pushes")
    assert pushes.total() == 10
    assert pushes.since(1200) == 1
    assert pushes.seconds_since("b") == pytest.approx(time.time() - 1000, abs=60)
    pushes.add(["a"])
    assert pushes.seconds_since("a") < 60 < pushes.seconds_since("c")
    with (tmp_path / "pushes").open("a") as file:
        file.write(f"{time.time() + 9000} a\n")  # the clock was wrong
    assert pushes.seconds_since("a") == pytest.approx(9000, abs=60)
