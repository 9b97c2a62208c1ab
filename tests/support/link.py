"""A slow line to a server on loopback."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PIECE = 16 * 1024  # bytes


@contextmanager
def slow_line(port: int, seconds: float) -> Iterator[int]:
    """Another port that leads to `port` on this machine: each piece of what is said, either way, is under way for
    that long. When the block ends, so does the line, whatever is said on it."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as door:
        line = _Line(door, port, seconds)
        waiting = threading.Thread(target=line.take_calls)
        waiting.start()
        try:
            yield int(door.getsockname()[1])
        finally:
            _hang_up(door, socket.SHUT_RDWR)
            waiting.join()
            line.end()


class _Line:
    def __init__(self, door: socket.socket, port: int, seconds: float) -> None:
        self._door, self._port, self._seconds = door, port, seconds
        self._ends: list[socket.socket] = []
        self._calls: list[threading.Thread] = []

    def take_calls(self) -> None:
        with suppress(OSError):  # the door is shut
            while True:
                near, _ = self._door.accept()
                call = threading.Thread(target=self._call, args=(near,))
                self._calls.append(call)
                call.start()

    def end(self) -> None:
        """Hang up every call, and wait until nobody speaks."""
        for end in self._ends:
            _hang_up(end, socket.SHUT_RDWR)
        for call in self._calls:
            call.join()

    def _call(self, near: socket.socket) -> None:
        with near, socket.socket() as far:
            if far.connect_ex(("127.0.0.1", self._port)):
                return
            self._ends += [near, far]
            back = threading.Thread(target=self._carry, args=(far, near))
            back.start()
            self._carry(near, far)
            back.join()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                time.sleep(self._seconds)
                target.sendall(piece)
        _hang_up(target, socket.SHUT_WR)


def _hang_up(end: socket.socket, how: int) -> None:
    with suppress(OSError):
        end.shutdown(how)
