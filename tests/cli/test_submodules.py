"""Submodules in the worktree of main: never in the way, and named when their commit has moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Fleet
from tests.support.repo import Repo, make_repo

PLAN = """\
version = 1
plan = "p"
title = "A library"
base = "main"

[[task]]
id = "lib"
title = "A newer library"
files = ["/lib"]

[[task]]
id = "next"
title = "Beside it"
files = ["/next"]
"""


@pytest.fixture
def library(fleet: Fleet, repo: Repo, tmp_path: Path) -> Repo:
    """A repository that main has as its submodule `lib`, with a build product in it; the plan is open."""
    found = make_repo(tmp_path / "library")
    repo.run_git("submodule", "--quiet", "add", str(found.path), "lib")
    repo.commit("Add lib")
    repo.write("lib/built.o", "a build product")
    repo.write(".git/plan.toml", PLAN)
    fleet.ok("plan", "import", ".git/plan.toml")
    fleet.ok("plan", "approve", "--yes")
    return found


def test_a_moved_submodule_is_named_once_and_the_next_task_lands(
    fleet: Fleet, repo: Repo, library: Repo
) -> None:
    new = library.commit("new", {"f": "1\n"})
    tree = Repo(Path(fleet.json("claim", "claim", "lib")["worktree"]))
    tree.run_git("update-index", "--cacheinfo", f"160000,{new},lib")
    tree.commit("A newer library")
    fleet.ok("done", cwd=tree.path)
    landed = fleet("integrate")
    hint = f"git -C {repo.path} submodule update"
    assert landed.code == 0, landed
    assert landed.err.count(hint) == 1
    assert repo.status() == [" M lib"]

    tree = Repo(Path(fleet.json("claim", "claim", "next")["worktree"]))
    tree.commit("Beside it", {"next": "1\n"})
    fleet.ok("done", cwd=tree.path)
    landed = fleet("integrate")
    assert landed.code == 0, landed
    assert "submodule" not in landed.err
    repo.run_git(*hint.split()[1:])
    assert Repo(repo.path / "lib").rev("HEAD") == new
    assert hint in fleet("revert", "lib").err
