"""One branch of a run, killed or started again by another command on this machine (DESIGN section 12).

What is ordered stands in the folder of the task's agent (app/agents.py), and the agent is ended; the run, which sees
that end, does the rest. Where no run is there any more, the command does it itself. A task that was killed is not
claimed again by the run that was at it, until it is started again.
"""

from __future__ import annotations

import codecs
import os
import select
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from git_fleet.app import agents, outputs, plainfiles, work
from git_fleet.app.agents import Agent
from git_fleet.app.running import recovery
from git_fleet.app.running.desk import held_by
from git_fleet.app.running.following import GRACE_SECONDS
from git_fleet.app.session import Session
from git_fleet.core.ids import TaskId
from git_fleet.core.model import State
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.supervision import how_it_ended
from git_fleet.errors import AnswerIsNo, LostRace
from git_fleet.git.watching import RefWatch
from git_fleet.store import names

_BELL = "bell"
_KILLED = "killed"
_WAIT_SECONDS = 30.0
_LOOK_SECONDS = 0.5


class Obeyed(NamedTuple):
    """The task as it is then, and what its person is told."""

    record: TaskRecord
    text: str


def folder_of(session: Session, plan: str) -> Path:
    """Where the runs of a plan on this machine keep what they know of their agents."""
    return session.repo.fleet_dir / agents.FOLDER / plan


def killed(folder: Path, plan: str) -> frozenset[TaskId]:
    """The tasks that were killed and not started again since the run began."""
    with suppress(OSError):
        return frozenset(TaskId(plan, path.parent.name) for path in folder.glob(f"*/{_KILLED}"))
    return frozenset()


def forget(folder: Path) -> None:
    """A new run begins: what was ordered of the one before is over, and it may claim what that one left alone."""
    for place in folder.glob("*/"):
        (place / _KILLED).unlink(missing_ok=True)
        agents.clear_order(place)


def kill(session: Session, name: str) -> Obeyed:
    """End the agent of a task, save what it did, give the task back. The others do not notice.

    Raises AnswerIsNo when no agent of a run works on it on this machine.
    """
    record, agent = _at_work(session, name)
    folder = folder_of(session, record.id.plan)
    (agent.folder / _KILLED).touch()
    agents.leave_order(agent.folder, "kill", by=session.person(), at=session.now())
    _ring(folder)
    agent.end(GRACE_SECONDS)
    if not recovery.is_running(folder) or not _comes_back(session, record):
        with suppress(LostRace):  # a run has done it at this moment
            work.release(held_by(session, record), str(record.id), f"{session.person()} killed it")
        agents.clear_order(agent.folder)
    now = session.reread(record)
    given_back = now.state.state in (State.PENDING, State.REWORK)
    return Obeyed(
        now, "its agent was ended, and what it did is saved" if given_back else "its agent had ended already"
    )


def restart(session: Session, name: str, *, fresh: bool = False) -> Obeyed:
    """Start the agent of a task again, in the worktree as it is; with `fresh` as the claim found it, all else saved.

    A task that was killed, or is blocked, may be claimed by the run again. Raises AnswerIsNo when no run works
    on its plan on this machine, and for what `fresh` cannot be had.
    """
    record = session.record(session.snapshot(), name)
    folder = folder_of(session, record.id.plan)
    if not recovery.is_running(folder):
        raise AnswerIsNo(
            f"no run works on plan {record.id.plan} on this machine", hint=f"git fleet run {record.id.plan}"
        )
    place = folder / record.id.task
    if record.state.state is State.CLAIMED:
        record, agent = _at_work(session, name)
        agents.leave_order(place, "fresh" if fresh else "restart", by=session.person(), at=session.now())
        (place / _KILLED).unlink(missing_ok=True)
        _ring(folder)
        agent.end(GRACE_SECONDS)
        return Obeyed(record, "its agent was ended, and the run starts another")
    if fresh:
        raise AnswerIsNo(
            f"{record.id} is {record.state.state.phrase}: --fresh is for a task that an agent works on",
            hint=f"git fleet restart {record.id} lets the run claim it again",
        )
    was_killed = (place / _KILLED).exists()
    if record.state.state is State.BLOCKED:
        record = work.unblock(session, str(record.id), "started again").record
    elif not was_killed:
        raise AnswerIsNo(
            f"{record.id} is {record.state.state.phrase}, and was not killed",
            hint=f"git fleet explain {record.id}",
        )
    (place / _KILLED).unlink(missing_ok=True)
    _ring(folder)
    return Obeyed(record, "the run may claim it again")


def agent_of(session: Session, name: str) -> Agent:
    """The agent of a run that works on the task on this machine. Raises AnswerIsNo."""
    return _at_work(session, name)[1]


def ended(agent: Agent) -> str:
    """How an agent has ended, in words."""
    found = agent.exit()
    if found is None:
        return "its agent goes on"
    return "its agent has ended" if found.code == 0 else how_it_ended(found.code, found.why)


def follow(agent: Agent) -> Iterator[str]:
    """What an agent prints, from the beginning of what is kept, until it has ended. It is as the agent wrote it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    seen, over = 0, False
    while not over:
        over = agent.wait(_LOOK_SECONDS) is not None
        for part in outputs.parts(agent.log):
            with suppress(OSError), plainfiles.opened(part.path) as file:  # the oldest piece goes
                file.seek(max(0, seen - part.offset))
                data = file.read()
                new = decoder.decode(data)
                seen = max(seen, part.offset) + len(data)
                if new:
                    yield new


def _at_work(session: Session, name: str) -> tuple[TaskRecord, Agent]:
    record = session.record(session.snapshot(), name)
    agent = agents.find(folder_of(session, record.id.plan) / record.id.task)
    claim = record.state.claim
    if (
        agent is None
        or record.state.state is not State.CLAIMED
        or claim is None
        or str(claim.fence) != agent.fence
    ):
        raise AnswerIsNo(
            f"no agent of a run works on {record.id} on this machine ({record.state.state.phrase})",
            hint=f"git fleet log {record.id} --output shows what agents printed",
        )
    return record, agent


def _comes_back(session: Session, record: TaskRecord) -> bool:
    """Whether the run gives the task back within a while."""
    until = time.monotonic() + _WAIT_SECONDS
    mine = record.state.claim
    with RefWatch(session.repo, session.store.refs.places(names.task_log(record.id))) as refs:
        while True:
            now = session.reread(record).state
            if (
                now.state is not State.CLAIMED
                or now.claim is None
                or mine is None
                or now.claim.fence != mine.fence
            ):
                return True
            left = until - time.monotonic()
            if left <= 0 or not refs.wait(left):
                return False


# --- the bell ------------------------------------------------------------------------------------


def _ring(folder: Path) -> None:
    """Let the run of the plan, if there is one, look for orders."""
    with suppress(OSError):
        bell = os.open(folder / _BELL, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(bell, b"!")
        finally:
            os.close(bell)


def rung(folder: Path) -> Iterator[None]:
    """Each time that the bell rings; waits in between, in the kernel. It ends where no bell can be had."""
    path = folder / _BELL
    try:
        if not path.exists() or not stat.S_ISFIFO(path.stat().st_mode):
            path.unlink(missing_ok=True)
            os.mkfifo(path, 0o600)
        bell = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        while True:
            select.select([bell], [], [])
            os.read(bell, 512)
            yield
    finally:
        os.close(bell)
