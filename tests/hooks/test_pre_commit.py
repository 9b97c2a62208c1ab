"""pre-commit: what may be staged where."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.hooked import (
    QUIET,
    append,
    claim,
    git_dir,
    lead,
    open_plan,
    progress,
    refused,
    task_worktree,
)
from tests.support.repo import Repo


def stage(repo: Repo, *paths: str) -> None:
    for path in paths:
        repo.write(path, f"changed {path!r}\n")
    repo.run_git("add", "--all")


def changed(repo: Repo) -> list[str]:
    """The paths that the last commit has changed."""
    return repo.run_git("diff", "--name-only", "HEAD~", "HEAD").splitlines()


# --- in a task's worktree


def test_a_commit_of_the_tasks_own_files_passes(task: Repo) -> None:
    task.commit("change", {"cli.py": "new\n"})
    assert task.run_git("log", "-1", "--format=%s") == "change"


def test_a_commit_outside_the_tasks_files_is_refused_and_says_how_to_go_on(task: Repo) -> None:
    before = task.rev("HEAD")
    stage(task, "cli.py", "README.md")
    said = refused(task, "commit", "-m", "both")
    assert "refused: a commit: 1 staged path is outside the files of app/42" in said
    assert "'README.md'" in said
    assert "git restore --staged -- README.md" in said
    assert task.rev("HEAD") == before
    task.run_git("restore", "--staged", "--", "README.md")
    task.run_git("commit", "-qm", "mine alone")
    assert (task.path / "README.md").read_text() == "changed 'README.md'\n"


@pytest.mark.parametrize(
    "args", [["rm", "-q", "README.md"], ["mv", "cli.py", "other.py"], ["mv", "README.md", "lock.txt"]]
)
def test_deleting_or_renaming_beyond_the_tasks_files_is_refused(task: Repo, args: list[str]) -> None:
    task.run_git(*args)
    assert "1 staged path is outside" in refused(task, "commit", "-m", "away")


def test_the_index_that_is_committed_is_the_one_that_is_judged(task: Repo) -> None:
    stage(task, "cli.py", "README.md")
    task.run_git("commit", "-qm", "only mine", "--", "cli.py")
    task.run_git("reset", "-q")
    assert "README.md" in refused(task, "commit", "-am", "all of it")


def test_generated_files_may_change(task: Repo) -> None:
    stage(task, "cli.py", "lock.txt")
    task.run_git("commit", "-qm", "with its lock file")
    assert changed(task) == ["cli.py", "lock.txt"]


def test_names_of_any_bytes_are_judged_and_shown_harmlessly(task: Repo) -> None:
    stage(task, os.fsdecode(b'a "b"\n\x1b[31m\xff'))
    said = refused(task, "commit", "-m", "odd")
    assert "1 staged path is outside" in said
    assert "\x1b" not in said


def test_the_users_diff_settings_hide_nothing(task: Repo) -> None:
    for setting, value in (
        ("diff.relative", "true"),
        ("diff.renames", "copies"),
        ("diff.ignoreSubmodules", "all"),
    ):
        task.run_git("config", setting, value)
    task.write("src/x", "1")
    task.run_git("update-index", "--add", "--cacheinfo", f"160000,{task.rev('HEAD')},module")
    task.write("README.md", "new")
    task.run_git("add", "README.md", "src")
    done = task.try_git("-C", "src", "commit", "-m", "from below")
    assert b"3 staged paths are outside" in done.stderr


def test_a_stray_path_may_be_put_back_to_what_the_base_has(task: Repo) -> None:
    stage(task, "README.md")
    task.run_git("commit", "-qnm", "strayed")
    task.run_git("restore", "--source=main", "--staged", "--worktree", "README.md")
    task.run_git("commit", "-qm", "put back")
    assert task.run_git("diff", "--name-only", "main") == ""


def conflicting_merge(main: Repo, task: Repo) -> None:
    """main has changed README.md and cli.py, the task cli.py: a merge of main stops at cli.py."""
    task.commit("mine", {"cli.py": "1\n2\nmine\n"})
    for name, text in (("README.md", "theirs\n"), ("cli.py", "1\n2\ntheirs\n")):
        main.write(name, text)
    main.run_git(*QUIET, "commit", "-qam", "landed")
    assert task.try_git("merge", "main").returncode
    task.write("cli.py", "1\n2\nboth\n")


def test_concluding_a_merge_brings_in_what_the_other_side_changed(main: Repo, task: Repo) -> None:
    conflicting_merge(main, task)
    task.run_git("commit", "-qam", "merge main")
    assert task.files()["README.md"].content == b"theirs\n"


def test_concluding_a_merge_is_no_cover_for_other_changes(main: Repo, task: Repo) -> None:
    conflicting_merge(main, task)
    stage(task, "README.md")
    assert "'README.md'" in refused(task, "commit", "-am", "merge main, and more")


def test_a_merge_without_conflict_passes(main: Repo, task: Repo) -> None:
    main.write("README.md", "theirs\n")
    main.run_git(*QUIET, "commit", "-qam", "landed")
    task.commit("mine", {"cli.py": "new\n"})
    task.run_git("merge", "-q", "--no-edit", "main")
    assert task.files()["README.md"].content == b"theirs\n"


def test_a_claim_that_went_on_is_still_the_same_claim(main: Repo, task: Repo) -> None:
    progress(main, json.loads((git_dir(task) / "fleet.json").read_text())["fence"])
    task.commit("change", {"cli.py": "new\n"})
    assert changed(task) == ["cli.py"]


def test_a_claim_that_was_taken_over_commits_no_more(main: Repo, task: Repo) -> None:
    claim(main, holder="w2")
    stage(task, "cli.py")
    said = refused(task, "commit", "-m", "late")
    assert "app/42 was taken over by w2" in said
    assert "stays here, on feature/42" in said


def test_a_stale_fence_in_the_environment_counts_too(task: Repo) -> None:
    stage(task, "cli.py")
    done = task.try_git("commit", "-m", "late", env={"FLEET_FENCE": "0" * 40})
    assert b"FLEET_FENCE is not the current claim" in done.stderr
    assert done.returncode
    fence = json.loads((git_dir(task) / "fleet.json").read_text())["fence"]
    task.run_git("commit", "-qm", "in time", env={"FLEET_FENCE": fence})


def test_a_claim_whose_log_is_gone_has_ended(main: Repo, task: Repo) -> None:
    main.run_git(*QUIET, "update-ref", "-d", "refs/fleet/task/app/42")
    stage(task, "cli.py")
    assert "has ended" in refused(task, "commit", "-m", "late")


def test_where_the_lead_commits_a_worker_only_writes_files(main: Repo, tmp_path: Path) -> None:
    task = task_worktree(main, tmp_path / "task", mode="lead-commits")
    stage(task, "cli.py")
    assert "git fleet done" in refused(task, "commit", "-m", "mine")


@pytest.mark.parametrize("text", ["not json", "[]", '{"v": 1}', '{"v": 2}'])
def test_a_ticket_that_cannot_be_read_lets_nothing_pass(task: Repo, text: str) -> None:
    (git_dir(task) / "fleet.json").write_text(text)
    stage(task, "cli.py")
    said = refused(task, "commit", "-m", "mine")
    assert "fleet.json" in said
    assert "Traceback" not in said


# --- elsewhere


def test_a_commit_on_the_base_of_an_open_plan_is_the_leads(main: Repo) -> None:
    stage(main, "README.md")
    said = refused(main, "commit", "-m", "mine")
    assert "a commit on main: plan app is open, and only its lead moves this branch" in said
    assert "git fleet lead acquire" in said
    lead(main)
    main.run_git("commit", "-qm", "the lead's")


def test_other_branches_are_free(main: Repo) -> None:
    main.run_git("switch", "-qc", "topic")
    before = main.rev("main")
    made = main.commit("mine", {"README.md": "new\n"})
    assert (main.rev("topic"), main.rev("main")) == (made, before)


def test_nothing_is_enforced_while_no_plan_is_open(main: Repo, task: Repo) -> None:
    (git_dir(main) / "fleet" / "open").unlink()
    here = main.commit("mine", {"README.md": "new\n"})
    there = task.commit("mine", {"README.md": "other\n"})
    assert (main.rev("main"), main.rev("feature/42")) == (here, there)


def test_the_lead_is_bound_to_one_worktree_and_to_its_lease(main: Repo, tmp_path: Path) -> None:
    main.run_git("switch", "-qc", "aside")
    other = main.worktree(tmp_path / "other", "other")
    lead(other)
    main.run_git("switch", "-q", "main")
    stage(main, "README.md")
    assert "only its lead" in refused(main, "commit", "-m", "no lead here")
    fence = lead(main)
    append(main, "refs/fleet/lead", "renew", {"holder": "lead", "fence": fence})
    main.run_git("commit", "-qm", "renewed")
    append(main, "refs/fleet/lead", "release", {"holder": "", "fence": None})
    stage(main, "README.md", "more")
    assert "only its lead" in refused(main, "commit", "-m", "released")


def test_nobody_leads_by_hand_while_a_run_holds_the_lead_for_a_moment(main: Repo) -> None:
    lead(main)
    own = main.path / ".git"
    (own / "fleet-lead").rename(own / "fleet-leading")
    before = main.rev("main")
    said = refused(main, "commit", "--allow-empty", "--no-verify", "-m", "Straight to main")
    assert "only its lead moves this branch" in said
    assert main.rev("main") == before


def test_an_agent_does_not_lead_where_a_run_holds_the_lead_for_a_moment(
    main: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worktree = main.worktree(tmp_path / "task", "task/a")
    claim = worktree.path / worktree.run_git("rev-parse", "--git-dir") / "fleet-claim.json"
    lead(main)
    before = main.rev("main")
    monkeypatch.setenv("FLEET_CLAIM", str(claim))
    said = refused(main, "commit", "--allow-empty", "--no-verify", "-m", "Straight to main")
    assert "only its lead moves this branch" in said
    assert "git fleet done" in said
    assert "only its lead" in refused(main, "commit", "--allow-empty", "-m", "Straight to main")
    assert main.rev("main") == before
    monkeypatch.setenv(
        "FLEET_CLAIM", str(tmp_path / "elsewhere" / "fleet-claim.json")
    )  # of another repository
    main.run_git("commit", "--allow-empty", "-qm", "by the lead")


def test_every_open_plan_guards_its_base(main: Repo) -> None:
    main.run_git("switch", "-qc", "develop")
    open_plan(main, "next", "develop")
    stage(main, "README.md")
    assert "plan next is open" in refused(main, "commit", "-m", "mine")
