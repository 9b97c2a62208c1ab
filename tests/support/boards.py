"""A board that answers, in a thread of this process, and one who asks it."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from git_fleet import board, live, wideboard
from git_fleet.app.session import Session
from git_fleet.core.workspace import Workspace
from tests.support.clock import FakeClock
from tests.support.fleet import surroundings

TOKEN, ONCE = "a-token-that-nobody-knows", "another-that-counts-once"


class Answer(NamedTuple):
    """Status, headers (names in lower case) and text."""

    status: int
    headers: Mapping[str, str]
    text: str


class Asking(NamedTuple):
    """Where the board is."""

    port: int
    token: str = TOKEN

    @property
    def url(self) -> str:
        """The address that is printed."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """What the first page sets."""
        return f"fleet-board-{self.port}={self.token}"

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask as a browser that has the cookie does; `headers` replace or add ("" leaves one out)."""
        given = {"Host": f"127.0.0.1:{self.port}", "Cookie": self.cookie}
        given |= {name.replace("_", "-").title(): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                for each in value.split("\n") if value else ():
                    connection.putheader(name, each)
            connection.endheaders()
            found = connection.getresponse()
            names = {name.lower(): value for name, value in found.getheaders()}
            return Answer(found.status, names, found.read().decode())
        finally:
            connection.close()

    @contextmanager
    def events(self) -> Iterator[Callable[[], int]]:
        """Look on: each call waits for the next number."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/events", headers={"Cookie": self.cookie})
        stream = connection.getresponse()

        def following() -> int:
            while not (line := stream.readline()).startswith(b"data: "):
                if not line:
                    raise EOFError
            return int(line.removeprefix(b"data: "))

        try:
            yield following
        finally:
            stream.close()
            connection.close()


@contextmanager
def answering(opened: Callable[[], Session]) -> Iterator[Asking]:
    """A board that runs until the context ends."""
    with running(lambda port: board.server(opened, port, TOKEN, ONCE)) as asking:
        yield asking


@contextmanager
def answering_for_all(space: Workspace, clock: FakeClock) -> Iterator[Asking]:
    """The board of a workspace that runs until the context ends."""
    with running(lambda port: wideboard.server(space, surroundings(clock), port, TOKEN, ONCE)) as asking:
        yield asking


@contextmanager
def running(server: Callable[[int], live.Server]) -> Iterator[Asking]:
    """What answers at a port, until the context ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        made = server(port)
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield Asking(port)
        finally:
            made.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "the board did not end"
