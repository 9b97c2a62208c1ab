"""The board of a workspace: its repositories side by side, and the board of each below its name. For looking only.

One pulse wakes all who look: a task may need one of another repository, so what moves in any may change each page.
The repositories are those that workspace.toml names when the board begins; one that cannot be read is shown as such.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from git_fleet import live, resources
from git_fleet.app import workspaces
from git_fleet.app.session import Session, open_session
from git_fleet.app.surroundings import Surroundings
from git_fleet.app.wide import across, looking
from git_fleet.board import Board
from git_fleet.core.workspace import Repo, Workspace
from git_fleet.live import Pages, Pulse
from git_fleet.views import board as pages
from git_fleet.views import wideweb


def serve(
    space: Workspace, around: Surroundings, listening: socket.socket, token: str, once: str = ""
) -> None:
    """Answer on this socket until a signal comes; `once` is as good as the token to the first who comes with it."""
    server(space, around, listening.getsockname()[1], token, once).run(sockets=[listening])


def server(space: Workspace, around: Surroundings, port: int, token: str, once: str = "") -> live.Server:
    """What answers to whoever knows the token, once it is run with a socket of that port."""
    board = WideBoard(space, around)
    return live.server(board.routes, board.living, board.pulse, port, token, once)


class WideBoard:
    """The front page, and the boards."""

    def __init__(self, space: Workspace, around: Surroundings) -> None:
        self.pulse = Pulse()
        self._space, self._around = space, around
        self._pages = Pages(self.pulse, pages.Place(workspace=space.name))
        self._moved, self._over = threading.Event(), threading.Event()
        self._boards = {repo: self._board(repo) for repo in space.repos}
        # Nobody is led to the workspace's own: it tells of change sets that move.
        self._own = Board(self._home, self.pulse, moved=self._moved.set)

    def _board(self, repo: Repo) -> Board:
        folder = workspaces.place_of(self._space, repo)
        place = pages.Place(pages.repo_path(repo.name), self._space.name, repo.name, str(folder))
        return Board(partial(self._opened, repo), self.pulse, moved=self._moved.set, place=place)

    def _opened(self, repo: Repo) -> Session:
        try:
            return across.opened(
                self._space, repo, self._around, worker=across.READER, reading=True, long_lived=True
            )
        except OSError as error:
            raise across.unreadable(self._space, repo, error) from error

    def _home(self) -> Session:
        folder = Path(self._space.folder)
        return open_session(folder, self._around, worker=across.READER, reading=True, long_lived=True)

    @property
    def routes(self) -> list[BaseRoute]:
        """What is asked of it."""
        mounted = (
            Mount(pages.repo_path(repo.name), routes=each.routes) for repo, each in self._boards.items()
        )
        return [Route("/", self.front), *mounted]

    @contextlib.asynccontextmanager
    async def living(self, _: Starlette) -> AsyncIterator[None]:
        """Watch all repositories as long as this is entered."""
        self.pulse.begin()
        async with contextlib.AsyncExitStack() as stack:
            watched = (*self._boards.values(), self._own)
            await asyncio.gather(*(stack.enter_async_context(each.living()) for each in watched))
            threading.Thread(target=self._tell, name="pulse", daemon=True).start()
            try:
                yield
            finally:
                self._over.set()
                self._moved.set()
                self._pages.lane.shutdown()

    def _tell(self) -> None:
        """Wake who looks when something has moved anywhere, and not more often than the front page can be made."""
        while self._moved.wait() and not self._over.is_set():
            self._moved.clear()
            self.pulse.beat()
            self._over.wait(self._pages.rest)

    async def front(self, request: Request) -> Response:
        """The repositories side by side."""
        return await self._pages.page(request, self._show)

    def _show(self, whole: bool) -> str:
        found = looking.overview(self._space, self._around, self._space.repos)
        return wideweb.front_page(found, resources.web, whole=whole)
