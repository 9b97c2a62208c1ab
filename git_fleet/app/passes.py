"""Passes of gates that are on record, so that the same question is not asked twice (DESIGN section 9).

`<common dir>/fleet/passes/<key>.json` says that a command passed on a tree in an environment; the key names
the three. All worktrees of the repository share them. Format version 1, one JSON object:

    {"v":1,"tree":"…","command":"make test","environment":"…","seconds":12.3}

Nothing but passes is ever on record (see gates.py for which), so a failure is looked into each time.
Each file is written aside and renamed to its name, so that readers never see half of one, and several
processes and threads may keep the same pass at once. What cannot be read, or says something else than its
name, counts for nothing. Whoever may write there may also move refs: it is a cache, no proof.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from msgspec import Struct

from git_fleet.app.commands import MARK
from git_fleet.core.codec import canonical
from git_fleet.core.config import Gate
from git_fleet.core.ids import Oid
from git_fleet.git.repository import Repository

VERSION = 1
MOST = 4_000
"""Passes that are kept; the oldest of more go. One takes a block of the disk, 4 KiB."""

_LARGEST = 1 << 20  # a command is a few lines; more than that is nothing of ours
_SUFFIX = ".json"


class Pass(Struct, frozen=True):
    """A gate passed, and took so many seconds then."""

    seconds: float


class Passes:
    """The passes on record in `folder`.

    With `fresh` none of them is believed (`--no-cache`): every gate runs anew, and what comes of it is put on
    record all the same. May be used by several threads at once.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self._folder = folder
        self._fresh = fresh

    @classmethod
    def of(cls, repo: Repository, *, fresh: bool = False) -> Self:
        """Those of a repository: the same ones in all its worktrees."""
        return cls(repo.fleet_dir / "passes", fresh=fresh)

    def find(self, tree: Oid, gate: Gate, env: Mapping[str, str]) -> Pass | None:
        """The pass on record of this gate's command on `tree` in `env`, whatever its time limit was then."""
        if self._fresh:
            return None
        wanted = _question(tree, gate, env)
        try:
            with self._place(wanted).open("rb") as file:
                found = json.loads(file.read(_LARGEST))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or any(found.get(name) != said for name, said in wanted.items()):
            return None
        seconds = found.get("seconds")
        return Pass(float(seconds)) if isinstance(seconds, int | float) else None

    def keep(self, tree: Oid, gate: Gate, env: Mapping[str, str], seconds: float) -> None:
        """Put on record that the gate passed. What cannot be written is not: it is only a cache."""
        question = _question(tree, gate, env)
        with contextlib.suppress(OSError):
            self._write(self._place(question), question | {"seconds": round(seconds, 3)})

    def forget(self, tree: Oid, gate: Gate, env: Mapping[str, str]) -> None:
        """Take a pass off the record that what came since contradicts."""
        with contextlib.suppress(OSError):
            self._place(_question(tree, gate, env)).unlink(missing_ok=True)

    def _place(self, question: Mapping[str, Any]) -> Path:
        return self._folder / (hashlib.sha256(canonical(question).encode()).hexdigest()[:40] + _SUFFIX)

    def _write(self, place: Path, document: Mapping[str, Any]) -> None:
        import tempfile

        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="new-", dir=self._folder)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(canonical(document) + "\n")
            Path(name).replace(place)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        """A quarter at a time, leftovers of whoever died while writing included, so that it is rarely done."""
        if len(os.listdir(self._folder)) <= MOST:
            return
        aged = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # somebody else forgets, too
                    aged.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path))
        for _, path in sorted(aged)[: len(aged) - MOST * 3 // 4]:
            Path(path).unlink(missing_ok=True)


def environment_digest(env: Mapping[str, str]) -> str:
    """A short name for what a gate sees of `env`: two of one name are equal.

    The variable that marks a gate's processes is another one each time, and does not count.
    """
    lines = b"".join(os.fsencode(f"{name}={env[name]}\0") for name in sorted(env) if name != MARK)
    return hashlib.sha256(lines).hexdigest()[:32]


def _question(tree: Oid, gate: Gate, env: Mapping[str, str]) -> dict[str, Any]:
    command = gate.run if isinstance(gate.run, str) else list(gate.run)
    return {"v": VERSION, "tree": tree, "command": command, "environment": environment_digest(env)}
