"""What is local to this machine: lock files, the `open` file, worktrees, slots."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from git_fleet.app import places, slots
from git_fleet.app.checks.finding import Finding
from git_fleet.app.places import Place
from git_fleet.app.salvage import Site, salvage_worktree
from git_fleet.app.session import Session
from git_fleet.core.model import State, TaskState
from git_fleet.core.snapshot import Snapshot
from git_fleet.errors import Busy
from git_fleet.git import locks, worktrees
from git_fleet.store import names, plans

_SHOWN = 5


def lock_files(session: Session) -> Iterator[Finding]:
    """No ref is locked by a git that is dead."""
    left = locks.left_behind(session.repo)
    if not left:
        return
    shown = ", ".join(map(str, left[:_SHOWN])) + (
        f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    )
    owners = locks.obstacles(session.repo)
    if owners:
        who = ", ".join(f"{owner.what} ({owner.pid})" for owner in owners)
        text = f"lock files that a running {who} may own: {shown}"
        yield Finding("lock", text, "wait for it to end, then: git fleet doctor", note=True)
        return
    text = f"lock files that a killed git left behind: {shown}"
    yield Finding("lock", text, "git fleet doctor --fix removes them", partial(_clear, session, left))


def _clear(session: Session, left: list[Path]) -> None:
    locks.clear(session.repo, left)
    rest = [path for path in left if path.exists()]
    if rest:
        raise Busy(f"somebody is writing refs; {rest[0]} may be theirs", hint="git fleet doctor --fix, again")


def open_file(session: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """The file by which the hooks know the open plans says what the plans' logs say."""
    wanted = {
        f"{record.id} {names.branch(plan.base)}"
        for record in snapshot.plans.values()
        for plan in record.counting
    }
    place = session.repo.fleet_dir / "open"
    found = set(place.read_text().splitlines()) if place.exists() else set()
    if found != wanted:
        said = ", ".join(sorted(found)) or "no plan"
        yield Finding(
            "open-file",
            f"{place} says {said}; open are: {', '.join(sorted(wanted)) or 'none'}",
            "git fleet doctor --fix writes it anew",
            partial(plans.refresh_open_file, session.store),
        )


def task_worktrees(session: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """Every task's worktree is finished, there, and known to belong to its task's latest claim."""
    for place in places.task_places(session):
        state = places.state_of(session, snapshot, place.task)
        found = _worktree(session, place, state)
        if found is not None:
            yield found


def _worktree(session: Session, place: Place, state: TaskState | None) -> Finding | None:
    path, live = place.tree.path, _live(place, state)
    resume = f"git fleet claim --resume --worker {_worker(place, state)}"
    if not path.is_dir():
        text = f"the worktree {path} of {place.task} was deleted by hand"
        if live:
            return Finding("worktree-gone", text, f"{resume} makes it again")
        return Finding("worktree-gone", text, "git fleet cleanup", partial(_forget, session, place, state))
    if not place.finished:
        text = f"the worktree {path} of {place.task} is only half made"
        if live:
            return Finding("worktree-unfinished", text, f"{resume} finishes it", note=True)
        repair = partial(worktrees.remove, session.repo, path)
        return Finding("worktree-unfinished", text, "git fleet cleanup", repair)
    if place.damage:
        fix = f"{resume} writes it anew" if live else "git fleet cleanup"
        return Finding("worktree-unreadable", f"{place.task}: {place.damage}", fix)
    if not live:
        text = f"the worktree {path} is of an earlier claim of {place.task}, or its task has ended"
        return Finding("worktree-left", text, "git fleet cleanup", note=True)
    if place.placement is None:
        text = f"the worktree {path} of {place.task} does not know its task yet"
        return Finding("worktree-unfinished", text, f"{resume} finishes it", note=True)
    return None


def _live(place: Place, state: TaskState | None) -> bool:
    return state is not None and state.state.active and places.is_current(place, state)


def _worker(place: Place, state: TaskState | None) -> str:
    if place.placement is not None:
        return place.placement.worker
    return state.claim.holder if state and state.claim else "NAME"


def _forget(session: Session, place: Place, state: TaskState | None) -> None:
    """Its commits are pinned first; then git forgets the worktree, and its slot is free."""
    base = state.claim.base if state and state.claim else None
    salvage_worktree(session.store, Site(place.tree.path, place.task, base, session.actor, session.now()))
    worktrees.forget(session.repo, place.tree.path)
    slots.free(session.around.state_dir, common_dir=session.repo.common_dir, worktree=place.tree.path)


def missing_worktrees(session: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """Claims made on this machine whose worktree was never made: their claimer died, or is at it now. A folder that is
    there and not on record here is another clone's."""
    on_record = {str(tree.path) for tree in worktrees.list_worktrees(session.repo)}
    for record in snapshot.tasks.values():
        claim = record.state.claim
        if record.state.state is not State.CLAIMED or claim is None or claim.host != session.around.host:
            continue
        if claim.worktree and claim.worktree not in on_record and not os.path.lexists(claim.worktree):
            text = f"{record.id} is claimed by {claim.holder}, and its worktree {claim.worktree} was not made yet"
            fix = f"git fleet claim --resume --worker {claim.holder} makes it"
            yield Finding("worktree-missing", text, fix, note=True)


def left_slots(session: Session) -> Iterator[Finding]:
    """No slot is held for a worktree of this repository that is gone."""
    common_dir = session.repo.common_dir
    for slot in slots.list_slots(session.around.state_dir):
        if slot.common_dir == str(common_dir) and not Path(slot.worktree).is_dir():
            yield Finding(
                "slot",
                f"slot {slot.number} is held for {slot.task} in {slot.worktree}, which is gone",
                "git fleet doctor --fix gives it back",
                partial(
                    slots.free, session.around.state_dir, common_dir=common_dir, worktree=Path(slot.worktree)
                ),
            )
