"""`claude -w NAME`: the plugin's hook answers with the worktree of a task, or with a plain one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from git_fleet import __version__, resources
from tests.support.agents import Answer, install_shim
from tests.support.fleet import approved, open_fleet, task
from tests.support.repo import Repo

SCRIPT = resources.claude_plugin() / "hooks" / "tell.sh"


def ask(repo: Repo, name: str, **env: str) -> Answer:
    """What the plugin answers to `claude -w NAME`; the program is found on PATH, as for people."""
    document = {
        "session_id": "s", "transcript_path": "/t", "cwd": str(repo.path), "hook_event_name": "WorktreeCreate", "name": name
    }  # fmt: skip
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(SCRIPT), "worktree-create"],
        cwd=repo.path,
        input=json.dumps(document).encode(),
        capture_output=True,
        env={**os.environ, "PATH": path, "CLAUDE_PROJECT_DIR": str(repo.path), **env},
        check=False,
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def fleet(repo: Repo) -> Repo:
    approved(open_fleet(repo), task("a", files=["a.py"]), task("b", files=["b.py"]))
    return repo


@pytest.mark.parametrize("shim", [False, True])
def test_the_named_task_is_claimed_and_its_worktree_printed_alone(fleet: Repo, shim: bool) -> None:
    if shim:
        install_shim(fleet)
    answer = ask(fleet, "b")
    assert answer.code == 0, answer.err
    place = Path(answer.out.removesuffix("\n"))
    assert place.is_absolute()
    ticket = json.loads(
        Path(Repo(place).run_git("rev-parse", "--absolute-git-dir"), "fleet.json").read_text()
    )
    assert ticket["task"] == "b"


def test_a_name_that_is_no_task_takes_one_that_is_ready(fleet: Repo) -> None:
    taken = {Path(ask(fleet, name).out).name.rpartition("-")[2] for name in ("brave-otter", "calm-newt")}
    assert len(taken) == 2
    answer = ask(fleet, "third-one")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("git-fleet: ")
    assert "next: " in answer.err


def test_a_task_of_somebody_else_is_not_given(fleet: Repo) -> None:
    first = ask(fleet, "a", FLEET_WORKER="w1")
    answer = ask(fleet, "a", FLEET_WORKER="w2")
    assert (answer.code, answer.out) == (1, "")
    assert "w1" in answer.err
    assert ask(fleet, "a", FLEET_WORKER="w1") == first  # the session before it was theirs


@pytest.mark.parametrize("name", ["-n", "--help", "../up", "a b", "", "x" * 300, "a\nb", "é"])
def test_a_strange_name_is_no_option_and_no_path(fleet: Repo, repo: Repo, name: str) -> None:
    answer = ask(fleet, name)
    assert answer.code == 0, answer.err
    assert Path(answer.out.removesuffix("\n")).is_dir()
    assert repo.status() == []


def test_without_a_plan_it_is_a_plain_worktree_as_claudes_own(repo: Repo) -> None:
    answer = ask(repo, "topic")
    place = repo.path / ".claude" / "worktrees" / "topic"
    assert (answer.code, answer.out) == (0, f"{place}\n")
    assert Repo(place).run_git("branch", "--show-current") == "worktree-topic"
    assert ask(repo, "topic").out == f"{place}\n"  # the session goes on there
    repo.run_git("worktree", "remove", str(place))
    assert ask(Repo(repo.path), "topic").out == f"{place}\n"  # its branch is there still
    assert ask(Repo(place), "other").out == f"{place.parent / 'other'}\n"


@pytest.mark.parametrize("name", ["../up", "-b", "", ".", "a/../b", ".hidden"])
def test_a_plain_worktree_has_a_plain_name(repo: Repo, name: str) -> None:
    before = repo.run_git("worktree", "list")
    answer = ask(repo, name)
    assert (answer.code, answer.out) == (1, "")
    assert "cannot be the name of a worktree" in answer.err
    assert repo.run_git("worktree", "list") == before


def test_outside_a_repository_it_fails_and_prints_no_path(tmp_path: Path) -> None:
    answer = ask(Repo(tmp_path), "x")
    assert (answer.code, answer.out) == (1, "")
    assert "not a git repository" in answer.err


def test_the_plugin_without_the_program_lets_pass_and_makes_no_worktree(repo: Repo) -> None:
    bare = {"PATH": "/usr/bin:/bin"}
    assert ask(repo, "x", **bare).code == 1
    done = subprocess.run([str(SCRIPT), "pre-tool-use"], cwd=repo.path, input=b"{}", env=bare, check=False)
    assert done.returncode == 0


def test_the_plugin_is_whole() -> None:
    root = resources.claude_plugin()
    about = json.loads((root / ".claude-plugin" / "plugin.json").read_text())
    assert about["version"] == __version__
    for key in ("hooks", "mcpServers"):
        assert json.loads((root / about[key]).read_text())
    hooks = json.loads((root / about["hooks"]).read_text())["hooks"]
    assert {"PreToolUse", "PostToolUse", "Stop", "SessionStart", "SessionEnd", "WorktreeCreate"} == set(hooks)
    assert os.access(SCRIPT, os.X_OK)
