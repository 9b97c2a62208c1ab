"""Cleaning up: what is worth keeping stays, what goes can be reached from a ref."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from git_fleet.app import slots
from git_fleet.app.cleanup import CleanupResult, Kept, cleanup_one
from git_fleet.app.isolation import Prepared, prepare
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import State
from git_fleet.git import contents, worktrees
from git_fleet.store.base import Store
from git_fleet.store.worktree import Placement
from tests.support.clock import START
from tests.support.dying import killed_at_every_step
from tests.support.repo import Repo, make_repo
from tests.support.stores import open_store

TASK = TaskId("p", "t")
CONFIG = Config(touch=(".skip",))
TOPIC = "refs/heads/feature/t"


@dataclass
class Site:
    """A repository with one prepared task worktree, and the folders of its machine."""

    repo: Repo
    store: Store
    root: Path
    made: Prepared

    @property
    def linked(self) -> Repo:
        return Repo(self.made.path)

    def clean(self, state: State = State.INTEGRATED, *, trial: bool = False) -> CleanupResult:
        tree = worktrees.find(self.store.repo, self.made.path)
        assert tree
        return cleanup_one(
            self.store,
            tree,
            task=TASK,
            state=state,
            base=self.repo.rev("main"),
            config=CONFIG,
            state_dir=self.root / "state",
            actor="w1",
            now=START,
            trial=trial,
        )

    def kept(self) -> Kept:
        """Why it stays; and that nothing has changed."""
        before = (
            self.repo.refs(),
            worktrees.list_worktrees(self.store.repo),
            sorted(os.listdir(self.made.path)),
        )
        kept = self.clean().kept
        assert kept
        after = (
            self.repo.refs(),
            worktrees.list_worktrees(self.store.repo),
            sorted(os.listdir(self.made.path)),
        )
        assert before == after
        assert slots.list_slots(self.root / "state")
        return kept

    def gone(self) -> bool:
        found = worktrees.find(self.store.repo, self.made.path)
        return not self.made.path.exists() and found is None

    def reachable(self) -> set[Oid]:
        return {Oid(line) for line in self.repo.run_git("rev-list", "--all").splitlines()}


def set_up(repo: Repo, store: Store, root: Path) -> Site:
    placement = Placement(
        plan=TASK.plan, task=TASK.task, fence="1" * 40, worker="w1", slot=0, branch="feature/t", base="main",
        mode="branch", files=("a/**",), reads=(), regexes=(), generated_regexes=(), output="commit",
        claimed_at="2026-01-01T12:00:00Z",
    )  # fmt: skip
    made = prepare(
        store, placement, path=root / "t", start=repo.rev("main"), config=CONFIG, state_dir=root / "state",
        cache_dir=root / "cache", now=START, inherited={},
    )  # fmt: skip
    return Site(repo, store, root, made)


@pytest.fixture
def site(repo: Repo, tmp_path: Path) -> Iterator[Site]:
    repo.commit("rules", {".gitignore": ".env\nnode_modules/\n*.log\n__pycache__/\n"})
    repo.write(".env", "A=1\n")
    repo.write(".worktreeinclude", ".env\n")
    with open_store(repo) as store:
        yield set_up(repo, store, tmp_path)


def test_an_ended_tasks_worktree_goes_with_branch_slot_and_scratch(site: Site) -> None:
    scratch = Path(site.made.slot.scratch)
    assert site.clean(trial=True).kept is None
    assert site.made.path.exists()
    result = site.clean()
    assert (result.kept, result.salvage, result.branch) == (None, None, "feature/t")
    assert site.gone()
    assert not slots.list_slots(site.root / "state")
    assert not scratch.exists()
    assert set(site.repo.refs()) == {"refs/heads/main"}


@pytest.mark.parametrize("state", [state for state in State if not state.ended])
def test_a_worktree_whose_task_goes_on_stays(site: Site, state: State) -> None:
    kept = site.clean(state).kept
    assert kept
    assert kept.code == "active"
    assert site.made.path.exists()


def test_changes_are_named_and_stay(site: Site) -> None:
    site.linked.write("a b\n", "1")
    site.linked.write("README.md", "mine\n")
    kept = site.kept()
    assert (kept.code, kept.paths) == ("dirty", ("README.md", "a b\n"))


def test_ignored_files_of_unknown_worth_are_named_and_stay(site: Site) -> None:
    site.linked.write("node_modules/x/y.js", "1")
    site.linked.write("deep/__pycache__/m.pyc", "1")
    assert site.clean(trial=True).kept is None
    site.linked.write("notes.log", "hours of measuring")
    make_repo(site.made.path / "clone.log")
    kept = site.kept()
    assert (kept.code, kept.paths) == ("ignored", ("clone.log/", "notes.log"))


def test_a_copied_file_is_worth_keeping_only_when_it_was_changed(site: Site) -> None:
    site.linked.write(".env", "A=2\n")
    assert site.kept().paths == (".env",)
    site.linked.write(".env", "A=1\n")
    site.clean()
    assert site.gone()


def test_disposable_files_go_with_the_worktree(site: Site) -> None:
    site.linked.write("node_modules/x/y.js", "1")
    site.clean()
    assert site.gone()


def test_a_persons_lock_and_a_process_inside_are_respected(site: Site) -> None:
    site.repo.run_git("worktree", "unlock", str(site.made.path))
    site.repo.run_git("worktree", "lock", "--reason", "on a stick", str(site.made.path))
    assert site.kept() == Kept("locked", "it is locked: on a stick")
    site.repo.run_git("worktree", "unlock", str(site.made.path))
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        cwd=site.made.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout
        child.stdout.readline()
        kept = site.kept()
        child.communicate(b"\n")
    assert kept.code == "busy"
    assert str(child.pid) in kept.text


def test_every_commit_it_has_seen_is_pinned_before_it_goes(site: Site) -> None:
    linked = site.linked
    lost = linked.commit("reset away", {"a/x": "1"})
    linked.run_git("reset", "-q", "--hard", "HEAD~1")
    first = linked.commit("amended", {"a/y": "1"})
    linked.run_git("commit", "-q", "--amend", "-m", "again")
    tip = linked.rev("HEAD")
    linked.run_git("checkout", "-q", "--detach", "main")
    aside = linked.commit("on no branch", {"a/z": "1"})
    linked.run_git("checkout", "-q", "--detach", "main")
    result = site.clean(State.CANCELLED)
    assert result.salvage
    assert site.gone()
    assert result.branch == "feature/t"
    assert {lost, first, tip, aside} <= site.reachable()


def test_handed_in_work_is_not_pinned_twice(site: Site) -> None:
    site.linked.commit("work", {"a/x": "1"})
    handed_in = site.linked.run_git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "proposal")
    site.repo.run_git("update-ref", "refs/fleet/proposal/p/t/1", handed_in)
    result = site.clean()
    assert (result.salvage, result.branch) == (None, "feature/t")


def test_a_branch_that_is_checked_out_elsewhere_stays(site: Site) -> None:
    site.linked.run_git("checkout", "-q", "--detach")
    other = site.root / "other"
    site.repo.run_git("worktree", "add", "-q", str(other), "feature/t")
    assert site.clean().branch == ""
    assert TOPIC in site.repo.refs()


def test_a_folder_deleted_by_hand_is_taken_off_the_record_alone(site: Site) -> None:
    site.repo.worktree(site.root / "stick", "other")
    made = site.linked.commit("work", {"a/x": "1"})
    shutil.rmtree(site.made.path)
    shutil.move(site.root / "stick", site.root / "unplugged")
    result = site.clean()
    assert (result.kept, result.branch) == (None, "feature/t")
    assert site.gone()
    assert made in site.reachable()
    assert [tree.path.name for tree in worktrees.list_worktrees(site.store.repo)] == ["repo", "stick"]


def test_a_branch_of_somebody_who_checked_it_out_by_hand_is_not_the_fleets(site: Site) -> None:
    site.linked.run_git("checkout", "-q", "-b", "mine")
    made = site.linked.commit("work", {"a/x": "1"})
    assert site.clean().branch == "feature/t"
    assert site.repo.refs("refs/heads") == {"refs/heads/main": site.repo.rev("main"), "refs/heads/mine": made}


@pytest.mark.slow
def test_killed_at_any_step_it_is_finished_by_the_next_call(site: Site) -> None:
    site.linked.commit("reset away", {"a/x": "1"})
    site.linked.run_git("reset", "-q", "--hard", "main")
    wanted = set(contents.reflog_commits(contents.git_dir_of(site.made.path)))

    def work() -> None:
        with open_store(site.repo) as own:  # a git child is not for sharing across a fork
            replace(site, store=own).clean()

    saved = site.root / "saved"
    shutil.copytree(site.repo.path, saved / "repo", symlinks=True)
    shutil.copytree(site.made.path, saved / "t", symlinks=True)
    for _ in killed_at_every_step(work, stride=3):
        if worktrees.find(site.store.repo, site.made.path):
            assert site.clean().kept is None
        assert site.gone()
        assert wanted <= site.reachable()
        for name, place in (("repo", site.repo.path), ("t", site.made.path)):
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(saved / name, place, symlinks=True)
        site.store.objects.close()


def test_a_folder_that_lost_its_git_stays(site: Site) -> None:
    (site.made.path / ".git").unlink()
    assert site.kept().code == "broken"
