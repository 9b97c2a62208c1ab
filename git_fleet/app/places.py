"""The worktrees of tasks on this machine: whose each is, and whether by the task's latest claim."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from git_fleet.app.session import Session
from git_fleet.core.ids import Oid, TaskId, parse_task_id
from git_fleet.core.model import State, TaskState
from git_fleet.core.snapshot import Snapshot
from git_fleet.errors import AnswerIsNo, FleetError, InvalidInput
from git_fleet.git import worktrees
from git_fleet.git.worktrees import Worktree
from git_fleet.store import archive, tasks, worktree
from git_fleet.store.worktree import Placement


class Place(Struct, frozen=True):
    """A worktree that was made for a task. `placement` is None while it is not finished, and when it
    cannot be read: then `damage` says why."""

    tree: Worktree
    git_dir: Path
    task: TaskId
    placement: Placement | None
    damage: str = ""

    @property
    def finished(self) -> bool:
        """Whether git has written all its files (the index comes last)."""
        return (self.git_dir / "index").exists()


def task_places(session: Session) -> list[Place]:
    """Every worktree of a task, as git has them on record; the folder of one may be gone."""
    found = []
    for tree in worktrees.list_worktrees(session.repo)[1:]:
        git_dir = worktrees.git_dir_for(session.repo, tree.path)
        if git_dir is not None:
            found.append(_place(tree, git_dir))
    return [place for place in found if place is not None]


def _place(tree: Worktree, git_dir: Path) -> Place | None:
    try:
        placement = worktree.read(git_dir)
    except FleetError as error:
        task = _locked_for(tree)
        return Place(tree, git_dir, task, None, error.message) if task else None
    if placement is not None:
        return Place(tree, git_dir, TaskId(placement.plan, placement.task), placement)
    task = _locked_for(tree)
    return Place(tree, git_dir, task, None) if task else None


def _locked_for(tree: Worktree) -> TaskId | None:
    """The task that a worktree's lock names; None for the lock of a person, or of a gate's checkout."""
    if not worktree.is_fleet_lock(tree.lock_reason):
        return None
    try:
        return parse_task_id(tree.lock_reason.partition(": ")[2])
    except InvalidInput:
        return None


def path_of(session: Session, name: str) -> Path:
    """Where the task is worked on. Raises AnswerIsNo when that is not a folder of this machine."""
    record = session.record(session.snapshot(), name)
    claim, state = record.state.claim, record.state.state
    hint = f"git fleet claim {record.id} makes one"
    if state not in (State.PENDING, State.REWORK):
        hint = f"git fleet explain {record.id} says how it stands"
    if claim is None or not claim.worktree:
        if claim is not None and state is State.CLAIMED:
            hint = f"git fleet done {record.id} --commit REV --worker {claim.holder} hands in what was made elsewhere"
        raise AnswerIsNo(f"{record.id} has no worktree", hint=hint)
    if claim.host != session.around.host:
        raise AnswerIsNo(
            f"{record.id} is worked on at {claim.worktree} on {claim.host}, this is {session.around.host}"
        )
    path = Path(claim.worktree)
    if not path.is_dir():
        if state is State.CLAIMED:
            hint = f"git fleet claim --resume {record.id} --worker {claim.holder} makes it again"
        raise AnswerIsNo(f"the worktree {path} of {record.id} is gone", hint=hint)
    return path


def state_of(session: Session, snapshot: Snapshot, task: TaskId) -> TaskState | None:
    """The state of any task there ever was, of a closed plan's too; None when nobody knows it."""
    record = snapshot.record(task)
    if record is not None:
        return record.state
    found = archive.tip_of(session.store, task)
    return tasks.state_at(session.store, found) if found else None


def fence_of(state: TaskState | None) -> Oid | None:
    """The fence of the latest claim."""
    return state.claim.fence if state is not None and state.claim is not None else None


def is_current(place: Place, state: TaskState | None) -> bool:
    """Whether this worktree is where the task's latest claim is worked on, or about to be: rework that goes
    on in the same place knows its path before the worktree knows the claim."""
    if place.placement is not None and place.placement.fence == fence_of(state):
        return True
    claim = state.claim if state else None
    if claim is None or not claim.worktree:
        return False
    return os.path.realpath(claim.worktree) == os.path.realpath(place.tree.path)
