"""git runs the hooks several times for one commit: they start with the standard library alone."""

from __future__ import annotations

import subprocess
import sys

from git_fleet import resources
from tests.project.imports import brought_in, third_party


def test_the_hook_brings_in_nothing_but_the_standard_library() -> None:
    assert third_party("git_fleet.hook") == set()


def test_agents_hooks_bring_in_the_standard_library_and_little_of_it() -> None:
    """Every edit of an agent waits for it: what takes milliseconds to import is imported where it is needed."""
    assert third_party("git_fleet.agenthook") == set()
    heavy = {
        "pathlib",
        "subprocess",
        "tempfile",
        "dataclasses",
        "inspect",
        "hashlib",
        "shutil",
        "urllib",
        "socket",
    }
    assert heavy & brought_in("git_fleet.agenthook") == set()
    ours = {name for name in brought_in("git_fleet.agenthook") if name.startswith("git_fleet.")}
    assert ours == {
        f"git_fleet.{name}" for name in ("agenthook", "core", "core.guardrail", "core.toolcalls", "errors")
    }


def test_git_fleet_hook_starts_no_command_line() -> None:
    """Whoever calls a hook by `git fleet hook` waits for one interpreter, and not for click."""
    for words in (["hook", "agent", "stop"], ["hook", "pre-commit"]):
        command = [sys.executable, "-X", "importtime", "-m", "git_fleet", *words]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd="/"
        )
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
        assert "git_fleet.agenthook" in loaded
        assert loaded.isdisjoint({"click", "git_fleet.cli", "git_fleet.cli.main"})


def test_making_a_worktree_for_an_agent_brings_in_the_standard_library_alone() -> None:
    assert third_party("git_fleet.newworktree") == set()


def test_the_minder_is_started_from_its_file_alone_and_brings_in_little() -> None:
    """Every agent waits for it: json, signal and pathlib take longer to import than Python to start."""
    command = [sys.executable, "-I", "-S", "-X", "importtime", str(resources.minder()), "nowhere", "99"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    loaded = {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert {"os", "fcntl", "select"} <= loaded
    assert loaded.isdisjoint({"json", "signal", "enum", "re", "pathlib", "subprocess", "typing", "git_fleet"})


def test_the_probe_sees_what_a_module_brings_in() -> None:
    assert {"pygit2"} <= third_party("pygit2")
