"""The MCP server, as an agent meets it, over standard input and output: a claim, its start, what it keeps, idleness."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from benchmarks.box import FLEET, Box, Figure, box, each_ms, spent
from benchmarks.claims import CONFIG, big_plan, plan_text
from git_fleet.app.claim import Claimed, Request, claim

BLOCKS, BLOCK, STARTS = 6, 21, 7
IDLE_SECONDS = 20.0
REVISION = "2025-06-18"
ABOUT = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


class Client:
    """The least that can speak to a server, so that what is measured is the server."""

    def __init__(self, made: Box) -> None:
        self.process = subprocess.Popen(
            [*FLEET, "mcp", "--worker", "agent"],
            cwd=made.repo,
            env=made.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._number = 0
        self.ask("initialize", **ABOUT)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of one request."""
        assert self.process.stdout is not None
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        result: dict[str, Any] = answer["result"]
        return result

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool answers. Raises AssertionError when it refuses."""
        result = self.ask("tools/call", name=tool, arguments=arguments)
        if result.get("isError"):
            raise AssertionError(result)
        document: dict[str, Any] = result["structuredContent"]
        return document

    def claim(self) -> None:
        """Claim one task, without a worktree."""
        if self.call("claim_task", worktree=False)["task_id"] is None:
            raise AssertionError("nothing to claim")

    def end(self) -> None:
        """As a client ends a server."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@contextmanager
def served(made: Box) -> Iterator[Client]:
    """A server of the box's repository that has answered."""
    client = Client(made)
    try:
        yield client
    finally:
        client.end()


def among_many() -> Iterator[Figure]:
    """A claim at 10,000 tasks, beside the same in this process, in turns of twenty: a claim has more to read after one
    of somebody else. Then what the server has grown to, and 20 s in which nobody asks it anything."""
    with box({"a": "a\n"}, CONFIG) as made:
        big_plan(made)
        with made.session("w", long_lived=True) as session, served(made) as client:

            def here() -> None:
                if not isinstance(claim(session, Request(worktree=False)), Claimed):
                    raise AssertionError("nothing to claim")

            ours, baseline = [], []
            for _ in range(BLOCKS):
                ours += each_ms(client.claim, BLOCK)[1:]
                baseline += each_ms(here, BLOCK)[1:]
            beside = ("claim in this process", statistics.median(baseline))
            yield Figure("mcp: claim_task, 10,000 tasks", statistics.median(ours), *beside, "≤ 5 ms")
            server = psutil.Process(client.process.pid)
            yield _memory("10,000 tasks", made, server)
            before = spent(server)
            time.sleep(IDLE_SECONDS)
            idle = (spent(server) - before) * 1000
            yield Figure("mcp: idle for 20 s", idle, "the time itself", IDLE_SECONDS * 1000, "none")


def _memory(where: str, made: Box, server: psutil.Process) -> Figure:
    """What the server has in memory, beside a process that has imported the SDK and done nothing."""
    code = "import mcp.server, psutil; print(psutil.Process().memory_info().rss)"
    bare = int(made.run(sys.executable, "-c", code)) / 1e6
    grown = server.memory_info().rss / 1e6
    return Figure(f"mcp: memory, {where}", grown, "import mcp.server", bare, "≤ 100 MB", unit="MB")


def start() -> Iterator[Figure]:
    """From nothing to the answer of a first claim, beside the SDK's own import."""
    with box({"a": "a\n"}, CONFIG) as made:
        (made.folder / "p.toml").write_text(plan_text(60))
        made.fleet("plan", "import", str(made.folder / "p.toml"))
        made.fleet("plan", "approve", "p", "--yes")
        clients: list[Client] = []

        def ours() -> None:
            clients.append(Client(made))
            clients[-1].claim()

        taken: list[tuple[float, float]] = []
        for _ in range(STARTS):
            began = each_ms(ours, 1)[0]
            if not taken:
                yield _memory("60 tasks", made, psutil.Process(clients[-1].process.pid))
            clients.pop().end()
            taken.append((began, each_ms(lambda: made.run(sys.executable, "-c", "import mcp.server"), 1)[0]))
        began, imported = (statistics.median(one[side] for one in taken) for side in (0, 1))
        yield Figure("mcp: start to a first claim", began, 'python -c "import mcp.server"', imported, "")


MEASURES = (among_many, start)
