"""Locks that end with whoever holds them."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from git_fleet.git import flocks
from tests.support.race import Puppet, until


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def _hold(say: Callable[[object], None], place: Path) -> None:
    with flocks.alone(place):
        say("held")
        threading.Event().wait()


def test_one_has_it_alone_until_the_block_ends(place: Path) -> None:
    assert not flocks.is_held(place)
    assert not place.exists(), "who looks makes nothing"
    with flocks.alone(place):
        assert flocks.is_held(place)
        with pytest.raises(BlockingIOError), flocks.alone(place, wait=False):
            pass
    assert not flocks.is_held(place)
    with flocks.alone(place, wait=False):
        assert flocks.is_held(place)


def test_it_ends_with_a_holder_that_is_killed(place: Path) -> None:
    holder = Puppet(_hold, place)
    assert holder.hear() == "held"
    assert flocks.is_held(place)
    holder.kill()
    until(lambda: not flocks.is_held(place))
    fd = flocks.opened(place)
    assert flocks.take(fd)
    os.close(fd)


def _sign(say: Callable[[object], None], place: Path) -> None:
    with flocks.signed(place):
        say("held")
        threading.Event().wait()


def test_who_holds_it_can_be_asked_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flocks, "_LOOK_SECONDS", 0.02)
    place.write_text("99999999 was longer\n")
    assert flocks.holder(place) is None
    holder = Puppet(_sign, place)
    assert holder.hear() == "held"
    assert flocks.holder(place) == holder.pid
    with pytest.raises(BlockingIOError), flocks.signed(place):
        pass
    holder.kill()
    until(lambda: flocks.holder(place) is None)
    place.write_text("")
    with flocks.alone(place):
        assert flocks.holder(place) == 0
    with flocks.signed(place):
        assert flocks.holder(place) == os.getpid()


def test_who_looks_takes_it_from_nobody(place: Path) -> None:
    looking = flocks.opened(place)
    fcntl.flock(looking, fcntl.LOCK_SH)
    soon = threading.Timer(0.02, os.close, [looking])
    soon.start()
    with flocks.signed(place):
        assert flocks.holder(place) == os.getpid()
    soon.join()


def test_it_is_tried_until_it_is_free_or_nobody_wants_it_any_more(place: Path) -> None:
    first, second = flocks.opened(place), flocks.opened(place, 0o600)
    assert flocks.take(first)
    assert not flocks.take(second)
    assert not flocks.take(second, seconds=0.02, every=0.001)
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 3

    assert not flocks.take(second, seconds=60, every=0.001, stop=stop)
    assert len(asked) == 3

    def let_go() -> bool:
        os.close(first)
        return False

    assert flocks.take(second, seconds=60, every=0.001, stop=let_go)
    os.close(second)


def test_a_file_made_for_it_has_the_mode_that_is_asked_for(place: Path) -> None:
    fd = flocks.opened(place, 0o600)
    assert place.stat().st_mode & 0o777 == 0o600
    assert not os.get_inheritable(fd)
    os.close(fd)
