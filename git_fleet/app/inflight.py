"""What every task at work has done so far, as a commit, wherever that can be read (DESIGN section 12, `conflicts`).

What is handed in is its proposal. What is worked on is its worktree, if that is on this machine; else what was saved
of it with its worker's last sign of life, or its branch, whichever is newer. Nothing is written but drafts, which go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from git_fleet.app import includes
from git_fleet.app.session import Session
from git_fleet.core.collisions import Source, Unseen
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Claim, Output, State
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import FleetError, InvalidInput
from git_fleet.git import inflight, worktrees
from git_fleet.git.drafts import Drafts
from git_fleet.git.formats import Signature
from git_fleet.store import kept, names, worktree

_HANDED_IN = frozenset({State.PROPOSED, State.VERIFIED, State.PARKED})
_MOST_THREADS = 4
_FILTERS = r"^filter\..*\.(clean|process)$"
_NOBODY = Signature("git-fleet", "", 0)  # the same work is the same commit

Live = Callable[[TaskId], bool]
"""Whether a task's worktree is to be looked into; else what was last saved of it will do."""


class Side(Struct, frozen=True):
    """The work of a task: a commit (a draft, where not all of it is committed), and whence it is."""

    record: TaskRecord
    commit: Oid
    source: Source
    left_out: tuple[str, ...] = ()
    note: str = ""


class _Place(NamedTuple):
    path: Path
    git_dir: Path


def everywhere(_: TaskId) -> bool:
    """Look into every worktree."""
    return True


def sides(
    session: Session, drafts: Drafts, records: Sequence[TaskRecord], live: Live = everywhere
) -> tuple[list[Side], list[Unseen]]:
    """The work of these tasks, in their order, and those whose work cannot be had. Tasks that nobody has begun, that
    have ended or own nothing have none. Raises GitFailed when drafts cannot be made."""
    begun = [
        record for record in records if record.state.state.active and record.task.output is Output.COMMIT
    ]
    dirs = worktrees.git_dirs(session.repo)
    placed: dict[TaskId, _Place | str] = {
        record.id: _place(session, record.state.claim, dirs)
        for record in begun
        if record.state.state not in _HANDED_IN and record.state.claim is not None
    }
    looked = _look(session, drafts, {task: at for task, at in placed.items() if live(task)})
    found: list[Side] = []
    unseen: list[Unseen] = []
    for record in begun:
        seen = looked.get(record.id)
        if isinstance(seen, inflight.Found):
            found.append(_worked_on(drafts, record, seen))
            continue
        why = seen or placed.get(record.id, "")
        side = _stored(session, record, why if isinstance(why, str) else "")
        if side is not None:
            found.append(side)
        elif record.state.state is State.CLAIMED:
            reason = why if isinstance(why, str) and why else "nothing of it is saved or committed yet"
            unseen.append(Unseen(record.id, reason))
    return found, unseen


def placed_here(session: Session) -> set[TaskId]:
    """The tasks that have a worktree on this machine, of earlier claims too."""
    found = (worktree.task_in(git_dir) for git_dir in worktrees.git_dirs(session.repo).values())
    return {task for task in found if task is not None}


def _place(session: Session, claim: Claim | None, dirs: dict[str, Path]) -> _Place | str:
    """Where a claim is worked on on this machine, or why it cannot be looked at."""
    if claim is None or not claim.worktree:
        return "it is worked on without a worktree"
    if claim.host != session.around.host:
        return f"its worktree is on {claim.host}"
    path = Path(claim.worktree)
    git_dir = dirs.get(os.path.realpath(path))
    if git_dir is None or not worktrees.is_intact(git_dir, path):
        return "its worktree is gone"
    try:
        placement = worktree.read(git_dir)
    except InvalidInput as error:
        return error.message
    if placement is None or placement.fence != claim.fence:
        return "its worktree is not ready"
    return _Place(path, git_dir)


