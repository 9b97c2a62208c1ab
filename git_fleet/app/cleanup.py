"""Removing a task's worktree when the task has ended, without losing anything that is in it.

Nothing is removed that git cannot give back: changes and files of unknown worth are a reason to refuse, and
every commit the worktree has seen is pinned (app/salvage.py) before the worktree and its branch go.
"""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from git_fleet.app import includes, slots
from git_fleet.app.salvage import Salvage, Site, proposed_trees, salvage_worktree, salvaged_trees
from git_fleet.core import patterns
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import State
from git_fleet.errors import InvalidInput, LostRace, NeedsPerson
from git_fleet.git import contents, worktrees
from git_fleet.git.refs import ABSENT, Update
from git_fleet.git.worktrees import Worktree
from git_fleet.store import names, worktree
from git_fleet.store.base import Store


class Kept(Struct, frozen=True):
    """Why a worktree stays: a word for machines, a sentence, and the paths it is about."""

    code: str
    text: str
    paths: tuple[str, ...] = ()


class CleanupResult(Struct, frozen=True):
    """What became of one task's worktree. `kept` None: it is gone (or would be, if this was a trial).

    `branch` is the short name of the branch that was deleted, "" if none was; `salvage` says where commits
    were pinned, None when proposals and main had them all.
    """

    task: TaskId
    path: Path
    kept: Kept | None = None
    salvage: Salvage | None = None
    branch: str = ""


def cleanup_one(
    store: Store,
    tree: Worktree,
    *,
    task: TaskId,
    state: State,
    base: Oid | None,
    config: Config,
    state_dir: Path,
    actor: str,
    now: datetime,
    trial: bool = False,
    teardown: Callable[[], str] = lambda: "",
) -> CleanupResult:
    """Remove one task's worktree with its branch, slot and scratch folder, or say why it stays.

    `base` is the tip of the branch the task was to be integrated onto. With `trial` it only says what it
    would do. `teardown` runs before anything goes, and says why the worktree must stay after all ("": it may
    go); what it leaves there counts like anybody's work. Killed and called again, it goes on; killed when the worktree is gone already, it leaves a slot
    that anybody may take and a branch whose commits are pinned. Raises GitFailed.
    """
    markers, proposed = includes.check_markers(config.touch), proposed_trees(store, task)
    saved = proposed | salvaged_trees(store, task)
    kept = removable(store, tree, state=state, config=config, saved=saved)
    if kept is not None or trial:
        return CleanupResult(task, tree.path, kept)
    trouble = teardown()
    if trouble:
        return CleanupResult(task, tree.path, Kept("teardown", trouble))
    branch = _fleet_branch(store, tree)
    tip = store.refs.get(branch) if branch else ABSENT
    site = Site(tree.path, task, base, actor, now, markers=markers, branch=branch, proposed=proposed)
    salvage = salvage_worktree(store, site)
    try:
        if tree.path.exists():
            worktrees.remove(store.repo, tree.path, markers=markers, saved=saved)
        else:
            worktrees.forget(store.repo, tree.path)
    except NeedsPerson as error:  # somebody wrote there since we looked
        return CleanupResult(task, tree.path, Kept("dirty", error.message), salvage)
    slots.free(state_dir, common_dir=store.repo.common_dir, worktree=tree.path)
    gone = _delete_branch(store, branch, tip) if branch else ""
    return CleanupResult(task, tree.path, None, salvage, gone)


def removable(
    store: Store, tree: Worktree, *, state: State, config: Config, saved: Collection[Oid]
) -> Kept | None:
    """None when the worktree of a task in `state` may go, else why not. `saved` are work trees that proposals
    and salvages hold: a lead may commit what its workers never do."""
    if not state.ended:
        return Kept("active", f"the task is {state}")
    if tree.locked and not worktree.is_fleet_lock(tree.lock_reason):
        return Kept("locked", f"it is locked: {tree.lock_reason or 'no reason given'}")
    git_dir = worktrees.git_dir_for(store.repo, tree.path)
    if git_dir is None:
        return Kept("main", "it is the main worktree")
    if not tree.path.exists() or not (git_dir / "index").exists():
        return None  # deleted by hand, or never finished: `forget` and `remove` know what to do
    if not worktrees.is_intact(git_dir, tree.path):
        return Kept("broken", "it has lost its .git (git worktree repair)")
    markers = includes.check_markers(config.touch)
    dirty = contents.dirty_files(tree.path, markers=markers)
    if dirty and not contents.is_kept_in(tree.path, saved, markers=markers, git_dir=git_dir):
        return Kept("dirty", f"it has uncommitted changes: {contents.listing(dirty)}", tuple(dirty))
    precious = _precious(store, tree.path, config)
    if precious:
        text = f"it has ignored files that are not known to be disposable: {contents.listing(precious)}"
        return Kept("ignored", text, tuple(precious))
    residents = contents.busy(tree.path)
    if residents:
        who = ", ".join(f"{resident.name} ({resident.pid})" for resident in residents)
        return Kept("busy", f"processes are working in it: {who}")
    return None


def _precious(store: Store, path: Path, config: Config) -> list[str]:
    """Ignored files that would be lost: neither `disposable`, nor markers, nor the same in the main worktree."""
    ignored = contents.ignored_files(path)
    if not ignored:
        return []
    main = store.repo.main_worktree()
    disposable = patterns.Matcher([patterns.parse(text) for text in config.disposable])
    return [
        name
        for name in ignored
        if not disposable.match(name + "file" if name.endswith("/") else name)
        and not (name in config.touch and contents.is_marker(path, name))
        and not (main is not None and _same(main / name, path / name))
    ]


def _same(one: Path, other: Path) -> bool:
    """Whether two files, or two links, hold the same (what `.worktreeinclude` has copied, say)."""
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    try:
        return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _fleet_branch(store: Store, tree: Worktree) -> str:
    """The branch that was made for the task, as a full ref name; "" when that is not on record."""
    git_dir = worktrees.git_dir_for(store.repo, tree.path)
    try:
        placed = worktree.read(git_dir) if git_dir else None
    except InvalidInput:  # unreadable: then the branch stays
        return ""
    return names.branch(placed.branch) if placed else ""


def _delete_branch(store: Store, branch: str, tip: Oid | object) -> str:
    """Delete it at exactly the value that was pinned; whoever has moved or checked it out keeps it."""
    if not isinstance(tip, str) or worktrees.occupied(store.repo, branch):
        return ""
    try:
        store.transact([Update(branch, Oid(tip), ABSENT)], message="task has ended")
    except LostRace:
        return ""
    return branch.removeprefix("refs/heads/")
