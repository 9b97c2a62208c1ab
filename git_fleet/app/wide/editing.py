"""workspace.toml made and changed: what people wrote in it stays as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from git_fleet.app import workspaces
from git_fleet.core import workspace
from git_fleet.core.ids import check_id
from git_fleet.core.problems import show
from git_fleet.core.workspace import CLONES, FILE, Repo, Workspace
from git_fleet.errors import FleetError, InvalidInput
from git_fleet.git import whole
from git_fleet.git.process import Git
from git_fleet.git.repository import discover

_HEAD = """\
# The repositories of this workspace; git fleet workspace status tells how they stand.
version = 1
name = "{name}"
"""


class Begun(Struct, frozen=True):
    """A workspace that was begun in `folder`; `made` says that a git repository was made for it."""

    workspace: Workspace
    made: bool


class Added(Struct, frozen=True):
    """A repository that is in the workspace now. `cloned` says that it was cloned, `linked` that it has been told of
    its workspace by `git config fleet.workspace`."""

    repo: Repo
    cloned: bool
    linked: bool


def begin(folder: Path, name: str = "") -> Begun:
    """Write a workspace.toml into `folder`, which is made, and made a git repository, where it is in none.

    `name` is by default that of the folder. Raises InvalidInput where there is one already.
    """
    if (folder / FILE).exists():
        raise InvalidInput(f"{folder / FILE} is there already", hint="git fleet workspace list")
    plain = re.sub(r"[^a-z0-9._-]+", "-", Path(os.path.abspath(folder)).name.lower()).strip("-.")  # noqa: PTH100
    text = _HEAD.format(name=check_id(name or plain or "workspace", "workspace name"))
    there = next((place for place in (folder, *folder.parents) if place.is_dir()), folder)
    try:
        repo, made = discover(there), False
    except InvalidInput:
        repo, made = None, True
    if repo is not None and repo.worktree is None:
        raise InvalidInput(
            f"{repo.git_dir} has no work tree, and workspace.toml is a file that is committed",
            hint="git fleet workspace init DIR, where DIR is outside of it",
        )
    whole.make_folder(folder)
    if made:
        Git(folder).run("init", "--quiet")
    _write(folder / FILE, text)
    return Begun(workspaces.load(folder), made)


def add(
    space: Workspace,
    where: str,
    start: Path,
    *,
    name: str = "",
    main: str = "",
    labels: Sequence[str] = (),
    into: str = CLONES,
) -> Added:
    """Take the repository `where` into the workspace: a folder, seen from `start`, or an address, which is cloned into
    the folder `into` of the workspace.

    A repository that does not know of a workspace is told of this one. Raises InvalidInput, GitFailed; then
    workspace.toml is as it was.
    """
    home = Path(space.folder)
    local = start / where
    if local.is_dir():
        place = Path(os.path.abspath(local))  # noqa: PTH100 - links stay as people wrote them
        repo = Repo(check_id(name or _short(place.name), "repository name"), os.path.relpath(place, home))
    elif problem := workspace.url_problem(where):
        raise InvalidInput(f"{show(where)}: {problem}", hint="git fleet workspace add PATH|URL")
    elif "/" not in where and ":" not in where:
        raise InvalidInput(f"{local} is not there", hint="git fleet workspace add PATH|URL")
    else:
        name = check_id(name or _short(where), "repository name")
        repo = Repo(name, os.path.relpath(home / into / name, home), where)
    repo = Repo(repo.name, repo.path, repo.url, main, tuple(labels))
    text = _appended(space, repo)
    after = workspaces.parse(text.encode(), home)  # what is wrong is said before anything is cloned
    cloned = bool(repo.url) and clone(space, repo)
    workspaces.require_root(space, repo)
    _write(home / FILE, text)
    return Added(after.repo(repo.name), cloned, link(space, repo))


def _short(where: str) -> str:
    """What a repository is called after where it is."""
    last = re.split(r"[/:]", where.rstrip("/"))[-1].removesuffix(".git").lower()
    return re.sub(r"[^a-z0-9._-]+", "-", last).strip("-.")


def _appended(space: Workspace, repo: Repo) -> str:
    import tomli_w

    values = {
        "name": repo.name,
        "path": repo.path,
        "url": repo.url,
        "main": repo.main,
        "labels": list(repo.labels),
    }
    table = tomli_w.dumps({key: value for key, value in values.items() if value})
    return f"{_text(space).rstrip()}\n\n[[repo]]\n{table}"


def clone(space: Workspace, repo: Repo) -> bool:
    """Clone a repository to where it belongs; False where something is there already. Raises GitFailed."""
    place = workspaces.place_of(space, repo)
    if place.exists():
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    silent = {"SSH_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never"}
    # From the workspace's folder, so that a path means the same as in the file.
    Git(Path(space.folder)).run("clone", "--quiet", "--", repo.url, str(place), env=silent)
    return True


def link(space: Workspace, repo: Repo) -> bool:
    """Tell the repository, once, which workspace it is in, so that what its tasks need elsewhere is looked up from
    there; False where it knows of one, or finds it above itself."""
    place = workspaces.place_of(space, repo)
    try:
        if workspaces.find(place, {}) is not None:
            return False
    except FleetError:
        return False  # it names one that is gone: doctor says so
    Git(place).run("config", workspaces.SETTING, space.folder)
    return True


def unlink(space: Workspace, repo: Repo) -> None:
    """Take back what `link` did; nothing where the repository is gone, or in another workspace."""
    try:
        git = Git(workspaces.require_root(space, repo))
        if git.text("config", "--local", "--type=path", workspaces.SETTING, ok=(0, 1)) == space.folder:
            git.run("config", "--local", "--unset", workspaces.SETTING)
    except FleetError:
        return


def remove(space: Workspace, name: str) -> Repo:
    """Take a repository out of workspace.toml. Nothing of it is deleted. Raises InvalidInput."""
    import tomlkit

    repo = space.repo(name)
    document = tomlkit.parse(_text(space))
    tables = document["repo"]
    at = [each.name for each in space.repos].index(repo.name)
    del tables[at]
    if not tables:
        del document["repo"]
    text = tomlkit.dumps(document)
    workspaces.parse(text.encode(), Path(space.folder))
    _write(Path(space.folder) / FILE, text.rstrip() + "\n")
    unlink(space, repo)
    return repo


def _text(space: Workspace) -> str:
    return (Path(space.folder) / FILE).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    """In one step: who reads at this moment sees the old or the new file."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
