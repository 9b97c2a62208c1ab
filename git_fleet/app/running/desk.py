"""What all parts of a run share: what was asked for, whom to tell, and what everybody is doing.

A run has one thread that claims, one for each worker, two for the backlog. They share nothing but this, and a queue of
what has happened.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from git_fleet.app import agents
from git_fleet.app.agents import Agent
from git_fleet.app.placing import Placed
from git_fleet.app.session import Session, open_session
from git_fleet.app.surroundings import AGENT_VARIABLES, Surroundings
from git_fleet.core import launch
from git_fleet.core.ids import TaskId
from git_fleet.core.progress import Report
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import FleetError
from git_fleet.store import bucket

IN_TURN = "waiting for its turn"
"""The phase of a seat whose work is handed in after that of others. It looks again whenever something has moved."""


class Options(Struct, frozen=True):
    """What is asked for. `command` was typed for this run, `agent` is used where nothing is configured. `program`
    starts this program (the face knows how). 0 stands for no limit; seconds and US dollars."""

    plan: str
    workers: int
    program: tuple[str, ...]
    verify: bool = True
    integrate: bool = True
    command: tuple[str, ...] = ()
    agent: launch.Agent | None = None
    jobs: int = 1
    max_cost_usd: float = 0.0
    max_seconds: float = 0.0
    tmux: bool = False
    worker: str = ""


class Bell:
    """Wakes a thread that waits in the kernel, from another one or from a signal handler."""

    def __init__(self) -> None:
        self._reads, self._writes = os.pipe()
        os.set_blocking(self._reads, False)
        os.set_blocking(self._writes, False)

    def fileno(self) -> int:
        """What to wait for."""
        return self._reads

    def ring(self) -> None:
        """Wake it, now or as soon as it waits."""
        with suppress(BlockingIOError):  # it is full: it will wake
            os.write(self._writes, b"!")

    def wait(self, seconds: float) -> None:
        """Until it rings, at most so long."""
        poll = select.poll()
        poll.register(self._reads, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)
        self.clear()

    def clear(self) -> None:
        """It has woken."""
        with suppress(BlockingIOError):
            while os.read(self._reads, 512):
                pass

    def close(self) -> None:
        """Give both ends back."""
        os.close(self._reads)
        os.close(self._writes)


class Seat(Struct):
    """A worker of the run and what it is at. `since` and `began` are seconds of the clock that never jumps. `words`
    are the last ones of its agent, `owed` is what that has cost, in US dollars, and its task's log does not tell yet."""

    worker: str
    bell: Bell = field(default_factory=Bell)
    record: TaskRecord | None = None
    phase: str = "free"
    since: float = field(default_factory=time.monotonic)
    agent: Agent | None = None
    words: str = ""
    owed: float = 0.0
    retired: bool = False

    @property
    def task(self) -> TaskId | None:
        """What it works on."""
        return self.record.id if self.record else None

    def now(self, phase: str) -> None:
        """It is at another step."""
        self.phase, self.since = phase, time.monotonic()


class Desk(Struct):
    """What all parts of a run share. `fleet` is the fleet's folder in the common dir; `describe` gives a claim as
    `git fleet claim --json` prints it."""

    root: Path
    around: Surroundings
    options: Options
    fleet: Path
    report: Report
    describe: Callable[[Placed], str]
    seats: list[Seat] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)
    _resting_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session of one's own: they are not for sharing between threads."""
        with open_session(
            self.root, self.around, worker=self.options.worker or None, long_lived=True, bulk=False
        ) as made:
            yield made

    @property
    def folder(self) -> Path:
        """Where the runs of the plan keep what they know of their agents."""
        return self.fleet / agents.FOLDER / self.options.plan

    @property
    def all_busy(self) -> bool:
        """Whether no worker waits for a task."""
        return all(seat.record is not None for seat in self.seats if not seat.retired)

    # --- slowing down together -------------------------------------------------------------------

    def slow_down(self, session: Session, seconds: float) -> None:
        """Too much was asked of somebody: no agent of this run is started for so long, and what is in the bucket of
        claims is taken out, so that the rest of the fleet slows down with it."""
        with self._lock:
            self._resting_until = max(self._resting_until, time.monotonic() + seconds)
        with suppress(FleetError):
            bucket.drain(session.store, session.config().bucket, session.actor, session.now())

    @property
    def rests_for(self) -> float:
        """For how many seconds no agent may be started."""
        return max(0.0, self._resting_until - time.monotonic())

    def end(self) -> None:
        """End the agents, now."""
        self.ending.set()
        for seat in self.seats:
            seat.bell.ring()


def held_by(session: Session, record: TaskRecord) -> Session:
    """The session of whoever holds the task: its fence speaks for it, so that a claim that was taken over is told
    from one of the same name."""
    claim = record.state.claim
    if claim is None:
        raise AssertionError("a task that is worked on has a claim")
    said = {"FLEET_PLAN": record.id.plan, "FLEET_TASK": record.id.task, "FLEET_FENCE": str(claim.fence)}
    return replace(
        session, actor=claim.holder, around=replace(session.around, env={**session.around.env, **said})
    )


def environment(env: Mapping[str, str], own: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What an agent's processes get: the person's environment, without what git or another agent has put there, and
    its `own` variables."""
    kept = {name: value for name, value in env.items() if not name.startswith(("GIT_", "FLEET_"))}
    for name in AGENT_VARIABLES:
        kept.pop(name, None)
    return kept | dict(own)
