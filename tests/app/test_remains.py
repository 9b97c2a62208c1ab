"""All processes of a command are found and ended, and nobody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from git_fleet.app.remains import Remains, is_over
from tests.support.race import until

MARK = f"FLEET_TEST_{os.getpid()}"  # whoever runs these tests at the same time has another


@pytest.fixture
def others() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes to end after the test."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()


def a_process(
    others: list[subprocess.Popen[bytes]], mark: str = "", **options: bool
) -> subprocess.Popen[bytes]:
    env = {**os.environ, MARK: mark}
    others.append(subprocess.Popen(["sleep", "1000"], env=env, **options))  # type: ignore[call-overload]
    return others[-1]


def test_the_mark_is_this_value_and_no_other(others: list[subprocess.Popen[bytes]]) -> None:
    mine, longer, shorter = (a_process(others, mark) for mark in ("ab", "abc", "a"))
    assert Remains(MARK, "ab", 5.0).end() == 1
    assert mine.wait() == -signal.SIGTERM
    assert (longer.poll(), shorter.poll()) == (None, None)
    assert Remains(MARK, "ab", 5.0).end() == 0


def test_the_whole_session_is_ended_by_its_number(others: list[subprocess.Popen[bytes]]) -> None:
    head = a_process(others, start_new_session=True)
    other = a_process(others, start_new_session=True)
    assert Remains(MARK, "x", 5.0, group=head.pid).end() == 1
    assert head.wait() == -signal.SIGTERM
    assert other.poll() is None


def test_some_are_spared_and_so_is_whoever_asks(
    others: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARK, "ab")
    one, two = a_process(others, "ab"), a_process(others, "ab")
    assert Remains(MARK, "ab", 5.0, spared=[one.pid]).end() == 1
    assert (one.poll(), two.wait()) == (None, -signal.SIGTERM)


def test_what_began_before_is_nobody_of_ours(others: list[subprocess.Popen[bytes]]) -> None:
    old = a_process(others, "ab")
    later = psutil.Process(old.pid).create_time() + 10
    assert Remains(MARK, "ab", 5.0, since=later).end() == 0
    assert old.poll() is None


def test_closing_twice_looks_once(others: list[subprocess.Popen[bytes]]) -> None:
    remains = Remains(MARK, "ab", 5.0)
    remains.process = a_process(others, "ab", start_new_session=True)
    remains.close()
    assert remains.process.returncode == -signal.SIGTERM
    later = a_process(others, "ab")
    remains.close()
    assert later.poll() is None


def test_a_zombie_is_over() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    found = psutil.Process(process.pid)
    until(lambda: is_over(found))
    process.wait()
    assert is_over(found)
