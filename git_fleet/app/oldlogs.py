"""Logs of gates and other commands below `<common dir>/fleet/logs`, and when they go.

They are there for whoever watches a command, or is told that one could not be run. What gates printed about a
proposal is kept beside it (store/gatelogs.py), so nothing of worth is lost with them. A log that is being written
stays: its writer holds a lock on it (app/commands.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from git_fleet.git import flocks

FOLDER = "logs"

_KEPT_SECONDS = 7 * 24 * 3600.0
_KEPT_BYTES = 256 * 1024 * 1024
_YOUNG_SECONDS = 3600.0  # whoever has just written one may be about to read it


class Log(NamedTuple):
    """A log file, and when it was last written to (Unix seconds)."""

    written: float
    size: int
    path: Path


def sweep(folder: Path) -> None:
    """Remove the logs below that are a week old, and the oldest of more than 256 MiB, but none of the last hour;
    and folders in which nothing is left."""
    now = time.time()
    logs = sorted(below(folder))
    surplus = sum(log.size for log in logs) - _KEPT_BYTES
    for log in logs:
        age = now - log.written
        if age < _KEPT_SECONDS and (surplus <= 0 or age < _YOUNG_SECONDS):
            break
        if discard(log.path):
            surplus -= log.size
    prune(folder)


def clear(folder: Path) -> None:
    """Remove all logs below, and the folders: what they are about has ended."""
    for log in below(folder):
        discard(log.path)
    prune(folder)


def remove(logs: Iterable[Path]) -> None:
    """Remove these logs, whose content is kept elsewhere by now or counts no more, and the folders that they
    leave empty."""
    for log in logs:
        discard(log)
        names = [folder.name for folder in log.parents]
        for folder in log.parents[: names.index(FOLDER)] if FOLDER in names else ():
            if not _is_removed(folder):
                break


def below(folder: Path) -> Iterator[Log]:
    """Every file below the folder, however deep; none behind a link."""
    if folder.is_symlink():  # workers' code can write here
        return
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            with suppress(FileNotFoundError):  # somebody else tidies up, too
                found = path.lstat()
                yield Log(found.st_mtime, found.st_size, path)


def discard(path: Path) -> bool:
    """Remove a log unless it is being written; whether it is gone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return True
    except OSError:  # no log: workers' code can write here
        return False
    try:
        if not flocks.take(handle):
            return False
        if os.path.samestat(os.fstat(handle), path.lstat()):  # else a new one has taken its place
            path.unlink()
        return True
    except FileNotFoundError:
        return True
    finally:
        os.close(handle)


def prune(folder: Path) -> None:
    """Remove the folders in which nothing is left, this one included."""
    for place, _, _ in os.walk(folder, topdown=False):
        _is_removed(Path(place))


def _is_removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:  # not empty, or gone
        return not folder.exists()
    return True
