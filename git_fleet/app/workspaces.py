"""The workspace that a repository belongs to: found, read, and where its repositories are (DESIGN section 18)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from git_fleet.core import workspace
from git_fleet.core.problems import Problems
from git_fleet.core.workspace import FILE, VERSION, Repo, Workspace
from git_fleet.errors import FleetError, InvalidInput
from git_fleet.git.process import Git

VARIABLE = "FLEET_WORKSPACE"
SETTING = "fleet.workspace"


_Text = Annotated[str, Meta(min_length=1)]


class _Repo(Struct, forbid_unknown_fields=True):
    name: _Text
    path: _Text = "."
    url: _Text = "."
    main: _Text = "."
    labels: list[_Text] = []


class _File(Struct, forbid_unknown_fields=True):
    """What schemas/workspace.schema.json allows, for files with nothing wrong: the validator takes long to import."""

    name: _Text
    version: int = VERSION
    repo: list[_Repo] = []


def find(start: Path, env: Mapping[str, str], given: str = "", configured: str | None = None) -> Path | None:
    """The folder of the workspace: `given` (seen from `start`), else FLEET_WORKSPACE's, else the one that git's
    configuration names in `start` (`configured`, where it has been asked), else the nearest at or above `start`. None
    where there is none.

    Raises InvalidInput where what is named has no workspace.toml.
    """
    said = ("--workspace", given) if given else (VARIABLE, env.get(VARIABLE, ""))
    if not said[1]:
        said = (f"git config {SETTING}", _configured(start) if configured is None else configured)
    if said[1]:
        folder = Path(os.path.abspath(start / said[1]))  # noqa: PTH100 - links stay as people wrote them
        if not (folder / FILE).is_file():
            raise InvalidInput(
                f"{said[0]} names {folder}, where there is no {FILE}", hint="git fleet workspace init DIR"
            )
        return folder
    here = Path(os.path.abspath(start))  # noqa: PTH100 - the same
    return next((place for place in (here, *here.parents) if (place / FILE).is_file()), None)


def _configured(start: Path) -> str:
    try:
        return Git(start).text("config", "--type=path", SETTING, ok=(0, 1))
    except FleetError:
        return ""


def require(start: Path, env: Mapping[str, str], given: str = "") -> Workspace:
    """The workspace, found as `find` does. Raises InvalidInput where there is none, or it says what is not allowed."""
    folder = find(start, env, given)
    if folder is None:
        raise InvalidInput(
            f"{start} is in no workspace",
            hint="--workspace DIR names one; git fleet workspace init DIR begins one",
        )
    return load(folder)


def load(folder: Path) -> Workspace:
    """What workspace.toml in `folder` says. Raises InvalidInput with file, line, field, value and what is allowed."""
    place = folder / FILE
    try:
        text = place.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{place}: {error.strerror}", hint="git fleet workspace init DIR begins a workspace"
        ) from error
    return parse(text, folder)


def parse(text: bytes, folder: Path) -> Workspace:
    """What `text` says as the workspace.toml of `folder`. Raises InvalidInput."""
    import tomllib  # hardly any command reads a workspace

    source = str(folder / FILE)
    try:
        document = tomllib.loads(text.decode())
        if msgspec.convert(document, _File).version == VERSION:
            return workspace.from_document(document, folder=str(folder), source=source)
    except (ValueError, RecursionError, InvalidInput):
        pass
    return _explained(text, folder, source)


def _explained(text: bytes, folder: Path, source: str) -> Workspace:
    """The same with the validator, which says what is wrong, and where."""
    from git_fleet.app import documents
    from git_fleet.app.importers import toml
    from git_fleet.app.validation import check_schema

    found = toml.read(documents.decode(text, source), source)
    documents.check_shape(found.data, source)
    problems = Problems(source)
    check_schema(found.data, "workspace", problems, found.lines)
    problems.raise_if_any(hint=f"correct {source}")
    return workspace.from_document(found.data, folder=str(folder), source=source, lines=found.lines)


def place_of(space: Workspace, repo: Repo) -> Path:
    """The folder of a repository, absolute."""
    return Path(os.path.normpath(Path(space.folder, repo.path)))


def require_root(space: Workspace, repo: Repo) -> Path:
    """The folder of a repository. Raises InvalidInput when nothing is there, or no repository of its own: git would
    take the one around it."""
    place = place_of(space, repo)
    file = f"{space.folder}/{FILE}"
    if not place.is_dir():
        how = "git fleet workspace doctor --fix clones it" if repo.url else f"correct its path in {file}"
        raise InvalidInput(f"{place} is not there", hint=how)
    bare = (place / "HEAD").is_file() and (place / "objects").is_dir()
    if not bare and not (place / ".git").exists():
        raise InvalidInput(
            f"{place} is not the root of a git repository", hint=f"correct the path of {repo.name} in {file}"
        )
    return place
