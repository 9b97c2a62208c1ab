"""The fleet in one short line, for shell prompts and status lines: `git fleet status --line`.

    bump/memory claimed; bump 4/9, 2 claimed, 1 blocked

Whoever has it in a prompt waits for it with every command, so it starts no click, and reads what it needs with two
small gits side by side. Where a plan was not parsed before it is left to the rest of the program (`None`). Where a
git server decides it says what was known of it last (store/names.py): nobody waits for a server here.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from git_fleet.core.inline import Plan, one_line
from git_fleet.git.process import Child, Git

_LOGS = ("refs/fleet/plan", "refs/fleet/task", "refs/fleet-remote/*/plan/*", "refs/fleet-remote/*/task/*/*")
_HERE = "refs/fleet/"
_TASK_FILE = "fleet-task"  # store/worktree.py writes it
_LIVES = frozenset({"approving", "open", "paused", "closing"})

Logs = Mapping[str, Mapping[str, Any]]
"""The newest event of each log, by what stands behind `refs/fleet/`."""


def line(folder: Path, now: datetime) -> str | None:
    """The line for the repository that `folder` is in, "" where no plan is open; None when it has to be found out
    the long way. Raises GitFailed and InvalidInput, as git does."""
    listing = Child(Git(folder), "for-each-ref", "--format=%(refname)%00%(contents)%00", *_LOGS)
    try:
        places = Git(folder).run("rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir").out
        read = b"".join(iter(lambda: listing.exactly(1 << 16), b""))
    finally:
        code = listing.end()
    if code:
        raise listing.error()
    own, common, *more = os.fsdecode(places).splitlines()
    if more:
        return None  # a folder with a newline in its name
    try:
        logs = _deciding(dict(_events(read)), Path(common) / "fleet" / "remote")
        return one_line(_plans(logs, Path(common) / "fleet" / "cache", now), _mine(Path(own), logs, now))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # nothing parsed before, or something that the rest of the program knows how to complain about


def _events(listing: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    parts = listing.split(b"\0")
    for name, message in zip(parts[::2], parts[1::2], strict=False):
        document = json.loads(message.rstrip().rpartition(b"\n")[2])
        if document["v"] != 1:
            raise ValueError("another format version")
        yield os.fsdecode(name.lstrip(b"\n")), document


def _deciding(logs: Logs, remote: Path) -> Logs:
    """The logs that count, without what stands before their kind. Raises ValueError where some of them are here alone
    and others the server's: which is ahead takes more than names."""
    here = {name: event for name, event in logs.items() if name.startswith(_HERE)}
    if not remote.exists():
        return {name.removeprefix(_HERE): event for name, event in here.items()}
    name = remote.read_text(encoding="utf-8").strip()
    if here or "/" in name:
        raise ValueError("some events are here alone, or the remote's were not listed")
    there = f"refs/fleet-remote/{name}/"
    return {ref.removeprefix(there): event for ref, event in logs.items() if ref.startswith(there)}


def _plans(logs: Logs, cache: Path, now: datetime) -> Iterator[Plan]:
    for name, event in logs.items():
        kind, _, plan = name.partition("/")
        state = event["state"].get("state", "draft") if kind == "plan" else ""
        if state in _LIVES:
            found = json.loads((cache / f"plan-{event['state']['revision']}.json").read_bytes())
            tasks = ("/".join(task["id"]) for task in found["plan"]["tasks"])
            counts = Counter(_state(logs.get(f"task/{task}"), now) for task in tasks)
            yield plan, state, counts


def _state(event: Mapping[str, Any] | None, now: datetime) -> str:
    if event is None:
        return "pending"
    state = event["state"]
    word = str(state.get("state", "pending"))
    if word == "claimed" and datetime.fromisoformat(state["claim"]["expires_at"]) <= now:
        return "expired"
    return word


def _mine(git_dir: Path, logs: Logs, now: datetime) -> str:
    try:
        task = (git_dir / _TASK_FILE).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    return f"{task} {_state(logs.get(f'task/{task}'), now)}"


def main(write: Callable[[str], object]) -> bool:
    """Write the line for the folder that we are in; False when that has to be done the long way."""
    found = line(Path(), datetime.now(UTC))
    if found is None:
        return False
    if found:
        write(f"{found}\n")
    return True
