"""pre-push: what leaves from where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hooked import LEAD, append, lead, refused
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
    said = refused(task, "push", "origin", what)
    assert "from here only feature/42 is pushed" in said
    assert "git push origin feature/42" in said
    assert "feature/42" not in " ".join(hub.refs())


def test_one_wrong_ref_among_right_ones_stops_the_push(hub: Repo, task: Repo) -> None:
    assert "from here only feature/42 is pushed" in refused(
        task, "push", "origin", "feature/42", "HEAD:refs/heads/other"
    )
    assert set(hub.refs()) == {"refs/heads/main"}


def test_a_task_deletes_nothing_on_the_remote(hub: Repo, task: Repo) -> None:
    task.run_git("push", "-q", "origin", "feature/42")
    assert "deleting feature/42" in refused(task, "push", "origin", ":feature/42")
    assert "refs/heads/feature/42" in hub.refs()


def test_main_is_pushed_by_the_lead_alone(hub: Repo, main: Repo, task: Repo) -> None:
    before = hub.rev("main")
    made = task.commit("mine", {"cli.py": "new\n"})
    assert "git fleet done" in refused(task, "push", "origin", "HEAD:main")
    assert "git fleet lead acquire" in refused(main, "push", "origin", "feature/42:main")
    assert "only its lead" in refused(main, "push", "origin", ":main")
    assert hub.rev("main") == before
    lead(main)
    main.run_git("push", "-q", "origin", "feature/42:main")
    assert hub.rev("main") == made


def integrated(main: Repo) -> None:
    """Two commits by a lead that has given the lead back."""
    lead(main)
    main.commit("one", {"cli.py": "one\n"})
    main.commit("two", {"cli.py": "two\n"})
    append(main, LEAD, "release", {"holder": None, "fence": None, "worktree": None, "intent": None})


def test_what_the_lead_integrated_is_published_by_anybody(hub: Repo, main: Repo) -> None:
    """The lead is given back at the end of an integration, and main is to be pushed then."""
    integrated(main)
    main.run_git("push", "-q", "origin", "main")
    assert hub.rev("main") == main.rev("main")
    main.run_git("push", "-q", "origin", "main:refs/heads/topic", "+main", "main:refs/tags/v1")


@pytest.mark.parametrize("what", ["main~1:main", "+main~1:main", "topic:main", ":main", "+HEAD:main"])
def test_anything_else_is_refused_although_main_is_pushed_as_it_is(hub: Repo, main: Repo, what: str) -> None:
    integrated(main)
    main.run_git("switch", "-qc", "topic")
    main.commit("mine", {"cli.py": "mine\n"})
    before = hub.rev("main")
    assert "only its lead" in refused(main, "push", "origin", what)
    assert "only its lead" in refused(main, "push", "origin", "topic", what)
    assert hub.rev("main") == before


def test_a_task_does_not_push_main_even_as_it_is(hub: Repo, main: Repo, task: Repo) -> None:
    integrated(main)
    before = hub.rev("main")
    assert "git fleet done" in refused(task, "push", "origin", "main")
    assert hub.rev("main") == before


def test_other_branches_leave_from_elsewhere(hub: Repo, main: Repo) -> None:
    main.run_git("push", "-q", "origin", "main:topic", "main:refs/tags/v1")
    main.run_git("push", "-q", "origin", ":topic")
    assert set(hub.refs()) == {"refs/heads/main", "refs/tags/v1"}


@pytest.mark.parametrize(
    ("branch", "local", "value", "code"),
    [
        ("refs/heads/main", "", "", 4),
        ("refs/heads/main", "refs/heads/main", "main", 0),
        ("refs/heads/main", "refs/heads/main", "", 0),
        ("refs/heads/main", "refs/heads/topic", "topic", 4),
        ("refs/heads/main", "refs/heads/topic", "", 4),
        ("refs/heads/main", "gone", "", 4),
        ("refs/heads/topic", "", "", 0),
        ("", "", "", 0),
    ],
)
def test_what_the_framework_hands_on_is_judged(
    main: Repo, branch: str, local: str, value: str, code: int
) -> None:
    """The pre-commit framework has read standard input; variables say what it found there."""
    main.run_git("switch", "-qc", "topic")
    main.commit("mine", {"cli.py": "mine\n"})
    told = {
        "PRE_COMMIT": "1",
        "PRE_COMMIT_REMOTE_BRANCH": branch,
        "PRE_COMMIT_LOCAL_BRANCH": local,
        "PRE_COMMIT_REMOTE_NAME": "origin",
        "PRE_COMMIT_TO_REF": main.rev(value) if value else "",
    }
    done = subprocess.run(
        [sys.executable, "-c", "from git_fleet.hook import entry; entry()", "pre-push"],
        cwd=main.path,
        env={**os.environ, **told, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
