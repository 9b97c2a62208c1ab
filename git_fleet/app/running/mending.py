"""A worktree in which an agent, or its end, has broken what git needs there: made whole, nothing of it touched else."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from git_fleet.app.session import Session
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import FleetError
from git_fleet.git import locks, worktrees
from git_fleet.git.repository import Repository
from git_fleet.store import names

_LOCK_SECONDS = 5.0
_LOOK_SECONDS = 0.05


def mend(session: Session, record: TaskRecord) -> None:
    """Put right what can be in the worktree of the task's claim, once nobody works there: its `.git` is written again
    when it was deleted, and the locks of a git that was killed go, if nobody can own them. Raises GitFailed, OSError.
    """
    claim = record.state.claim
    path = Path(claim.worktree) if claim is not None and claim.worktree else None
    git_dir = worktrees.git_dir_for(session.repo, path) if path is not None else None
    if claim is None or path is None or git_dir is None or is_gone(record):
        return
    if not os.path.lexists(path / ".git"):
        (path / ".git").write_bytes(b"gitdir: %b\n" % os.fsencode(git_dir))
    places = [git_dir / "index.lock", git_dir / "HEAD.lock"]
    if not session.repo.uses_reftable:
        places.append(session.repo.common_dir / f"{names.branch(claim.branch)}.lock")
    _clear(session.repo, places)


def _clear(repo: Repository, places: Sequence[Path]) -> None:
    """Remove these locks at a moment at which no git is at work that could own them; others' come and go."""
    until = time.monotonic() + _LOCK_SECONDS
    while left := [place for place in places if place.exists()]:
        if locks.clear(repo, left) or time.monotonic() > until:
            break
        time.sleep(_LOOK_SECONDS)


def is_gone(record: TaskRecord) -> bool:
    """Whether the claim's worktree, which was made, is not there. Behind a link in its place is somebody else's."""
    claim = record.state.claim
    path = Path(claim.worktree) if claim is not None and claim.worktree else None
    return path is not None and (path.is_symlink() or not path.is_dir())


def forget(session: Session, record: TaskRecord) -> None:
    """Take the deleted worktree of the claim off git's record, where that can be. What hung on it is saved by then."""
    claim = record.state.claim
    if claim is not None and claim.worktree:
        with suppress(FleetError):
            worktrees.forget(session.repo, Path(claim.worktree))
