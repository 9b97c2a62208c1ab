"""Local logs go when nobody needs them, and never under the hand that writes them."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from git_fleet.app import commands, oldlogs

HOUR, DAY = 3600.0, 24 * 3600.0


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / oldlogs.FOLDER


def a_log(logs: Path, path: str, *, age: float = 0.0, size: int = 1) -> Path:
    log = logs / path
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"x" * size)
    written = time.time() - age
    os.utime(log, (written, written))
    return log


def left(logs: Path) -> list[str]:
    """Everything that is there, folders too."""
    return sorted(str(path.relative_to(logs)) for path in logs.rglob("*"))


def test_logs_of_more_than_a_week_go_with_their_folders(logs: Path) -> None:
    a_log(logs, "p/a/1/old/1-tests.log", age=8 * DAY)
    a_log(logs, "p/b/1/new/1-tests.log", age=6 * DAY)
    oldlogs.sweep(logs)
    assert left(logs) == ["p", "p/b", "p/b/1", "p/b/1/new", "p/b/1/new/1-tests.log"]


def test_of_too_much_the_oldest_go_but_nothing_of_the_last_hour(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oldlogs, "_KEPT_BYTES", 250)
    for name, age in {"a": 4 * HOUR, "b": 3 * HOUR, "c": 2 * HOUR}.items():
        a_log(logs, name, age=age, size=100)
    oldlogs.sweep(logs)
    assert left(logs) == ["b", "c"]
    monkeypatch.setattr(oldlogs, "_KEPT_BYTES", 0)
    a_log(logs, "d", age=HOUR / 2, size=100)
    oldlogs.sweep(logs)
    assert left(logs) == ["d"]


def test_a_folder_that_is_not_there_is_no_trouble(logs: Path) -> None:
    oldlogs.sweep(logs)
    oldlogs.clear(logs / "p")
    oldlogs.remove([logs / "p" / "a" / "1.log"])
    assert not logs.exists()


def test_what_is_removed_takes_the_folders_that_it_leaves_empty_with_it(logs: Path, tmp_path: Path) -> None:
    one, two = a_log(logs, "p/a/1/one/1.log"), a_log(logs, "p/a/1/one/2.log")
    other = a_log(logs, "p/a/1/two/1.log")
    oldlogs.remove([one])
    assert two.exists()
    oldlogs.remove([two])
    assert left(logs) == ["p", "p/a", "p/a/1", "p/a/1/two", "p/a/1/two/1.log"]
    oldlogs.remove([other])
    assert left(logs) == []
    elsewhere = a_log(tmp_path / "elsewhere", "1.log")
    oldlogs.remove([elsewhere])
    assert elsewhere.parent.exists()


@pytest.mark.parametrize("how", ["sweep", "clear", "remove"])
def test_a_log_that_is_being_written_stays(logs: Path, tmp_path: Path, how: str) -> None:
    log, ready, on = logs / "p/a/1/1.log", tmp_path / "ready", tmp_path / "on"
    tidy: dict[str, Callable[[], None]] = {
        "sweep": lambda: oldlogs.sweep(logs),
        "clear": lambda: oldlogs.clear(logs),
        "remove": lambda: oldlogs.remove([log]),
    }
    for pipe in (ready, on):
        os.mkfifo(pipe)
    command = f"echo begun; echo >{ready}; read line <{on}"
    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(commands.run, command, tmp_path, env=os.environ, log=log, timeout_seconds=60)
        ready.read_text()
        os.utime(log, (1, 1))
        tidy[how]()
        on.write_text("\n")
        assert ran.result().tail == "begun"
    assert log.read_text() == "begun\n"
    os.utime(log, (1, 1))
    tidy[how]()
    assert left(logs) == []


def test_a_command_begins_though_its_empty_folder_is_tidied_away(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkstemp

    def late(*args: Any, **options: Any) -> tuple[int, str]:
        monkeypatch.setattr(tempfile, "mkstemp", make)
        oldlogs.sweep(logs)
        return make(*args, **options)

    monkeypatch.setattr(tempfile, "mkstemp", late)
    log = logs / "p/a/1/1.log"
    commands.run("echo begun", tmp_path, env=os.environ, log=log, timeout_seconds=60)
    assert log.read_text() == "begun\n"
