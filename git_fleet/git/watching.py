"""Waiting until refs may have moved, without asking git again and again.

On Linux the kernel tells (inotify) when something below `refs` is made, renamed or removed, or packed-refs or the
reftable is replaced. What it tells is only a reason to look: whether refs have moved is found by comparing them
with what they were at the last look, so no change between two waits is missed, and changes elsewhere wake nobody.
Elsewhere, and where no watches are left, it is a look every second. (Why not a library: DESIGN section 17.)
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import select
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from git_fleet.git.repository import Repository

_POLL_SECONDS = 1.0
_REST_SECONDS = 0.05
"""After being told of something else; doubled each time, up to a second. (A new folder is told of before the
ref in it is there, so a whole second at once would be felt.)"""
_TRUST_SECONDS = 15.0
"""At the latest after so long one looks oneself: a network file system tells nothing of other machines."""

_STORES = ("refs", "reftable")
_PACKED = "packed-refs"


class RefWatch:
    """Waits for changes of some refs of a repository; they are shared by all its worktrees.

        with RefWatch(repo, ["refs/fleet", "refs/heads/main"], ignored=["refs/fleet/lead"]) as watch:
            while True:
                look_and_act()
                watch.wait(60.0)

    Make it before the first look: what moves after that is seen by the next `wait`. Refs that the caller itself
    moves each time belong to `ignored`, or every wait would end at once. Not for sharing between threads.
    """

    def __init__(
        self, repo: Repository, refs: Sequence[str], *, ignored: Sequence[str] = (), events: bool = True
    ) -> None:
        """`refs` and `ignored` are full names, or what stands before a slash in them. Without `events` it polls."""
        self._git = repo.git()
        self._refs, self._ignored = tuple(refs), tuple(ignored)
        self._kernel = _Kernel.watching(repo.common_dir, self._concerns) if events else None
        self._seen = self._fingerprint()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the watches back. `wait` still works then, by polling."""
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    @property
    def told(self) -> bool:
        """Whether the kernel tells of changes; else it is a look every second."""
        return self._kernel is not None

    def wait(self, timeout: float) -> bool:
        """True as soon as a ref is another than at the last look (of this method, or at the beginning); False
        after `timeout` seconds without.

        Looks once a second at most; a little more often only when it begins to be told of something else.
        Raises GitFailed when git cannot list the refs.
        """
        deadline = time.monotonic() + timeout
        rest = 0.0
        while not self._look():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(rest, left))
            told = self._sleep(max(0.0, deadline - time.monotonic()))
            rest = min(max(_REST_SECONDS, 2 * rest), _POLL_SECONDS) if told else 0.0
        return True

    def _sleep(self, left: float) -> bool:
        """Until told of something, or until it is time to look without; whether it was told."""
        if self._kernel is None:
            time.sleep(min(left, _POLL_SECONDS))
            return False
        return self._hear(min(left, _TRUST_SECONDS))

    def _hear(self, seconds: float) -> bool:
        """Whether the kernel tells of something within that time. When watches run out, it tells no more."""
        if self._kernel is None:
            return False
        try:
            return self._kernel.tells(seconds)
        except OSError:
            self.close()
            return True

    def _look(self) -> bool:
        """Whether refs have moved since the last look. What was told before it is done with."""
        self._hear(0.0)
        before, self._seen = self._seen, self._fingerprint()
        return self._seen != before

    def _fingerprint(self) -> bytes:
        listed = self._git.run("for-each-ref", "--format=%(refname) %(objectname)", *self._refs).out
        digest = hashlib.sha256()
        for line in listed.splitlines():
            name = os.fsdecode(line.split(b" ", 1)[0])
            if not any(_within(name, ignored) for ignored in self._ignored):
                digest.update(line + b"\n")
        return digest.digest()

    def _concerns(self, path: str) -> bool:
        """Whether a change at `path`, relative to the shared git dir, may move one of the refs. A lock file is
        none yet: git renames it to what it stands for. A folder above refs is: some may be in it."""
        if path.endswith(".lock"):
            return False
        store = path.split(os.sep, 1)[0]
        if path == _PACKED or store == "reftable":
            return True
        if store != "refs" or any(_within(path, ignored) for ignored in self._ignored):
            return False
        return any(_within(path, ref) or _within(ref, path) for ref in self._refs)


