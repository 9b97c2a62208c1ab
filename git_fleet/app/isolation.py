"""A worktree ready to work in: the checkout, its `fleet.json`, what it gets beside the tracked files, its slot
and the environment for whoever works there.

`prepare` comes after the claim, so a crash leaves a claim whose worktree is not finished; calling it again
with the same arguments goes on where it was. `fleet.json` is written last: without it nobody works there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.app import includes, slots
from git_fleet.app.salvage import Site, salvage_worktree
from git_fleet.app.slots import Slot
from git_fleet.core.config import PLACEHOLDER, Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.sparse import Sparse
from git_fleet.errors import Held, InvalidInput, NeedsPerson, UnknownFormat
from git_fleet.git import contents, worktrees
from git_fleet.git.repository import Repository
from git_fleet.store import names, worktree
from git_fleet.store.base import Store
from git_fleet.store.worktree import Placement

GIT_CONFIG = (("rebase.autoStash", "false"), ("merge.autoStash", "false"))
"""The stash is shared by all worktrees: git must not fill it behind a worker's back."""

"""What `[env]` of fleet.toml may say of the place where a task is worked on."""

_COMPOSE_LENGTH = 63  # as long as a host name's part


class Prepared(Struct, frozen=True):
    """A worktree to work in. `env` is what its worker's environment gets; `included` are the files copied
    from the main worktree just now; `visible` are markers that git does not ignore there; `kept` is the ref
    that holds the commits of a deleted folder, if this is made in its place."""

    path: Path
    placement: Placement
    slot: Slot
    env: Mapping[str, str]
    included: tuple[str, ...]
    visible: tuple[str, ...]
    kept: str = ""


def prepare(
    store: Store,
    placement: Placement,
    *,
    path: Path,
    start: Oid,
    config: Config,
    state_dir: Path,
    cache_dir: Path,
    now: datetime,
    inherited: Mapping[str, str],
    confirm: Callable[[], object] = lambda: None,
    begin: Callable[[int], object] = lambda _: None,
    part: Sparse | None = None,
) -> Prepared:
    """Make (or finish, or hand over) the worktree at `path` for the claim that `placement` names.

    The branch starts from `start` if it is new. `placement.slot` is filled in here. `inherited` is the
    environment that `env` will be added to. A worktree whose folder was deleted by hand has its commits
    pinned before it is made again. `confirm` raises when the claim has ended; it is asked first, and again
    while nobody else can write a placement. `begin` is what this claim begins with, before anybody works
    there: it gets the descriptor of the lock it is called under. `part` is what a worktree made now has of the
    files (None: all). Raises Held when branch or folder is somebody
    else's, NeedsPerson, InvalidInput and GitFailed as the steps do; every step may be done again.
    """
    repo, task = store.repo, TaskId(placement.plan, placement.task)
    markers = includes.check_markers(config.touch)
    kept = ""
    confirm()
    before = _placed(store, path)
    if before is not None and TaskId(before.plan, before.task) != task:
        raise Held(f"{path} is the worktree of {before.plan}/{before.task}", hint="git worktree list")
    if before is None or before.fence != placement.fence:  # its own worker may have left the branch since
        if not path.exists():
            found = salvage_worktree(store, Site(path, task, start, placement.worker, now))
            kept = found.ref if found else ""
        branch = names.branch(placement.branch)
        reason = worktree.lock_reason(task)
        worktrees.ensure(repo, path, branch=branch, start=start, reason=reason, part=part)
    git_dir = worktrees.git_dir_for(repo, path)
    if git_dir is None or not worktrees.is_intact(git_dir, path):
        raise NeedsPerson(
            f"{path} has lost its .git, so git does not know it any more", hint="git worktree repair"
        )
    if before is None or before.fence != placement.fence:
        with worktrees.one_at_a_time(repo) as lock:
            confirm()
            begin(lock)
    included = includes.include(repo.main_worktree(), path)
    visible = includes.touch(path, markers)
    slot = slots.allocate(
        state_dir=state_dir,
        cache_dir=cache_dir,
        common_dir=repo.common_dir,
        worktree=path,
        task=task,
        port_count=config.ports_per_task,
    )
    placed = replace(placement, slot=slot.number)
    with worktrees.one_at_a_time(repo):
        confirm()
        worktree.write(git_dir, placed)
    env = environment(placed, slot, config, inherited, shared_cache(cache_dir, repo))
    return Prepared(path, placed, slot, env, tuple(included), tuple(visible), kept)


