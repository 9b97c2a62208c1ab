"""The worktree of main, when it is not one or not there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app.integrate import Order, integrate
from git_fleet.app.session import Session
from git_fleet.errors import NeedsPerson
from tests.support.clock import FakeClock
from tests.support.fleet import approved, claimed, open_fleet, proposed, task
from tests.support.repo import Repo


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    repo.commit("Set up", {"fleet.toml": 'version = 1\ngates = "none"\n'})
    with open_fleet(repo, "w1", clock) as session:
        approved(session, task("a"))
        claimed(session, "a")
        proposed(session, "a")
        yield session


def integrated(session: Session) -> int:
    return len(integrate(session, Order(), lambda _: None).integrated)


def as_hinted(repo: Repo, refused: NeedsPerson) -> None:
    """Do what the hint says."""
    repo.run_git(*refused.hint.partition("git ")[2].split())


def test_main_in_two_worktrees_is_not_moved_under_one_of_them(
    session: Session, repo: Repo, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    repo.run_git("worktree", "add", "-q", "-f", str(second), "main")
    before = repo.rev("main")
    with pytest.raises(NeedsPerson, match="main is checked out in several worktrees") as refused:
        integrated(session)
    assert str(second) in refused.value.message
    assert repo.rev("main") == before
    as_hinted(repo, refused.value)
    assert integrated(session) == 1
    assert (repo.status(), Repo(second).status()) == ([], [])


def test_a_deleted_worktree_of_main_is_named_with_what_to_do(
    session: Session, repo: Repo, tmp_path: Path
) -> None:
    repo.run_git("checkout", "-q", "-b", "dev")
    repo.run_git("worktree", "add", "-q", str(tmp_path / "main"), "main")
    shutil.rmtree(tmp_path / "main")
    with pytest.raises(NeedsPerson, match="a folder that is gone") as refused:
        integrated(session)
    as_hinted(repo, refused.value)
    assert integrated(session) == 1
