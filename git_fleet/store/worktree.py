"""What a task's worktree knows about itself: small files in its own git dir, never in the work tree.

`fleet.json`, one JSON object, format version 1:

    {"v":1,"plan":"p","task":"t","fence":"<oid of the claim event>","worker":"w1","slot":3,
     "branch":"feature/42-count","base":"main","mode":"branch","files":["cli.py"],"reads":[],
     "regexes":["…"],"generated_regexes":["…"],"output":"commit","claimed_at":"2026-01-01T12:00:00Z"}

`regexes` are `files` as Python regular expressions, so that a hook matches with the standard library
alone. `fleet-branch` holds `refs/heads/<branch>` and a newline, `fleet-task` likewise `<plan>/<task>`,
so that a shell hook can decide without Python. A reader refuses a version it does not know; unknown
keys of version 1 are ignored.

`fleet-alive` is a sign of life: agents' own hooks (hooks/agent, agenthook.py) write it at every call, and its
time says when that was. Its one line is what happened: `pre-tool-use`, `post-tool-use`, `stop`, `session-start` or
`session-end`. It belongs to no claim and no format version: who reads it compares its time with the claim's.
(`fleet-stopped` and `fleet-seen` are notes of that hook to itself.)
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import asdict

from git_fleet.core.ids import TaskId, parse_task_id
from git_fleet.errors import GitFailed, InvalidInput, UnknownFormat

VERSION = 1
FILE = "fleet.json"
BRANCH_FILE = "fleet-branch"
TASK_FILE = "fleet-task"
SIGN_FILE = "fleet-alive"
_LOCK_REASON = "git-fleet: "
_LISTS = ("files", "reads", "regexes", "generated_regexes")


class Placement(Struct, frozen=True):
    """Which task is worked on here, by which claim, and what it may touch.

    `fence` is the claim event's object id, `branch` and `base` are short branch names, `mode` is
    `branch` or `lead-commits`, `output` is `commit` or `report`, `claimed_at` ISO 8601 in UTC.
    """

    plan: str
    task: str
    fence: str
    worker: str
    slot: int
    branch: str
    base: str
    mode: str
    files: tuple[str, ...]
    reads: tuple[str, ...]
    regexes: tuple[str, ...]
    generated_regexes: tuple[str, ...]
    output: str
    claimed_at: str


class Sign(NamedTuple):
    """The last sign of life of an agent in a worktree: when (seconds since the epoch, by the file system's clock), what."""

    at: float
    event: str


def last_sign(git_dir: Path) -> Sign | None:
    """The last sign of life in the worktree whose own git dir this is; None where there was none. Writes nothing."""
    try:
        with (git_dir / SIGN_FILE).open("rb") as file:
            return Sign(os.fstat(file.fileno()).st_mtime, file.read(64).decode("ascii", "replace").strip())
    except OSError:
        return None


def task_in(git_dir: Path) -> TaskId | None:
    """The task whose worktree this is, by the small file for shell hooks; None where that is not to be had."""
    try:
        return parse_task_id(os.fsdecode((git_dir / TASK_FILE).read_bytes()).strip())
    except (OSError, InvalidInput):
        return None


def lock_reason(task: TaskId) -> str:
    """Why git must not prune a task's worktree; also how a half-made one is known as the task's."""
    return f"{_LOCK_REASON}{task}"


def is_fleet_lock(reason: str) -> bool:
    """Whether a worktree's lock is the fleet's, not a person's."""
    return reason.startswith(_LOCK_REASON)


def read(git_dir: Path) -> Placement | None:
    """The placement of the worktree whose own git dir this is; None when it is no task's worktree.

    Raises UnknownFormat for another version, InvalidInput for a file that cannot be read as one.
    """
    place = git_dir / FILE
    try:
        text = place.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(place, str(error)) from error
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _broken(place, str(error)) from error
    return _parse(document, place)


def _parse(document: Any, place: Path) -> Placement:
    if not isinstance(document, dict):
        raise _broken(place, "not a JSON object")
    if document.get("v") != VERSION:
        raise UnknownFormat(
            f"{place} has format version {document.get('v')!r}, this git-fleet knows {VERSION}",
            hint="git fleet doctor",
        )
    known: dict[str, Any] = {}
    for name in Placement.__struct_fields__:
        value = document.get(name)
        wanted = list if name in _LISTS else int if name == "slot" else str
        if not isinstance(value, wanted):
            raise _broken(place, f"{name} is {value!r}")
        known[name] = tuple(map(str, value)) if isinstance(value, list) else value
    return Placement(**known)


def _broken(place: Path, why: str) -> InvalidInput:
    return InvalidInput(f"{place} cannot be used: {why}", hint="git fleet claim --resume writes it anew")


def write(git_dir: Path, placement: Placement) -> None:
    """Store the placement; `fleet.json` comes last, whole or not at all. Raises GitFailed."""
    document = {"v": VERSION, **asdict(placement)}
    replace_file(git_dir / BRANCH_FILE, os.fsencode(f"refs/heads/{placement.branch}\n"))
    replace_file(git_dir / TASK_FILE, os.fsencode(f"{placement.plan}/{placement.task}\n"))
    replace_file(git_dir / FILE, json.dumps(document).encode() + b"\n")


def replace_file(place: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file in a git dir, whole or not at all: a reader (or a crash) never meets half of it. `mode` is that
    of git's own files there. Raises GitFailed."""
    try:
        _replace(place, data, mode)
    except OSError as error:
        raise GitFailed(
            f"cannot write {place}: {error.strerror}",
            hint="make the repository writable for you, or free some space; then run the command again",
        ) from error


def _replace(place: Path, data: bytes, mode: int) -> None:
    import tempfile

    handle, name = tempfile.mkstemp(prefix=f"{place.name}.", dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
