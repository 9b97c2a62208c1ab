"""`--trace FILE`: where it may stand, that whoever is started writes into the same file, and errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Fleet
from tests.support.repo import Repo


def fleet_run(path: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "git_fleet", *arguments],
        cwd=path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **env},
        capture_output=True,
        text=True,
        check=False,
    )


def events(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text().removesuffix(",\n") + "\n]")
    return found


@pytest.mark.parametrize("arguments", [("--trace", "t.json", "status"), ("status", "--trace", "t.json")])
def test_it_may_stand_before_and_behind_the_command(
    approved: Fleet, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = fleet_run(tmp_path, "-C", str(approved.path), *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    found = events(tmp_path / "t.json")
    assert [event["args"]["name"] for event in found if event.get("name") == "process_name"] != []
    assert "git for-each-ref" in {event.get("name") for event in found}
    assert sum(event["ph"] == "B" for event in found) == sum(event["ph"] == "E" for event in found)


def test_hooks_and_gates_are_in_it(approved: Fleet, repo: Repo, tmp_path: Path) -> None:
    """git starts the hooks, and they are processes of their own."""
    repo.commit("Gates", {"fleet.toml": 'version = 1\n\n[[gate]]\nname = "tests"\nrun = "true"\n'})
    approved.ok("init")
    approved.ok("claim", "42", "--worker", "ann")
    there = Path(approved.ok("path", "42").strip())
    trace = tmp_path / "t.json"
    env = {"FLEET_TRACE": str(trace)}
    (there / "cli.py").write_text("print(1)\n")
    assert fleet_run(there, "done", "--all", "-m", "Count", **env).returncode == 0
    assert fleet_run(approved.path, "integrate", **env).returncode == 0
    found = events(trace)
    assert len({event["pid"] for event in found}) > 2
    names = {event.get("name", "") for event in found}
    assert {"git fleet integrate", "git update-ref", "git commit"} <= names
    assert any("pre-commit" in name for name in names), names
    (gate,) = [event for event in found if event.get("cat") == "command" and event["ph"] == "B"]
    assert gate["args"]["command"] == "true"
    moved = [event for event in found if event.get("cat") == "refs" and event["ph"] == "B"]
    assert any("refs/heads/main" in update for event in moved for update in event["args"]["updates"])


def test_a_file_that_cannot_be_written_is_refused(approved: Fleet, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    answer = approved("--trace", str(tmp_path / "notes"), "status")
    assert (answer.code, answer.out) == (2, "")
    assert "is no trace, and stays as it is" in answer.err
    answer = approved("status", "--trace", str(tmp_path / "none" / "t"))
    assert (answer.code, answer.out) == (2, "")
    assert "cannot write the trace" in answer.err


def test_a_trace_of_the_environment_that_cannot_be_written_stops_nothing(
    approved: Fleet, tmp_path: Path
) -> None:
    done = fleet_run(approved.path, "status", "--line", FLEET_TRACE=str(tmp_path / "none" / "t"))
    assert (done.returncode, done.stdout) == (0, "app 0/3\n")
    assert done.stderr.count("cannot write the trace") == 1
