"""`git fleet mcp` as a process, and what it says to agents' programs and to people."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from git_fleet.views.snippets import CLIENTS
from tests.cli.conftest import Fleet
from tests.support.repo import Repo

HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}  # fmt: skip
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def argv(*options: str) -> list[str]:
    return [sys.executable, "-m", "git_fleet", *options]


@contextmanager
def served(repo: Repo, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that has answered its first message."""
    process = subprocess.Popen(
        argv("-C", str(repo.path), "mcp", *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert ask(process, HELLO)["result"]["serverInfo"]["name"] == "git-fleet"
        tell(process, READY)
        yield process
    finally:
        process.kill()
        process.communicate()


def tell(process: subprocess.Popen[bytes], message: object) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()


def ask(process: subprocess.Popen[bytes], message: object) -> dict[str, Any]:
    tell(process, message)
    assert process.stdout is not None
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def call(tool: str, number: int, **arguments: Any) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": number,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments},
    }


def test_a_client_that_goes_ends_it(approved: Fleet, repo: Repo) -> None:
    with served(repo) as process:
        claim = ask(process, call("claim_task", 2, worktree=False))["result"]["structuredContent"]
        assert claim["task_id"].startswith("app/")
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, b"", b"")
    assert approved.json("status", "status")["plans"][0]["counts"]["claimed"] == 1


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)], ids=str
)
def test_a_signal_ends_it_though_its_client_stays(
    approved: Fleet, repo: Repo, number: signal.Signals, code: int
) -> None:
    assert approved.path == repo.path
    with served(repo) as process:
        ask(process, call("claim_task", 2, worktree=False))
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.wait(60) == code
        assert process.stderr is not None
        assert process.stderr.read() == b"git-fleet: interrupted\n"
        _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


def test_a_server_acts_as_the_worker_it_is_told_to_be(approved: Fleet, repo: Repo) -> None:
    assert approved.path == repo.path
    with served(repo, "--worker", "ann") as process:
        claim = ask(process, call("claim_task", 2, worktree=False))["result"]["structuredContent"]
    assert claim["worker"] == "ann"


def test_two_servers_without_a_name_are_two_workers(approved: Fleet, repo: Repo) -> None:
    assert approved.path == repo.path
    found = []
    for _ in range(2):
        with served(repo) as process:
            claim = ask(process, call("claim_task", 2, worktree=False))["result"]["structuredContent"]
            assert claim["task_id"] is not None
            found.append(claim["worker"])
    assert len(set(found)) == 2


def test_outside_of_a_repository_it_says_so_and_ends(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("empty")
    done = subprocess.run(argv("-C", str(folder), "mcp"), input=b"", capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"repository" in done.stderr


def test_without_a_standard_input_it_says_so(repo: Repo) -> None:
    script = f"exec {shlex.join(argv('-C', str(repo.path), 'mcp'))} <&-"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("git-fleet: there is no standard input to serve\n")


def test_without_the_sdk_it_says_what_to_install(repo: Repo) -> None:
    code = "import sys; sys.modules['mcp'] = None; from git_fleet.cli.main import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "-C", str(repo.path), "mcp"],
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "git-fleet: the MCP server needs the MCP SDK, and mcp is not installed\nhint: pip install 'git-fleet[mcp]'\n"
    )


@pytest.mark.parametrize("client", CLIENTS)
def test_a_snippet_says_what_to_write_and_where(fleet: Fleet, client: str) -> None:
    answer = fleet("mcp", "--config", client, "--worker", "ann")
    assert answer.code == 0
    shown = fleet.json("mcp-config", "mcp", "--config", client, "--worker", "ann")
    assert answer.err == f"this belongs into {shown['file']}\n"
    assert answer.out == f"{shown['text']}\n"
    text = shown["text"]
    document: Any = tomllib.loads(text) if shown["file"].endswith(".toml") else json.loads(text)
    ((_, servers),) = document.items()
    entry = servers["fleet"]
    words = entry["command"] if isinstance(entry["command"], list) else [entry["command"], *entry["args"]]
    assert words == ["git-fleet", "mcp", "--worker", "ann"]


def test_the_keys_of_a_snippet_are_those_of_its_program(fleet: Fleet) -> None:
    heads = {client: fleet.ok("mcp", "--config", client).split()[:2] for client in CLIENTS}
    assert heads == {
        "claude": ["{", '"mcpServers":'],
        "codex": ["[mcp_servers.fleet]", "command"],
        "opencode": ["{", '"mcp":'],
        "gemini": ["{", '"mcpServers":'],
        "vscode": ["{", '"servers":'],
    }


def test_a_client_that_is_not_known_is_refused_with_those_that_are(fleet: Fleet) -> None:
    answer = fleet("mcp", "--config", "cluade")
    assert answer.code == 2
    assert "did you mean claude" in answer.err.lower().replace("'", "")
    assert "vscode" in answer.err
