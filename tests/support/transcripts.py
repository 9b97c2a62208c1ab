"""What the known agents print, played by programs of their names: tests/core/transcripts/, with other words in them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "core" / "transcripts"
FINAL = "hello from mock"
_SHOWN: Mapping[str, str] = {
    "claude": "(Bash completed with no output)",
    "codex": "bwrap: execvp codex-linux-sandbox: No such file or directory\n",
    "gemini": "",
    "opencode": "(no output)",
}
"""What its tool has printed, in the transcript `AGENT-ok` of each."""


def transcript(name: str) -> str:
    """One that was recorded, as it is."""
    return (FOLDER / name).read_text(encoding="utf-8")


def answering(agent: str, final: str, shown: str) -> str:
    """What that agent prints that says `final` in the end, after its tool has shown it `shown`. Gemini's comes in
    pieces, each a line at the most."""
    events = [
        _with(json.loads(line), {FINAL: final, _SHOWN[agent]: shown})
        for line in transcript(f"{agent}-ok.jsonl").splitlines()
    ]
    whole = [piece for event in events for piece in _pieces(event)]
    return "".join(f"{json.dumps(event)}\n" for event in whole)


def _with(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _with(inner, words) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with(inner, words) for inner in value]
    return words.get(value, value) if isinstance(value, str) else value


def _pieces(event: dict[str, Any]) -> list[dict[str, Any]]:
    if not event.get("delta"):
        return [event]
    return [{**event, "content": line} for line in event["content"].splitlines(keepends=True)]


def program(folder: Path, agent: str, printed: str, code: int = 0) -> tuple[str, ...]:
    """The command of a program of that name, which prints this and ends so."""
    folder.mkdir(exist_ok=True)
    said = folder / f"{agent}.said"
    said.write_text(printed, encoding="utf-8")
    path = folder / agent
    path.write_text(f"#!/bin/sh\ncat {shlex.quote(str(said))}\nexit {code}\n")
    path.chmod(0o755)
    return (str(path), "{prompt}")
