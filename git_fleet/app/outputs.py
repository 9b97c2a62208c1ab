"""What agents printed: logs below `<common dir>/fleet/output/<plan>/<task>/`, and when they go.

A log is `<attempt>-<number>.log`, the n-th start of a claim, and the pieces beside it that the minder makes once it
is half full: `<attempt>-<number>.log.<offset>`, named after the place of their first byte in all that was printed.
So what is missing can be told. While a log is being written its writer holds a lock on the first file.
"""

from __future__ import annotations

import codecs
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from git_fleet.app import oldlogs, plainfiles
from git_fleet.core.ids import TaskId
from git_fleet.core.trailers import clean

FOLDER = "output"
LOG_BYTES = 10 * 1024 * 1024
TAIL_BYTES = 8 * 1024
LINE_BYTES = 1024 * 1024

_CHUNK = 65_536
_KEPT_SECONDS = 30 * 24 * 3600.0
_KEPT_BYTES = 1024 * 1024 * 1024
_NAME = re.compile(r"([0-9]+)-([0-9]+)\.log")
_PART = re.compile(r"(?P<log>.*\.log)(?:\.(?P<offset>[0-9]+))?", re.DOTALL)


class Part(NamedTuple):
    """A file of a log, and the place of its first byte in all that was printed."""

    offset: int
    path: Path


def folder_of(root: Path, task: TaskId) -> Path:
    """Where the logs of a task are; `root` is the fleet's folder in the common dir."""
    return root / FOLDER / task.plan / task.task


def log_of(root: Path, task: TaskId, attempt: int, number: int) -> Path:
    """The log of the n-th start within the attempt."""
    return folder_of(root, task) / f"{attempt}-{number}.log"


def output(root: Path, task: TaskId) -> list[Path]:
    """All logs there are of a task's agents, the oldest first."""
    found = {}
    for name in _names(folder_of(root, task)):
        match = _PART.fullmatch(name)
        numbers = _NAME.fullmatch(match["log"]) if match else None
        if match and numbers:
            found[match["log"]] = (int(numbers[1]), int(numbers[2]))
    return [folder_of(root, task) / name for name in sorted(found, key=lambda name: found[name])]


def parts(log: Path) -> list[Part]:
    """The files of a log, in order."""
    found = []
    for name in _names(log.parent):
        match = _PART.fullmatch(name)
        if match and match["log"] == log.name:
            found.append(Part(int(match["offset"] or 0), log.with_name(name)))
    return sorted(found, key=lambda part: (part.offset, len(part.path.name)))


def read(log: Path) -> Iterator[str]:
    """All that is left of what was printed, piece by piece, as it is: nothing is made harmless here. Where bytes are
    missing a line says how many. What is no UTF-8 shows as U+FFFD."""
    at, decoder = 0, codecs.getincrementaldecoder("utf-8")("replace")
    with ExitStack() as opened:
        files = []
        for part in parts(log):
            with suppress(OSError):  # the writer goes on, and the oldest piece goes
                files.append((part.offset, opened.enter_context(plainfiles.opened(part.path))))
        for offset, file in files:
            if offset > at:
                yield decoder.decode(b"", final=True)
                yield f"\n[git-fleet left out {offset - at} bytes here]\n"
                decoder.reset()
            at = max(at, offset)
            while data := file.read(_CHUNK):
                at += len(data)
                yield decoder.decode(data)
        yield decoder.decode(b"", final=True)


class Reader:
    """Reads a log while it is being written: each time what is new, in whole lines."""

    def __init__(self, log: Path) -> None:
        self._log, self._at, self._begun = log, 0, b""

    def lines(self, *, over: bool = False) -> tuple[list[str], bool]:
        """The lines that were ended since the last time, and whether anything was printed at all. When the log is
        `over` what stands at its end is a line, too. A line of more than a MiB is left out, and one of which bytes
        are missing begins behind them. Of a file that no minder has written so the end is read."""
        found: list[str] = []
        before = self._at
        for part in parts(self._log):
            # The oldest piece goes as it goes on; and who knows what a piece of some name is.
            with suppress(OSError, ValueError), plainfiles.opened(part.path) as file:
                first = part.offset + max(0, file.seek(0, os.SEEK_END) - 2 * LOG_BYTES)
                if first > self._at:
                    self._at, self._begun = first, b""
                file.seek(self._at - part.offset)
                while data := file.read(_CHUNK):
                    self._at += len(data)
                    *ended, self._begun = (self._begun + data).split(b"\n")
                    found += [line.decode("utf-8", "replace") for line in ended if len(line) <= LINE_BYTES]
                    self._begun = self._begun[: LINE_BYTES + 1]
        if over and 0 < len(self._begun) <= LINE_BYTES:
            found.append(self._begun.decode("utf-8", "replace"))
            self._begun = b""
        return found, self._at > before


def tail(log: Path, lines: int) -> str:
    """The last lines, cleaned (core/trailers.py); "" when nothing was printed, or nothing is left."""
    end = b""
    for part in reversed(parts(log)):
        with suppress(OSError), plainfiles.opened(part.path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - (TAIL_BYTES - len(end))))
            end = file.read(TAIL_BYTES) + end
        if len(end) >= TAIL_BYTES:
            break
    return last_lines(end, lines)


def last_lines(data: bytes, lines: int) -> str:
    """The last of these lines, harmless for a terminal; carriage returns end lines, too."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(clean(text).rstrip().split("\n")[-lines:])


def last_written(log: Path) -> float | None:
    """When the log was last written to, or begun (Unix seconds); None when there is none."""
    moments = []
    for part in parts(log):
        with suppress(OSError):
            moments.append(part.path.lstat().st_mtime)
    return max(moments, default=None)


def sweep(root: Path) -> None:
    """Remove the logs of all tasks that are 30 days old, and the oldest of more than a GiB, but none that is being
    written; and folders in which nothing is left."""
    folder = root / FOLDER
    whole: dict[Path, list[oldlogs.Log]] = {}
    for found in oldlogs.below(folder):
        match = _PART.fullmatch(found.path.name)
        whole.setdefault(found.path.with_name(match["log"] if match else found.path.name), []).append(found)
    logs = sorted((max(part.written for part in all_), log) for log, all_ in whole.items())
    surplus = sum(part.size for all_ in whole.values() for part in all_) - _KEPT_BYTES
    for written, log in logs:
        if time.time() - written < _KEPT_SECONDS and surplus <= 0:
            break
        if oldlogs.discard(log):
            surplus -= sum(part.size for part in whole[log])
            for part in whole[log]:
                part.path.unlink(missing_ok=True)
    oldlogs.prune(folder)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
