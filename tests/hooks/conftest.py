"""A repository with the hooks installed and one plan open, and a worktree of one of its tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hooked import install_hooks, open_plan, task_worktree
from tests.support.repo import Repo, make_repo


@pytest.fixture
def main(tmp_path: Path) -> Repo:
    """The main worktree, on main, which an open plan guards. Nobody leads."""
    repo = make_repo(tmp_path / "repo", {"README.md": "# scratch\n", "cli.py": "1\n2\n3\n"})
    install_hooks(repo)
    open_plan(repo)
    return repo


@pytest.fixture
def task(main: Repo, tmp_path: Path) -> Repo:
    """The worktree of app/42, which owns cli.py and may regenerate lock.txt."""
    return task_worktree(main, tmp_path / "task", generated=["lock.txt"])
