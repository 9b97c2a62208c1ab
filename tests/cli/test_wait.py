"""`git fleet wait`: until there is a task to claim."""

from __future__ import annotations

import subprocess
import sys

from tests.cli.conftest import Fleet
from tests.support.repo import Repo

PATIENCE_SECONDS = 60.0


def waiting(fleet: Fleet, *args: str) -> subprocess.Popen[str]:
    """The command at work, once it has said what it waits for."""
    command = [sys.executable, "-m", "git_fleet", "wait", *args]
    process = subprocess.Popen(
        command, cwd=fleet.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("waiting: ")
    return process


def claim_all(fleet: Fleet) -> None:
    for task in ("42", "43"):  # 44 takes turns with 42
        fleet.ok("claim", task, "--worker", "ann", "--no-worktree")


def test_what_can_be_claimed_is_said_at_once(approved: Fleet) -> None:
    found = approved.json("wait", "wait", "app")
    assert [task["task_id"] for task in found["tasks"]] == ["app/42", "app/43", "app/44"]


def test_it_ends_as_soon_as_something_can_be_claimed(approved: Fleet) -> None:
    claim_all(approved)
    with waiting(approved) as process:
        approved.ok("progress", "42", "half of it", "--worker", "ann")
        approved.ok("release", "43", "--worker", "ann")
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert "app/43" in out


def test_it_ends_when_nothing_more_will_come(approved: Fleet) -> None:
    claim_all(approved)
    with waiting(approved, "app") as process:
        for task in ("44", "43", "42"):
            approved.ok("cancel", task)
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out) == (1, "nothing to claim (complete): every task of plan app has ended\n")


def test_it_waits_no_longer_than_it_is_told(approved: Fleet) -> None:
    claim_all(approved)
    assert approved.json("wait", "wait", "--minutes", "0", code=1)["reason"] == "waiting"


def test_while_no_claim_may_be_made_nothing_is_there_to_claim(approved: Fleet, repo: Repo) -> None:
    text = 'version = 1\ngates = "none"\nbucket = { capacity = 1, refill_per_minute = 0.5 }\n'
    repo.commit("Slower", {"fleet.toml": text})
    approved.ok("claim", "43", "--no-worktree")
    found = approved.json("wait", "wait", "--minutes", "0", code=1)
    assert found["reason"] == "limit"
    assert 0 < found["retry_after_seconds"] <= 120


def test_a_plan_that_is_not_there_is_refused(approved: Fleet) -> None:
    assert approved.json("error", "wait", "nope", code=2)["error"]["code"] == "invalid"
