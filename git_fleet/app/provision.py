"""Setup and teardown: what a repository's own commands do to a new worktree, and before it goes (DESIGN section 7).

`setup` of `[worker]` runs once in each new worktree, after it is made and before anybody works there. That it has run
is written to `fleet-setup.json` in the worktree's own git dir, when it has ended:

    {"v":1,"setup":"<SHA-256 of the command>","trouble":"","log":"…/setup.log"}

So after a kill −9 in between, or after a failure (`trouble` says which), the next `claim --resume` runs it again; so
does a command that has changed since. A setup that outlives its killed git-fleet holds the lock it inherited, and the
next one waits for it. A failed setup does not end the claim: its worker is told.

`teardown` runs before `cleanup` removes a worktree, each time that is tried; it may find its work done already.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import asdict

from git_fleet.app import includes, isolation, slots
from git_fleet.app.isolation import Prepared
from git_fleet.app.session import Session
from git_fleet.core import allowlist
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Task
from git_fleet.core.progress import Stop
from git_fleet.git import contents, flocks, worktrees
from git_fleet.git.repository import Repository
from git_fleet.store import worktree

FILE = "fleet-setup.json"
VERSION = 1
MAX_SECONDS = 1800.0
_LOCK = "fleet-setup.lock"
_POLL_SECONDS = 0.05
_MOST_SAID = 200


class _Done(Struct, frozen=True):
    """How the last setup of a worktree ended; no `trouble`: well."""

    setup: str
    trouble: str
    log: str


class Told(NamedTuple):
    """What a worker must know of the setup: `trouble`, when it failed, and a `note`; "" when all is well."""

    trouble: str = ""
    note: str = ""


def set_up(session: Session, task: Task, made: Prepared, stop: Stop | None = None) -> Told:
    """Run the setup of a worktree just prepared, unless it has run. As soon as `stop` is set it is ended, and has
    failed.

    It may take as long as a lease, since nobody renews that meanwhile, and at most MAX_SECONDS. Raises GitFailed
    when its log or its mark cannot be written.
    """
    config = session.config_of(task.id)
    command = config.profile(task.worker).setup
    if not command:
        return Told()
    digest = hashlib.sha256(command.encode()).hexdigest()
    git_dir = contents.git_dir_of(made.path)
    seconds = min(MAX_SECONDS, config.lease_seconds)
    with _alone(git_dir, seconds, stop) as lock:
        if lock is None:
            return Told(f"setup: another one of this worktree has not ended after {seconds:g} s")
        done = _read(git_dir)
        if done is not None and done.setup == digest and not done.trouble:
            return Told()
        before = set(contents.dirty_files(made.path, markers=includes.check_markers(config.touch)))
        log = _log(session.repo, task.id, "setup")
        trouble = _run(session, command, made.path, made.env, log, seconds, lock, stop)
        _write(git_dir, _Done(digest, trouble, str(log)))
    if trouble:
        return Told(f"setup failed: {trouble}; its log: {log}; git fleet claim --resume runs it again")
    after = contents.dirty_files(made.path, markers=includes.check_markers(config.touch))
    left = [name for name in after if name not in before]
    return Told(note=f"setup left what git does not ignore: {contents.listing(left)}") if left else Told()


def problem(git_dir: Path) -> str:
    """What is wrong with the setup of the worktree with this git dir, as its last run left it; "" when nothing is,
    or none was asked for. Reading only."""
    done = _read(git_dir)
    return f"{done.trouble}; its log: {done.log}" if done is not None and done.trouble else ""


def tear_down(session: Session, task: Task | None, name: TaskId, path: Path) -> str:
    """Run the teardown of the worktree at `path`, where one is configured: why it must stay, "" when it may go.

    `task` is None where nobody knows any more what the plan said; then `[worker]` itself decides. A worktree that
    nobody has begun to work in has nothing to tear down. Raises GitFailed when the log cannot be written.
    """
    config = session.config_of(name) if task is not None else session.config()
    command = config.profile(task.worker if task is not None else "").teardown
    git_dir = worktrees.git_dir_for(session.repo, path) if command and path.is_dir() else None
    placed = worktree.read(git_dir) if git_dir else None
    if placed is None:
        return ""
    around = session.around
    slot = slots.find(around.state_dir, common_dir=session.repo.common_dir, worktree=path)
    if slot is None or slot.number != placed.slot:
        return "teardown: its slot is not on record any more, so what to take down is not known"
    cache = isolation.shared_cache(around.cache_dir, session.repo)
    env = isolation.environment(placed, slot, config, around.env, cache)
    log = _log(session.repo, name, "teardown")
    trouble = _run(session, command, path, env, log, MAX_SECONDS, None)
    return f"teardown failed: {trouble}; its log: {log}" if trouble else ""


def _log(repo: Repository, task: TaskId, what: str) -> Path:
    """Where it is kept what the command printed: outside of the worktree, which will go."""
    return repo.fleet_dir / "logs" / task.plan / task.task / f"{what}.log"


def _run(
    session: Session,
    command: str,
    folder: Path,
    env: Mapping[str, str],
    log: Path,
    seconds: float,
    lock: int | None,
    stop: Stop | None = None,
) -> str:
    """Run it in the environment of the worker, but for what no command of ours gets to see: what is wrong."""
    from git_fleet.app import commands  # a claim without a setup need not load it

    ran = commands.run(
        command,
        folder,
        env=allowlist.environment(session.around.env, env),
        log=log,
        timeout_seconds=seconds,
        stop=stop,
        pass_fds=() if lock is None else (lock,),
    )
    ending = ran.ending(seconds)
    said = ran.tail.rstrip().rpartition("\n")[2].strip()[:_MOST_SAID] if ending else ""
    return f"{ending}: {said}" if said else ending


@contextlib.contextmanager
def _alone(git_dir: Path, seconds: float, stop: Stop | None) -> Iterator[int | None]:
    """Hold the lock of this worktree's setup: its descriptor, None when others hold it for so long."""
    fd = flocks.opened(git_dir / _LOCK)
    ended = stop.is_set if stop is not None else lambda: False
    try:
        yield fd if flocks.take(fd, seconds=seconds, every=_POLL_SECONDS, stop=ended) else None
    finally:
        os.close(fd)  # which lets go, unless a setup that outlives us inherited it


def _read(git_dir: Path) -> _Done | None:
    """How the last setup ended; None when none has. What cannot be read has not ended: it is run again."""
    try:
        document: Any = json.loads((git_dir / FILE).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or document.get("v") != VERSION:
        return None
    found: list[Any] = [document.get(name) for name in _Done.__struct_fields__]
    return _Done(*found) if all(isinstance(value, str) for value in found) else None


def _write(git_dir: Path, done: _Done) -> None:
    """The mark, whole or not at all. Raises GitFailed."""
    worktree.replace_file(git_dir / FILE, json.dumps({"v": VERSION, **asdict(done)}).encode() + b"\n")
