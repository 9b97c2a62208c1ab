"""Commands of this program, called beside a run: each is a process of its own, so that it may be killed apart from it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from git_fleet.app.surroundings import Surroundings
from git_fleet.git.tracing import VARIABLE


class Answered(NamedTuple):
    """What a call came to: its exit code, its JSON document ({} without one), what it `said` on standard error."""

    code: int
    document: dict[str, Any]
    said: str


class Calls:
    """Of one thread, one call after the other; any other may stop them. `program` starts this program."""

    def __init__(self, program: Sequence[str], around: Surroundings) -> None:
        self._program = program
        self._env = {
            name: value
            for name, value in around.env.items()
            if not name.startswith("FLEET_") or name == VARIABLE
        }
        self._lock = threading.Lock()
        self._over = False
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, folder: Path, *words: str) -> Answered:
        """Call a command in that folder and wait for its end; once they are stopped, none. Raises OSError."""
        with self._lock:
            if self._over:
                return Answered(0, {}, "")
            process = self._process = subprocess.Popen(
                [*self._program, *words],
                cwd=folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # the terminal's Ctrl-C is for the run to decide about
            )
        try:
            out, err = process.communicate()
        finally:
            with self._lock:
                self._process = None
        return Answered(process.returncode, _document(out), err.decode(errors="replace").strip())

    def stop(self, *, now: bool) -> None:
        """Begin no more; `now`: end the one that goes on, in its orderly way."""
        with self._lock:
            self._over = True
            if now and self._process is not None:
                with suppress(ProcessLookupError):
                    self._process.terminate()


def _document(out: bytes) -> dict[str, Any]:
    try:
        found = json.loads(out)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
