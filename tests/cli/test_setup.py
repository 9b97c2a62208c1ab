"""Setting up, checking and tidying up by commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Fleet
from tests.support.repo import Repo

SELF = [sys.executable, "-m", "git_fleet"]


def test_doctor_ends_with_one_while_something_is_wrong(approved: Fleet) -> None:
    document = approved.json("doctor", "doctor", code=1)
    assert "hooks-missing" in [problem["code"] for problem in document["problems"]]
    answer = approved("doctor")
    assert answer.code == 1
    assert "[hooks-missing]" in answer.out


def test_a_hook_decides_in_a_process_of_its_own(approved: Fleet) -> None:
    passed = subprocess.run(
        [*SELF, "hook", "pre-commit"], cwd=approved.path, capture_output=True, check=False
    )
    assert (passed.returncode, passed.stdout) == (4, b"")
    assert b"git fleet lead acquire" in passed.stderr
    unknown = subprocess.run(
        [*SELF, "hook", "post-commit"], cwd=approved.path, capture_output=True, check=False
    )
    assert unknown.returncode == 2
    assert b"no such hook: post-commit" in unknown.stderr


def test_a_fresh_repository_is_set_up_rehearsed_and_undone(repo: Repo, fleet: Fleet) -> None:
    repo.commit("None", {"fleet.toml": None, "Makefile": "test:\n\ttrue\n"})
    rehearsed = fleet.json("init", "init", "--dry-run")
    assert [gate["run"] for gate in rehearsed["gates"]] == ["make test"]
    assert repo.status() == []
    made = fleet.json("init", "init")
    assert (repo.path / "fleet.toml").read_text(encoding="utf-8") == made["config"] == rehearsed["config"]
    assert (repo.path / ".git/hooks/pre-commit").exists()
    assert "fleet.toml" in made["commands"][0]
    assert fleet.json("init", "init")["config"] is None
    fleet.json("init", "init", "--uninstall")
    assert not (repo.path / ".git/hooks/pre-commit").exists()
    assert fleet("init", "--uninstall", "--config-hooks").code == 2


def test_agents_are_set_up_rehearsed_and_undone(repo: Repo, fleet: Fleet) -> None:
    rehearsed = fleet.json("init", "init", "--agents", "--dry-run")
    assert not (repo.path / "AGENTS.md").exists()
    made = fleet.json("init", "init", "--agents")
    assert made["agents"] == rehearsed["agents"] != []
    assert "AGENTS.md" in made["commands"][0]
    assert "everything is in place already" not in fleet.ok("init", "--uninstall")
    assert not (repo.path / "AGENTS.md").exists()
    assert fleet("init", "--uninstall", "--agents").code == 2


def test_doctor_is_content_with_a_repository_that_was_set_up(fleet: Fleet) -> None:
    fleet.ok("init")
    assert fleet.json("doctor", "doctor", "--fix")["ok"] is True
    assert fleet.ok("doctor").endswith("all is well\n")


def test_worktrees_of_ended_tasks_are_removed_and_others_stay(approved: Fleet) -> None:
    trees = {
        task: Path(approved.json("claim", "claim", task, "--worker", "w1")["worktree"])
        for task in ("42", "43")
    }
    approved.ok("cancel", "42")
    (row,) = approved.json("cleanup", "cleanup", "--dry-run")["worktrees"]
    assert (row["task_id"], row["removed"], row["kept"]) == ("app/42", False, None)
    assert trees["42"].is_dir()
    (row,) = approved.json("cleanup", "cleanup")["worktrees"]
    assert row["removed"] is True
    assert not trees["42"].exists()
    (row,) = approved.json("cleanup", "cleanup", "43", code=1)["worktrees"]
    assert (row["kept"], trees["43"].is_dir()) == ("active", True)
    assert approved("cleanup", "43").out.startswith("- app/43 keeps ")


def test_a_server_is_walled_and_opened_again(repo: Repo, fleet: Fleet, tmp_path: Path) -> None:
    server = str(tmp_path / "hub.git")
    repo.run_git("clone", "--quiet", "--bare", ".", server)
    rehearsed = fleet.json("guard", "guard", "--server", server, "--dry-run")
    assert not (tmp_path / "hub.git/hooks/pre-receive").exists()
    made = fleet.json("guard", "guard", "--server", server)
    assert made["changes"] == rehearsed["changes"]
    assert made["strength"] == "contents"
    assert "name them in" in fleet.ok("guard", "--server", server)
    assert "nothing guards" in fleet.ok("guard", "--server", server, "--uninstall")
    for wrong in ((), ("--server", str(repo.path)), ("--server", "nowhere")):
        assert fleet("guard", *wrong).code == 2