def _within(name: str, prefix: str) -> bool:
    """Whether a ref is `prefix` itself or below it."""
    return name == prefix or name.startswith(prefix.removesuffix("/") + "/")


# From <sys/inotify.h>; the same on every architecture.
_IN_MOVED_TO, _IN_CREATE, _IN_DELETE = 0x80, 0x100, 0x200
_IN_Q_OVERFLOW, _IN_IGNORED, _IN_ONLYDIR, _IN_ISDIR = 0x4000, 0x8000, 0x0100_0000, 0x4000_0000
_IN_NONBLOCK, _IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
_BUFFER = 64 * 1024


class _Kernel:
    """inotify on the folders in which refs are stored. Folders that come up are watched as they come."""

    def __init__(self, root: Path, concerns: Callable[[str], bool]) -> None:
        """Raises OSError when there is nothing to watch with."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._root, self._concerns = root, concerns
        self._folders: dict[int, str] = {}
        self._fd: int = self._checked(self._libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC))

    @classmethod
    def watching(cls, root: Path, concerns: Callable[[str], bool]) -> _Kernel | None:
        """A watch on the shared git dir `root`, or None where it cannot be had. `concerns` says of a path
        relative to it whether it is worth being told of."""
        if sys.platform != "linux":
            return None
        try:
            kernel = cls(root, concerns)
        except OSError:
            return None
        try:
            kernel._watch_all()
        except OSError:
            kernel.close()
            return None
        return kernel

    def close(self) -> None:
        """The watches go with the descriptor."""
        os.close(self._fd)

    def tells(self, seconds: float) -> bool:
        """Whether something that concerns us happens within that time, or has since the last call.

        Raises OSError when a new folder cannot be watched.
        """
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            if self._take():
                return True
        return False

    def _take(self) -> bool:
        """What there is to read: whether any of it concerns us."""
        told = False
        for watch, mask, name in _events(os.read(self._fd, _BUFFER)):
            if mask & _IN_IGNORED:  # the folder is gone
                self._folders.pop(watch, None)
            elif mask & _IN_Q_OVERFLOW:
                self._watch_all()
                told = True
            elif watch in self._folders:
                path = os.path.join(self._folders[watch], name)  # noqa: PTH118 - "" is the root here
                if self._concerns(path):
                    told = True
                    if mask & _IN_ISDIR and not mask & _IN_DELETE:
                        self._watch_below(path)
        return told

    def _watch_all(self) -> None:
        self._watch("")
        for store in _STORES:
            self._watch_below(store)

    def _watch_below(self, folder: str) -> None:
        """Watch a folder and, then, those in it: whatever comes up in between is told of."""
        if not self._watch(folder):
            return
        try:
            below = [entry.name for entry in os.scandir(self._root / folder) if entry.is_dir()]
        except FileNotFoundError:
            return
        for name in below:
            path = f"{folder}/{name}"
            if self._concerns(path):
                self._watch_below(path)

    def _watch(self, folder: str) -> bool:
        """Whether the folder is there to be watched. Watching it again changes nothing."""
        mask = _IN_CREATE | _IN_MOVED_TO | _IN_DELETE | _IN_ONLYDIR
        try:
            found = self._checked(
                self._libc.inotify_add_watch(self._fd, os.fsencode(self._root / folder), mask)
            )
        except (FileNotFoundError, NotADirectoryError):
            return False
        self._folders[found] = folder
        return True

    @staticmethod
    def _checked(answer: int) -> int:
        if answer < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return answer


def _events(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Watch, mask and name of each event that was read."""
    at = 0
    while at < len(data):
        watch, mask, _, length = _EVENT.unpack_from(data, at)
        at += _EVENT.size
        yield watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))
        at += length
