"""Signals that end a command early: Ctrl-C, SIGTERM (systemd, CI), SIGHUP (the terminal is gone).

Each becomes a KeyboardInterrupt in the main thread, so that all of them end a command in the same orderly way:
gates and verifiers that run are ended, the lead is given up. The exit code is 128 and the signal's number, as a
shell says of a program that a signal ended. What is ignored already (by nohup, say) stays ignored.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

from git_fleet.git.undisturbed import later

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_SECONDS = 30.0
ECHO_SECONDS = 0.2
"""Nobody presses Ctrl-C twice in so short a time."""
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_CHUNK = 65_536
_WAIT = b"\ngit-fleet: ending what it has started; SIGQUIT (Ctrl-\\) stops at once, and cleans up nothing\n"

_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


class Echoes:
    """The signals that are no new ones. git hands what it was sent on to `git fleet`, and a terminal sends Ctrl-C to
    both: what comes right after another of its kind is the same one once more."""

    def __init__(self) -> None:
        self._last, self._at = 0, 0.0

    def has(self, number: int) -> bool:
        """Whether this one, which has come just now, is an echo."""
        now = time.monotonic()
        if number == self._last and now - self._at < ECHO_SECONDS:
            return True
        self._last, self._at = number, now
        return False


class Interrupts:
    """Use as a context manager around a command.

    The first signal interrupts. Those after it must not cut short what ends the gates, so they only say that
    this goes on; but one that comes after half a minute interrupts again, in case something hangs.
    """

    def __init__(self, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._patience = patience_seconds
        self._first: int | None = None
        self._since = 0.0
        self._before: dict[signal.Signals, _Handler] = {}
        self._terminals = terminals()
        self._echoes = Echoes()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may
            for number in _SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @property
    def exit_code(self) -> int:
        """What an interrupted command ends with."""
        return 128 + (self._first or signal.SIGINT)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if later(lambda: self._arrived(number, frame)) or self._echoes.has(number):
            return
        now = time.monotonic()
        if number == signal.SIGHUP:
            silence(self._terminals)
        if self._first is not None and now - self._since < self._patience:
            with suppress(OSError):
                os.write(_STDERR, _WAIT)  # print could be in the middle of printing
            return
        self._first, self._since = self._first or number, now
        raise KeyboardInterrupt


class InputThatEnds:
    """Use as a context manager inside of `Interrupts`, around a server that reads standard input in a thread until
    it ends. Such a thread cannot be woken, so a signal that arrives meanwhile ends the input instead: the server
    comes to its end as if its client had gone, and then the signal has its effect.

    Standard input becomes a pipe, which another thread fills. That one nobody waits for.
    """

    def __init__(self) -> None:
        self._arrived: int | None = None
        self._before: dict[signal.Signals, _Handler] = {}

    def __enter__(self) -> Self:
        self._real = os.dup(_STDIN)
        reads, writes = os.pipe()
        os.dup2(reads, _STDIN)
        os.close(reads)
        told, self._tell = os.pipe()
        threading.Thread(target=_copy, args=(self._real, writes, told), daemon=True).start()
        for number in _SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._end)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        os.close(self._tell)
        os.dup2(self._real, _STDIN)
        if self._arrived is not None:
            signal.raise_signal(self._arrived)

    def _end(self, number: int, _: FrameType | None) -> None:
        if self._arrived is None:
            self._arrived = number
            os.write(self._tell, b"!")


def _copy(source: int, sink: int, told: int) -> None:
    """Copy until the source ends, nobody reads any more, or `told` can be read; then end the sink."""
    with suppress(OSError):  # a reader that has gone
        while True:
            ready, _, _ = select.select([source, told], [], [])
            data = os.read(source, _CHUNK) if told not in ready else b""
            if not data:
                break
            while data:
                data = data[os.write(sink, data) :]
    os.close(sink)


def terminals() -> list[int]:
    """Which of standard output and standard error are a terminal."""
    return [number for number in (_STDOUT, _STDERR) if os.isatty(number)]


def silence(found: Sequence[int]) -> None:
    """Let these descriptors lead nowhere: a terminal that was hung up and a pipe that nobody reads refuse whatever
    is printed, and the interpreter ends with an error of its own over what it could not flush."""
    null = os.open(os.devnull, os.O_WRONLY)
    for each in found:
        os.dup2(null, each)
    os.close(null)
