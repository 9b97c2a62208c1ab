"""The shims: what they decide without Python, what they chain, and what if git-fleet is gone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from git_fleet import resources
from git_fleet.app import hookfiles
from tests.support.hooked import common_dir, hooks_of, refused
from tests.support.repo import Repo


def edit_shims(repo: Repo, name: str, value: str) -> None:
    """Changes a path that was written into the installed shims."""
    for hook in hookfiles.HOOKS:
        shim = hooks_of(repo) / hook
        lines = shim.read_text().splitlines(keepends=True)
        changed = [f"{name}='{value}'\n" if line.startswith(f"{name}=") else line for line in lines]
        assert changed != lines
        shim.write_text("".join(changed))


@pytest.fixture
def tripwire(main: Repo, tmp_path: Path) -> Path:
    """A file that appears as soon as a hook starts Python."""
    wire = tmp_path / "python-was-started"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ntouch "{wire}"\n')
    python.chmod(0o755)
    edit_shims(main, "python", str(python))
    return wire


def test_python_is_started_only_where_shell_cannot_decide(main: Repo, task: Repo, tripwire: Path) -> None:
    main.run_git("switch", "-qc", "topic")
    main.commit("elsewhere", {"README.md": "new\n"})
    main.run_git("clone", "-q", "--bare", ".", "../hub.git")
    main.run_git("push", "-q", "../hub.git", "topic")
    main.run_git("fetch", "-q", "../hub.git", "+refs/heads/*:refs/remotes/hub/*")
    task.run_git("commit", "-qn", "--allow-empty", "-m", "on its own branch")
    task.run_git("push", "-q", "../hub.git", "feature/42")
    message = task.path / "message"
    message.write_text("subject\n")
    shim = hooks_of(main) / "commit-msg"
    task.run_git("-c", f"alias.x=!GIT_EDITOR=: '{shim}'", "x", str(message))
    assert "Fleet-Task: app/42" in message.read_text()
    assert not tripwire.exists()
    task.run_git("commit", "-q", "--allow-empty", "-m", "judged by its paths")
    assert tripwire.exists()


def test_without_an_open_plan_nothing_is_started(main: Repo, tripwire: Path) -> None:
    (common_dir(main) / "fleet" / "open").unlink()
    main.commit("mine", {"README.md": "new\n"})
    main.run_git("update-ref", "refs/fleet/x", "HEAD")
    main.run_git("pack-refs", "--all")
    assert not tripwire.exists()


def test_packed_refs_are_pruned_without_python(main: Repo, task: Repo, tripwire: Path) -> None:
    """One hook call for each ref: with Python, packing 10,000 refs would take minutes."""
    main.run_git("pack-refs", "--all", "--no-prune")
    tripwire.unlink(missing_ok=True)
    (common_dir(main) / "refs" / "heads" / "feature" / "42").write_text(f"{task.rev('HEAD')}\n")
    before = main.refs()
    for ref, value in before.items():
        hook = hooks_of(main) / "reference-transaction"
        gone = f"{value} {'0' * 40} {ref}\n".encode()
        main.run_git("-c", f"alias.x=!'{hook}'", "x", "prepared", stdin=gone)
    assert not tripwire.exists()


def test_hooks_find_the_repository_from_wherever_git_runs_them(main: Repo, tmp_path: Path) -> None:
    main.run_git("branch", "topic")
    move = ("update-ref", "refs/heads/main", main.run_git("commit-tree", "-m", "x", "main^{tree}"))
    (main.path / "below").mkdir()
    for repo, before in (
        (Repo(main.path / "below"), ()),
        (Repo(main.path / ".git"), ()),
        (Repo(main.path / ".git" / "refs"), ()),
        (Repo(tmp_path), ("--git-dir=repo/.git",)),
        (Repo(tmp_path), (f"--git-dir={main.path}/.git", f"--work-tree={main.path}")),
    ):
        assert "only its lead" in refused(repo, *before, *move)


def test_a_linked_worktree_is_known_without_being_told(main: Repo, task: Repo) -> None:
    """As a program that runs hooks by itself may do: nothing says where the repository is."""
    line = f"{'0' * 40} {'1' * 40} refs/heads/main\n".encode()
    shim = hooks_of(main) / "reference-transaction"
    done = subprocess.run(
        [str(shim), "prepared"], cwd=task.path, input=line, capture_output=True, check=False
    )
    assert b"moving main" in done.stderr
    assert b"git fleet done" in done.stderr


def test_a_separate_git_dir_is_guarded_too(main: Repo, tmp_path: Path) -> None:
    main.run_git("init", "-q", "--separate-git-dir", str(tmp_path / "a place"))
    assert (main.path / ".git").is_file()
    assert "only its lead" in refused(main, "commit", "-n", "--allow-empty", "-m", "mine")
    assert "only its lead" in refused(main, "commit", "--allow-empty", "-m", "mine")


# --- git-fleet is gone


@pytest.fixture
def gone(main: Repo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Repo:
    """The main worktree after git-fleet was uninstalled, its hooks left behind."""
    edit_shims(main, "python", "/no/such/python")
    only = tmp_path / "bin"
    only.mkdir()
    for tool in ("git", "sh", "cat", "grep"):
        (only / tool).symlink_to(shutil.which(tool) or "")
    monkeypatch.setenv("PATH", str(only))
    return main


def test_what_was_guarded_stays_guarded_when_git_fleet_is_gone(gone: Repo) -> None:
    said = refused(gone, "commit", "--allow-empty", "-m", "mine")
    assert "not installed any more" in said
    assert "take its hook out: .git/hooks/pre-commit" in said
    assert "not installed any more" in refused(gone, "commit", "-n", "--allow-empty", "-m", "mine")


def test_everything_else_goes_on_when_git_fleet_is_gone(gone: Repo) -> None:
    gone.run_git("switch", "-qc", "topic")
    gone.run_git("commit", "-q", "--allow-empty", "-m", "mine")
    assert gone.rev("topic~") == gone.rev("main")
    (common_dir(gone) / "fleet" / "open").unlink()
    gone.run_git("branch", "-f", "main", "topic")
    assert gone.rev("topic") == gone.rev("main")


def test_a_git_fleet_that_moved_is_found_on_path(gone: Repo, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "git-fleet-hook"
    program.write_text('#!/bin/sh\necho "asked: $*" >&2\nexit 4\n')
    program.chmod(0o755)
    assert "asked: pre-commit" in refused(gone, "commit", "--allow-empty", "-m", "mine")
    assert "asked: reference-transaction prepared" in refused(gone, "update-ref", "-d", "refs/heads/main")


def test_a_package_that_is_gone_counts_as_gone(main: Repo) -> None:
    edit_shims(main, "package", "/no/such/package")
    said = refused(main, "commit", "--allow-empty", "-m", "mine")
    assert "Traceback" not in said


# --- their text


@pytest.mark.parametrize("hook", hookfiles.HOOKS)
def test_every_shell_can_read_them(hook: str, tmp_path: Path) -> None:
    installed = tmp_path / hook
    installed.write_bytes(hookfiles.shim(hook))
    for shell in filter(None, map(shutil.which, ("sh", "dash", "bash", "busybox", "ksh"))):
        command = [shell, *(["sh"] if shell.endswith("busybox") else []), "-n", str(installed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), shell


@pytest.mark.parametrize("hook", hookfiles.HOOKS)
def test_they_stay_small_and_lose_nothing_when_installed(hook: str) -> None:
    source = (resources.hooks_dir() / hook).read_text()
    assert len(source.splitlines()) <= 30
    assert os.access(resources.hooks_dir() / hook, os.X_OK)
    installed = hookfiles.shim(hook).decode()
    assert "common.sh" not in installed.replace("# ", "")
    assert "@PYTHON@" not in installed
    assert "plan_open()" in installed
