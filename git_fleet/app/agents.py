"""The process of one agent: started, watched, ended, and found again by whoever comes after a supervisor that was
killed (DESIGN section 7).

Each has a folder, `<common dir>/fleet/run/<plan>/<task>/`, and a minder that stays with it (minder.py). Besides the
files of these two it holds the record, one JSON object, format version 1:

    agent.json  {"v":1,"task":"p/t","fence":"…","worker":"w1","number":1,"began":"2026-01-01T12:00:00Z",
                 "log":"/…/1-1.log","mark":"…","program":"claude","mode":"process","socket":""}

The record is written first, then what the minder starts from (`spec`), and all of it under the lock on `alive`
that the minder inherits. So whoever finds a record knows at any moment what became of it: locked, it lives or is
being started; else `exit.json` says how it ended; else it never began, or its minder was killed. `mark` is the
value of FLEET_AGENT in the environment of everything the agent starts.

Folder and logs are within reach of what the agent runs. What cannot be understood there is as good as not there.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from git_fleet.app import minding, outputs, profiles
from git_fleet.app.orders import Order, clear_order, leave_order, read_order
from git_fleet.app.outputs import LOG_BYTES, log_of, output
from git_fleet.app.remains import Remains
from git_fleet.core.ids import TaskId, parse_task_id
from git_fleet.core.launch import Launch
from git_fleet.errors import FREE_SPACE, Busy, GitFailed, InvalidInput, UnknownFormat
from git_fleet.store import worktree

__all__ = [
    "LOG_BYTES", "MARK", "Agent", "Exit", "Order", "all_in", "clear_order", "find", "folder_of", "forget",
    "leave_order", "log_of", "output", "read_order", "start",
]  # fmt: skip

FOLDER = "run"
MARK = "FLEET_AGENT"
"""A variable with a value of its own for each start, inherited by all that an agent starts."""

VERSION = 1
GRACE_SECONDS = 10.0

_RECORD = "agent.json"
_POLL_SECONDS = 0.25
_SHORT_SECONDS = 0.01
_MINDER_SECONDS = 5.0  # what it may take to begin, and to write down the end


@dataclass(frozen=True, slots=True)
class Exit:
    """How an agent ended: its exit code, or minus the signal that ended it, and when.

    `code` is None when it never began, and when nobody knows, because the minder was killed: `why` says which. In
    the second case it may still run; `Agent.end` makes sure.
    """

    code: int | None
    at: datetime | None
    why: str = ""


@dataclass(eq=False, slots=True)
class Agent:
    """One agent that was started, by this process or an earlier one: the `number`-th start of the claim `fence`.

    `began` is when that was asked for (UTC), `program` the first word of its command. `mode` is `process` or
    `pane`; `socket` is the tmux server's, of a pane.
    """

    folder: Path
    task: TaskId
    fence: str
    worker: str
    number: int
    began: datetime
    log: Path
    mark: str
    program: str
    mode: str = "process"
    socket: str = ""
    _started: Mapping[str, Any] | None = None
    _exit: Exit | None = None

    @property
    def pid(self) -> int:
        """The agent's process id; 0 until it is known."""
        return minding.number(self._known(), "pid")

    @property
    def pane(self) -> str:
        """The tmux pane it works in, as `%3`; "" when it has none, or until that is known."""
        return str((self._known() or {}).get("pane", ""))

    def wait(self, timeout_seconds: float, wake: int | None = None) -> Exit | None:
        """Wait for its end: None when `timeout_seconds` pass before, or the descriptor `wake` can be read.

        Costs nothing meanwhile, where there are descriptors of processes (Linux); elsewhere it looks four times a
        second.
        """
        deadline = time.monotonic() + timeout_seconds
        while (found := self.exit()) is None:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or self._sleep(remaining, wake):
                return None
        return found

    def exit(self) -> Exit | None:
        """How it ended, without waiting; None while it lives.

        An agent whose starter died too early to have it started never will be, once this has said so.
        """
        if self._exit is None:
            self._exit = self._ended() or (None if self._may_live() else self._lost())
            if self._exit is not None:
                minding.reap(self.mark)
        return self._exit

    def last_output(self) -> float | None:
        """When it last printed something, or began (Unix seconds); None without a log."""
        return outputs.last_written(self.log)

    def tail(self, lines: int = 60) -> str:
        """The last lines it printed, harmless for a terminal."""
        return outputs.tail(self.log, lines)

    def last_line(self) -> str:
        """The last line it printed, "" when there is none."""
        return outputs.tail(self.log, 1).strip()

    def end(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """End it and all it started: TERM, KILL after the grace. Also when its minder was killed; twice does no harm.

        How it ended is known afterwards, if it can be.
        """
        deadline = time.monotonic() + _MINDER_SECONDS
        while self._known() is None and self.exit() is None and time.monotonic() < deadline:
            time.sleep(_SHORT_SECONDS)
        self._remains(grace_seconds).end()
        if self.wait(_MINDER_SECONDS) is None:  # the minder was stopped, or cannot get on
            self._kill_minder()
            self._remains(grace_seconds).end()
            self.wait(_MINDER_SECONDS)

    def sweep(self, grace_seconds: float = 2.0) -> int:
        """End what it left running when it exited: how many processes that were. Nothing while it lives."""
        return self._remains(grace_seconds).end() if self.exit() is not None else 0

    def order(self) -> Order | None:
        """What somebody wants done with it."""
        return read_order(self.folder)

    def set_order(self, order: str, *, by: str, at: datetime) -> None:
        """Leave an order for its supervisor. Raises InvalidInput, GitFailed."""
        leave_order(self.folder, order, by=by, at=at)

    # --- what the files say ----------------------------------------------------------------------

    def _known(self) -> Mapping[str, Any] | None:
        if self._started is None:
            self._started = self._said(minding.STARTED)
        return self._started

    def _said(self, name: str) -> Mapping[str, Any] | None:
        """What the minder of this very start wrote."""
        found = minding.read_json(self.folder / name)
        return found if found is not None and found.get("mark") == self.mark else None

    def _ended(self) -> Exit | None:
        found = self._said(minding.EXIT)
        if found is None:
            return None
        code, at = found.get("code"), found.get("at")
        moment = datetime.fromtimestamp(at, UTC) if isinstance(at, float) else None
        if isinstance(code, int):
            return Exit(code, moment)
        number = minding.number(found, "errno")
        if found.get("step") == "folder" and number in (errno.ENOENT, errno.ENOTDIR):
            return Exit(None, moment, "its worktree is gone")
        what = "its worktree" if found.get("step") == "folder" else self.program
        return Exit(None, moment, f"cannot be started: {what}: {os.strerror(number)}")

    def _may_live(self) -> bool:
        """Whether it lives or may still begin. Not from now on, if nobody is there who would start it."""
        return self._is_minded() or not minding.take_back(self.folder)

    def _is_minded(self) -> bool:
        return minding.is_locked(self.folder)

    def _lost(self) -> Exit:
        """Nobody is with it any more. What the minder wrote as its last act counts."""
        found = self._ended()
        if found is not None:
            return found
        return Exit(None, None, "it never began" if self._known() is None else "its minder was killed")

    # --- its processes ---------------------------------------------------------------------------

    def _minder(self) -> int:
        """The minder's process id; 0 until it is known."""
        return minding.own(self.mark) or minding.number(self._known(), "minder")

    def _sleep(self, seconds: float, wake: int | None) -> bool:
        """Until the minder ends, at most so long: whether `wake` was the reason to go on."""
        poll = select.poll()
        if wake is not None:
            poll.register(wake, select.POLLIN)
        minder = self._minder()
        handle = minding.descriptor(minder)
        try:
            if handle is not None and self._is_minded():  # then this number still is the minder's
                poll.register(handle, select.POLLIN)
            else:
                seconds = min(seconds, _POLL_SECONDS if minder and handle is None else _SHORT_SECONDS)
            return any(ready == wake for ready, _ in poll.poll(seconds * 1000))
        finally:
            if handle is not None:
                os.close(handle)

    def _kill_minder(self) -> None:
        minder = self._minder()
        if minder and self._is_minded():
            with suppress(ProcessLookupError):
                os.kill(minder, signal.SIGKILL)

    def _remains(self, grace_seconds: float) -> Remains:
        minder = self._minder()
        group = minder if self.mode == "pane" else self.pid
        ours = group and ((self.mode == "pane" and self._is_minded()) or self._heads(group))
        return Remains(MARK, self.mark, grace_seconds, group=group if ours else None, spared=[minder])

    def _heads(self, group: int) -> bool:
        """Whether this number, where it is in use, still is the agent's: it is given again after a while."""
        import psutil

        known = self._known() or {}
        try:
            began = psutil.Process(group).create_time()
        except psutil.NoSuchProcess:
            return self.mode == "process"  # a group may outlive its head, and then keeps the number
        ticks = minding.number(known, "start")
        if ticks:
            return minding.start_ticks(group) == ticks
        return abs(began - float(known.get("at", 0.0))) < 2.0


# --- start, find, forget --------------------------------------------------------------------------


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
    log_bytes: int = LOG_BYTES,
) -> Agent:
    """Start an agent and leave it to its minder.

    `env` is its whole environment. An earlier one in the same folder has to be over, and what it left is yours to
    `sweep` before. Raises GitFailed when folder or log cannot be written, Busy when an agent runs there,
    InvalidInput for a command that no program can be given.
    """
    program = "/bin/sh" if isinstance(launch.command, str) else launch.command[0]
    agent = Agent(
        folder.absolute(),
        task,
        fence,
        worker,
        number,
        now.astimezone(UTC),
        log.absolute(),
        _new_mark(),
        program,
    )
    with starting(agent, launch) as alive:
        write_spec(agent, launch, env, log_bytes)
        minding.begin(agent.folder, agent.mark, alive, env)
    return agent


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
            worktree.replace_file(agent.folder / _RECORD, _record(agent), mode=0o600)
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
    """The agent on record there, whoever started it and whatever became of it; None when there is none.

    Raises UnknownFormat, InvalidInput.
    """
    path = folder / _RECORD
    if not path.exists():
        return None
    record = minding.read_json(path) or {}
    if record.get("v", VERSION) != VERSION:
        raise UnknownFormat(
            f"{path} has format version {record['v']!r}, this git-fleet knows {VERSION}",
            hint="git fleet doctor",
        )
    try:
        return Agent(
            folder.absolute(),
            parse_task_id(record["task"]),
            str(record["fence"]),
            str(record["worker"]),
            int(record["number"]),
            datetime.fromisoformat(record["began"]),
            Path(record["log"]),
            str(record["mark"]),
            str(record["program"]),
            str(record["mode"]),
            str(record["socket"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be understood", hint="git fleet doctor") from error


def forget(folder: Path) -> None:
    """Remove the record of an agent that is over, and all that goes with it but its log. Raises Busy while it lives,
    and as `find`."""
    agent = find(folder)
    if agent is None:
        return
    if agent.exit() is None:
        raise Busy(f"the agent of {agent.task} still runs", hint=f"git fleet status {agent.task}")
    (folder / _RECORD).unlink(missing_ok=True)
    clear_order(folder)
    minding.remove(folder)
    with suppress(OSError):  # somebody's file
        folder.rmdir()


def all_in(root: Path) -> list[Agent]:
    """All agents on record, by task; `root` is the fleet's folder in the common dir. Raises as `find`."""
    found = (find(path.parent) for path in sorted((root / FOLDER).glob(f"*/*/{_RECORD}")))
    return [agent for agent in found if agent is not None]


def _new_mark() -> str:
    return os.urandom(8).hex()


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
    }
    return json.dumps(document).encode() + b"\n"