def _placed(store: Store, path: Path) -> Placement | None:
    """What the worktree at `path` knows about itself; None without one, and when that cannot be read.

    Raises UnknownFormat."""
    git_dir = worktrees.git_dir_for(store.repo, path)
    if git_dir is None or not path.is_dir():
        return None
    try:
        return worktree.read(git_dir)
    except UnknownFormat:
        raise
    except InvalidInput:  # it is about to be written anew
        return None


def reusable(repo: Repository, path: Path, branch: str, markers: Iterable[str]) -> bool:
    """Whether rework may go on in this worktree: it is there and on `branch` (short name), clean, at rest,
    and no process works in it."""
    tree, git_dir = worktrees.find(repo, path), worktrees.git_dir_for(repo, path)
    if tree is None or git_dir is None or tree.branch != names.branch(branch):
        return False
    if not worktrees.is_intact(git_dir, path):
        return False
    if contents.unfinished(git_dir) or contents.dirty_files(path, markers=markers):
        return False
    return not contents.busy(path)


def shared_cache(cache_dir: Path, repo: Repository) -> Path:
    """The folder that all worktrees of a repository share for what they download and build; it exists then.

    In the user's cache folder, which may be emptied at any time, not below `.git`: many tools skip paths with such a
    component, and a sandbox may keep it from being written. A repository has its own, and gates never see it, so
    what a worker puts there reaches no other repository and decides about no proposal. Raises NeedsPerson.
    """
    folder = slots.cache_of(cache_dir, repo.common_dir) / "shared"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NeedsPerson(
            f"cannot make {folder}: {error.strerror}", hint="make that folder writable, or free some space"
        ) from error
    return folder


def environment(
    placement: Placement, slot: Slot, config: Config, inherited: Mapping[str, str], cache: Path
) -> dict[str, str]:
    """The variables a task's worker gets: the fleet's, those of `[env]`, and git's configuration.

    Git's pairs are added behind those that `inherited` has already. The fleet's own names win over `[env]`.
    `cache` is the folder of `shared_cache`.
    """
    fleet = {
        "FLEET_PLAN": placement.plan,
        "FLEET_TASK": placement.task,
        "FLEET_FENCE": placement.fence,
        "FLEET_WORKER": placement.worker,
        "FLEET_SLOT": str(slot.number),
        "FLEET_PORT_BASE": str(slot.port_base),
        "FLEET_PORT_COUNT": str(slot.port_count),
        "FLEET_SCRATCH": slot.scratch,
        "FLEET_CACHE": str(cache),
        "TMPDIR": str(Path(slot.scratch, "tmp")),
        "COMPOSE_PROJECT_NAME": compose_name(placement, slot),
    }
    values = {
        "slot": str(slot.number),
        "task": placement.task,
        "plan": placement.plan,
        "port": str(slot.port_base),
    }
    own = {name: PLACEHOLDER.sub(lambda match: values[match[1]], text) for name, text in config.env}
    return own | fleet | _git_config(inherited)


def compose_name(placement: Placement, slot: Slot) -> str:
    """A project name for Docker Compose, which takes lower-case letters, digits, `-` and `_`."""
    end = f"-{slot.number}"
    name = re.sub(r"[^a-z0-9_-]", "-", f"fleet-{placement.plan}-{placement.task}".lower())
    return name[: _COMPOSE_LENGTH - len(end)] + end


def _git_config(inherited: Mapping[str, str]) -> dict[str, str]:
    """GIT_CONFIG_* that add our pairs to the inherited ones; a worker's worker has them already."""
    count = inherited.get("GIT_CONFIG_COUNT", "")
    after = int(count) if count.isdecimal() else 0
    there = {
        (inherited.get(f"GIT_CONFIG_KEY_{n}"), inherited.get(f"GIT_CONFIG_VALUE_{n}")) for n in range(after)
    }
    return contents.config_env([pair for pair in GIT_CONFIG if pair not in there], after=after)
