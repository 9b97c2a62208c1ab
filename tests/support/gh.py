"""A stand-in for GitHub's command line: a program on PATH that answers from files and writes down how it was called."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_PROGRAM = """\
import fcntl, json, os, pathlib, signal, sys
folder = pathlib.Path(__file__).parent
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps({"argv": sys.argv[1:], "git": sorted(n for n in os.environ if n.startswith("GIT_"))}) + "\\n")
if (folder / "fails").exists():
    code, _, text = (folder / "fails").read_text().partition(" ")
    sys.exit(sys.stderr.write(text) and int(code))
if (folder / "hangs").exists():
    signal.pause()
verb, reference, rest = sys.argv[2], sys.argv[3], sys.argv[4:]
with (folder / "lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    path = folder / (reference.rpartition("/")[2] + ".json")
    if not path.exists():
        sys.exit("no such issue")
    issue = json.loads(path.read_text())
    if verb == "view":
        if (folder / "old").exists() and "stateReason" in rest[1].split(","):
            sys.exit('Unknown JSON field: "stateReason"\\nAvailable fields:\\n  assignees\\n  comments\\n  state\\n  url')
        print(json.dumps({key: issue[key] for key in rest[1].split(",")}))
    else:
        if rest:
            issue["comments"].append({"body": rest[1]})
            path.write_text(json.dumps(issue))
            if (folder / "half").exists():
                sys.exit("gone away")
        path.write_text(json.dumps({**issue, "state": "CLOSED"}))
"""


@dataclass(frozen=True)
class StandIn:
    """What the stand-in is told and has been told."""

    folder: Path

    def issue(
        self, number: int, state: str = "OPEN", reason: str = "", comments: tuple[str, ...] = ()
    ) -> None:
        """Let it know an issue."""
        found = {"state": state, "stateReason": reason, "comments": [{"body": text} for text in comments]}
        (self.folder / f"{number}.json").write_text(json.dumps(found))

    def now(self, number: int) -> dict[str, Any]:
        """The issue by now."""
        found: dict[str, Any] = json.loads((self.folder / f"{number}.json").read_text())
        return found

    def fails(self, code: int, text: str) -> None:
        """Let every call end with this."""
        (self.folder / "fails").write_text(f"{code} {text}")

    def calls(self) -> list[list[str]]:
        """How it was called, without the name of the program."""
        return [call["argv"] for call in self._calls()]

    def saw(self) -> set[str]:
        """Variables of git that it was given."""
        return {name for call in self._calls() for name in call["git"]}

    def _calls(self) -> list[dict[str, Any]]:
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Put it in front of whatever is on PATH."""
    folder.mkdir()
    program = folder / "gh"
    program.write_text(f"#!{sys.executable}\n{_PROGRAM}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return StandIn(folder)


def without(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A PATH with git and nothing else that matters."""
    import shutil

    folder.mkdir()
    git = shutil.which("git")
    assert git is not None
    (folder / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(folder))
