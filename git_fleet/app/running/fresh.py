"""A worktree as its claim found it, after all that is in it has been saved."""

from __future__ import annotations

from pathlib import Path

from git_fleet.app import placing
from git_fleet.app.running import mending
from git_fleet.app.session import Session
from git_fleet.core.snapshot import TaskRecord
from git_fleet.git.process import Git


def start_over(session: Session, record: TaskRecord) -> str:
    """Bring the worktree of the task's claim back to where the claim began: the ref that keeps what was in it, ""
    when there was nothing. Files that git ignores stay.

    Nothing is touched unless all of it could be saved: raises GitFailed.
    """
    claim = record.state.claim
    if claim is None or claim.start is None or mending.is_gone(record):
        return ""
    kept = placing.rescue(session, record)
    git = Git(Path(claim.worktree))
    git.run("checkout", "--quiet", "--force", "-B", claim.branch, claim.start)
    git.run("clean", "--quiet", "--force", "-d")
    return kept.ref
