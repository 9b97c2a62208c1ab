"""How each agent program is told of the MCP server: what to write, and where (seen to work in these programs)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from git_fleet.core.problems import nearest
from git_fleet.errors import InvalidInput

NAME = "fleet"


class Snippet(Struct, frozen=True):
    """`text` belongs into `file`; where that has something already, beside it."""

    client: str
    file: str
    text: str


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _claude(argv: Sequence[str]) -> tuple[str, str]:
    return ".mcp.json", _json({"mcpServers": {NAME: {"command": argv[0], "args": list(argv[1:])}}})


def _codex(argv: Sequence[str]) -> tuple[str, str]:
    args = ", ".join(json.dumps(word, ensure_ascii=False) for word in argv[1:])
    limits = "startup_timeout_sec = 20\ntool_timeout_sec = 1800"
    return "~/.codex/config.toml", f'[mcp_servers.{NAME}]\ncommand = "{argv[0]}"\nargs = [{args}]\n{limits}'


def _opencode(argv: Sequence[str]) -> tuple[str, str]:
    return "opencode.json", _json({"mcp": {NAME: {"type": "local", "command": list(argv), "enabled": True}}})


def _gemini(argv: Sequence[str]) -> tuple[str, str]:
    return ".gemini/settings.json", _json(
        {"mcpServers": {NAME: {"command": argv[0], "args": list(argv[1:])}}}
    )


def _vscode(argv: Sequence[str]) -> tuple[str, str]:
    server = {"type": "stdio", "command": argv[0], "args": list(argv[1:])}
    return ".vscode/mcp.json", _json({"servers": {NAME: server}})


CLIENTS: Mapping[str, Callable[[Sequence[str]], tuple[str, str]]] = {
    "claude": _claude,
    "codex": _codex,
    "opencode": _opencode,
    "gemini": _gemini,
    "vscode": _vscode,
}


def snippet(client: str, worker: str = "") -> Snippet:
    """What to write for one client. Raises InvalidInput for one that is not known."""
    make = CLIENTS.get(client.lower())
    if make is None:
        raise InvalidInput(
            f"no client {client!r}{nearest(client, CLIENTS)}; there is: {', '.join(CLIENTS)}",
            hint="any other client: a server on standard input and output, command git-fleet, arguments mcp",
        )
    file, text = make(("git-fleet", "mcp", *(("--worker", worker) if worker else ())))
    return Snippet(client.lower(), file, text)
