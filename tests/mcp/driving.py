"""A client at the server's other end, in few words."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from mcp import Client, StdioServerParameters
from mcp.server import MCPServer
from mcp.types import CallToolResult, TextContent

from git_fleet.app.serving import Serving
from git_fleet.mcp import server
from tests.support.clock import FakeClock
from tests.support.fleet import surroundings
from tests.support.repo import Repo


class RealClock(FakeClock):
    """Time as it is, for what runs beside processes that have no other."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


def serving_in(repo: Repo | Path, worker: str, *, env: Mapping[str, str] | None = None) -> Serving:
    """What `git fleet mcp` makes in a folder."""
    start = repo.path if isinstance(repo, Repo) else repo
    return Serving(start, surroundings(RealClock(), env=env), worker)


def stdio(folder: Path, *options: str, env: Mapping[str, str] | None = None) -> StdioServerParameters:
    """`git fleet mcp` as a process, with the environment of this one."""
    import os

    args = ["-m", "git_fleet", "-C", str(folder), "mcp", *options]
    return StdioServerParameters(command=sys.executable, args=args, env={**os.environ, **(env or {})})


@dataclass(frozen=True)
class Driver:
    """A client, and what its tool calls say."""

    client: Client

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer of a call that must succeed; the text beside it says the same."""
        import json

        result = await self.result(tool, **arguments)
        assert not result.is_error, _text(result)
        assert json.loads(_text(result)) == result.structured_content
        return cast(dict[str, Any], result.structured_content)

    async def refused(self, tool: str, **arguments: Any) -> str:
        """What a call that must fail says."""
        result = await self.result(tool, **arguments)
        assert result.is_error, result.structured_content
        return _text(result)

    async def result(self, tool: str, **arguments: Any) -> CallToolResult:
        return await self.client.call_tool(tool, arguments)


def _text(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@asynccontextmanager
async def connected(
    to: Serving | MCPServer[Any] | StdioServerParameters, era: str = "auto"
) -> AsyncIterator[Driver]:
    """A client of a server in this process, or of one that it starts."""
    there = server(to) if isinstance(to, Serving) else to
    async with Client(there, raise_exceptions=True, mode=cast(Any, era)) as client:
        yield Driver(client)
