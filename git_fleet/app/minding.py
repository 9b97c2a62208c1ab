"""What passes between an agent's minder and everybody else: the files in its folder (minder.py says what is in
them), and the lock that proves that it lives."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from git_fleet import resources
from git_fleet.app import plainfiles
from git_fleet.git import flocks

ALIVE, SPEC, STARTED, EXIT = "alive", "spec", "started.json", "exit.json"

_ROOM = b" " * 512
_MOST_BYTES = 64 * 1024
_LOCK_SECONDS = 2.0  # a minder that has said how its agent ended holds the lock for a moment still
_END_SECONDS = 5.0
_LOADER = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH")

_minders: dict[str, subprocess.Popen[bytes]] = {}
"""Those that this process has started, by mark: it has to take note of their end."""


def read_json(path: Path) -> Mapping[str, Any] | None:
    """The JSON object in a file; None when there is none, of whatever reason."""
    try:
        with plainfiles.opened(path) as file:
            found = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def number(found: Mapping[str, Any] | None, name: str, *, below: int = 2**31) -> int:
    """A positive whole number in it, such as that of a process; 0 when there is none."""
    value = (found or {}).get(name)
    return value if type(value) is int and 0 < value < below else 0


def moment(found: Mapping[str, Any] | None, name: str) -> datetime | None:
    """A moment in it (Unix seconds); None when there is none."""
    value = (found or {}).get(name)
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(value, UTC) if isinstance(value, float) else None
    return None


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the lock on `alive`: its descriptor, which a minder may inherit. Raises OSError, BlockingIOError while
    somebody else has it."""
    handle = flocks.opened(folder / ALIVE, 0o600)
    try:
        if not flocks.take(handle, seconds=_LOCK_SECONDS):
            raise BlockingIOError(errno.EWOULDBLOCK, "a minder lives there", str(folder / ALIVE))
        yield handle
    finally:
        os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether a minder lives there, or one is being started."""
    return flocks.is_held(folder / ALIVE)


def take_back(folder: Path, patience_seconds: float) -> bool:
    """Take away what a minder would start from, unless one has begun, or has not had its time yet: whether nobody
    will start it now."""
    try:
        age = time.time() - (folder / SPEC).stat().st_mtime
        if 0 <= age < patience_seconds:
            return False
        handle = flocks.opened(folder / ALIVE, 0o600)
    except FileNotFoundError:  # all of it is gone
        return True
    try:
        if not flocks.take(handle):
            return False
        (folder / SPEC).unlink(missing_ok=True)
        return True
    finally:
        os.close(handle)


def make_room(folder: Path) -> None:
    """Remove what is left of an earlier start, and have the room on the disk that its minder will need. Raises
    OSError."""
    for name in (SPEC, STARTED, EXIT):
        (folder / name).unlink(missing_ok=True)
    for name in (STARTED, EXIT):
        (folder / f"{name}.new").write_bytes(_ROOM)


def write_spec(folder: Path, items: Iterable[str]) -> None:
    """Write what the minder starts from, for nobody else's eyes. Raises OSError, ValueError for a NUL in it."""
    data = [os.fsencode(item) for item in items]
    if any(b"\0" in item for item in data):
        raise ValueError("a NUL in its command or environment")
    path = folder / f"{SPEC}.new"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(b"".join(item + b"\0" for item in data))
    path.replace(folder / SPEC)


def begin(folder: Path, mark: str, alive: int, env: Mapping[str, str]) -> None:
    """Start the minder of what `spec` says and hand it the lock. It is no part of any terminal's session, and its
    own environment is empty but for what Python's loader needs of `env`. Raises OSError."""
    _minders[mark] = subprocess.Popen(
        [sys.executable, "-I", "-S", str(resources.minder()), str(folder), str(alive)],
        cwd="/",
        env={name: env[name] for name in _LOADER if name in env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=(alive,),
    )


def own(mark: str) -> int:
    """The process id of a minder that this process has started and not yet reaped; 0 for any other."""
    minder = _minders.get(mark)
    return minder.pid if minder is not None else 0


def reap(mark: str) -> None:
    """Take note that a minder of ours has ended: once it has said how its agent did, it does so at once."""
    minder = _minders.pop(mark, None)
    if minder is not None:
        with suppress(subprocess.TimeoutExpired):
            minder.wait(_END_SECONDS)


def remove(folder: Path) -> None:
    """Remove all these files."""
    for name in (SPEC, STARTED, EXIT, ALIVE):
        for path in (folder / name, folder / f"{name}.new"):
            path.unlink(missing_ok=True)


def descriptor(pid: int) -> int | None:
    """A descriptor of a process, readable once it has ended; None where there are none, or when it is gone."""
    if not pid or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.ENOSYS, errno.EMFILE, errno.ENFILE, errno.EPERM, errno.ENOMEM):
            return None
        raise


def start_ticks(pid: int) -> int:
    """When a process began, in the kernel's ticks since boot; 0 where there is no /proc, or when it is gone."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    return 0
