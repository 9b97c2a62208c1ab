"""Agents in panes of tmux, where a person can look on and type: one private server per repository, a session for
each plan, a window for each task (DESIGN section 17).

What is said in agents.py holds here, too. The minder runs in the pane, and the agent at a terminal that the minder
made for it: so its output is in the log by the time its end is known, its exit code does not depend on tmux, and it
outlives a tmux that was killed. The pane stays until the agent is ended, forgotten or started again. Its
`#{pane_dead_status}` is the exit code, too, when tmux has not lost it: under load 3.3a sometimes does.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from git_fleet import resources
from git_fleet.app import agents, tmux
from git_fleet.app.agent import PANE
from git_fleet.app.agents import LOG_BYTES, Agent
from git_fleet.core.ids import TaskId
from git_fleet.core.launch import Launch
from git_fleet.core.model import NO_USAGE, Usage
from git_fleet.errors import GitFailed, InvalidInput

_MAX_SOCKET = 100  # bytes; a socket's address has room for 104, or 108
_BEGIN_SECONDS = 10.0
_SHORT_SECONDS = 0.005


def socket_for(root: Path, env: Mapping[str, str]) -> Path:
    """The socket of the repository's own tmux server, in a folder that is nobody else's, which is made.

    `root` is the fleet's folder in the common dir. Raises GitFailed when such a folder cannot be had.
    """
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    runtime = env.get("XDG_RUNTIME_DIR", "")
    choices = [Path(runtime, "git-fleet")] if runtime else []
    for folder in (*choices, Path(f"/tmp/git-fleet-{os.getuid()}")):  # noqa: S108 - its owner is looked at
        if len(os.fsencode(folder / name)) <= _MAX_SOCKET and _is_private(folder):
            return folder / name
    raise GitFailed(
        "there is no folder for the socket of tmux that is yours alone",
        hint="set XDG_RUNTIME_DIR to a short path of yours, or leave --tmux away",
    )


def _is_private(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def start(
    folder: Path,
    launch: Launch,
    *,
    socket: Path,
    env: Mapping[str, str],
    task: TaskId,
    fence: str,
    worker: str,
    number: int,
    log: Path,
    now: datetime,
    before: Usage = NO_USAGE,
    log_bytes: int = LOG_BYTES,
) -> Agent:
    """As agents.start, in a window of the server at `socket` (see `socket_for`).

    The agent's TERM is the pane's. Raises as that does, and InvalidInput when tmux is missing.
    """
    agent = agents.new(
        folder, launch, task=task, fence=fence, worker=worker, number=number, log=log, now=now, before=before
    )
    agent = replace(agent, mode=PANE, socket=str(socket))
    earlier = agents.find(folder)
    had_one = earlier is not None and earlier.pane  # while it still can be read
    with agents.starting(
        agent, launch
    ):  # the minder waits for the lock; it finds the spec, or it is not to begin
        command = [sys.executable, "-I", "-S", str(resources.minder()), str(agent.folder)]
        tmux.open_window(str(socket), task.plan, task.task, command, env)
        agents.write_spec(agent, launch, env, log_bytes)
    if (
        earlier is not None and had_one
    ):  # now: with its last pane the server would go, and whoever is attached
        earlier.close_pane()
    deadline = time.monotonic() + _BEGIN_SECONDS
    while not agent.pid and agent.exit() is None and time.monotonic() < deadline:
        time.sleep(_SHORT_SECONDS)
    return agent


def attach_command(agent: Agent) -> list[str]:
    """The command that shows a person the agent's pane. Raises InvalidInput when it has none."""
    if not agent.pane:
        raise InvalidInput(
            f"{agent.task} is not worked on in a pane", hint=f"git fleet log {agent.task} --output"
        )
    pane = ("-t", agent.pane)
    return ["tmux", "-u", "-S", agent.socket, "select-window", *pane, ";", "attach-session", *pane]
