"""`.worktreeinclude` and `touch`: what comes along, and what never does."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from git_fleet.app import includes
from git_fleet.errors import GitFailed, InvalidInput
from git_fleet.git import contents
from tests.support.repo import Repo

ODD = os.fsdecode(b'.env "x"\n\xff')


@pytest.fixture
def linked(repo: Repo, tmp_path: Path) -> Repo:
    repo.commit("ignore", {".gitignore": ".env*\n/local/\n*.key\n", "tracked.key.txt": "1"})
    return repo.worktree(tmp_path / "linked", "topic")


def test_ignored_files_that_are_asked_for_are_copied_as_they_are(repo: Repo, linked: Repo) -> None:
    repo.write(".worktreeinclude", ".env*\nlocal/**/*.conf\n!.env.secret\n")
    repo.write(".env", "A=1\n").chmod(0o600)
    repo.write(ODD, b"\xff")
    repo.write(".env.secret", "not this")
    repo.write("local/deep/run.conf", "x", executable=True)
    repo.write("local/deep/other", "not asked for")
    (repo.path / ".env.link").symlink_to(".env")
    assert includes.include(repo.path, linked.path) == sorted(
        [".env", ODD, ".env.link", "local/deep/run.conf"]
    )
    assert stat.S_IMODE((linked.path / ".env").stat().st_mode) == 0o600
    assert os.access(linked.path / "local/deep/run.conf", os.X_OK)
    assert (linked.path / ".env.link").readlink() == Path(".env")
    assert linked.status() == []
    assert includes.include(repo.path, linked.path) == []


def test_files_that_git_does_not_ignore_stay_where_they_are(repo: Repo, linked: Repo) -> None:
    repo.write(".worktreeinclude", "*\n")
    repo.write("untracked", "1")
    repo.write("here.key", "1")
    linked.commit("other rules", {".gitignore": ".env*\n"})
    assert includes.include(repo.path, linked.path) == []
    assert linked.status() == []


def test_nothing_is_overwritten_and_nothing_lands_outside(repo: Repo, linked: Repo, tmp_path: Path) -> None:
    repo.write(".worktreeinclude", ".env*\nlocal/\n")
    repo.write(".env", "theirs")
    linked.write(".env", "mine")
    repo.write("local/x", "1")
    repo.write(".env.d/x", "1")
    (tmp_path / "outside").mkdir()
    (linked.path / "local").symlink_to(tmp_path / "outside")
    linked.write(".env.d", "a file")
    assert includes.include(repo.path, linked.path) == []
    assert (linked.path / ".env").read_text() == "mine"
    assert list((tmp_path / "outside").iterdir()) == []


def test_worktrees_inside_the_main_one_are_not_copied_into_each_other(repo: Repo, linked: Repo) -> None:
    repo.write(".worktreeinclude", "local/\n")
    repo.worktree(repo.path / "local" / "w", "nested")
    repo.write("local/file", "1")
    assert includes.include(repo.path, linked.path) == ["local/file"]


def test_without_the_file_or_without_a_main_worktree_nothing_is_copied(repo: Repo, linked: Repo) -> None:
    repo.write(".env", "1")
    assert includes.include(repo.path, linked.path) == []
    assert includes.include(None, linked.path) == []


def test_a_copy_that_was_killed_is_made_again(repo: Repo, linked: Repo) -> None:
    repo.write(".worktreeinclude", ".env\n")
    repo.write(".env", "whole")
    linked.write(".env.fleet-partial", "who")
    assert includes.include(repo.path, linked.path) == [".env"]
    assert (linked.path / ".env").read_text() == "whole"
    assert not (linked.path / ".env.fleet-partial").exists()


def test_a_file_that_cannot_be_copied_is_said(repo: Repo, linked: Repo) -> None:
    repo.write(".worktreeinclude", ".env\n")
    repo.write(".env", "1")
    (linked.path / ".env.fleet-partial").mkdir()
    with pytest.raises(GitFailed, match=r"cannot copy '\.env'"):
        includes.include(repo.path, linked.path)


def test_markers_are_made_empty_and_count_for_nothing(linked: Repo) -> None:
    markers = includes.check_markers([".skip", "./deep/.env.skip", "README.md"])
    assert includes.touch(linked.path, markers) == [".skip", "README.md"]
    assert (linked.path / "README.md").read_text() == "# scratch\n"
    assert contents.dirty_files(linked.path, markers=markers) == []
    linked.write(".skip", "a worker's text")
    includes.touch(linked.path, markers)
    assert (linked.path / ".skip").read_text() == "a worker's text"


@pytest.mark.parametrize("marker", ["../x", "/etc/x", "a/../../x", ".git/x", "a/.GIT/x", "", ".", "a\nb"])
def test_markers_outside_a_worktree_are_refused(marker: str) -> None:
    with pytest.raises(InvalidInput, match="touch"):
        includes.check_markers([marker])


def test_a_marker_behind_a_link_that_leads_away_is_not_made(linked: Repo, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (linked.path / "away").symlink_to(tmp_path / "outside")
    includes.touch(linked.path, ["away/.skip"])
    assert list((tmp_path / "outside").iterdir()) == []
