"""The board: the plans of one repository live in a browser. For looking only.

What moves: one thread waits for refs (git/watching.py) and wakes those who look; each asks for its page again, which
is made once for all of them (git_fleet/live.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from git_fleet import live, resources
from git_fleet.app import sharing, showing
from git_fleet.app.session import Session
from git_fleet.core.ids import TaskId
from git_fleet.errors import FleetError
from git_fleet.git.watching import RefWatch
from git_fleet.live import Pages, Pulse
from git_fleet.store import names
from git_fleet.views import board as pages

_REST_SECONDS = 60.0
_AGAIN_SECONDS = 15.0


def serve(opened: Callable[[], Session], listening: socket.socket, token: str, once: str = "") -> None:
    """Answer on this socket until a signal comes. `opened` opens a session of the repository; `once` is as good as
    the token to the first who comes with it."""
    server(opened, listening.getsockname()[1], token, once).run(sockets=[listening])


def server(opened: Callable[[], Session], port: int, token: str, once: str = "") -> live.Server:
    """What answers to whoever knows the token, once it is run with a socket of that port."""
    pulse = Pulse()
    board = Board(opened, pulse)

    @contextlib.asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        pulse.begin()
        async with board.living():
            yield

    return live.server(board.routes, living, pulse, port, token, once)


class Board:
    """The pages of one repository. All reading is done by one thread, with one session."""

    def __init__(
        self,
        opened: Callable[[], Session],
        pulse: Pulse,
        *,
        moved: Callable[[], None] | None = None,
        place: pages.Place = pages.ALONE,
    ) -> None:
        """`moved` is called, by any thread, when something has moved (None: the pulse beats)."""
        self._opened = opened
        self._session: Session | None = None
        self._place = place
        self._moved = moved or pulse.beat
        self._colliding = showing.Colliding()
        self._pages = Pages(pulse, place, self._colliding.moved)

    @property
    def routes(self) -> list[BaseRoute]:
        """What is asked of it, below its place."""
        return [
            Route("/", self.start),
            Route("/plan/{plan}", self.plan),
            Route("/task/{plan}/{task}", self.task),
        ]

    @contextlib.asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Watch the refs as long as this is entered; a repository that cannot be read is tried again."""
        over = threading.Event()
        refs = await asyncio.get_running_loop().run_in_executor(self._pages.lane, self._refs)
        threading.Thread(target=self._watch, args=(refs, over), name="refs", daemon=True).start()
        try:
            yield
        finally:
            over.set()
            self._pages.lane.submit(self._close)
            self._pages.lane.shutdown()

    def _open(self) -> Session:
        if self._session is None:
            self._session = self._opened()
        return self._session

    def _close(self) -> None:
        if self._session is not None:
            self._session.__exit__(None, None, None)

    def _refs(self) -> Refs | None:
        """What to watch; None where the repository cannot be read."""
        try:
            return Refs(self._open())
        except (FleetError, OSError):
            return None

    def _watch(self, refs: Refs | None, over: threading.Event) -> None:
        """Tell of what moves here."""
        while refs is None:
            if over.wait(_AGAIN_SECONDS):
                return
            with contextlib.suppress(RuntimeError):  # the lane has ended just now
                refs = self._pages.lane.submit(self._refs).result()
            if refs is not None:
                self._moved()
        with refs.watch:
            while not over.is_set():
                try:
                    moved = refs.wait()
                except (FleetError, OSError):  # its git was killed, say
                    moved = not over.wait(_AGAIN_SECONDS)
                if moved:
                    self._moved()
                    over.wait(self._pages.rest)

    # --- pages -----------------------------------------------------------------------------------

    async def start(self, request: Request) -> Response:
        """To the plan that is worked on."""
        first = await asyncio.get_running_loop().run_in_executor(self._pages.lane, self._first)
        if first is not None:
            return RedirectResponse(f"{self._place.path}/plan/{first}", 303)

        def nothing(whole: bool) -> str:
            self._open()
            said = "Import one, or write one in your editor; it shows here as soon as it is stored."
            return self._pages.note(whole, "There is no plan yet", said, "git fleet plan new NAME")

        return await self._pages.page(request, nothing)

    def _first(self) -> str | None:
        try:
            return showing.first(self._open())
        except FleetError:  # which the page says
            return None

    async def plan(self, request: Request) -> Response:
        """A plan."""
        return await self._pages.page(request, partial(self._show_plan, request.path_params["plan"]))

    def _show_plan(self, name: str, whole: bool) -> str:
        found = showing.plan(self._open(), name, self._colliding)
        return pages.plan_page(found, resources.web, whole=whole, place=self._place)

    async def task(self, request: Request) -> Response:
        """A task."""
        task = TaskId(request.path_params["plan"], request.path_params["task"])
        return await self._pages.page(request, partial(self._show_task, task))

    def _show_task(self, task: TaskId, whole: bool) -> str:
        found = showing.task(self._open(), task, self._colliding)
        return pages.task_page(found, resources.web, whole=whole, place=self._place)


class Refs:
    """Waits for what moves in a repository, and after each rest without looks for what has moved elsewhere."""

    def __init__(self, session: Session) -> None:
        places = session.store.refs.places
        watched = places(names.FLEET, names.NOTES, names.branch(""))
        self.watch = RefWatch(session.repo, watched, ignored=places(names.BUCKET))
        self._look = sharing.lookout(session.store, session.patience)
        self._rest = session.patience if self._look else _REST_SECONDS

    def wait(self) -> bool:
        """Whether something has moved here, at the end of a rest. Raises as RefWatch.wait, and the look elsewhere."""
        moved = self.watch.wait(self._rest)
        if not moved and self._look is not None:
            self._look()
        return moved
