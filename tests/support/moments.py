"""Every state that a run leaves on the disk between two of its steps, as a power failure there would leave it.

Killing a new process before each step (dying.py) costs a run for each. Here there is one run, which stops at each step
for as long as it takes to copy its folder, where that has changed: so every step can be tried of a run that has
hundreds. What a killed run would still have tidied up (a git lets its locks go when its Python is gone) stays in the
copy. Steps are those of dying.py, opening a file to write it, and whatever is said to a long-lived git. A file that is
about to be written anew is a state of its own: it is there, and empty.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Never

from git_fleet.git.process import Child
from tests.support.dying import STEPS, end_with

_TRUNCATES = os.O_CREAT | os.O_TRUNC
_COPIES = 100


class Moment:
    """One of them: kept in `copy`, met before the step `coming`."""

    def __init__(self, place: Path) -> None:
        self.copy = place / "folder"
        self.coming = (place / "coming").read_text(encoding="utf-8")


def moments(folder: Path, kept: Path, work: Callable[[], object]) -> list[Moment]:
    """Run `work` in a new process: the states of `folder` on the way, in order, each once; the first is that before.
    They are kept below `kept`, a new folder. What differs only in empty folders, or in objects that no ref can have named
    yet, is one state.

    Fails when `work` raises.
    """
    kept.mkdir()
    pid = os.fork()
    if pid == 0:
        _Watched(folder, kept).run(work)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the run failed by itself"
    return [Moment(place) for place in sorted(kept.iterdir(), key=lambda place: int(place.name))]


def put_back(moment: Path, folder: Path) -> None:
    """Make `folder` what it was."""
    shutil.rmtree(folder)
    shutil.copytree(moment, folder, symlinks=True)


def fingerprint(folder: Path, *, named: str = "") -> str:
    """The files in a folder but for objects: where `named` is given, only in files that have it in their path."""
    found = sha256()
    for entry in _entries(folder):
        if named in entry.path and not entry.is_dir(follow_symlinks=False):
            found.update(f"{os.path.relpath(entry.path, folder)}\0".encode())
            if entry.is_file(follow_symlinks=False):
                found.update(Path(entry.path).read_bytes() + b"\0")
    return found.hexdigest()


class _Watched:
    """The process that runs."""

    def __init__(self, folder: Path, kept: Path) -> None:
        self._folder, self._kept = folder, kept
        self._met: set[str] = set()
        self._stamp: object = None
        self._busy = False

    def run(self, work: Callable[[], object]) -> Never:
        """Work, and end."""
        send = Child.send

        def sent(child: Child, data: bytes) -> bool:
            self._step(f"to git: {data[:60]!r}")
            return send(child, data)

        Child.send = sent  # type: ignore[method-assign,assignment]  # this process ends with it
        sys.addaudithook(self._hear)
        end_with(work)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event in STEPS:
            self._step(f"{event} {args[1] if event == 'subprocess.Popen' else args[0]}")
        elif event == "open" and isinstance(args[2], int) and args[2] & _TRUNCATES:
            self._step(f"write {args[0]}", args[0])

    def _step(self, coming: str, emptied: object = "") -> None:
        if self._busy:
            return
        self._busy = True  # what we do here ourselves is no step
        try:
            self._keep(coming)
            inside = isinstance(emptied, str) and emptied.startswith(str(self._folder))
            if isinstance(emptied, str) and inside and "/objects/" not in emptied:
                self._keep_emptied(coming, Path(emptied))
        finally:
            self._busy = False

    def _keep(self, coming: str) -> None:
        now = self._look()
        if now == self._stamp:
            return
        for _ in range(_COPIES):
            place = self._place()
            shutil.copytree(self._folder, place / "folder", symlinks=True)
            self._stamp, now = now, self._look()
            if now == self._stamp:  # else a git that runs beside us has written meanwhile
                self._keep_new(place, coming)
                return
            shutil.rmtree(place)
        raise AssertionError("it never stands still")

    def _keep_emptied(self, coming: str, file: Path) -> None:
        place = self._place()
        shutil.copytree(self._folder, place / "folder", symlinks=True)
        (place / "folder" / file.relative_to(self._folder)).write_bytes(b"")
        self._keep_new(place, f"{coming}, which is empty")

    def _place(self) -> Path:
        return self._kept / str(len(self._met))

    def _keep_new(self, place: Path, coming: str) -> None:
        found = fingerprint(place / "folder")
        if found in self._met:
            shutil.rmtree(place)
            return
        (place / "coming").write_text(coming, encoding="utf-8")
        self._met.add(found)

    def _look(self) -> list[tuple[str, int, int, int]]:
        """What changes when anything does, but within folders of objects."""
        seen = []
        for entry in _entries(self._folder):
            at = entry.stat(follow_symlinks=False)
            folder = entry.is_dir(follow_symlinks=False)
            seen.append((entry.path, at.st_ino, *((0, 0) if folder else (at.st_size, at.st_mtime_ns))))
        return seen


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All there is below a folder, in order, but for what is in folders of objects."""
    left = [str(folder)]
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except FileNotFoundError:
            continue  # a git that runs beside us has just removed it
        yield from found
        left += [
            entry.path for entry in found if entry.is_dir(follow_symlinks=False) and entry.name != "objects"
        ]
