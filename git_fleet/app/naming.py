"""Names of a task's branch and worktree: from the plan, else from the templates in fleet.toml.

Both come from what people and imported documents wrote, so they are checked before use: a branch must be
a name git takes, a worktree must lie in the folder its template names, symbolic links resolved.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection, Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from git_fleet.core.config import Config
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Task
from git_fleet.errors import Held, InvalidInput
from git_fleet.git import worktrees
from git_fleet.git.repository import Repository

_PLACEHOLDER = re.compile(r"\{(id|slug|repo|plan)\}")
_HEADS = "refs/heads/"


class Names(NamedTuple):
    """Where a task is worked on: a short branch name, and the worktree's absolute path."""

    branch: str
    worktree: Path


def branch_name(repo: Repository, task: Task, config: Config) -> str:
    """The short name of the task's branch: the plan's own word, else the template.

    Raises InvalidInput for a name git would refuse or take for something else.
    """
    name = task.branch or _filled(config.branch, repo, task)
    return _checked_branch(repo, name, task.id)


def worktree_path(repo: Repository, task: Task, config: Config) -> Path:
    """Where the task's worktree is to stand, absolute. Nothing is made.

    The template is relative to the main worktree (to the repository itself when that is bare). A name the
    plan gives is relative to the template's folder, its part before the first placeholder. Raises
    InvalidInput for a path outside that folder, inside a `.git`, or among the files of the main worktree.
    """
    template = _filled(config.worktree, repo, task)
    folder = template_folder(repo, config)
    given = task.worktree
    path = folder / given if given else _root(repo) / template
    return _checked_path(repo, path, folder, task.id)


def template_folder(repo: Repository, config: Config) -> Path:
    """The folder that holds all task worktrees: the template up to the first part with a placeholder."""
    above = Path(config.worktree).parts[:-1]
    fixed = takewhile(lambda part: not _PLACEHOLDER.search(part), above)
    return Path(os.path.realpath(_root(repo).joinpath(*fixed)))


def _root(repo: Repository) -> Path:
    return repo.main_worktree() or repo.common_dir


def repository_name(repo: Repository) -> str:
    """What `{repo}` stands for: the name of the main worktree's folder, or of the bare repository."""
    root = _root(repo)
    return root.name.removesuffix(".git") or root.parent.name


def _filled(template: str, repo: Repository, task: Task) -> str:
    values = {"id": task.id.task, "slug": task.slug, "repo": repository_name(repo), "plan": task.id.plan}
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def _checked_branch(repo: Repository, name: str, task: TaskId) -> str:
    printed = None
    if not _odd(name) and name != "@":  # which is HEAD wherever a branch is named
        done = repo.git().run("check-ref-format", "--branch", name, ok=(0, 1, 128))
        printed = os.fsdecode(done.out).removesuffix("\n")
    if printed != name:  # `--branch` also expands @{-1}, which is no name
        raise InvalidInput(
            f"{task}: {name!r} cannot be a branch name",
            hint="give the task another `branch` in the plan (git help check-ref-format)",
        )
    return name


def _checked_path(repo: Repository, path: Path, folder: Path, task: TaskId) -> Path:
    problem = ""
    real = Path(os.path.realpath(path))
    main = repo.main_worktree()
    if any(_odd(part) for part in path.parts):
        problem = "a part begins with '-' or holds control characters"
    elif real == folder or not real.is_relative_to(folder):
        problem = f"it is not inside {folder}"
    elif ".git" in (part.lower() for part in real.parts) or real.is_relative_to(repo.common_dir):
        problem = "it is inside a git directory"
    elif main is not None and real.is_relative_to(os.path.realpath(main)) and not _is_below(folder, main):
        problem = f"it is among the files of {main}"
    if problem:
        raise InvalidInput(
            f"{task}: the worktree {os.fspath(path)!r} cannot be used: {problem}",
            hint="give the task another `worktree` in the plan, or change `worktree` in fleet.toml",
        )
    return real


def _is_below(folder: Path, main: Path) -> bool:
    """Whether the configuration itself wants worktrees inside the main one, in a folder of their own."""
    real = Path(os.path.realpath(main))
    return folder != real and folder.is_relative_to(real)


def _odd(name: str) -> bool:
    """Whether a program may take it for an option, or a terminal for more than a name."""
    return (
        name.startswith("-") or not name or any(unicodedata.category(char) in ("Cc", "Cf") for char in name)
    )


# --- finding free ones ---------------------------------------------------------------------------


def free_names(
    repo: Repository, task: Task, config: Config, *, attempt: int, used: Collection[Names]
) -> Names:
    """Names for this attempt that neither a branch, a worktree nor a folder has.

    `used` are names that other tasks' claims have, whether anything was made there yet or not. A name that
    another plan or somebody else has gets the plan's id in front. From the second attempt on there is
    always `-a<attempt>` behind it: a slow worker may be about to make what an earlier one was promised.
    Raises InvalidInput for unusable names, Held when every candidate is taken.
    """
    taken = _Taken(repo, used)
    candidates = list(_candidates(repo, task, config, attempt))
    plain = [names for names, _ in candidates] if attempt == 1 else []
    for names in (*plain, *(suffixed for _, suffixed in candidates)):
        if taken.free(names):
            return names
    raise Held(
        f"{task.id}: the branch {candidates[0][0].branch} or its worktree is taken, "
        "and so are the names beside it",
        hint="give the task another `branch` and `worktree` in the plan",
    )


def _candidates(repo: Repository, task: Task, config: Config, attempt: int) -> Iterator[tuple[Names, Names]]:
    """The plain names, then those with the plan's id in front; each also with the attempt's number."""
    branch, path = branch_name(repo, task, config), worktree_path(repo, task, config)
    folder, _, last = branch.rpartition("/")
    fronted = f"{folder}/{task.id.plan}-{last}" if folder else f"{task.id.plan}-{last}"
    both = (Names(branch, path), Names(fronted, path.with_name(f"{task.id.plan}-{path.name}")))
    for names in both:
        suffix = f"-a{attempt}"
        yield names, Names(names.branch + suffix, names.worktree.with_name(names.worktree.name + suffix))


class _Taken:
    """What exists right now, or is `used`. Branch names are compared without regard to case, as some
    disks do."""

    def __init__(self, repo: Repository, used: Collection[Names]) -> None:
        listed = repo.git().text("for-each-ref", "--format=%(refname)", _HEADS)
        self._branches = {name.removeprefix(_HEADS).casefold() for name in listed.split("\n") if name}
        self._branches |= {names.branch.casefold() for names in used}
        self._folders = {
            "/".join(parts[:size])
            for parts in (name.split("/") for name in self._branches)
            for size in range(1, len(parts))
        }
        places = [tree.path for tree in worktrees.list_worktrees(repo)]
        self._worktrees = {os.path.realpath(path) for path in (*places, *(names.worktree for names in used))}

    def free(self, names: Names) -> bool:
        """Whether both can be made. A branch can be no folder of another's name, nor the reverse."""
        branch = names.branch.casefold()
        parts = branch.split("/")
        above = {"/".join(parts[:size]) for size in range(1, len(parts))}
        if branch in self._branches or branch in self._folders or above & self._branches:
            return False
        path = os.fspath(names.worktree)
        return path not in self._worktrees and not os.path.lexists(path)
