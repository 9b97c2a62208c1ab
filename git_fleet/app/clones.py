"""One worker on any machine that can reach the git server: a clone of its own, and no trace when it has ended.

The clone is removed only when all that came to be in it is on the server: proposals and events were pushed as they were
made, kept work is taken there (app/carrying.py), and what git then still finds here alone is a reason to leave the
folder as it is, and to say where (DESIGN I5).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from git_fleet.app import carrying, documents, install
from git_fleet.app.configs import CONFIG_FILE
from git_fleet.app.includes import check_markers
from git_fleet.app.salvage import Site, proposed_trees, salvage_worktree
from git_fleet.app.session import Session, open_session
from git_fleet.app.surroundings import Surroundings
from git_fleet.core.ids import TaskId
from git_fleet.core.progress import Report
from git_fleet.errors import FleetError, GitFailed, InvalidInput
from git_fleet.git import cloning, contents, worktrees
from git_fleet.git.process import Git
from git_fleet.git.remote import Remote
from git_fleet.store import names, worktree

_NAME = "repo"


class Wanted(Struct, frozen=True):
    """What to clone: `url`, into a new folder below `folder` (None: the machine's own for temporary files), with so
    much history (`depth`, 0: all) and of the contents what `filter` says. `keep`: leave the clone there."""

    url: str
    folder: Path | None = None
    depth: int = 0
    filter: str = ""
    keep: bool = False


class Clone(Struct):
    """A clone while it is used; `left` says why it was not removed."""

    folder: Path
    session: Session
    left: str = ""


@contextmanager
def cloned(
    wanted: Wanted, plan: str, around: Surroundings, worker: str | None, report: Report
) -> Iterator[Clone]:
    """A clone with hooks, and a session in it; gone at the end of the block, unless something is in it alone.

    Raises InvalidInput when fleet.toml there names no remote that decides, GitFailed, Unreachable.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="git-fleet-", dir=wanted.folder))
    except OSError as error:
        raise GitFailed(
            f"cannot make a folder for the clone: {error.strerror}", hint="--directory DIR"
        ) from error
    path = folder / _NAME
    with ExitStack() as opened:
        opened.callback(shutil.rmtree, folder, ignore_errors=True)  # until somebody works there
        cloning.clone(wanted.url, path, depth=wanted.depth, contents=wanted.filter)
        _name_remote(path)
        session = open_session(path, around, worker=worker, long_lived=True, bulk=False)
        opened.enter_context(session)
        remote = carrying.remote_of(session)
        if remote is None:
            raise InvalidInput(
                f"fleet.toml on {session.main} names no remote, so what is claimed in a clone binds nobody else",
                hint='remote = "origin" in fleet.toml on the base branch',
            )
        install.install(session.repo)
        found = Clone(folder, session)
        opened.pop_all()
    with session:
        try:
            yield found
        finally:
            found.left = "it was to be kept" if wanted.keep else _only_here(session, remote, plan)
            if found.left:
                report(f"the clone stays in {folder}: {found.left}")
    if not found.left:
        shutil.rmtree(folder, ignore_errors=True)


def _name_remote(path: Path) -> None:
    """Call the remote what fleet.toml calls it."""
    done = Git(path).run("cat-file", "blob", f"HEAD:{CONFIG_FILE}", ok=(0, 128))
    if done.code == 0:
        name = documents.load_config(done.out, CONFIG_FILE)[0].remote
        if name not in ("", "origin"):
            cloning.rename_remote(path, name)


def _only_here(session: Session, remote: Remote, plan: str) -> str:
    """Take to the server what is here alone: why the clone must stay after all, "" when it may go."""
    try:
        trees = worktrees.list_worktrees(session.repo)
        for tree in trees:
            stray = _save(session, tree.path)
            if stray:
                return f"{stray} is nowhere else"
        carrying.carry(session, plan)
        carrying.tell(session)
        heads = [tree.head for tree in trees if tree.head]
        found = cloning.only_here(
            session.repo.common_dir,
            [*heads, *carrying.not_carried(session, plan)],
            (names.TASK_LOGS, names.PROPOSALS, names.OFFLINE, names.LOST, names.GONE, names.KNOWLEDGE),
            carrying.safe_places(remote),
            aside=(names.FLEET, names.NOTES),
        )
    except (FleetError, OSError) as error:
        return error.message if isinstance(error, FleetError) else str(error)
    return f"commit {found[:12]} is nowhere else" if found else ""


def _save(session: Session, path: Path) -> str:
    """Keep what is in a task's worktree and in no proposal; "". In any other, which agents make for their own agents,
    nobody keeps anything: a file there that is in no commit. Raises GitFailed, InvalidInput."""
    if not path.exists():
        return ""
    git_dir = worktrees.git_dir_for(session.repo, path)
    placed = worktree.read(git_dir) if git_dir else None
    if placed is None:
        changed = (path / name for name in contents.dirty_files(path))
        return str(next((file for file in changed if os.path.lexists(file)), ""))
    task = TaskId(placed.plan, placed.task)
    site = Site(
        path,
        task,
        base=None,
        actor=placed.worker,
        now=session.now(),
        markers=check_markers(session.config_of(task).touch),
        branch=names.branch(placed.branch),
        proposed=proposed_trees(session.store, task),
    )
    salvage_worktree(session.store, site)
    return ""
