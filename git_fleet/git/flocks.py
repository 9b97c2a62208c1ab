"""flock(2): locks that end with whoever holds them, however that one ends.

A flock belongs to the open file. A child that inherits the descriptor goes on holding it when its parent is killed;
descriptors that Python opens are inherited by none that is not handed them. (minder.py, which is started from its file
alone, takes its lock itself.)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_LOOK_SECONDS = 0.5
"""So long is tried for a lock that somebody may look at."""


def opened(place: Path, mode: int = 0o666) -> int:
    """The lock file `place`, made with that mode where it is not there: its descriptor, not locked. Raises OSError."""
    return os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)


def take(
    fd: int, *, seconds: float = 0.0, every: float = 0.005, stop: Callable[[], bool] = lambda: False
) -> bool:
    """Lock an open file for us alone: whether that was had, of others who hold it, within so many `seconds` (0: at
    once), tried `every` so many, or until `stop` says so."""
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end or stop():
                return False
            time.sleep(every)


@contextlib.contextmanager
def alone(place: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `place`, which no child inherits, while the block runs.

    Without `wait` raises BlockingIOError when another has it. (An older git-fleet locks such a file the same way.)
    """
    fd = opened(place)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def signed(place: Path, mode: int = 0o666) -> Iterator[None]:
    """Hold the lock file `place` as `alone` does, with the number of this process in it for `holder`. Raises
    BlockingIOError when another has it for longer than one that looks; OSError."""
    fd = opened(place, mode)
    try:
        if not take(fd, seconds=_LOOK_SECONDS):
            raise BlockingIOError(f"{place} is locked")
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def holder(place: Path) -> int | None:
    """The process that holds the lock file `place` as `signed` does, 0 where it has not written who it is; None
    while nobody does. It looks as `is_held` does."""
    if not is_held(place):
        return None
    with contextlib.suppress(OSError, ValueError):
        return int(place.read_bytes()[:20])
    return 0


def is_held(place: Path) -> bool:
    """Whether somebody holds the lock file `place` alone; not where there is none, or none that we may open.

    For a moment it is locked by who looks: whoever wants it alone at once has to try for a little longer.
    """
    try:
        fd = os.open(place, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
