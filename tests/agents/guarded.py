"""The real programs of the known agents in a task's worktree set up by `init --agents`, offline: `make test-agents`.

The fake model has each write a file that is not its task's, and then one that is. The first is refused by the agent's
own hook, before it happens.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from git_fleet.app.initialise import initialise
from git_fleet.core.adapters import Adapter
from tests.agents.real import PROGRAMS, SET_UP, agent, model
from tests.support.fleet import open_fleet
from tests.support.hooked import QUIET, git_dir, open_plan, task_worktree
from tests.support.repo import Repo

__all__ = ["agent", "model"]

FOREIGN, OWN = "foreign.txt", "own.txt"
_SECONDS = 120


def _patch(path: Path) -> dict[str, Any]:
    patch = f"*** Begin Patch\n*** Add File: {path}\n+written\n*** End Patch"
    return {"name": "exec_command", "args": {"cmd": f"apply_patch <<'EOF'\n{patch}\nEOF\n"}}


EDITS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "claude": lambda path: {"name": "Write", "args": {"file_path": str(path), "content": "written\n"}},
    "codex": _patch,
    "gemini": lambda path: {"name": "write_file", "args": {"file_path": str(path), "content": "written\n"}},
    "opencode": lambda path: {"name": "write", "args": {"filePath": str(path), "content": "written\n"}},
}
ASKING_NOTHING: Mapping[str, tuple[str, ...]] = {"codex": ("--dangerously-bypass-hook-trust", "--trust")}
"""What has the agent use what the repository brings, and do without a sandbox, which the tests' own may not allow."""


@pytest.fixture
def worktree(repo: Repo, tmp_path: Path) -> Repo:
    """A task's worktree in a repository that is set up for agents, with a plan open."""
    (command,) = initialise(open_fleet(repo), agents=True).commands
    subprocess.run(["sh", "-c", command], cwd=repo.path, check=True, capture_output=True)
    open_plan(repo)
    return task_worktree(repo, tmp_path / "task", files=[f"/{OWN}"])


def _without_npm(folder: Path) -> None:
    """OpenCode waits until npm has installed its library beside a plugin, for ever where there is no network: ours
    does not use it, so let OpenCode find it installed."""
    version = json.loads((PROGRAMS.parent / "opencode-ai" / "package.json").read_text())["version"]
    name, needs = "@opencode-ai/plugin", {"@opencode-ai/plugin": version}
    installed = folder / "node_modules" / name
    installed.mkdir(parents=True)
    (installed / "package.json").write_text(json.dumps({"name": name, "version": version}))
    (folder / "package.json").write_text(json.dumps({"dependencies": needs}))
    packages = {"": {"dependencies": needs}, f"node_modules/{name}": {"version": version}}
    lock = {"lockfileVersion": 3, "requires": True, "packages": packages}
    (folder / "package-lock.json").write_text(json.dumps(lock))


@pytest.fixture
def endpoint(agent: Adapter, worktree: Repo, model: Callable[..., str]) -> str:
    """A model that has two files written."""
    return model(*(EDITS[agent.name](worktree.path / name) for name in (FOREIGN, OWN)), text="It is done.")


def test_an_edit_is_refused_before_it_happens(
    agent: Adapter, endpoint: str, worktree: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home-of-agents"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name, text in {**SET_UP[agent.name](endpoint, home), "GEMINI_CLI_TRUST_WORKSPACE": "true"}.items():
        monkeypatch.setenv(name, text)
    if agent.name == "opencode":
        for folder in (worktree.path / ".opencode", home / ".config" / "opencode"):
            _without_npm(folder)
    said = _run(agent, worktree)
    assert not (worktree.path / FOREIGN).exists(), said
    assert f"not among the files of app/42 (/{OWN})" in said
    assert (worktree.path / OWN).exists(), said
    assert (worktree.path / OWN).read_text() == "written\n"
    assert (git_dir(worktree) / "fleet-alive").exists()
    assert worktree.run_git(*QUIET, "status", "--porcelain").split() == ["??", OWN]


def _run(agent: Adapter, worktree: Repo) -> str:
    """All that the program prints, to its end. One that waits for ever for its model is ended."""
    words = {
        "workspace-write": "danger-full-access",
        "{worktree}": str(worktree.path),
        "{prompt}": "Write it.",
        "{task}": "app/42",
    }
    command = [words.get(word, word) for word in (*agent.run[1:], *ASKING_NOTHING.get(agent.name, ()))]
    process = subprocess.Popen(
        [str(PROGRAMS / agent.name), *command],
        cwd=worktree.path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        printed = process.communicate(timeout=_SECONDS)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed = process.communicate()[0]
    return "\n".join(_texts(printed.decode("utf-8", "replace")))


def _texts(printed: str) -> Iterator[str]:
    """The lines, and every text in those that are JSON."""
    for line in printed.splitlines():
        yield line
        if line.startswith("{"):
            yield from _within(json.loads(line))


def _within(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _within(each)
