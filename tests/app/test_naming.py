"""Names of branches and worktrees: what is refused, and what is chosen when they are taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from git_fleet.app import naming
from git_fleet.core.config import Config
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Task
from git_fleet.errors import Held, InvalidInput
from git_fleet.git.repository import Repository, discover
from tests.support.repo import Repo

CONFIG = Config()
TASK = Task(id=TaskId("tasks-app", "42"), title="Count", slug="count")


@pytest.fixture
def at(repo: Repo) -> Repository:
    return discover(repo.path)


def test_names_come_from_the_templates(at: Repository, tmp_path: Path) -> None:
    assert naming.branch_name(at, TASK, CONFIG) == "feature/42-count"
    assert naming.worktree_path(at, TASK, CONFIG) == tmp_path / "repo-42-count"
    config = replace(CONFIG, branch="{plan}/{id}/{slug}", worktree="../work/{plan}/x/{repo}/{id}")
    assert naming.branch_name(at, TASK, config) == "tasks-app/42/count"
    assert naming.worktree_path(at, TASK, config) == tmp_path / "work/tasks-app/x/repo/42"
    assert naming.template_folder(at, config) == tmp_path / "work"


def test_names_are_the_same_seen_from_a_linked_worktree(repo: Repo, at: Repository, tmp_path: Path) -> None:
    linked = repo.worktree(tmp_path / "deep" / "linked", "topic")
    there = discover(linked.path)
    assert naming.worktree_path(there, TASK, CONFIG) == naming.worktree_path(at, TASK, CONFIG)


def test_a_bare_repository_lends_its_name_without_the_ending(repo: Repo, tmp_path: Path) -> None:
    for place in ("project.git", "other/.git"):
        repo.run_git("clone", "-q", "--bare", ".", str(tmp_path / place))
    path = naming.worktree_path(discover(tmp_path / "project.git"), TASK, CONFIG)
    assert path == tmp_path / "project-42-count"
    assert naming.repository_name(discover(tmp_path / "other/.git")) == "other"


def test_names_the_plan_gives_win(at: Repository, tmp_path: Path) -> None:
    task = replace(TASK, branch="fix/mine", worktree="tasks-app-42")
    assert naming.branch_name(at, task, CONFIG) == "fix/mine"
    assert naming.worktree_path(at, task, CONFIG) == tmp_path / "tasks-app-42"
    absolute = replace(TASK, worktree=str(tmp_path / "absolute"))
    assert naming.worktree_path(at, absolute, CONFIG) == tmp_path / "absolute"


@pytest.mark.parametrize(
    "name", ["-x", "a..b", "a b", "a~1", "@{-1}", "HEAD", "a.lock", "a/", "x\ny", "\x1b[31m", "a\u200bb", "@"]
)
def test_branch_names_that_git_or_a_terminal_misreads_are_refused(
    repo: Repo, at: Repository, name: str
) -> None:
    repo.run_git("checkout", "-q", "-b", "other")  # so that @{-1} means something
    with pytest.raises(InvalidInput, match="cannot be a branch name"):
        naming.branch_name(at, replace(TASK, branch=name), CONFIG)


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/x",
        ".",
        "a/../..",
        "-x",
        "a\nb",
        "repo",
        "repo/src",
        "repo/.git/x",
        "x/.git",
        "away/x",
    ],
)
def test_worktrees_outside_their_folder_or_inside_the_main_one_are_refused(
    repo: Repo, at: Repository, tmp_path: Path, name: str
) -> None:
    (tmp_path / "away").symlink_to(tmp_path.parent)
    with pytest.raises(InvalidInput, match="cannot be used"):
        naming.worktree_path(at, replace(TASK, worktree=name), CONFIG)
    assert repo.status() == []


def test_the_configuration_may_want_worktrees_in_a_folder_of_the_main_one(at: Repository, repo: Repo) -> None:
    config = replace(CONFIG, worktree=".worktrees/{id}")
    assert naming.worktree_path(at, TASK, config) == repo.path / ".worktrees" / "42"
    with pytest.raises(InvalidInput):
        naming.worktree_path(at, replace(TASK, worktree="../src"), config)


def free(at: Repository, *used: naming.Names, attempt: int = 1) -> tuple[str, str]:
    names = naming.free_names(at, TASK, CONFIG, attempt=attempt, used=used)
    assert not os.path.lexists(names.worktree)
    return names.branch, names.worktree.name


def test_a_name_another_plan_has_gets_the_plans_id_in_front(repo: Repo, at: Repository) -> None:
    assert free(at) == ("feature/42-count", "repo-42-count")
    repo.branch("feature/42-count")
    assert free(at) == ("feature/tasks-app-42-count", "tasks-app-repo-42-count")
    repo.branch("feature/tasks-app-42-count")
    assert free(at) == ("feature/42-count-a1", "repo-42-count-a1")


@pytest.mark.parametrize(
    "used", [("Feature/42-Count", "else"), ("feature", "else"), ("else", "repo-42-count")]
)
def test_a_name_another_claim_was_promised_is_taken_before_anything_is_made(
    at: Repository, tmp_path: Path, used: tuple[str, str]
) -> None:
    promised = naming.Names(used[0], tmp_path / used[1])
    if used[0] == "feature":
        with pytest.raises(Held):
            free(at, promised)
    else:
        assert free(at, promised) == ("feature/tasks-app-42-count", "tasks-app-repo-42-count")


def test_every_attempt_after_the_first_gets_its_number(repo: Repo, at: Repository) -> None:
    assert free(at, attempt=2) == ("feature/42-count-a2", "repo-42-count-a2")
    repo.branch("feature/42-count-a2")
    assert free(at, attempt=3) == ("feature/42-count-a3", "repo-42-count-a3")
    repo.branch("feature/42-count-a3")
    assert free(at, attempt=3) == ("feature/tasks-app-42-count-a3", "tasks-app-repo-42-count-a3")


@pytest.mark.parametrize("taken", ["feature", "feature/42-count/deeper", "Feature/42-Count"])
def test_names_that_cannot_stand_beside_a_branch_are_taken(repo: Repo, at: Repository, taken: str) -> None:
    repo.branch(taken)
    if taken == "feature":
        with pytest.raises(Held):
            free(at)
    else:
        assert free(at)[0] == "feature/tasks-app-42-count"


def test_folders_and_worktrees_on_record_are_taken(repo: Repo, at: Repository, tmp_path: Path) -> None:
    linked = repo.worktree(tmp_path / "repo-42-count", "other")
    assert free(at)[1] == "tasks-app-repo-42-count"
    for entry in linked.path.iterdir():
        entry.unlink()
    linked.path.rmdir()
    assert free(at)[1] == "tasks-app-repo-42-count"
    (tmp_path / "tasks-app-repo-42-count").symlink_to("nowhere")
    assert free(at)[1] == "repo-42-count-a1"
