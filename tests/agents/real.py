"""The real programs of the known agents, each through a plan of two tasks, offline: `make test-agents`.

Not collected with the others: the programs are 1.2 GB together. They talk to a fake model endpoint
(tests/support/mock_model.py) that has each write one file and then say a word.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from git_fleet.core.adapters import AGENTS, Adapter
from tests.support.fleet import task
from tests.support.repo import Repo
from tests.support.runs import Crew

PROGRAMS = Path(__file__).parents[2] / "build" / "agents" / "node_modules" / ".bin"
WRITES = 'mkdir -p "$FLEET_TASK" && echo made > "$FLEET_TASK/new"'
TOOLS: Mapping[str, tuple[str, str]] = {
    "claude": ("Bash", "command"),
    "codex": ("exec_command", "cmd"),
    "gemini": ("run_shell_command", "command"),
    "opencode": ("bash", "command"),
}
"""The tool that runs a command, and what its argument is called."""


def _claude(url: str, home: Path) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "dummy",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
    }


def _codex(url: str, home: Path) -> dict[str, str]:
    provider = f'name = "mock"\nbase_url = "{url}/v1"\nwire_api = "responses"\nenv_key = "MOCK_KEY"\n'
    _write(
        home / ".codex" / "config.toml",
        f'model = "mock"\nmodel_provider = "mock"\n[model_providers.mock]\n{provider}',
    )
    return {"MOCK_KEY": "dummy", "CODEX_HOME": str(home / ".codex")}


def _gemini(url: str, home: Path) -> dict[str, str]:
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
    }
    _write(home / ".gemini" / "settings.json", json.dumps(settings))
    return {"GEMINI_API_KEY": "dummy", "GEMINI_MODEL": "gemini-2.5-flash", "GOOGLE_GEMINI_BASE_URL": url}


def _opencode(url: str, home: Path) -> dict[str, str]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{url}/v1", "apiKey": "dummy"},
        "models": {"mock": {"cost": {"input": 1, "output": 2}}},
    }
    settings = {"model": "mock/mock", "provider": {"mock": provider}}
    _write(home / ".config" / "opencode" / "opencode.json", json.dumps(settings))
    return {"XDG_CONFIG_HOME": str(home / ".config")}


SET_UP: Mapping[str, Callable[[str, Path], dict[str, str]]] = {
    "claude": _claude,
    "codex": _codex,
    "gemini": _gemini,
    "opencode": _opencode,
}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(params=AGENTS, ids=lambda agent: agent.name)
def agent(request: pytest.FixtureRequest) -> Adapter:
    found: Adapter = request.param
    if not (PROGRAMS / found.name).exists():
        pytest.skip(f"{found.packages[0]} could not be installed from npm")
    return found


@pytest.fixture
def endpoint(agent: Adapter, tmp_path: Path) -> Iterator[str]:
    """A model that answers first with the tool call, then with a word."""
    tool, argument = TOOLS[agent.name]
    with serving([{"name": tool, "args": {argument: WRITES, "description": "write"}}], tmp_path) as url:
        yield url


@contextmanager
def serving(calls: Sequence[Mapping[str, Any]], folder: Path) -> Iterator[str]:
    """The address of a model that makes these calls of tools and then says a word."""
    script = folder / "script.json"
    script.write_text(json.dumps(calls))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mock = Path(__file__).parents[1] / "support" / "mock_model.py"
    process = subprocess.Popen(
        [sys.executable, str(mock), "--port", str(port), "--script", str(script), "--text", "It is done."]
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_a_plan_of_two_tasks(
    agent: Adapter, endpoint: str, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    home = tmp_path / "home-of-agents"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (home / ".gitconfig").write_text("[user]\nname = A\nemail = a@example.invalid\n")
    for name, text in SET_UP[agent.name](endpoint, home).items():
        monkeypatch.setenv(name, text)
    program = str(PROGRAMS / agent.name)
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=60)
    crew = Crew(repo, tmp_path, worker="retries = 0", config="idle_minutes = 1.5")
    crew.plan(task("a"), task("b", needs=["a"]))
    found = crew.run("p", "--workers", "1", "--", program, *agent.run[1:], code=0)
    assert found["ended"] == "complete", found
    assert crew.states() == {"a": "integrated", "b": "integrated"}
    assert crew.repo.run_git("show", "main:a/new", "main:b/new").split() == ["made", "made"]
    used = found["usage"]
    assert used["output_tokens"] == 2 * 84  # two answers for each task, 42 each
    assert used["input_tokens"] in (
        2 * 2000,
        2 * 3000,
    )  # with what came from the cache; claude's has 500 more
    assert "It is done." in crew.fleet("log", "a", "--output")
    with capsys.disabled():
        print(f"\n{agent.name} {version.stdout.strip()}: a and b integrated, {used}")
