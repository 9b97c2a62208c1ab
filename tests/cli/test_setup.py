"""Setting up, checking and tidying up by commands."""

from __future__ import annotations

import subprocess
import sys

from tests.cli.conftest import Fleet

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
