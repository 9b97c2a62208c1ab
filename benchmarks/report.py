"""What it costs to look: the report of 1,000 tasks, and a board that many look at while nothing happens."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import psutil

from benchmarks.box import FLEET, Box, Figure, alternating, box, spent
from benchmarks.claims import plan_text
from benchmarks.handed_in import Change, hand_in

TASKS = 1000
VIEWERS = 10
IDLE_SECONDS = 20.0
CONFIG = (
    'version = 1\nmax_active = 100000\nmax_review = 100000\n\n[[gate]]\nname = "tests"\nrun = "seq 400"\n'
)


def page() -> Iterator[Figure]:
    """`git fleet report --html` of 1,000 integrated tasks, beside git listing their commits, numbers and notes."""
    files = {f"src/m{number}.txt": f"{number}\n" * 20 for number in range(TASKS)}
    with box(files, CONFIG, in_memory=True) as made:
        hand_in(
            made,
            [
                Change(str(n), f"w{n % 16}", ({f"src/m{n}.txt": f"changed {n}\n" * 20, f"new/{n}": "x\n"},))
                for n in range(TASKS)
            ],
        )
        made.fleet("integrate", "--batch")
        target = made.folder / "report.html"
        ours, baseline = alternating(
            lambda: made.fleet("report", "--html", str(target)),
            lambda: made.git("log", "--numstat", "--notes=fleet/evidence", "main"),
            7,
        )
        yield Figure(
            f"git fleet report --html, {TASKS} tasks", ours, "git log --numstat", baseline, "≤ 3000 ms"
        )
        size = target.stat().st_size / 1_000_000
        yield Figure("its page", size, "what it may have", 3.0, "≤ 3 MB", "MB")


def idle() -> Iterator[Figure]:
    """A board with ten viewers while nothing happens for 20 s, and how soon they hear of a claim."""
    with box({"a": "a\n"}, CONFIG) as made:
        (made.folder / "p.toml").write_text(plan_text(60))
        made.fleet("plan", "import", str(made.folder / "p.toml"))
        made.fleet("plan", "approve", "p", "--yes")
        command = [*FLEET, "board", "--json"]
        with subprocess.Popen(command, cwd=made.repo, env=dict(made.env), stdout=subprocess.PIPE) as server:
            try:
                assert server.stdout is not None
                yield from _looked_at(made, server.pid, json.loads(server.stdout.readline())["url"])
            finally:
                server.terminate()


def _looked_at(made: Box, pid: int, url: str) -> Iterator[Figure]:
    address = urlsplit(url)
    port, token = address.port or 0, address.query.removeprefix("token=")
    headers = {"Cookie": f"fleet-board-{port}={token}"}
    with ExitStack() as opened:
        streams = []
        for _ in range(VIEWERS):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            opened.callback(connection.close)
            connection.request("GET", "/events", headers=headers)
            streams.append(connection.getresponse())
        for stream in streams:
            _next(stream)
        time.sleep(2)  # what begins has settled
        process = psutil.Process(pid)
        before = spent(process)
        time.sleep(IDLE_SECONDS)
        used = (spent(process) - before) * 1000
        yield Figure(
            f"board: idle for 20 s, {VIEWERS} viewers", used, "the time itself", IDLE_SECONDS * 1000, "none"
        )
        began = time.perf_counter()
        made.fleet("claim", "7", "--no-worktree")
        claimed = time.perf_counter()
        for stream in streams:
            _next(stream)
        heard = (time.perf_counter() - claimed) * 1000
        yield Figure(
            "board: after a claim, until all have heard",
            heard,
            "the claim",
            (claimed - began) * 1000,
            "≤ 1 s",
        )


def _next(stream: http.client.HTTPResponse) -> None:
    while not stream.readline().startswith(b"data: "):
        pass


MEASURES = (page, idle)
