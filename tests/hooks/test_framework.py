"""The pre-commit framework: beside our hooks, and running our checks itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from git_fleet.app import hookfiles, install
from git_fleet.app.hookfiles import Owner
from git_fleet.git.repository import discover
from tests.project.source import ROOT
from tests.support.hooked import git_dir, hooks_of, refused, task_worktree
from tests.support.repo import Repo

TOOL = Path(sys.executable).with_name("pre-commit")
TYPES = [f"--hook-type={name}" for name in ("pre-commit", "commit-msg", "pre-push")]
CONFIG = """\
repos:
  - repo: local
    hooks:
      - {id: say, name: say, language: system, entry: sh -c 'echo framework ran >>"$LOG"', always_run: true,
         pass_filenames: false, stages: [pre-commit, pre-push]}
"""


def framework(repo: Repo, *args: str, code: int = 0) -> str:
    """Runs pre-commit: what it says."""
    done = subprocess.run(
        [str(TOOL), *args],
        cwd=repo.path,
        env={**os.environ, "PATH": f"{TOOL.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "log"
    file.touch()
    monkeypatch.setenv("LOG", str(file))
    return file


@pytest.fixture
def configured(main: Repo) -> Repo:
    """The main worktree with a hook of the framework's configured, on a branch of its own."""
    main.run_git("switch", "-qc", "topic")
    main.commit("configure", {".pre-commit-config.yaml": CONFIG})
    return main


def both_run(repo: Repo, log: Path) -> None:
    log.write_text("")
    repo.run_git("commit", "-q", "--allow-empty", "-m", "change")
    assert log.read_text() == "framework ran\n"
    repo.run_git("switch", "-q", "--detach", "main")
    repo.run_git("switch", "-q", "main")
    log.write_text("")
    assert "a commit on main" in refused(repo, "commit", "--allow-empty", "-m", "not the lead")
    assert "a push to main" in refused(repo, "push", ".", "topic:other", "topic:main")
    repo.run_git("switch", "-q", "topic")


def test_the_framework_installed_after_us_runs_us(configured: Repo, log: Path) -> None:
    framework(configured, "install", *TYPES)
    hooks = hooks_of(configured)
    assert hookfiles.owner(hooks / "pre-commit.legacy") is Owner.OURS
    both_run(configured, log)
    assert install.inspect(discover(configured.path)) == []
    install.uninstall(discover(configured.path))
    assert sorted(path.name for path in hooks.iterdir()) == ["commit-msg", "pre-commit", "pre-push"]
    assert {hookfiles.owner(path) for path in hooks.iterdir()} == {Owner.FRAMEWORK}


def test_we_installed_after_the_framework_are_run_by_it(configured: Repo, log: Path) -> None:
    install.uninstall(discover(configured.path))
    hooks = hooks_of(configured)
    (hooks / "pre-commit").write_text('#!/bin/sh\necho "the first ran" >>"$LOG"\n')
    (hooks / "pre-commit").chmod(0o755)
    framework(configured, "install", *TYPES)
    before = {path.name: path.read_bytes() for path in hooks.iterdir()}
    install.install(discover(configured.path))
    for _ in ("as installed", "installed again"):
        log.write_text("")
        configured.run_git("commit", "-q", "--allow-empty", "-m", "change")
        assert log.read_text() == "the first ran\nframework ran\n"
        framework(configured, "install", *TYPES)
    assert install.inspect(discover(configured.path)) == []
    install.uninstall(discover(configured.path))
    assert {path.name: path.read_bytes() for path in hooks.iterdir()} == before


def test_the_framework_taken_out_leaves_us_in_place(configured: Repo) -> None:
    framework(configured, "install", *TYPES)
    framework(configured, "uninstall", *TYPES)
    assert install.inspect(discover(configured.path)) == []
    assert "only its lead" in refused(configured, "update-ref", "-d", "refs/heads/main")


def test_the_manifest_is_valid_and_names_what_there_is() -> None:
    subprocess.run([str(TOOL), "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml")], check=True)
    entries = [
        line for line in (ROOT / ".pre-commit-hooks.yaml").read_text().splitlines() if "entry:" in line
    ]
    called = {line.split("git-fleet-hook ")[1] for line in entries}
    assert len(entries) == 6
    assert called == set(hookfiles.HOOKS) - {"reference-transaction"}


@pytest.mark.slow(seconds=30)
def test_the_framework_runs_our_checks_from_this_repository(main: Repo, tmp_path: Path) -> None:
    """`pre-commit try-repo` on this repository: it is built, installed, and refuses what our own hook does."""
    install.uninstall(discover(main.path))
    task = task_worktree(main, tmp_path / "task")
    task.write("cli.py", "new\n")
    task.write("README.md", "new\n")
    task.run_git("add", "--all")
    said = framework(task, "try-repo", str(ROOT), "git-fleet-guard", "--verbose", "--all-files", code=1)
    assert "1 staged path is outside the files of app/42" in said


def test_the_framework_runs_all_our_checks_as_installed(main: Repo, tmp_path: Path) -> None:
    install.uninstall(discover(main.path))
    program = tmp_path / "bin" / "git-fleet-hook"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.append({str(ROOT)!r})\n"
        "from git_fleet.hook import entry\nentry()\n"
    )
    program.chmod(0o755)
    hooks = "\n".join(
        f"      - {{id: {name}, name: {name}, language: system, entry: {program} {name}, always_run: true,"
        f" stages: [{name}], require_serial: true{'' if name == 'commit-msg' else ', pass_filenames: false'}}}"
        for name in ("pre-commit", "commit-msg", "pre-push")
    )
    task = task_worktree(main, tmp_path / "task")
    task.write(".pre-commit-config.yaml", f"repos:\n  - repo: local\n    hooks:\n{hooks}\n")
    (git_dir(main) / "info").mkdir(exist_ok=True)
    (git_dir(main) / "info" / "exclude").write_text(".pre-commit-config.yaml\n")
    framework(task, "install", *TYPES)
    task.commit("mine", {"cli.py": "new\n"})
    assert task.run_git("log", "-1", "--format=%(trailers)").strip() == "Fleet-Task: app/42"
    task.write("README.md", "new\n")
    assert "outside the files of app/42" in refused(task, "commit", "-am", "strayed")
    assert "the trailer of another task" in refused(
        task, "commit", "--allow-empty", "-m", "x", "-m", "Fleet-Task: 43"
    )
    task.run_git("clone", "-q", "--bare", ".", "../hub.git")
    assert "a push to main" in task.try_git("push", "../hub.git", "HEAD:main").stdout.decode()
