"""Snapshots: the work tree of a claimed task, saved each time its worker gives a sign of life.

A snapshot has the shape of a salvage (store/kept.py): the next one replaces it, and keeps where the last few
before it would have gone on from. It is written in one transaction that holds the task's log where it was
read, so a worker whose claim has ended writes none. It counts for the claim it was taken under: a take-over
starts from it where the worktree itself cannot be had (`salvage.salvage_worktree`). It goes when the claim's
worktree is cleaned up and when the plan is closed.

It is a safety net: a failure is told and stops nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from git_fleet.app import acting, includes, salvage
from git_fleet.app.salvage import Gathered, Site
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Claim, State, TaskState
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import AnswerIsNo, Busy, FleetError, InvalidInput, LostRace
from git_fleet.git import contents, worktrees
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import archive, kept, log, names, worktree
from git_fleet.store.base import tip, value
from git_fleet.store.kept import Kept, Origin

EARLIER = 15
"""So many snapshots before the last one can still be gone back to."""

LARGEST_BYTES = 50 * 1024 * 1024
"""A larger changed file is not saved with every sign of life: what grows would fill the disk."""

_TRIES = 5


class Taken(NamedTuple):
    """The snapshot as it is now, None when there is nothing to save; whether it was `written` just now, and
    what of the worktree is not in it."""

    kept: Kept | None
    written: bool
    left_out: tuple[str, ...]

    def notes(self) -> tuple[str, ...]:
        """What the worker is told: nothing, unless something is not saved."""
        if not self.left_out:
            return ()
        return (
            f"not in the snapshot: {contents.listing(self.left_out)} (large, unreadable or a repository)",
        )


def keep(session: Session, record: TaskRecord) -> tuple[str, ...]:
    """Take a snapshot with a progress or a renewal, where the task is worked on here: what is to be said of
    it. Raises nothing that the one who reports could be hindered by."""
    claim = record.state.claim
    if claim is None or not claim.worktree or claim.host != session.around.host:
        return ()
    try:
        return take(session, record).notes()
    except FleetError as error:
        return (f"the work tree was not saved: {error.message}",)
    except OSError as error:
        return (f"the work tree was not saved: {error}",)


def written(session: Session, record: TaskRecord) -> bool:
    """Whether the work tree of the task's claim has changed since it was saved last; it is saved then. Raises
    nothing that whoever looks could be hindered by."""
    try:
        return take(session, record).written
    except (FleetError, OSError):
        return False


def take(session: Session, record: TaskRecord) -> Taken:
    """Save the worktree of the task's claim, if it has changed since it was saved last.

    The worktree and its index are not touched. Raises AnswerIsNo where the task is not worked on here,
    StaleClaim (or what else `acting.not_held` says) when its claim ends meanwhile, Busy when others save it again and again, GitFailed.
    """
    claim = record.state.claim
    if record.state.state is not State.CLAIMED or claim is None or not _is_here(session, claim):
        raise AnswerIsNo(
            f"{record.id} is not worked on in a worktree on this machine",
            hint="git fleet worktree list",
        )
    for _ in range(_TRIES):
        before = kept.snapshot(session.store, record.id)
        site = site_of(session, record.id, claim)
        found = salvage.gather(session.store, site, largest=LARGEST_BYTES)
        wanted = _parents(session, claim, found, before) if found is not None else None
        if found is None or wanted is None:
            ours = before is not None and before.origin.fence == claim.fence
            return Taken(before if ours else None, False, found.left_out if found else ())
        try:
            _write(session, record, claim, wanted, before)
        except Busy:
            raise
        except LostRace:  # another command of the same worker, or the claim has ended
            record = session.reread(record)
            now = record.state.claim
            if record.state.state is not State.CLAIMED or now is None or now.fence != claim.fence:
                raise acting.not_held(record) from None
            continue
        return Taken(kept.snapshot(session.store, record.id), True, found.left_out)
    raise Busy(f"others keep saving the worktree of {record.id}", hint=f"git fleet snapshot {record.id}")


def _is_here(session: Session, claim: Claim) -> bool:
    """Whether the claim's worktree is on this machine, with its files, and still this claim's."""
    path = Path(claim.worktree)
    git_dir = worktrees.git_dir_for(session.repo, path) if claim.worktree else None
    if git_dir is None or not worktrees.is_intact(git_dir, path):
        return False
    try:
        placed = worktree.read(git_dir)
    except InvalidInput:
        return False
    return placed is not None and placed.fence == claim.fence


def site_of(session: Session, task: TaskId, claim: Claim) -> Site:
    """Where a claim is worked on. Raises as `Session.config_of`."""
    return Site(
        Path(claim.worktree),
        task,
        claim.base,
        claim.holder,
        session.now(),
        markers=includes.check_markers(session.config_of(task).touch),
        branch=names.branch(claim.branch),
    )


class _Parents(NamedTuple):
    start: Oid
    others: tuple[Oid, ...]
    earlier: tuple[Oid, ...]


def _parents(session: Session, claim: Claim, found: Gathered, before: Kept | None) -> _Parents | None:
    """What the next snapshot holds; None when the one that is there, or what is never deleted, holds it all."""
    known = before if before is not None and before.origin.fence == claim.fence else None
    moved = known is not None and known.start != found.start
    new = salvage.unsafe_tips(
        session.store, (found.start, *found.keep), [claim.base, known.oid if known else None]
    )
    if not new and not moved:
        return None
    tips = salvage.unsafe_tips(session.store, (found.start, *found.keep), [claim.base])
    others = tuple(tip for tip in tips if tip != found.start)
    old = (before.start, *(before.earlier if known else before.rest)) if before else ()
    earlier = salvage.unsafe_tips(session.store, old, [claim.base, found.start, *others])
    return _Parents(found.start, others, tuple(earlier[:EARLIER]))


def _write(session: Session, record: TaskRecord, claim: Claim, wanted: _Parents, before: Kept | None) -> None:
    """Objects first; then the one ref, with the task's log held where it was read."""
    oid = kept.write(
        session.store,
        record.id,
        subject=f"Snapshot of {record.id}",
        start=wanted.start,
        others=wanted.others,
        earlier=wanted.earlier,
        origin=Origin(claim.worktree, claim.branch, str(claim.fence)),
        actor=claim.holder,
        at=session.now(),
    )
    log_ref = names.task_log(record.id)
    session.store.transact(
        [
            Update(log_ref, value(record.tip), value(record.tip)),
            Update(names.snapshot(record.id), value(before.oid if before else None), oid),
        ],
        message=f"snapshot of {record.id}",
    )


