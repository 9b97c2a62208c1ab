"""Workspaces of real repositories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from git_fleet.app import workspaces
from git_fleet.app.wide import editing
from git_fleet.core.workspace import Workspace
from tests.support.repo import Content, Repo, make_repo

QUIET: Mapping[str, Content] = {"fleet.toml": 'version = 1\ngates = "none"\n'}


def make_space(folder: Path, repos: Mapping[str, Mapping[str, Content]]) -> tuple[Workspace, dict[str, Repo]]:
    """A workspace `folder/shop` of new repositories beside it, each with these files."""
    home = folder / "shop"
    editing.begin(home)
    made = {}
    for name, files in repos.items():
        made[name] = make_repo(folder / name, {**QUIET, **files})
        editing.add(workspaces.load(home), str(made[name].path), folder)
    return workspaces.load(home), made
