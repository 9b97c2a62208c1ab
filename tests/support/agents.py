"""Coding agents as their hooks see them: JSON on the standard input of the installed shim.

The documents are those that Claude Code 2.1, Codex 0.169 and Gemini CLI 0.61 sent, with other paths.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from git_fleet.app import hookfiles
from tests.support.hooked import common_dir
from tests.support.repo import Repo


class Answer(NamedTuple):
    """What a hook said: its exit code, what goes to the agent's context, what goes to its model."""

    code: int
    out: str
    err: str


def install_shim(repo: Repo) -> Path:
    """The shim for agents, as `git fleet init --agents` installs it: where it is."""
    place = common_dir(repo) / "fleet" / "hooks" / hookfiles.AGENT
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(hookfiles.shim(hookfiles.AGENT))
    place.chmod(0o755)
    return place


def tell(
    repo: Repo, event: str, document: Any, *, at: Path | None = None, env: Mapping[str, str] | None = None
) -> Answer:
    """What the shim answers to `document` (bytes: as they are) in the folder `at`, else at the root of `repo`."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    shim = common_dir(repo) / "fleet" / "hooks" / hookfiles.AGENT
    done = subprocess.run(
        [str(shim), event],
        cwd=at or repo.path,
        input=data,
        capture_output=True,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


def claude(tool: str, cwd: Path | str, **given: Any) -> dict[str, Any]:
    """What Claude Code sends before a tool."""
    return {
        "session_id": "5f1c", "transcript_path": "/t.jsonl", "cwd": str(cwd), "prompt_id": "p1",
        "permission_mode": "acceptEdits", "effort": {"level": "medium"}, "hook_event_name": "PreToolUse",
        "tool_name": tool, "tool_input": given, "tool_use_id": "toolu_1",
    }  # fmt: skip


def codex(cwd: Path | str, patch: str, *, tool: str = "Bash") -> dict[str, Any]:
    """What Codex sends before it applies a patch: to a shell it is told `apply_patch <<'EOF'`."""
    command = f"apply_patch <<'EOF'\n{patch}\nEOF" if tool == "Bash" else patch
    return {
        "session_id": "01a2", "turn_id": "01a3", "transcript_path": None, "cwd": str(cwd),
        "hook_event_name": "PreToolUse", "model": "m", "permission_mode": "bypassPermissions",
        "tool_name": tool, "tool_input": {"command": command}, "tool_use_id": "call_1",
    }  # fmt: skip


def gemini(tool: str, cwd: Path | str, **given: Any) -> dict[str, Any]:
    """What Gemini CLI sends before a tool."""
    return {
        "session_id": "9b", "transcript_path": "/t.json", "cwd": str(cwd), "hook_event_name": "BeforeTool",
        "timestamp": "2026-11-20T12:00:00.000Z", "tool_name": tool, "tool_input": given,
    }  # fmt: skip


def stopping(cwd: Path | str, *, again: bool = False, session: str = "5f1c") -> dict[str, Any]:
    """What Claude Code and Codex send at the end of a turn, and Gemini CLI after its agent."""
    return {
        "session_id": session, "transcript_path": None, "cwd": str(cwd), "hook_event_name": "Stop",
        "permission_mode": "acceptEdits", "stop_hook_active": again, "last_assistant_message": "done",
    }  # fmt: skip
