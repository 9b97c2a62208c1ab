"""The process of one agent: started, watched, ended, and found again by whoever comes after a supervisor that was
killed (DESIGN section 7).

Each has a folder, `<common dir>/fleet/run/<plan>/<task>/`, and a minder that stays with it (minder.py). Besides the
files of these two it holds the record, one JSON object, format version 1:

    agent.json  {"v":1,"task":"p/t","fence":"…","worker":"w1","number":1,"began":"2026-01-01T12:00:00Z",
                 "log":"/…/1-1.log","mark":"…","program":"claude","mode":"process","socket":"",
                 "adapter":"claude","before":{"input_tokens":0,"output_tokens":0,"cost_usd":0.0}}

The record is written first, then what the minder starts from (`spec`), and all of it under the lock on `alive`
that the minder inherits. So whoever finds a record knows at any moment what became of it: locked, it lives or is
being started; else `exit.json` says how it ended; else it never began, or its minder was killed. `mark` is the
value of FLEET_AGENT in the environment of everything the agent starts. `before` is what the task had used when it
began: the rest of what its log tells is the agent's, so that a later supervisor counts nothing twice.

Folder and logs are within reach of what the agent runs. What cannot be understood there is as good as not there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from git_fleet.app import minding, outputs, profiles
from git_fleet.app.agent import MARK, RECORD, Agent, Exit
from git_fleet.app.orders import Order, clear_order, leave_order, read_order
from git_fleet.app.outputs import LOG_BYTES, log_of, output
from git_fleet.core.adapters import adapter_of
from git_fleet.core.ids import TaskId, parse_task_id
from git_fleet.core.launch import Launch
from git_fleet.core.model import NO_USAGE, Usage
from git_fleet.errors import FREE_SPACE, Busy, FleetError, GitFailed, InvalidInput, UnknownFormat
from git_fleet.store import worktree

__all__ = [
    "LOG_BYTES", "MARK", "Agent", "Exit", "Order", "all_in", "clear_order", "find", "folder_of", "forget",
    "leave_order", "log_of", "output", "read_order", "start",
]  # fmt: skip

FOLDER = "run"
VERSION = 1


def folder_of(root: Path, task: TaskId) -> Path:
    """Where the agent of a task is on record; `root` is the fleet's folder in the common dir."""
    return root / FOLDER / task.plan / task.task


