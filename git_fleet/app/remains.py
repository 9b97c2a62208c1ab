"""All processes of one command or agent, wherever they have gone, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_POLL_SECONDS = 0.005
_ROUNDS = 5
_PASSES = 10
_PROC = Path("/proc/self/environ").exists()


class Remains:
    """All processes of one command: those of its process group and session, and those that carry its mark.

    The mark is a value of its own for the environment variable `name`. It finds what left group and session
    (`setsid`, daemons); only what also cleared its environment escapes. And it finds what has begun when an
    interruption comes before `process` is set, or `group`.

    `group` is the number of the group, and of the session that it heads. `since` (Unix seconds) spares looking at
    what began before. `spared` are process ids that are never touched, this process always being one.
    """

    def __init__(
        self,
        name: str,
        mark: str,
        grace_seconds: float,
        *,
        group: int | None = None,
        since: float = 0.0,
        spared: Collection[int] = (),
    ) -> None:
        self.mark, self.group = mark, group
        self.process: subprocess.Popen[bytes] | None = None
        self._name, self._grace_seconds, self._since, self._over = name, grace_seconds, since, False
        self._spared = {os.getpid(), *spared}

    def signal(self, number: signal.Signals) -> list[psutil.Process]:
        """Send a signal to all of them: those that there were."""
        import psutil

        found = []
        for member in self._find():  # at once: what forks and goes on in its child is gone the next moment
            found.append(member)
            with suppress(psutil.Error):
                member.send_signal(number)  # which makes sure that the number still is this process
        return found

    def close(self) -> None:
        """TERM, a while to comply, then KILL, again for what was started meanwhile. Once done, nothing."""
        if not self._over:
            self.end()
        self._over = True
        if self.process is not None:
            self.process.wait()

    def end(self) -> int:
        """The same, and each time anew: how many there were at first."""
        found = self.signal(signal.SIGTERM)
        if not found and self.process is None and self.group is None:
            # Known by its mark alone, and in the moment in which it becomes another program it shows none.
            found = self.signal(signal.SIGTERM)
        first = found
        for _ in range(_ROUNDS):  # a process that the kernel will not end is left to it
            if not found:
                break
            deadline = time.monotonic() + self._grace_seconds
            while not all(map(is_over, found)) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            found = self.signal(signal.SIGKILL)
        return len(first)

    def _find(self) -> Iterator[psutil.Process]:
        """Look at all processes, then at those that have begun meanwhile, until there are no more of these."""
        import psutil

        seen = set(self._spared)
        for _ in range(_PASSES):
            fresh = [pid for pid in psutil.pids() if pid not in seen]
            for pid in reversed(fresh):
                if self._is_ours(pid):
                    with suppress(psutil.Error):
                        member = psutil.Process(pid)
                        if member.create_time() >= self._since and self._is_ours(pid) and not is_over(member):
                            yield member
            if not fresh:
                break
            seen.update(fresh)

    def _is_ours(self, pid: int) -> bool:
        group = self.process.pid if self.process is not None else self.group
        try:
            return _belongs(pid, group) or _carries(pid, self._name, self.mark)
        except OSError:  # gone, or another user's
            return False


def _belongs(pid: int, group: int | None) -> bool:
    """Whether a process is in the group, or in the session: shells with job control give each job its own group."""
    if os.getpgid(pid) == group:
        return True
    try:
        return os.getsid(pid) == group
    except PermissionError:  # some systems tell one session nothing about another
        return False


def _carries(pid: int, name: str, mark: str) -> bool:
    """Whether a process was started with this value in its environment. Raises OSError."""
    if _PROC:  # psutil looks at much more, and what forks on and on would be gone by then
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            return f"{name}={mark}".encode() in file.read().split(b"\0")
    import psutil

    try:
        return psutil.Process(pid).environ().get(name) == mark
    except psutil.Error:
        return False


def is_over(process: psutil.Process) -> bool:
    """Whether it is gone or a zombie; not every container has an init that clears those away."""
    import psutil

    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
