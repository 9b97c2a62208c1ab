"""One agent that was started: what became of it, what it printed, its end."""

from __future__ import annotations

import errno
import os
import re
import select
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from git_fleet.app import minding, outputs, tmux
from git_fleet.app.orders import Order, read_order
from git_fleet.app.remains import Remains
from git_fleet.core.adapters import adapter_named
from git_fleet.core.ids import TaskId
from git_fleet.core.model import NO_USAGE, Usage

MARK = "FLEET_AGENT"
"""A variable with a value of its own for each start, inherited by all that an agent starts."""

RECORD = "agent.json"
PROCESS, PANE = "process", "pane"
GRACE_SECONDS = 10.0

_PANE = re.compile(r"%[0-9]{1,9}")
_POLL_SECONDS = 0.25
_WORDS_LINES = 8
_SHORT_SECONDS = 0.01
_MINDER_SECONDS = 5.0  # what it may take to begin, and to write down the end


class Exit(Struct, frozen=True):
    """How an agent ended: its exit code, or minus the signal that ended it, and when.

    `code` is None when it never began, and when nobody knows, because the minder was killed: `why` says which. In
    the second case it may still run; `Agent.end` makes sure.
    """

    code: int | None
    at: datetime | None
    why: str = ""


class Agent(Struct, eq=False):
    """One agent that was started, by this process or an earlier one: the `number`-th start of the claim `fence`.

    `began` is when that was asked for (UTC), `program` the first word of its command, `adapter` the entry that reads
    what it prints (core/adapters.py). `mode` is `process` or `pane`; `socket` is the tmux server's, of a pane. `before`
    is what its task had used then.
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
    mode: str = PROCESS
    socket: str = ""
    adapter: str = ""
    before: Usage = NO_USAGE
    _started: Mapping[str, Any] | None = None
    _exit: Exit | None = None

    @property
    def pid(self) -> int:
        """The agent's process id; 0 until it is known."""
        return minding.number(self._known(), "pid")

    @property
    def pane(self) -> str:
        """The tmux pane it works in, as `%3`; "" when it has none, or until that is known."""
        pane = (self._known() or {}).get("pane")
        return pane if isinstance(pane, str) and _PANE.fullmatch(pane) else ""

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

    def words(self) -> str:
        """What it is at, by the last lines it printed; "" when they do not say."""
        return adapter_named(self.adapter).words(self.tail(_WORDS_LINES))

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
        self.close_pane()

    def close_pane(self) -> None:
        """Close the pane it worked in, if it still has one."""
        if self.pane:
            tmux.kill_pane(self.socket, self.pane, minding.number(self._known(), "minder"))

    def sweep(self, grace_seconds: float = 2.0) -> int:
        """End what it left running when it exited: how many processes that were. Nothing while it lives."""
        return self._remains(grace_seconds).end() if self.exit() is not None else 0

    def order(self) -> Order | None:
        """What somebody wants done with it."""
        return read_order(self.folder, self.fence)

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
        code, moment = found.get("code"), minding.moment(found, "at")
        if isinstance(code, int):
            return Exit(code, moment)
        number = minding.number(found, "errno")
        if found.get("step") == "folder" and number in (errno.ENOENT, errno.ENOTDIR):
            return Exit(None, moment, "its worktree is gone")
        what = "its worktree" if found.get("step") == "folder" else self.program
        return Exit(None, moment, f"cannot be started: {what}: {os.strerror(number)}")

    def _may_live(self) -> bool:
        """Whether it lives or may still begin. Not from now on, if nobody is there who would start it."""
        if not self._is_on_record():
            return False
        patience = 0.0 if self.mode == PROCESS else _MINDER_SECONDS  # tmux starts that one, in its own time
        return self._is_minded() or not minding.take_back(self.folder, patience)

    def _is_on_record(self) -> bool:
        """Whether no other one has been started in its folder, which only is done when this one is over."""
        record = minding.read_json(self.folder / RECORD) or {}
        return bool(record.get("mark", self.mark) == self.mark)

    def _is_minded(self) -> bool:
        return self._is_on_record() and minding.is_locked(self.folder)

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
        import psutil

        with suppress(psutil.Error, ValueError):
            minder = psutil.Process(self._minder())
            if self._is_minded() and str(self.folder) in minder.cmdline():
                minder.kill()

    def _remains(self, grace_seconds: float) -> Remains:
        group = self.pid if self.pid and self._heads(self.pid) else None
        return Remains(MARK, self.mark, grace_seconds, group=group, spared=[self._minder()])

    def _heads(self, group: int) -> bool:
        """Whether this number, where it is in use, still is the agent's: it is given again after a while."""
        import psutil

        known = self._known() or {}
        try:
            began = psutil.Process(group).create_time()
        except psutil.NoSuchProcess:
            return True  # a group may outlive its head, and then keeps the number
        ticks = minding.number(known, "start", below=2**63)
        if ticks:
            return minding.start_ticks(group) == ticks
        said = minding.moment(known, "at")
        return said is not None and abs(began - said.timestamp()) < 2.0
