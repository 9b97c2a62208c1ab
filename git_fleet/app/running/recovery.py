"""What an earlier run of the same plan has left: agents that still live, and claims whose agents do not."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from git_fleet.app import agents, minding
from git_fleet.app.agents import Agent
from git_fleet.app.running.account import Account, settle
from git_fleet.app.running.desk import held_by
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import State
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import FleetError, GitFailed, Held
from git_fleet.git import flocks
from git_fleet.store import worktree

_LOCK = "lock"
_WORKERS = "workers.json"


class Left(NamedTuple):
    """A claim that goes on: with the agent that works on it, or without one."""

    record: TaskRecord
    worker: str
    agent: Agent | None


@contextmanager
def alone(folder: Path, plan: str) -> Iterator[None]:
    """Be the only run of the plan on this machine. Raises Held while another one is, GitFailed."""
    shown = "git fleet status shows it; Ctrl-C in its terminal lets it come to an end"
    with _only(folder / _LOCK, f"another run works on plan {plan}", shown):
        yield


@contextmanager
def attending(folder: Path, plan: str, worker: str) -> Iterator[None]:
    """Be the only worker of that name on the plan on this machine, beside its run. Raises Held while another one is,
    there or in the run, GitFailed."""
    own = "--worker NAME gives this one another name"
    if is_running(folder) and worker in _known(folder):
        raise Held(f"a run works on plan {plan} on this machine, and has a worker {worker}", hint=own)
    with _only(_attended(folder, worker), f"another worker {worker} works on plan {plan}", own):
        yield


def is_attended(folder: Path, worker: str) -> bool:
    """Whether a worker of that name, which is none of a run's, works on the plan whose folder this is."""
    return flocks.is_held(_attended(folder, worker))


def _attended(folder: Path, worker: str) -> Path:
    return folder / f"worker-{hashlib.sha256(os.fsencode(worker)).hexdigest()[:16]}.lock"


@contextmanager
def _only(place: Path, said: str, hint: str) -> Iterator[None]:
    """Hold a lock; Held says who does."""
    held = ExitStack()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        held.enter_context(flocks.signed(place, 0o600))
    except BlockingIOError as busy:
        raise Held(f"{said} (process {flocks.holder(place) or 'unknown'})", hint=hint) from busy
    except OSError as error:
        raise GitFailed(f"cannot write {place.parent}: {error.strerror}", hint="git fleet doctor") from error
    with held:
        yield


def is_running(folder: Path) -> bool:
    """Whether a run works on the plan whose folder this is."""
    return flocks.is_held(folder / _LOCK)


def workers(folder: Path, now: Sequence[str]) -> list[str]:
    """The names of the workers that runs of this plan have had here, those of `now` among them from now on."""
    names = list(dict.fromkeys([*_known(folder), *now]))
    worktree.replace_file(folder / _WORKERS, json.dumps({"v": 1, "workers": names}).encode(), mode=0o600)
    return names


def _known(folder: Path) -> list[str]:
    known = (minding.read_json(folder / _WORKERS) or {}).get("workers")
    return [str(name) for name in known] if isinstance(known, list) else []


def holds(session: Session, folder: Path, record: TaskRecord) -> bool:
    """Whether a run that goes on here holds the task, for one of its workers."""
    claim = record.state.claim
    ours = claim is not None and bool(claim.worktree) and claim.holder in _known(folder)
    return ours and _held_here(session, record) and is_running(folder)


def left(session: Session, snapshot: Snapshot, plan: str, names: Sequence[str]) -> list[Left]:
    """The claims of the plan that workers of earlier runs hold on this machine, in plan order.

    An agent whose claim has ended meanwhile is ended here: what it does now would count for nobody. Those of workers that
    are at work beside the runs are left to them.
    """
    folder = session.repo.fleet_dir / agents.FOLDER / plan
    records = snapshot.of_plan(plan)
    held = {record.id: record for record in records if _held_here(session, record)}
    found: dict[str, Left] = {}
    for agent in agents.all_in(session.repo.fleet_dir, plan):
        if is_attended(folder, agent.worker):
            continue
        record = held.get(agent.task)
        claim = record.state.claim if record else None
        if record is not None and claim is not None and str(claim.fence) == agent.fence:
            found[agent.task.task] = Left(record, agent.worker, agent)
        else:
            agent.end()
            agent.sweep()
            _settle(session, snapshot, agent)
            agents.forget(agent.folder)
    for record in held.values():
        claim = record.state.claim
        ours = claim is not None and claim.holder in names and not is_attended(folder, claim.holder)
        if record.id.task not in found and ours and claim is not None and claim.worktree:
            found[record.id.task] = Left(record, claim.holder, None)
    return [found[record.id.task] for record in records if record.id.task in found]


def _settle(session: Session, snapshot: Snapshot, agent: Agent) -> None:
    """What an agent has used goes into the log, if the latest claim of its task is the one it worked under."""
    record = snapshot.tasks.get(agent.task)
    claim = record.state.claim if record else None
    if record is not None and claim is not None and str(claim.fence) == agent.fence:
        with suppress(FleetError):  # nothing else hangs on it
            settle(held_by(session, record), record, Account(agent))


def unattended(
    session: Session, plan: str, worker: str, but: Collection[TaskId], given_up: Collection[Oid | None]
) -> TaskRecord | None:
    """A claim of the plan that the worker holds here, and nobody works on: what made it failed right after."""
    if is_attended(session.repo.fleet_dir / agents.FOLDER / plan, worker):
        return None  # one of the same name beside this run
    for record in session.snapshot().of_plan(plan):
        claim = record.state.claim
        if record.id in but or claim is None or claim.holder != worker or claim.fence in given_up:
            continue
        if _held_here(session, record):
            return record
    return None


def forget(session: Session, plan: str) -> None:
    """The run has ended: the records of its agents go, and their panes, with the last of which tmux goes."""
    with suppress(FleetError, OSError):
        for agent in agents.all_in(session.repo.fleet_dir, plan):
            if agent.exit() is not None:
                agents.forget(agent.folder)


def _held_here(session: Session, record: TaskRecord) -> bool:
    claim = record.state.claim
    return record.state.state is State.CLAIMED and claim is not None and claim.host == session.around.host
