"""What this clone has pushed: one line a push, so that it can be counted and kept rare.

`<common dir>/fleet/refused` names the refs that the server did not take, with its words, a line for each.
`<common dir>/fleet/pushes` has `<seconds since 1970> <worker>` on each line, oldest first; only the last ones stay.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from git_fleet.errors import Refused
from git_fleet.git.locks import alone

_LARGEST = 256 * 1024  # bytes; then the older half goes
_BY_A_WALL = re.compile(r"git-fleet: refused: (.+?); +next: (.+?)(?:; git-fleet: refused: .*)?$")


class WallsWords(NamedTuple):
    """Which ref a wall refuses and why, and what it says to do next."""

    why: str
    then: str


def said_by_wall(words: str) -> WallsWords | None:
    """What the wall of a server (hooks/pre-receive) refuses first, in what a push that failed was told; None where
    it was not a wall."""
    found = _BY_A_WALL.search(words)
    return WallsWords(found[1], found[2]) if found else None


def refusal(remote: str, branch: str, said: str) -> Refused:
    """The error when a server says no though nobody was faster: `branch` (full name) was to move, "" for none."""
    wall = said_by_wall(said)
    if wall is not None:
        return Refused(f"the wall of {remote} refuses {wall.why}", hint=wall.then, said=said)
    if branch:
        short = branch.removeprefix("refs/heads/")
        return Refused(
            f"the remote {remote} does not let {short} be moved by a push: {said}",
            hint=f"let the lead's account push to {short}, or bring the task's branch there by a pull request",
            said=said,
        )
    return Refused(
        f"the remote {remote} does not take what was pushed: {said}",
        hint="git fleet doctor --remote says what the server has to allow",
        said=said,
    )


class Pushes:
    """The pushes of this clone, in the file `path`."""

    def __init__(self, path: Path, worker: str) -> None:
        self._path = path
        self.worker = " ".join(worker.split())

    def add(self) -> None:
        """Count one by this worker, now. A line is written in one piece."""
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{time.time():.3f} {self.worker}\n")
            large = file.tell() > _LARGEST
        if large:
            self._shorten()

    def since(self, moment: float) -> int:
        """How many there were after `moment` (seconds since 1970), by anybody in this clone."""
        return sum(at >= moment for at, _ in self._lines())

    def seconds_since_last(self) -> float:
        """How long ago this worker pushed last."""
        mine = [at for at, worker in self._lines() if worker == self.worker]
        return time.time() - max(mine, default=0.0)

    def refused(self, refs: Iterable[str], words: str) -> None:
        """Remember that the server does not take pushes of these refs, and what it says."""
        known = self.refusals() | {ref: " ".join(words.split()) for ref in refs}
        self._refusals.write_text("".join(f"{ref} {said}\n" for ref, said in known.items()), encoding="utf-8")

    def accepted(self, refs: Iterable[str]) -> None:
        """It does take these."""
        known = self.refusals()
        left = {ref: said for ref, said in known.items() if ref not in set(refs)}
        if left != known:
            self._refusals.write_text(
                "".join(f"{ref} {said}\n" for ref, said in left.items()), encoding="utf-8"
            )

    def refusals(self) -> dict[str, str]:
        """Refs that the server did not take when they were pushed last, and its words."""
        try:
            lines = self._refusals.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return {}
        return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}

    @property
    def _refusals(self) -> Path:
        return self._path.with_name("refused")

    def _lines(self) -> list[tuple[float, str]]:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        words = (line.partition(" ") for line in text.splitlines())
        return [(float(at), worker) for at, _, worker in words if at.replace(".", "", 1).isdecimal()]

    def _shorten(self) -> None:
        with alone(self._path.with_suffix(".lock")):
            data = self._path.read_bytes()
            if len(data) > _LARGEST:
                new = self._path.with_suffix(".new")
                new.write_bytes(data[len(data) // 2 :].partition(b"\n")[2])
                new.replace(self._path)
