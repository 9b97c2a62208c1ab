"""Removing the worktrees that nobody needs any more: of ended tasks, and of earlier claims.

Each is decided on its own (app/cleanup.py); one that must stay is an answer, not an error.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from git_fleet.app import oldlogs, places, provision, snapshots
from git_fleet.app.cleanup import CleanupResult, Kept, cleanup_one
from git_fleet.app.places import Place
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import State, TaskState
from git_fleet.core.progress import Progress, Watch, unwatched
from git_fleet.core.results import Cleaned
from git_fleet.core.snapshot import Snapshot
from git_fleet.errors import FleetError, InvalidInput
from git_fleet.store import names
from git_fleet.store.base import tip
from git_fleet.store.kept import snapshot as last_snapshot

_CLAIM_ENDED = State.CANCELLED
"""A claim that another has followed is as good as cancelled, whatever its task is by now."""


def cleanup(
    session: Session,
    tasks: Sequence[str] = (),
    *,
    dry_run: bool = False,
    teardown: bool = True,
    watch: Watch = unwatched,
) -> tuple[Cleaned, ...]:
    """Remove the worktrees on this machine whose task has ended or is worked on elsewhere by now.

    `tasks` (ids) restrict it to theirs, and then those that are still worked in are answered too. The configured
    teardown runs first, and a worktree whose teardown fails stays; without `teardown` it is left out. Raises
    InvalidInput for a name that is no task's with a worktree here.
    """
    snapshot = session.snapshot()
    found = places.task_places(session)
    wanted = _named(snapshot, found, tasks) if tasks else {place.task for place in found}
    done = []
    for number, place in enumerate(found):
        watch(Progress("worktrees", number, len(found)))
        state = places.state_of(session, snapshot, place.task)
        ended = _ended_state(place, state)
        if place.task in wanted and (tasks or ended.ended):
            result = _clean(session, snapshot, place, ended, dry_run=dry_run, teardown=teardown)
            gone = result.kept is None and not dry_run
            if gone and (state is None or state.state.ended):
                oldlogs.clear(session.repo.fleet_dir / oldlogs.FOLDER / place.task.plan / place.task.task)
            done.append(_answer(result, _retire_snapshot(session, snapshot, place, state) if gone else ""))
    return tuple(done)


def _named(snapshot: Snapshot, found: Sequence[Place], tasks: Sequence[str]) -> set[TaskId]:
    """The tasks meant, those of closed plans included. Raises InvalidInput."""
    wanted: set[TaskId] = set()
    for name in tasks:
        fitting = {place.task for place in found if name.lower() in (str(place.task), place.task.task)}
        if not fitting:
            record = snapshot.resolve(name)
            raise InvalidInput(f"{record.id} has no worktree on this machine", hint="git fleet worktree list")
        wanted |= fitting
    return wanted


def _ended_state(place: Place, state: TaskState | None) -> State:
    """The task's state as far as this worktree is concerned."""
    if state is None or not places.is_current(place, state) or not (state.state.active or state.state.ended):
        return _CLAIM_ENDED
    return state.state


def _clean(
    session: Session, snapshot: Snapshot, place: Place, state: State, *, dry_run: bool, teardown: bool
) -> CleanupResult:
    path = place.tree.path
    here = session.repo.worktree
    if here is not None and os.path.realpath(here) == os.path.realpath(path):
        return CleanupResult(place.task, path, Kept("here", "you are in it"))
    record = snapshot.tasks.get(place.task)
    task = record.task if record else None
    try:
        return cleanup_one(
            session.store,
            place.tree,
            task=place.task,
            state=state,
            base=_base(session, snapshot, place),
            config=session.config(),
            state_dir=session.around.state_dir,
            actor=session.actor,
            now=session.now(),
            trial=dry_run,
            teardown=lambda: provision.tear_down(session, task, place.task, path) if teardown else "",
        )
    except FleetError as error:  # the others go on
        return CleanupResult(place.task, path, Kept("failed", error.message))


def _base(session: Session, snapshot: Snapshot, place: Place) -> Oid | None:
    """The tip of the branch that the task was to go onto: what it contains is safe."""
    plan = snapshot.plans.get(place.task.plan)
    named = place.placement.base if place.placement else ""
    base = plan.approved.base if plan is not None and plan.approved is not None else named
    return tip(session.store.refs.get(names.branch(base))) if base else None


def _retire_snapshot(session: Session, snapshot: Snapshot, place: Place, state: TaskState | None) -> str:
    """Delete the snapshot of the claim whose worktree is gone now; where it was pinned, "" if it was not."""
    placed = place.placement
    with suppress(FleetError):  # then it stays until the plan is closed
        found = last_snapshot(session.store, place.task, fence=placed.fence) if placed else None
        return snapshots.retire(session, found, state, _base(session, snapshot, place)) if found else ""
    return ""


def _answer(result: CleanupResult, pinned: str) -> Cleaned:
    kept = result.kept
    return Cleaned(
        id=result.task,
        path=str(result.path),
        kept=kept.code if kept else "",
        text=kept.text if kept else "",
        paths=kept.paths if kept else (),
        branch=result.branch,
        salvage=result.salvage.ref if result.salvage else pinned,
    )
