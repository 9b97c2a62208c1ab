"""pre-push: what leaves from where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hooked import lead, words
from tests.support.repo import Repo


@pytest.fixture
def hub(main: Repo, tmp_path: Path) -> Repo:
    """A bare repository that the others push to."""
    hub = tmp_path / "hub.git"
    main.run_git("clone", "-q", "--bare", str(main.path), str(hub))
    main.run_git("remote", "add", "origin", str(hub))
    return Repo(hub)


def test_a_task_pushes_its_own_branch(hub: Repo, task: Repo) -> None:
    made = task.commit("mine", {"cli.py": "new\n"})
    task.run_git("push", "-q", "origin", "feature/42")
    task.run_git("push", "-q", "origin", "HEAD@{0}:refs/heads/feature/42")
    assert hub.rev("feature/42") == made


@pytest.mark.parametrize(
    "what", ["HEAD:refs/heads/other", "HEAD:refs/tags/v1", "feature/42:refs/heads/feature/42-b"]
)
def test_a_task_pushes_nothing_else(hub: Repo, task: Repo, what: str) -> None:
    said = words(task, "push", "origin", what)
    assert "from here only feature/42 is pushed" in said
    assert "git push origin feature/42" in said
    assert "feature/42" not in " ".join(hub.refs())


def test_one_wrong_ref_among_right_ones_stops_the_push(hub: Repo, task: Repo) -> None:
    words(task, "push", "origin", "feature/42", "HEAD:refs/heads/other")
    assert set(hub.refs()) == {"refs/heads/main"}


def test_a_task_deletes_nothing_on_the_remote(hub: Repo, task: Repo) -> None:
    task.run_git("push", "-q", "origin", "feature/42")
    assert "deleting feature/42" in words(task, "push", "origin", ":feature/42")
    assert "refs/heads/feature/42" in hub.refs()


def test_main_is_pushed_by_the_lead_alone(hub: Repo, main: Repo, task: Repo) -> None:
    before = hub.rev("main")
    made = task.commit("mine", {"cli.py": "new\n"})
    assert "git fleet done" in words(task, "push", "origin", "HEAD:main")
    assert "git fleet lead acquire" in words(main, "push", "origin", "feature/42:main")
    assert "only its lead" in words(main, "push", "origin", ":main")
    assert hub.rev("main") == before
    lead(main)
    main.run_git("push", "-q", "origin", "feature/42:main")
    assert hub.rev("main") == made


def test_other_branches_leave_from_elsewhere(hub: Repo, main: Repo) -> None:
    main.run_git("push", "-q", "origin", "main:topic", "main:refs/tags/v1")
    main.run_git("push", "-q", "origin", ":topic")
    assert set(hub.refs()) == {"refs/heads/main", "refs/tags/v1"}


@pytest.mark.parametrize(("branch", "code"), [("refs/heads/main", 4), ("refs/heads/topic", 0), ("", 0)])
def test_what_the_framework_hands_on_is_judged(main: Repo, branch: str, code: int) -> None:
    """The pre-commit framework has read standard input; variables say what it found there."""
    told = {"PRE_COMMIT": "1", "PRE_COMMIT_REMOTE_BRANCH": branch, "PRE_COMMIT_REMOTE_NAME": "origin"}
    done = subprocess.run(
        [sys.executable, "-c", "from git_fleet.hook import entry; entry()", "pre-push"],
        cwd=main.path,
        env={**os.environ, **told, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
