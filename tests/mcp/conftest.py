"""Agents at work through the MCP server: the official client, in both eras of the protocol."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from git_fleet.app.serving import Serving
from tests.mcp.driving import serving_in
from tests.support.fleet import approved, open_fleet, task
from tests.support.repo import Repo


@pytest.fixture
def anyio_backend() -> str:
    """What the server runs on."""
    return "asyncio"


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    """How a client begins: by the protocol of 2026, or by the handshake of those before."""
    return str(request.param)


@pytest.fixture
def fleet(repo: Repo) -> Repo:
    """A repository with an open plan `p` of three tasks, c needing a."""
    repo.commit("Files", {"a/old": "old\n", "fleet.toml": 'version = 1\ngates = "none"\n'})
    approved(
        open_fleet(repo, "ann"),
        task("a", prompt="Write a/new.", accept=["true"]),
        task("b", labels=["docs"]),
        task("c", needs=["a"]),
    )
    return repo


@pytest.fixture
def serving(fleet: Repo) -> Iterator[Serving]:
    """What a server of worker w1 keeps for its workers."""
    with serving_in(fleet, "w1") as made:
        yield made
