"""What is shown live in a browser, on loopback: the server, the pulse that wakes who looks, pages made once.

While nothing moves nothing runs. That is why uvicorn's main loop is replaced (it looks ten times a second whether it
should end; were that loop called otherwise one day, only this would be lost), and why streams are answered by hand
(sse-starlette looks twice a second). Who may look says git_fleet/admission.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Lifespan, Receive, Scope, Send

from git_fleet import resources
from git_fleet.admission import Guard
from git_fleet.errors import FleetError
from git_fleet.views import board as pages

_LEAST_SECONDS = 0.5
_PATIENCE = 3
"""Between two wakings at least so many times as long passes as the last page took: a large plan in which something
moves all the time does not keep a processor busy."""
_MOST_PAGES = 64  # kept while nothing moves


def server(
    routes: Sequence[BaseRoute],
    living: Lifespan[Starlette],
    pulse: Pulse,
    port: int,
    token: str,
    once: str,
) -> Server:
    """What answers with these routes to whoever knows the token, once it is run with a socket of that port; `living`
    is entered as long as it runs."""
    shared = [
        Route("/events", Events(pulse)),
        Route("/static/board.css", _style),
        Route("/static/board.js", _script),
    ]
    config = uvicorn.Config(
        Starlette(
            routes=[*shared, *routes],
            middleware=[Middleware(Guard, port=port, token=token, once=once)],
            lifespan=living,
        ),
        access_log=False,  # the token is in the first address
        log_level="error",
        date_header=False,
        server_header=False,
        lifespan="on",
        loop="asyncio",
        http="h11",
        ws="none",
        timeout_graceful_shutdown=2,
    )
    return Server(config, pulse)


async def _style(_: Request) -> Response:
    return Response(pages.style(resources.web), media_type="text/css")


async def _script(_: Request) -> Response:
    return Response(resources.web("board.js"), media_type="text/javascript")


class Server(uvicorn.Server):
    """uvicorn, which does nothing while it has nothing to do."""

    def __init__(self, config: uvicorn.Config, pulse: Pulse) -> None:
        self._pulse = pulse
        super().__init__(config)

    @property
    def should_exit(self) -> bool:
        """Whether it is to end: set by uvicorn when a signal comes, or by any thread. The streams end then, too."""
        return self._pulse.over

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        if value:
            self._pulse.end()

    async def main_loop(self) -> None:
        """Until then."""
        await self._pulse.ended()


class Pulse:
    """Counts what has moved, and wakes those who wait for it: in the event loop it `begins` in. `beat` and `end` may be
    called by any thread."""

    def __init__(self) -> None:
        self.number = 0
        self._over, self._woken = asyncio.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """From now on others may wait, in the loop that runs."""
        self._loop = asyncio.get_running_loop()

    def beat(self) -> None:
        """Something has moved."""
        self._soon(self._turn)

    def end(self) -> None:
        """There is nothing more to come."""
        self._soon(self._end)

    @property
    def over(self) -> bool:
        """Whether that is so."""
        return self._over.is_set()

    async def ended(self) -> None:
        """Until that is so."""
        await self._over.wait()

    def _soon(self, turn: Callable[[], None]) -> None:
        if self._loop is None:
            turn()
            return
        with contextlib.suppress(RuntimeError):  # the loop is over
            self._loop.call_soon_threadsafe(turn)

    def _end(self) -> None:
        self._over.set()
        self._turn()

    def _turn(self) -> None:
        self.number += 1
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

    async def numbers(self) -> AsyncIterator[int]:
        """The number now, and each later one, until the end."""
        told = -1
        while not self.over:
            if told == self.number:
                await self._woken.wait()
            else:
                told = self.number
                yield told


class Events:
    """A stream of server-sent events: `moved`, with a number, at the beginning and whenever something has moved."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        telling, going = asyncio.create_task(self._tell(send)), asyncio.create_task(self._gone(receive))
        try:
            await asyncio.wait({telling, going}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            telling.cancel()
            going.cancel()

    async def _tell(self, send: Send) -> None:
        async for number in self._pulse.numbers():
            text = f"event: moved\ndata: {number}\n\n"
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    @staticmethod
    async def _gone(receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


class Pages:
    """Pages, made one after the other by the one thread `lane`, each once for all who ask while nothing moves."""

    def __init__(self, pulse: Pulse, place: pages.Place, moved: Callable[[], None] = lambda: None) -> None:
        """`moved` is called, by that thread, before the first page after something has moved."""
        self.lane = ThreadPoolExecutor(1, thread_name_prefix="board")
        self._pulse, self._place, self._moved = pulse, place, moved
        self._made: dict[tuple[str, bool], asyncio.Future[Response]] = {}
        self._as_of = -1
        self._took = 0.0

    @property
    def rest(self) -> float:
        """For how many seconds nobody is to be woken again, as the last page took."""
        return max(_LEAST_SECONDS, _PATIENCE * self._took)

    async def page(self, request: Request, show: Callable[[bool], str]) -> Response:
        """The page as of now. `show` makes it: the whole one, or the part of it that changes."""
        loop = asyncio.get_running_loop()
        if self._as_of != self._pulse.number:
            self._made.clear()
            self._as_of = self._pulse.number
            loop.run_in_executor(self.lane, self._moved)
        if len(self._made) >= _MOST_PAGES:
            self._made.clear()
        key = request.url.path, "part" not in request.query_params
        if key not in self._made:
            made = loop.run_in_executor(self.lane, self._make, show, key[1])
            self._made[key] = made
            made.add_done_callback(lambda _: self._drop_unless_well(key, made))
        return await asyncio.shield(self._made[key])

    def _drop_unless_well(self, key: tuple[str, bool], made: asyncio.Future[Response]) -> None:
        """What could not be shown may be shown the next time, without that a ref has moved."""
        well = not made.cancelled() and made.exception() is None and made.result().status_code == 200
        if not well and self._made.get(key) is made:
            del self._made[key]

    def _make(self, show: Callable[[bool], str], whole: bool) -> Response:
        began = time.monotonic()
        try:
            return HTMLResponse(show(whole))
        except FleetError as error:
            return HTMLResponse(self.note(whole, "This cannot be shown", error.message, error.hint), 404)
        finally:
            self._took = time.monotonic() - began

    def note(self, whole: bool, title: str, text: str, command: str) -> str:
        """A page that says one thing, and what to type."""
        return pages.note_page(
            resources.web, whole=whole, title=title, text=text, command=command, place=self._place
        )
