"""`git fleet demo`, as a user starts it: with real processes, from an environment full of agents' signs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.repo import Repo

AGENT = {"CLAUDECODE": "1", "FLEET_TASK": "t", "FLEET_WORKER": "zombie", "GIT_DIR": "/nowhere"}


def test_the_demo_tells_the_whole_story_and_leaves_a_healthy_repository(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    done = subprocess.run(
        [sys.executable, "-m", "git_fleet", "demo", "--keep", str(folder)],
        cwd=tmp_path,
        env={**os.environ, **AGENT},
        capture_output=True,
        text=True,
        check=False,
    )
    story = done.stdout
    assert done.returncode == 0, story + done.stderr
    assert "bump/bump-prod-us-east-1  bump/memory" in story  # the collision, on paper
    assert "git commit (README.md is nobody's): refused" in story
    assert "git commit --no-verify on main: refused" in story
    assert "went through" not in story
    assert "bump/bump-dev-us-east-1: back to rework" in story  # the red proposal, and what was done about it
    assert "found: gate pinned: exit code 1" in story
    assert story.count("$ git fleet run bump") == 2  # killed once, and begun again
    assert re.search(r"bump: 9 of 9 tasks integrated; \d commits? on main by this run, .*4 workers", story)
    assert "tasks: 9 integrated" in story
    said = r"9 tasks, 9 commits on main, 1 sent back and done better, (\d) recovered after kill -9, .* 0\.3\d US dollars"
    found = re.search(said, story)
    assert found, story
    assert int(found[1]) >= 1
    assert 'verdict = "upheld"' in story
    assert story.count(" is removed, and its branch ") == 3
    assert "$ git fleet doctor\n  all is well\n" in story
    repo = Repo(folder / "clusters")
    subjects = repo.run_git("log", "--format=%s", "main").splitlines()
    assert len(subjects) == 1 + 9
    assert len(repo.run_git("notes", "--ref=fleet/evidence", "list").splitlines()) == 9
    values = [entry.content for path, entry in repo.files("main").items() if path.startswith("live/")]
    assert all(b'version: "1.24"' in content for content in values)
    assert sum(b"1Gi" in content for content in values) == 1
    repo.run_git("fsck", "--strict")


def test_the_demo_refuses_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("text")
    done = subprocess.run(
        [sys.executable, "-m", "git_fleet", "demo", "--keep", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name == "mine"] == ["mine"]
