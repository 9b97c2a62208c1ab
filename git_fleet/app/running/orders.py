"""One branch of a run, killed or started again by another command on this machine (DESIGN section 12).

What is ordered stands in the folder of the task's agent (app/agents.py), and the agent is ended; the run, which sees
that end, does the rest, and takes the order away. So does one whose setup has no agent yet. Where no run is there any
more, the command does it itself. A task that was killed is not claimed again by the run that was at it, until it is
started again.
"""

from __future__ import annotations

import codecs
import os
import select
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from git_fleet.app import agents, outputs, plainfiles, work
from git_fleet.app.agents import Agent, Exit
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
_OBEYED_SECONDS = 0.1


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
    """End the agent of a task, or its setup, save what it did, give the task back. The others do not notice.

    Raises AnswerIsNo when no run, and no agent of one, works on it on this machine.
    """
    record, agent = _at_work(session, name)
    folder = folder_of(session, record.id.plan)
    place = _leave(session, record, "kill")
    (place / _KILLED).touch()
    ended = _said(agent, _end(folder, agent))
    runs = recovery.is_running(folder)
    now = _over(session, record) if runs else None
    if now is None and runs and agent is None:
        return Obeyed(record, "its worktree is being made still, and the run gives it back after that")
    if now is None:
        with suppress(LostRace):  # a run has done it at this moment
            work.release(held_by(session, record), str(record.id), f"{session.person()} killed it")
        agents.clear_order(place)
        now = session.reread(record)
    if now.state.state not in (State.PENDING, State.REWORK):
        return Obeyed(now, "its agent had ended already" if agent else "its setup had ended already")
    return Obeyed(now, f"{ended}, and what it did is saved" if agent else ended)


def restart(session: Session, name: str, *, fresh: bool = False) -> Obeyed:
    """Start the agent of a task again, in the worktree as it is; with `fresh` as the claim found it, all else saved.

    A task that was killed, or is blocked, may be claimed by the run again. Raises AnswerIsNo when no run works
    on its plan on this machine, when it is handed in meanwhile, and for what `fresh` cannot be had.
    """
    record = session.record(session.snapshot(), name)
    folder = folder_of(session, record.id.plan)
    _require_run(session, record)
    place = folder / record.id.task
    if record.state.state is State.CLAIMED:
        record, agent = _at_work(session, name)
        _leave(session, record, "fresh" if fresh else "restart")
        (place / _KILLED).unlink(missing_ok=True)
        return _started_again(session, record, agent, _end(folder, agent))
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


def _started_again(session: Session, record: TaskRecord, agent: Agent | None, before: Exit | None) -> Obeyed:
    """What becomes of the order to start `agent` again, which had ended as `before`, or the setup that has none yet."""
    place = folder_of(session, record.id.plan) / record.id.task
    now = _over(session, record, lambda: agents.read_order(place, _fence(record)) is None)
    if now is not None and _goes_on(record, now):
        then = "the run starts another" if agent else "begins again"
        return Obeyed(now, f"{_said(agent, before)}, and {then}")
    if now is not None:
        agents.clear_order(place)
        raise AnswerIsNo(
            f"{record.id} is {now.state.state.phrase} by now, and nothing is started again",
            hint=f"git fleet explain {record.id}",
        )
    _require_run(session, record)
    if agent is None:
        return Obeyed(record, "its worktree is being made still, and its setup begins again after that")
    return Obeyed(
        record,
        "its work is being handed in, and the run starts another agent only where that is refused"
        if before is not None and before.code == 0
        else f"{_said(agent, before)}, and the run has yet to start another",
    )


def _require_run(session: Session, record: TaskRecord) -> None:
    if not recovery.is_running(folder_of(session, record.id.plan)):
        raise AnswerIsNo(
            f"no run works on plan {record.id.plan} on this machine", hint=f"git fleet run {record.id.plan}"
        )


def agent_of(session: Session, name: str) -> Agent:
    """The agent of a run that works on the task on this machine. Raises AnswerIsNo."""
    record, agent = _at_work(session, name)
    if agent is None:
        raise AnswerIsNo(
            f"{record.id} has no agent yet: its worktree is being made, and set up",
            hint=f"git fleet status {record.id}",
        )
    return agent


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


def _at_work(session: Session, name: str) -> tuple[TaskRecord, Agent | None]:
    """The task and its agent; None while a run here still makes it a worktree. Raises AnswerIsNo."""
    record = session.record(session.snapshot(), name)
    folder = folder_of(session, record.id.plan)
    agent = agents.find(folder / record.id.task)
    if record.state.state is State.CLAIMED:
        if agent is not None and agent.fence == _fence(record):
            return record, agent
        if recovery.holds(session, folder, record):
            return record, None
    raise AnswerIsNo(
        f"no agent of a run works on {record.id} on this machine ({record.state.state.phrase})",
        hint=f"git fleet log {record.id} --output shows what agents printed",
    )


def _fence(record: TaskRecord) -> str:
    claim = record.state.claim
    return str(claim.fence) if claim is not None else ""


def _leave(session: Session, record: TaskRecord, order: str) -> Path:
    """Leave an order about the task's claim: in which folder."""
    place = folder_of(session, record.id.plan) / record.id.task
    place.mkdir(parents=True, exist_ok=True)  # without an agent there was no need of one
    agents.leave_order(place, order, by=session.person(), at=session.now(), fence=_fence(record))
    return place


def _end(folder: Path, agent: Agent | None) -> Exit | None:
    """Have the run look for orders, and end the agent whether there is a run or not: how it had ended before that."""
    before = agent.exit() if agent is not None else None
    _ring(folder)
    if agent is not None:
        agent.end(GRACE_SECONDS)
    return before


def _said(agent: Agent | None, before: Exit | None) -> str:
    """What an order has ended, in words."""
    if agent is None:
        return "its setup was ended"
    return "its agent was ended" if before is None else "its agent had ended already"


def _goes_on(record: TaskRecord, now: TaskRecord) -> bool:
    """Whether the task is claimed as it was."""
    return now.state.state is State.CLAIMED and _fence(now) == _fence(record)


def _over(
    session: Session, record: TaskRecord, obeyed: Callable[[], bool] = lambda: False
) -> TaskRecord | None:
    """The task as it is once its claim has ended, or the run has `obeyed`; None when neither comes within a while."""
    until = time.monotonic() + _WAIT_SECONDS
    with RefWatch(session.repo, session.store.refs.places(names.task_log(record.id))) as refs:
        while True:
            enough = obeyed()  # first: what has ended the claim takes away the order, too
            now = session.reread(record)
            if enough or not _goes_on(record, now):
                return now
            left = until - time.monotonic()
            if left <= 0:
                return None
            refs.wait(min(left, _OBEYED_SECONDS))


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
