"""The board: a plan live in a browser, on loopback. For looking only.

Who may look says git_fleet/admission.py.

What moves: one thread waits for refs (git/watching.py) and wakes those who look; each asks for its page again, which
is made once for all of them. While nothing moves nothing runs. That is why uvicorn's main loop is replaced (it looks
ten times a second whether it should end; were that loop called otherwise one day, only this would be lost), and why
streams are answered by hand (sse-starlette looks twice a second).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from git_fleet import resources
from git_fleet.admission import Guard
from git_fleet.app import sharing, showing
from git_fleet.app.session import Session
from git_fleet.core.ids import TaskId
from git_fleet.errors import FleetError
from git_fleet.git.watching import RefWatch
from git_fleet.store import names
from git_fleet.views import board as pages

_REST_SECONDS = 60.0
_AGAIN_SECONDS = 15.0
_LEAST_SECONDS = 0.5
_PATIENCE = 3
"""Between two wakings at least so many times as long passes as the last page took: a large plan in which something
moves all the time does not keep a processor busy."""
_MOST_PAGES = 64  # kept while nothing moves


def serve(opened: Callable[[], Session], listening: socket.socket, token: str, once: str = "") -> None:
    """Answer on this socket until a signal comes. `opened` opens a session of the repository; `once` is as good as
    the token to the first who comes with it."""
    server(opened, listening.getsockname()[1], token, once).run(sockets=[listening])


def server(opened: Callable[[], Session], port: int, token: str, once: str = "") -> Server:
    """What answers to whoever knows the token, once it is run with a socket of that port."""
    board = Board(opened)
    config = uvicorn.Config(
        application(board, port, token, once),
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
    return Server(config, board)


def application(board: Board, port: int, token: str, once: str = "") -> Starlette:
    """The board as an ASGI application that is reached at this port."""
    return Starlette(
        routes=[
            Route("/", board.start),
            Route("/plan/{plan}", board.plan),
            Route("/task/{plan}/{task}", board.task),
            Route("/events", Events(board)),
            Route("/static/board.css", board.style),
            Route("/static/board.js", board.script),
        ],
        middleware=[Middleware(Guard, port=port, token=token, once=once)],
        lifespan=board.living,
    )


class Server(uvicorn.Server):
    """uvicorn, which does nothing while it has nothing to do."""

    def __init__(self, config: uvicorn.Config, board: Board) -> None:
        self._board = board
        super().__init__(config)

    @property
    def should_exit(self) -> bool:
        """Whether it is to end: set by uvicorn when a signal comes, or by any thread. The streams end then, too."""
        return self._board.pulse.over

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        if value:
            self._board.pulse.end()

    async def main_loop(self) -> None:
        """Until then."""
        await self._board.pulse.ended()


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

    def __init__(self, board: Board) -> None:
        self._board = board

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
        async for number in self._board.pulse.numbers():
            text = f"event: moved\ndata: {number}\n\n"
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    @staticmethod
    async def _gone(receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


Show = Callable[[Session, showing.Colliding, bool], str]
"""Makes a page from what a session reads, and who collides: the whole one, or the part of it that changes."""


class Board:
    """The pages. All reading is done by one thread, with one session."""

    def __init__(self, opened: Callable[[], Session]) -> None:
        self.pulse = Pulse()
        self._opened = opened
        self._session: Session | None = None
        self._lane = ThreadPoolExecutor(1, thread_name_prefix="board")
        self._pages: dict[tuple[str, bool], asyncio.Future[Response]] = {}
        self._colliding = showing.Colliding()
        self._as_of = -1
        self._took = 0.0

    @contextlib.asynccontextmanager
    async def living(self, _: Starlette) -> AsyncIterator[None]:
        """Watch the refs for as long as the application lives."""
        self.pulse.begin()
        over = threading.Event()
        session = await asyncio.get_running_loop().run_in_executor(self._lane, self._open)
        places = session.store.refs.places
        watched = places(names.FLEET, names.NOTES, names.branch(""))
        watch = RefWatch(session.repo, watched, ignored=places(names.BUCKET))
        look = sharing.lookout(session.store, session.patience)
        rest = session.patience if look else _REST_SECONDS
        told = (watch, over, rest, look or (lambda: None))
        threading.Thread(target=self._watch, args=told, name="refs", daemon=True).start()
        try:
            yield
        finally:
            over.set()
            self._lane.submit(session.__exit__, None, None, None)
            self._lane.shutdown()

    def _open(self) -> Session:
        if self._session is None:
            self._session = self._opened()
        return self._session

    def _watch(self, watch: RefWatch, over: threading.Event, rest: float, look: Callable[[], None]) -> None:
        """Tell of what moves here; after each `rest` without, `look` for what has moved elsewhere."""
        with watch as refs:
            while not over.is_set():
                try:
                    moved = refs.wait(rest)
                    if not moved:
                        look()
                except (FleetError, OSError):  # its git was killed, say
                    moved = not over.wait(_AGAIN_SECONDS)
                if moved:
                    self.pulse.beat()
                    over.wait(max(_LEAST_SECONDS, _PATIENCE * self._took))

    # --- pages -----------------------------------------------------------------------------------

    async def start(self, request: Request) -> Response:
        """To the plan that is worked on."""
        first = await asyncio.get_running_loop().run_in_executor(
            self._lane, lambda: showing.first(self._open())
        )
        if first is not None:
            return RedirectResponse(f"/plan/{first}", 303)

        def nothing(_: Session, __: showing.Colliding, whole: bool) -> str:
            said = "Import one, or write one in your editor; it shows here as soon as it is stored."
            return pages.note_page(
                resources.web,
                whole=whole,
                title="There is no plan yet",
                text=said,
                command="git fleet plan new NAME",
            )

        return await self._page(request, nothing)

    async def plan(self, request: Request) -> Response:
        """A plan."""
        name = request.path_params["plan"]
        return await self._page(
            request,
            lambda session, colliding, whole: pages.plan_page(
                showing.plan(session, name, colliding), resources.web, whole=whole
            ),
        )

    async def task(self, request: Request) -> Response:
        """A task."""
        task = TaskId(request.path_params["plan"], request.path_params["task"])
        return await self._page(
            request,
            lambda session, colliding, whole: pages.task_page(
                showing.task(session, task, colliding), resources.web, whole=whole
            ),
        )

    async def _page(self, request: Request, show: Show) -> Response:
        """The page as of now; made once for all who ask while nothing moves."""
        loop = asyncio.get_running_loop()
        if self._as_of != self.pulse.number:
            self._pages.clear()
            self._as_of = self.pulse.number
            loop.run_in_executor(self._lane, self._colliding.moved)
        if len(self._pages) >= _MOST_PAGES:
            self._pages.clear()
        key = request.url.path, "part" not in request.query_params
        if key not in self._pages:
            made = loop.run_in_executor(self._lane, self._make, show, key[1])
            self._pages[key] = made
            made.add_done_callback(lambda _: self._drop_unless_well(key, made))
        return await asyncio.shield(self._pages[key])

    def _drop_unless_well(self, key: tuple[str, bool], made: asyncio.Future[Response]) -> None:
        """What could not be shown may be shown the next time, without that a ref has moved."""
        well = not made.cancelled() and made.exception() is None and made.result().status_code == 200
        if not well and self._pages.get(key) is made:
            del self._pages[key]

    def _make(self, show: Show, whole: bool) -> Response:
        began = time.monotonic()
        try:
            return HTMLResponse(show(self._open(), self._colliding, whole))
        except FleetError as error:
            text = pages.note_page(
                resources.web,
                whole=whole,
                title="This cannot be shown",
                text=error.message,
                command=error.hint,
            )
            return HTMLResponse(text, 404)
        finally:
            self._took = time.monotonic() - began

    async def style(self, _: Request) -> Response:
        """The style of all pages."""
        return Response(pages.style(resources.web), media_type="text/css")

    async def script(self, _: Request) -> Response:
        """The script of all pages."""
        return Response(resources.web("board.js"), media_type="text/javascript")
