"""Salvage: whatever a worker wrote is reachable afterwards, from the first parent on."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from git_fleet.app import salvage
from git_fleet.app.salvage import Salvage, Site, salvage_worktree
from git_fleet.core.ids import Oid, TaskId
from git_fleet.store import kept
from git_fleet.store.base import Store
from tests.support.clock import START
from tests.support.race import race, values
from tests.support.repo import Repo, make_repo
from tests.support.stores import open_store
from tests.support.worlds import assert_reachable

TASK = TaskId("p", "t")


@pytest.fixture
def store(repo: Repo) -> Iterator[Store]:
    with open_store(repo) as opened:
        yield opened


@pytest.fixture
def linked(repo: Repo, tmp_path: Path) -> Repo:
    return repo.worktree(tmp_path / "linked", "topic")


def save(store: Store, linked: Repo, branch: str = "", proposed: Collection[Oid] = ()) -> Salvage | None:
    base = store.refs.get("refs/heads/main")
    assert isinstance(base, str)
    site = Site(linked.path, TASK, base, "w1", START, branch=branch, proposed=proposed)
    return salvage_worktree(store, site)


def pinned(repo: Repo) -> set[Oid]:
    return {Oid(line) for line in repo.run_git("rev-list", "--glob=refs/fleet/salvage/*").splitlines()}


def test_a_worktree_with_nothing_of_its_own_needs_no_salvage(store: Store, linked: Repo) -> None:
    assert save(store, linked) is None
    assert salvage_worktree(store, Site(linked.path / "no", TASK, None, "w", START)) is None


def test_what_a_proposal_holds_is_not_kept_again(store: Store, linked: Repo) -> None:
    linked.write("a", "handed in")
    linked.run_git("add", "a")
    staged = Oid(linked.run_git("write-tree"))
    assert save(store, linked, proposed=[staged]) is None
    linked.write("a", "handed in, and changed since")
    found = save(store, linked, proposed=[staged])
    assert found is not None
    assert linked.run_git("show", f"{found.start}:a") == "handed in, and changed since"
    assert list(store.objects.read_commit(found.oid).parents) == [found.start], "what was staged is not in it"


def test_uncommitted_work_is_on_top_of_head_and_the_worktree_stays_as_it_is(
    repo: Repo, store: Store, linked: Repo
) -> None:
    head = linked.commit("work", {"a": "1"})
    linked.write("b", "staged")
    linked.run_git("add", "b")
    linked.write("b", "later")
    linked.write("c", "new")
    before = linked.status()
    found = save(store, linked)
    assert found
    assert (found.number, found.ref) == (1, "refs/fleet/salvage/p/t/1")
    assert repo.refs("refs/fleet/salvage") == {found.ref: found.oid}
    saved = repo.files(found.start)
    assert {path: entry.content for path, entry in saved.items()} == {
        "README.md": b"# scratch\n", "a": b"1", "b": b"later", "c": b"new",
    }  # fmt: skip
    assert repo.files(found.oid) == saved
    first, *others = store.objects.read_commit(found.oid).parents
    assert first == found.start
    assert store.objects.read_commit(first).parents == (head,)
    assert [repo.files(other)["b"].content for other in others] == [b"staged"]
    assert linked.status() == before


def test_saving_the_same_work_again_gives_the_same_salvage(repo: Repo, store: Store, linked: Repo) -> None:
    linked.commit("work", {"a": "1"})
    linked.write("b", "1")
    first = save(store, linked)
    assert save(store, linked) == first
    linked.write("b", "2")
    second = save(store, linked)
    assert second
    assert second.number == 2
    assert len(repo.refs("refs/fleet/salvage")) == 2


def test_commits_that_only_a_reflog_knows_are_kept(repo: Repo, store: Store, linked: Repo) -> None:
    start = linked.rev("HEAD")
    dropped = linked.commit("dropped", {"a": "1"})
    linked.run_git("reset", "-q", "--hard", start)
    linked.commit("first try", {"b": "1"})
    amended = linked.rev("HEAD")
    linked.run_git("commit", "-q", "--amend", "-m", "second try")
    kept = linked.rev("HEAD")
    linked.run_git("checkout", "-q", "--detach", start)
    found = save(store, linked)
    assert found
    assert found.start == start
    assert {dropped, amended, kept} <= pinned(repo)


def test_a_branch_left_for_another_is_kept_too(repo: Repo, store: Store, linked: Repo) -> None:
    made = linked.commit("work", {"a": "1"})
    linked.run_git("checkout", "-q", "-b", "elsewhere", "main")
    found = save(store, linked, branch="refs/heads/topic")
    assert found
    assert made in pinned(repo)


def test_work_in_a_proposal_or_on_main_needs_no_salvage(repo: Repo, store: Store, linked: Repo) -> None:
    linked.commit("work", {"a": "1"})
    handed_in = linked.run_git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "proposal")
    repo.run_git("update-ref", "refs/fleet/proposal/p/t/1", handed_in)
    assert save(store, linked) is None
    repo.run_git("update-ref", "-d", "refs/fleet/proposal/p/t/1")
    assert save(store, linked) is not None
    other = make_repo(repo.path.parent / "other")
    merged = other.worktree(repo.path.parent / "merged", "topic")
    merged.commit("work", {"a": "1"})
    other.run_git("merge", "-q", "--ff-only", "topic")
    with open_store(other) as there:
        assert save(there, merged) is None


def amid_a_merge(repo: Repo, linked: Repo) -> tuple[Oid, Oid]:
    """Both sides of a conflict that is left in the worktree."""
    mine = linked.commit("mine", {"README.md": "mine\n"})
    side = repo.worktree(repo.path.parent / "side", "side")
    other = side.commit("side", {"README.md": "side\n"})
    assert linked.try_git("merge", "side").returncode == 1
    return mine, other


def test_work_goes_on_before_a_merge_whose_conflicts_are_left_and_what_was_tried_is_kept(
    repo: Repo, store: Store, linked: Repo
) -> None:
    mine, other = amid_a_merge(repo, linked)
    linked.write("README.md", "<<<<<<< HEAD\ntried\n")
    found = save(store, linked)
    assert found
    assert found.start == mine
    assert other in pinned(repo)
    assert_reachable(repo, b"<<<<<<< HEAD\ntried\n")


@pytest.mark.parametrize("resolved", ["both\n", "mine\n"])
def test_a_merge_that_is_resolved_and_not_committed_stays_a_merge(
    repo: Repo, store: Store, linked: Repo, resolved: str
) -> None:
    mine, other = amid_a_merge(repo, linked)
    linked.write("README.md", resolved)
    linked.run_git("add", "README.md")
    found = save(store, linked)
    assert found
    assert repo.run_git("show", "--no-patch", "--format=%P", found.start).split() == [mine, other]
    assert repo.files(found.start)["README.md"].content.decode() == resolved


def test_commits_of_a_worktree_whose_folder_is_gone_are_kept(repo: Repo, store: Store, linked: Repo) -> None:
    made = linked.commit("work", {"a": "1"})
    linked.run_git("checkout", "-q", "--detach", "HEAD~1")
    subprocess.run(["rm", "-r", str(linked.path)], check=True)
    repo.run_git("update-ref", "-d", "refs/heads/topic")
    assert save(store, linked)
    assert made in pinned(repo)


def test_an_unborn_branch_has_only_its_files(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    linked = repo.worktree(tmp_path / "linked", "topic")
    linked.run_git("checkout", "-q", "--orphan", "fresh")
    linked.run_git("rm", "-rfq", ".")
    linked.write("a", "1")
    with open_store(repo) as store:
        found = save(store, linked)
    assert found
    assert set(repo.files(found.start)) == {"a"}


def test_hundreds_of_lost_commits_are_bundled(repo: Repo, store: Store, linked: Repo) -> None:
    tree = linked.run_git("rev-parse", "HEAD^{tree}")
    lines = [
        f"commit refs/worktree/x\ncommitter A <a@b> {number} +0000\ndata 0\nfrom {linked.rev('HEAD')}\n"
        for number in range(150)
    ]
    marks = linked.path / "marks"
    numbered = [line.replace("\ncommitter", f"\nmark :{at + 1}\ncommitter") for at, line in enumerate(lines)]
    linked.run_git(
        "fast-import", "--quiet", "--force", f"--export-marks={marks}", stdin="".join(numbered).encode()
    )
    commits = [Oid(line.split()[1]) for line in marks.read_text().splitlines()]
    marks.unlink()
    assert len(set(commits)) == 150
    found = salvage.pin(store, TASK, start=linked.rev("HEAD"), keep=commits, actor="w", now=START)
    assert found
    assert set(commits) <= pinned(repo)
    assert len(store.objects.read_commit(found.oid).parents) <= kept.MAX_PARENTS
    assert repo.run_git("rev-parse", f"{found.oid}^{{tree}}") == tree


def test_salvages_of_one_task_at_the_same_moment_get_numbers_of_their_own(repo: Repo, tmp_path: Path) -> None:
    for index in range(6):
        repo.worktree(tmp_path / f"w{index}", f"topic{index}").commit("work", {"a": str(index)})

    def save_mine(index: int) -> int:
        with open_store(repo) as store:
            found = save(store, Repo(tmp_path / f"w{index}"))
        assert found
        return found.number

    assert sorted(values(race(6, save_mine))) == [1, 2, 3, 4, 5, 6]


def test_sha256_repositories_are_salvaged_too(tmp_path: Path) -> None:
    long = make_repo(tmp_path / "long", object_format="sha256")
    linked = long.worktree(tmp_path / "linked", "topic")
    linked.write("a", "1")
    with open_store(long) as store:
        found = save(store, linked)
    assert found
    assert set(long.files(found.start)) == {"README.md", "a"}
