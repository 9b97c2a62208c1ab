"""What people do without a queue: squash one after another by hand, or everybody rebases and pushes."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.box import Box
from benchmarks.handed_in import Change

_PLAIN = ("git", "-c", "core.hooksPath=/dev/null")  # without the fleet's hooks, which cost and refuse


@dataclass(frozen=True)
class Squashed:
    """One after another: how long each took, in milliseconds, what conflicted, the tree main ended with."""

    each_ms: tuple[float, ...]
    conflicts: frozenset[str]
    tree: str


def squash_one_by_one(made: Box, folder: Path, changes: Sequence[Change]) -> Squashed:
    """`git merge --squash` and `git commit` of each branch on main, in this order; what conflicts is put
    back and left out."""
    taken, conflicts = [], set()
    for each in changes:
        began = time.perf_counter()
        if not _works(made, folder, "merge", "--quiet", "--squash", each.branch):
            _do(made, folder, "reset", "--quiet", "--hard")
            conflicts.add(each.name)
        else:
            _do(made, folder, "commit", "--quiet", "-m", f"Change {each.name}")
        taken.append((time.perf_counter() - began) * 1000)
    tree = made.git("rev-parse", "HEAD^{tree}", cwd=folder).strip()
    return Squashed(tuple(taken), frozenset(conflicts), tree)


@dataclass(frozen=True)
class Raced:
    """Clients that rebase and retry: what landed, what they gave up for conflicts, how often they tried."""

    seconds: float
    landed: int
    conflicts: int
    attempts: int
    tree: str


def rebase_and_retry(made: Box, changes: Sequence[Change], *, seconds: float = math.inf) -> Raced:
    """Each worker has a clone and lands its changes one after another: fetch, rebase, push, and once more
    while others were faster. All workers at once, against one bare repository; `seconds` ends it early."""
    server = made.disk / "server.git"
    made.git("clone", "--quiet", "--bare", str(made.repo), str(server))
    mine: dict[str, list[Change]] = {}
    for each in changes:
        mine.setdefault(each.worker, []).append(each)
    clones = {name: made.disk / f"client-{name}" for name in mine}
    for clone in clones.values():
        made.git("clone", "--quiet", "--shared", str(server), str(clone))
    made.run("sync")
    began = time.perf_counter()
    with ThreadPoolExecutor(len(mine)) as crew:
        clients = (crew.submit(_client, made, clones[name], mine[name], began + seconds) for name in mine)
        counts = [client.result() for client in list(clients)]
    taken = time.perf_counter() - began
    landed, conflicts, attempts = (sum(column) for column in zip(*counts, strict=True))
    tree = made.git("rev-parse", "main^{tree}", cwd=server).strip()
    return Raced(taken, landed, conflicts, attempts, tree)


def _client(made: Box, clone: Path, changes: Sequence[Change], until: float) -> tuple[int, int, int]:
    """One worker's changes, landed while there is time: how many, how many conflicted, how many attempts
    that took."""
    landed = conflicts = attempts = 0
    for each in changes:
        _do(made, clone, "checkout", "--quiet", "--detach", f"origin/{each.branch}")
        while time.perf_counter() < until:
            attempts += 1
            _do(made, clone, "fetch", "--quiet", "origin", "main")
            if not _works(made, clone, "rebase", "--quiet", "FETCH_HEAD"):
                _do(made, clone, "rebase", "--abort")
                conflicts += 1
                break
            if _works(made, clone, "push", "--quiet", "origin", "HEAD:main"):
                landed += 1
                break
    return landed, conflicts, attempts


def _works(made: Box, folder: Path, *args: str) -> bool:
    done = subprocess.run([*_PLAIN, *args], cwd=folder, env=dict(made.env), capture_output=True, check=False)
    return done.returncode == 0


def _do(made: Box, folder: Path, *args: str) -> None:
    made.run(*_PLAIN, *args, cwd=folder)