def retire(session: Session, found: Kept, state: TaskState | None, base: Oid | None) -> str:
    """Delete a snapshot that nobody needs any more; the ref that now holds what nothing else did, or "".

    What its claim has handed in, and what has landed, supersedes it. Else all of it is pinned first. A
    snapshot that was replaced meanwhile stays. Raises GitFailed.
    """
    claim = state.claim if state is not None and state.state is State.INTEGRATED else None
    pinned = None
    if claim is None or claim.fence != found.origin.fence:
        pinned = salvage.pin(
            session.store,
            found.task,
            start=found.start,
            keep=found.rest,
            base=base,
            origin=found.origin,
            actor=found.worker,
            now=session.now(),
        )
    try:
        session.store.transact([Update(found.ref, found.oid, ABSENT)], message="its claim has ended")
    except LostRace:
        return ""
    return pinned.ref if pinned else ""


def retire_all(session: Session, plan: str) -> int:
    """Delete the snapshots of a closed plan: how many there were. Raises as `retire`."""
    found = kept.snapshots(session.store, plan)
    if found:
        tips = archive.read(session.store, plan)
        main = tip(session.store.refs.get(names.branch(session.main)))
        for one in found:
            last = tips.get(str(one.task))
            state = log.read(session.store.objects, last).task_state if last else None
            retire(session, one, state, main)
    return len(found)
