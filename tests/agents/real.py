"""The real programs of the known agents, offline: each works a plan of two tasks, plans, verifies, and meets a model
that cannot be reached. `make test-agents`.

Not collected with the others: the programs are 1.2 GB together. They talk to a fake model endpoint
(tests/support/mock_model.py), which has a worker write one file and then says what it is told to. The box is neither
below /tmp, where Codex refuses to set up its sandbox, nor below /dev, of which that sandbox has a new one.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import tomli_w

from git_fleet.core.adapters import AGENTS, Adapter
from tests.support.fleet import plan_toml, task
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
    provider = f'name = "mock"\nbase_url = "{url}/v1"\nwire_api = "responses"\nenv_key = "OPENAI_API_KEY"\n'
    _write(
        home / ".codex" / "config.toml",
        f'model = "mock"\nmodel_provider = "mock"\n[model_providers.mock]\n{provider}',
    )
    return {"OPENAI_API_KEY": "dummy", "CODEX_HOME": str(home / ".codex")}


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
def model(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts a model that makes these calls of tools, then says this text: its address. Called without anything it is
    the address of none."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*calls: Mapping[str, object], text: str = "") -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        script = tmp_path / "script.json"
        script.write_text(json.dumps(calls))
        mock = Path(__file__).parents[1] / "support" / "mock_model.py"
        command = [sys.executable, str(mock), "--port", str(port), "--script", str(script), "--text", text]
        if text:
            started.append(subprocess.Popen(command))
        return f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.kill()
        process.wait()


Sets = Callable[[str], None]


@pytest.fixture
def sets(agent: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sets:
    """Has the agent use the model at that address."""

    def set_up(url: str) -> None:
        home = tmp_path / "home-of-agents"
        home.mkdir()
        monkeypatch.setenv("HOME", str(home))
        (home / ".gitconfig").write_text("[user]\nname = A\nemail = a@example.invalid\n")
        for name, text in SET_UP[agent.name](url, home).items():
            monkeypatch.setenv(name, text)

    return set_up


@pytest.fixture
def says(agent: Adapter, capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Says on the terminal what was seen of which version."""
    version = subprocess.run(
        [str(PROGRAMS / agent.name), "--version"], capture_output=True, text=True, check=True, timeout=60
    )

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n{agent.name} {version.stdout.strip()}: {text}")

    return say


def command(agent: Adapter, words: tuple[str, ...]) -> list[str]:
    """One of its commands, of the program that npm has installed."""
    return [str(PROGRAMS / agent.name), *words[1:]]


def test_a_worker_of_two_tasks(
    agent: Adapter, model: Callable[..., str], sets: Sets, says: Sets, repo: Repo, tmp_path: Path
) -> None:
    tool, argument = TOOLS[agent.name]
    writes = {"name": tool, "args": {argument: WRITES, "description": "write"}}
    sets(model(writes, text="It is done."))
    crew = Crew(repo, tmp_path, worker="retries = 0", config="idle_minutes = 1.5")
    crew.plan(task("a"), task("b", needs=["a"]))
    found = crew.run("p", "--workers", "1", "--", *command(agent, agent.run), code=0)
    assert found["ended"] == "complete", found
    assert crew.states() == {"a": "integrated", "b": "integrated"}
    assert crew.repo.run_git("show", "main:a/new", "main:b/new").split() == ["made", "made"]
    used = found["usage"]
    assert used["output_tokens"] == 2 * 84  # two answers for each task, 42 each
    cached_too = 3000 if agent.name == "claude" else 2000  # its endpoint counts 500 more, and those apart
    assert used["input_tokens"] == 2 * cached_too
    assert "It is done." in crew.fleet("log", "a", "--output")
    says(f"a and b integrated, {used}")


def test_a_planner(
    agent: Adapter, model: Callable[..., str], sets: Sets, says: Sets, repo: Repo, tmp_path: Path
) -> None:
    sets(model(text=f"So:\n\n```toml\n{plan_toml(task('a'), task('b'), plan='halves')}\n```\n"))
    table = tomli_w.dumps({"planner": {"run": command(agent, agent.asks), "timeout_seconds": 90}})
    crew = Crew(repo, tmp_path, worker=f"retries = 0\n{table}")
    found = json.loads(crew.fleet("plan", "draft", "Make both halves.", "--json"))
    assert found["plan"] == "halves"
    assert json.loads(crew.fleet("plan", "list", "--json"))["plans"][0]["state"] == "draft"
    says("drafted halves")


@pytest.mark.parametrize("verdict", ["upheld", "refuted"])
def test_a_verifier(
    agent: Adapter,
    model: Callable[..., str],
    sets: Sets,
    says: Sets,
    repo: Repo,
    tmp_path: Path,
    verdict: str,
) -> None:
    answer = json.dumps({"verdict": verdict, "findings": [{"text": "as the model says"}]})
    sets(model(text=f"I looked.\n\n```json\n{answer}\n```\n"))
    one = {"name": "v", "lens": "l", "run": command(agent, agent.asks), "timeout_seconds": 90}
    crew = Crew(
        repo, tmp_path, worker=f"retries = 0\n{tomli_w.dumps({'verifier': [one]})}",
        config="policy = { verdicts = 1 }",
    )  # fmt: skip
    crew.plan(task("a"), agents={"a": "done"})
    crew.run("p", "--workers", "1", "--no-verify", "--no-integrate", code=1)
    found = json.loads(crew.fleet("verify", "a", "--json", code=int(verdict == "refuted")))
    (given,) = found["tasks"][0]["verdicts"]
    assert (given["verdict"], given["findings"][0]["text"]) == (verdict, "as the model says")
    says(verdict)


def test_a_model_that_cannot_be_reached_keeps_nobody_for_ever(
    agent: Adapter, model: Callable[..., str], sets: Sets, says: Sets, repo: Repo, tmp_path: Path
) -> None:
    sets(model())
    crew = Crew(repo, tmp_path, worker="retries = 0", config="idle_minutes = 0.4")
    crew.plan(task("a"))
    found = crew.run("p", "--workers", "1", "--", *command(agent, agent.run), code=1)
    reason = found["tasks"][0]["reason"]
    assert reason.startswith("failed:" if agent.name == "claude" else ("idle:", "failed:"))
    says(f"without its model {reason.splitlines()[0]}")