def _look(
    session: Session, drafts: Drafts, places: dict[TaskId, _Place | str]
) -> dict[TaskId, inflight.Found | str]:
    """What is in these worktrees, several at a time: each is a git that mostly waits for the disk."""
    real = {task: place for task, place in places.items() if isinstance(place, _Place)}
    found: dict[TaskId, inflight.Found | str] = {
        task: place for task, place in places.items() if isinstance(place, str)
    }
    if not real:
        return found
    env = drafts.environment()  # made here: threads must not share the drafts
    filters = bool(session.repo.git().run("config", "--name-only", "--get-regexp", _FILTERS, ok=(0, 1)).out)
    ask = [
        partial(_look_into, place, env, filters, includes.check_markers(session.config_of(task).touch))
        for task, place in real.items()
    ]
    if len(ask) == 1:
        return found | {task: one() for task, one in zip(real, ask, strict=True)}
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and only for many

    with ThreadPoolExecutor(min(len(ask), _MOST_THREADS)) as pool:
        found.update(zip(real, pool.map(lambda one: one(), ask), strict=True))
    return found


def _look_into(
    place: _Place, env: Mapping[str, str], filters: bool, markers: Sequence[str]
) -> inflight.Found | str:
    try:
        return inflight.look(place.path, place.git_dir, env, markers=markers, filters=filters)
    except FleetError as error:
        return error.message
    except OSError as error:
        return f"{place.path} cannot be read: {error.strerror}"


def _worked_on(drafts: Drafts, record: TaskRecord, seen: inflight.Found) -> Side:
    """A worktree as a commit on top of its HEAD; amid a merge it is the merge."""
    commit = seen.head
    if seen.tree is not None or seen.edits or seen.merging is not None:
        tree = seen.tree or inflight.apply(drafts, drafts.read_commit(seen.head).tree, seen.edits)
        parents = [seen.head, *([seen.merging] if seen.merging else [])]
        commit = drafts.write_commit(
            tree=tree, parents=parents, author=_NOBODY, committer=_NOBODY, message="in flight\n"
        )
    note = f"in the middle of a {seen.unfinished}" if seen.unfinished else ""
    return Side(record, commit, Source.WORKTREE, seen.left_out, note)


def _stored(session: Session, record: TaskRecord, why: str) -> Side | None:
    """What refs hold of a task's work; None for nothing. `why` says why it was not looked at."""
    state, claim = record.state, record.state.claim
    handed_in = state.proposal.commit if state.proposal is not None else None
    if state.state in _HANDED_IN:
        return Side(record, handed_in, Source.PROPOSAL) if handed_in else None
    found = [(state.salvaged, Source.SNAPSHOT)] if state.salvaged is not None else []
    for commit, source in _saved(session, record.id, claim) if claim is not None else ():
        if not found or not _has(session, found[0][0], commit):
            found = [(commit, source)]  # else it has nothing that was not saved
    if not found and handed_in is not None:
        found = [(handed_in, Source.PROPOSAL)]
    return Side(record, *found[0], note=why) if found else None


def _has(session: Session, saved: Oid, tip: Oid) -> bool:
    """Whether what was saved has the tip of the branch in it: it was saved on top of that, as a rule."""
    objects = session.store.objects
    return tip in (saved, *objects.read_commit(saved).parents) or objects.is_ancestor(tip, saved)


def _saved(session: Session, task: TaskId, claim: Claim) -> Iterator[tuple[Oid, Source]]:
    """The snapshot of the claim, and the tip of its branch."""
    fence = str(claim.fence) if claim.fence else None
    snapshot = kept.snapshot(session.store, task, fence=fence)
    if snapshot is not None:
        yield snapshot.start, Source.SNAPSHOT
    tip = session.store.objects.read_ref(names.branch(claim.branch)) if claim.branch else None
    if tip is not None:
        yield tip[0], Source.BRANCH
