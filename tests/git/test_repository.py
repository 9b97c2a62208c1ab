"""Finding a repository, from wherever one may stand in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_fleet.errors import InvalidInput
from git_fleet.git.repository import PackedRefs, discover
from tests.support.repo import Repo, make_repo


def test_a_repository_is_found_from_a_folder_in_it(repo: Repo) -> None:
    below = repo.path / "a" / "b"
    below.mkdir(parents=True)
    found = discover(below)
    assert found.worktree == repo.path
    assert found.git_dir == found.common_dir == repo.path / ".git"
    assert found.object_format == "sha1"
    assert not found.bare
    assert not found.is_linked
    assert found.head_branch() == "refs/heads/main"
    assert found.main_worktree() == repo.path


def test_discovery_and_reading_leave_nothing_behind(repo: Repo) -> None:
    assert not discover(repo.path).fleet_dir.exists()


def test_a_linked_worktree_knows_its_main_worktree(repo: Repo, tmp_path: Path) -> None:
    linked = repo.worktree(tmp_path / "linked", "topic")
    found = discover(linked.path)
    assert found.is_linked
    assert found.worktree == linked.path
    assert found.common_dir == repo.path / ".git"
    assert found.git_dir == repo.path / ".git" / "worktrees" / "linked"
    assert found.main_worktree() == repo.path
    assert found.head_branch() == "refs/heads/topic"
    assert found.fleet_dir == repo.path / ".git" / "fleet"
    # The shared git sees the shared repository: HEAD there is the main worktree's.
    assert found.git().text("symbolic-ref", "HEAD") == "refs/heads/main"
    assert found.git(linked.path).text("symbolic-ref", "HEAD") == "refs/heads/topic"


def test_a_bare_repository_has_no_worktree(repo: Repo, tmp_path: Path) -> None:
    repo.run_git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    found = discover(tmp_path / "bare.git")
    assert found.bare
    assert found.worktree is None
    assert found.main_worktree() is None
    linked = Repo(tmp_path / "bare.git").worktree(tmp_path / "linked", "topic")
    from_linked = discover(linked.path)
    assert not from_linked.bare
    assert from_linked.main_worktree() is None
    assert from_linked.common_dir == tmp_path / "bare.git"


def test_standing_inside_the_git_dir_works(repo: Repo) -> None:
    found = discover(repo.path / ".git" / "refs")
    assert found.worktree is None
    assert not found.bare
    assert found.git_dir == repo.path / ".git"
    assert found.main_worktree() == repo.path


def test_a_submodule_is_a_repository_of_its_own(repo: Repo, tmp_path: Path) -> None:
    outer = make_repo(tmp_path / "outer")
    outer.run_git("submodule", "--quiet", "add", str(repo.path), "inner")
    found = discover(outer.path / "inner")
    assert found.common_dir == outer.path / ".git" / "modules" / "inner"
    assert not found.is_linked
    linked = Repo(outer.path / "inner").worktree(tmp_path / "linked", "topic")
    assert discover(linked.path).main_worktree() == outer.path / "inner"


@pytest.mark.parametrize(
    "name", ["new\nline", "two\n\nlines", " space ", os.fsdecode(b"\xff"), "trailing\n", "ünï"]
)
def test_folder_names_of_any_bytes_are_kept(name: str, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / name)
    found = discover(repo.path)
    assert found.worktree == repo.path
    assert found.git_dir == repo.path / ".git"
    linked = repo.worktree(tmp_path / f"linked {name}", "topic")
    assert discover(linked.path).worktree == linked.path
    assert discover(linked.path).main_worktree() == repo.path


def test_a_detached_head_is_no_branch_and_an_unborn_one_is(repo: Repo) -> None:
    repo.run_git("checkout", "-q", "--detach")
    assert discover(repo.path).head_branch() is None
    repo.run_git("checkout", "-q", "--orphan", "fresh")
    assert discover(repo.path).head_branch() == "refs/heads/fresh"


def test_sha256_repositories_have_longer_ids(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "long", object_format="sha256")
    found = discover(repo.path)
    assert found.object_format == "sha256"
    assert found.empty_tree == repo.run_git("hash-object", "-t", "tree", "/dev/null")
    assert found.zero == "0" * 64


def test_the_empty_tree_has_git_s_id(repo: Repo) -> None:
    assert discover(repo.path).empty_tree == repo.run_git("hash-object", "-t", "tree", "/dev/null")


def test_a_shallow_clone_is_recognised(repo: Repo, tmp_path: Path) -> None:
    repo.commit("second")
    repo.run_git("clone", "-q", "--depth", "1", f"file://{repo.path}", str(tmp_path / "shallow"))
    assert discover(tmp_path / "shallow").is_shallow
    assert not discover(repo.path).is_shallow


def test_no_repository_is_invalid_input_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not in a git repository") as caught:
        discover(tmp_path)
    assert caught.value.hint == "git init"


def test_a_missing_folder_is_invalid_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such folder"):
        discover(tmp_path / "gone")


def test_a_repository_that_git_refuses_is_refused_in_its_words(repo: Repo) -> None:
    repo.run_git("config", "core.repositoryFormatVersion", "99")
    with pytest.raises(InvalidInput, match="99"):
        discover(repo.path)


def test_a_git_dir_in_the_environment_does_not_mislead(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(make_repo(tmp_path / "other").path / ".git"))
    assert discover(repo.path).worktree == repo.path


def test_a_replaced_packed_refs_is_noticed_whatever_its_inode(repo: Repo) -> None:
    path = repo.path / ".git" / "packed-refs"
    watch = PackedRefs(discover(repo.path))
    assert not watch.replaced()
    for number in range(50):
        for content in ("a", "b"):
            fresh = path.with_name(f"fresh-{number}")
            fresh.write_text(content, encoding="utf-8")
            fresh.rename(path)
        assert watch.replaced()
        assert not watch.replaced()
    path.unlink()
    assert watch.replaced()
    assert not watch.replaced()
    watch.close()
