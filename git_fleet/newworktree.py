"""A worktree for an agent that asks for one by its own command (`claude -w NAME`): a task's, where a plan is open.

The task is claimed by the command line in a process of its own: this one has the standard library alone. Without
an open plan the answer is a plain worktree, where and as Claude Code itself would make it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from git_fleet.core.guardrail import printable
from git_fleet.errors import FleetError
from git_fleet.git.process import Git

_FAILED = 1
_UNKNOWN, _LOST = 2, 3  # DESIGN section 15: no such task; held, or a race lost
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_]|[.-](?=[A-Za-z0-9_])){0,99}\Z")
_ID = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*\Z")


def create(name: str, folder: str) -> int:
    """Print the absolute path of a worktree for `name`, alone on standard output: 0. Else say why not: 1."""
    try:
        place = _found(name, folder)
    except FleetError as error:
        _say(error.message, error.hint)
        place = ""
    if not place:
        return _FAILED
    sys.stdout.buffer.write(os.fsencode(place) + b"\n")
    sys.stdout.buffer.flush()
    return 0


def _found(name: str, folder: str) -> str:
    """The worktree; "" where it was said why there is none. Raises what git does."""
    common = Path(
        folder, os.fsdecode(Git(Path(folder)).run("rev-parse", "--git-common-dir").out).rstrip("\n")
    )
    return _of_task(name, folder) if (common / "fleet" / "open").exists() else _plain(name, Path(folder))


def _of_task(name: str, folder: str) -> str:
    """The worktree of the task of that name, else (agents make names up) of any that is ready; "" for none."""
    code: int = _UNKNOWN
    answer: dict[str, Any] = {}
    if _ID.match(name):
        code, answer = _fleet(folder, "claim", name)
        if code == _LOST:  # perhaps it is held by us, from an earlier session
            resumed, again = _fleet(folder, "claim", "--resume", name)
            code, answer = (resumed, again) if resumed == 0 else (code, answer)
    if code == _UNKNOWN:
        code, answer = _fleet(folder, "claim")
    if code == 0:
        return str(answer.get("worktree") or "")
    error = answer.get("error") or answer
    text, hint = (str(error.get(key) or "") for key in ("message", "hint"))
    _say(text or str(error.get("text") or "no task can be claimed now"), hint or "git fleet status")
    return ""


def _fleet(folder: str, *args: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON of a command of ours."""
    command = [sys.executable, "-P", "-m", "git_fleet", "--json", *args]
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {}
    return done.returncode, answer if isinstance(answer, dict) else {}


def _plain(name: str, folder: Path) -> str:
    """`.claude/worktrees/NAME` on the branch `worktree-NAME`; the one that is there already."""
    if not _NAME.match(name):
        _say(f"{name!a} cannot be the name of a worktree", "letters, digits, '.', '-' and '_'")
        return ""
    git = Git(folder, hooks=True)
    listed = os.fsdecode(git.run("worktree", "list", "--porcelain", "-z").out).split("\0")
    roots = [entry.removeprefix("worktree ") for entry in listed if entry.startswith("worktree ")]
    place, branch = Path(roots[0], ".claude", "worktrees", name), f"worktree-{name}"
    if str(place) not in roots:
        known = git.run("rev-parse", "-q", "--verify", f"refs/heads/{branch}", ok=(0, 1)).code == 0
        new = () if known else ("--no-track", "-b", branch)
        git.run("worktree", "add", *new, place, branch if known else "HEAD")
    return str(place)


def _say(message: str, hint: str) -> None:
    print(f"git-fleet: {printable(message)}\n  next: {printable(hint)}", file=sys.stderr)
