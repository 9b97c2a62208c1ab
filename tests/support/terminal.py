"""A program on a terminal of some size, watched and typed at as a person would.

with Terminal([...], cwd=…, env=…, columns=80, rows=24) as terminal:
    terminal.until("Approve")
    terminal.type("y\n")
    code = terminal.end()
terminal.shown                       # everything it wrote, escape sequences included
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE_SECONDS = 60.0
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """The program's terminal is its controlling one, so that Ctrl-C and hanging up reach it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        columns: int = 80,
        rows: int = 24,
    ) -> None:
        self.shown = ""
        self._master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        kept = {
            name: text for name, text in env.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "TERM")
        }
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={
                "TERM": "xterm-256color",
                **kept,
                **{k: v for k, v in env.items() if k in ("NO_COLOR", "TERM")},
            },
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - one system call, and no threads here
        )
        os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.hang_up()

    @property
    def text(self) -> str:
        """What it wrote, without escape sequences."""
        return self.plain(self.shown)

    @staticmethod
    def plain(shown: str) -> str:
        """A piece of what was written, without escape sequences."""
        return _SEQUENCE.sub("", shown)

    def resize(self, *, columns: int, rows: int) -> None:
        """Another size, which the program is told of."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, text: str) -> None:
        """Wait until it has written this, escape sequences left out."""
        self.until_so(lambda: text in self.text, repr(text))

    def until_so(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until what it has written makes this true."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            assert self._read(deadline), f"{what} never came:\n{self.shown}"

    def read_some(self) -> None:
        """Take in what it has written meanwhile."""
        while select.select([self._master], [], [], 0)[0] and self._read(time.monotonic() + 1):
            pass

    def type(self, text: str) -> None:
        """What a person types; `\\x03` is Ctrl-C."""
        os.write(self._master, text.encode())

    def hang_up(self) -> None:
        """Close the terminal."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def end(self) -> int:
        """The exit code, once it has ended and all it wrote is read."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._master >= 0 and self._read(deadline):
            pass
        return self.process.wait(_PATIENCE_SECONDS)

    def _read(self, deadline: float) -> bool:
        """A piece more; False at the end, and fails when there is none in time."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing happens any more:\n{self.shown}"
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # how Linux says that the other side of a terminal is closed
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)