def start(
    folder: Path,
    launch: Launch,
    *,
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
    """Start an agent and leave it to its minder.

    `env` is its whole environment, `before` what its task has used until now. An earlier one in the same folder has
    to be over, and what it left is yours to `sweep` before. Raises GitFailed when folder or log cannot be written,
    Busy when an agent runs there, InvalidInput for a command that no program can be given.
    """
    agent = new(
        folder, launch, task=task, fence=fence, worker=worker, number=number, log=log, now=now, before=before
    )
    with starting(agent, launch) as alive:
        write_spec(agent, launch, env, log_bytes)
        minding.begin(agent.folder, agent.mark, alive, env)
    return agent


def new(
    folder: Path,
    launch: Launch,
    *,
    task: TaskId,
    fence: str,
    worker: str,
    number: int,
    log: Path,
    now: datetime,
    before: Usage = NO_USAGE,
) -> Agent:
    """An agent that is about to be started, with a mark of its own."""
    program = "/bin/sh" if isinstance(launch.command, str) else launch.command[0]
    mark = os.urandom(8).hex()
    began = now.astimezone(UTC)
    return Agent(
        folder.absolute(), task, fence, worker, number, began, log.absolute(), mark, program,
        adapter=adapter_of(launch.run).name, before=before,
    )  # fmt: skip


@contextmanager
def starting(agent: Agent, launch: Launch) -> Iterator[int]:
    """Put an agent on record, all but `spec`: gives the lock's descriptor, held to the end of the block.

    Raises GitFailed, also for an OSError of the block; and Busy.
    """
    try:
        agent.folder.mkdir(parents=True, exist_ok=True)
        agent.log.parent.mkdir(parents=True, exist_ok=True)
        with minding.locked(agent.folder) as alive:
            profiles.write_files(launch)
            worktree.replace_file(agent.folder / RECORD, _record(agent), mode=0o600)
            minding.make_room(agent.folder)
            yield alive
    except BlockingIOError as error:
        raise Busy(f"an agent of {agent.task} still runs", hint=f"git fleet status {agent.task}") from error
    except OSError as error:
        raise GitFailed(
            f"cannot start an agent in {agent.folder}: {error.strerror}", hint=FREE_SPACE
        ) from error


def write_spec(agent: Agent, launch: Launch, env: Mapping[str, str], log_bytes: int) -> None:
    """Write what the minder starts from (see minder.py). Raises OSError, InvalidInput."""
    argv = ["/bin/sh", "-c", launch.command] if isinstance(launch.command, str) else list(launch.command)
    head = [str(VERSION), agent.mark, str(agent.log), str(log_bytes), launch.folder, str(len(argv))]
    whole = {**env, MARK: agent.mark}
    try:
        minding.write_spec(
            agent.folder, [*head, *argv, *(f"{name}={value}" for name, value in whole.items())]
        )
    except ValueError as error:
        raise InvalidInput(
            f"the agent of {agent.task} cannot be started: {error}", hint=f"git fleet prompt {agent.task}"
        ) from error


def find(folder: Path) -> Agent | None:
    """The agent on record there, whoever started it and whatever became of it; None when there is none of the task
    that the folder is for. Its log is one of that task, wherever the record says it is.

    Raises UnknownFormat.
    """
    path = folder.absolute() / RECORD
    record = minding.read_json(path)
    if record is None:
        return None
    if record.get("v", VERSION) != VERSION:
        raise UnknownFormat(
            f"{path} has format version {record['v']!r}, this git-fleet knows {VERSION}",
            hint="git fleet doctor",
        )
    try:
        task, began = parse_task_id(record["task"]), datetime.fromisoformat(record["began"])
        root = path.parents[3]
        if path.parent != folder_of(root, task) or began.tzinfo is None:
            return None
        return Agent(
            path.parent,
            task,
            str(record["fence"]),
            str(record["worker"]),
            int(record["number"]),
            began,
            outputs.folder_of(root, task) / Path(record["log"]).name,
            str(record["mark"]),
            str(record["program"]),
            str(record["mode"]),
            str(record["socket"]),
            str(record.get("adapter", "")),
            _usage(record.get("before", {})),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, FleetError):
        return None


def forget(folder: Path) -> None:
    """Remove the record of an agent that is over, and all that goes with it but its log. Raises Busy while it lives,
    and as `find`."""
    agent = find(folder)
    if agent is None:
        return
    if agent.exit() is None:
        raise Busy(f"the agent of {agent.task} still runs", hint=f"git fleet status {agent.task}")
    agent.close_pane()
    (folder / RECORD).unlink(missing_ok=True)
    clear_order(folder)
    minding.remove(folder)
    with suppress(OSError):  # somebody's file
        folder.rmdir()


def all_in(root: Path, plan: str = "*") -> list[Agent]:
    """All agents on record, those of one plan where one is named, by task; `root` is the fleet's folder in the common
    dir. Raises as `find`."""
    found = (find(path.parent) for path in sorted((root / FOLDER).glob(f"{plan}/*/{RECORD}")))
    return [agent for agent in found if agent is not None]


def _record(agent: Agent) -> bytes:
    document = {
        "v": VERSION,
        "task": str(agent.task),
        "fence": agent.fence,
        "worker": agent.worker,
        "number": agent.number,
        "began": agent.began.isoformat(),
        "log": str(agent.log),
        "mark": agent.mark,
        "program": agent.program,
        "mode": agent.mode,
        "socket": agent.socket,
        "adapter": agent.adapter,
        "before": asdict(agent.before),
    }
    return json.dumps(document).encode() + b"\n"


def _usage(known: Mapping[str, Any]) -> Usage:
    return Usage(
        int(known.get("input_tokens", 0)),
        int(known.get("output_tokens", 0)),
        float(known.get("cost_usd", 0.0)),
    )
