"""What this clone has pushed: one line a push, so that it can be counted and kept rare.

`<common dir>/fleet/refused` names the refs that the server did not take, with its words, a line for each.
`<common dir>/fleet/pushes` has `<seconds since 1970> <ref>…` on each line, oldest first: the first refs of the push.
Only the last ones stay; then the first line is `gone <number>` and says how many did not.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from git_fleet.errors import Refused
from git_fleet.git import whole
from git_fleet.git.flocks import alone

_LARGEST = 256 * 1024  # bytes; then the older half goes
_GONE = "gone"
_MOST_NAMED = 4  # refs on a line: a push of one task's life moves fewer
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
    """The error for a push that a server does not want, in its own words `said`; `branch` is the base that was to be
    moved (a full name), "" for none."""
    wall = said_by_wall(said)
    if wall is not None:
        return Refused(f"the wall of {remote} refuses {wall.why}", hint=wall.then, said=said)
    if ".lock': File exists" in said:  # only for what is said: nothing is decided by it
        return Refused(
            f"the remote {remote} has a lock file in the way, of a push that goes on or was killed: {said}",
            hint="try again; where it stays, whoever keeps the server removes it once no git runs there",
            said=said,
        )
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

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, refs: Iterable[str]) -> None:
        """Count one that moves these refs, now."""
        self._path.parent.mkdir(exist_ok=True)
        with alone(self._path.with_suffix(".lock")):
            with self._path.open("a", encoding="utf-8") as file:
                file.write(" ".join([f"{time.time():.3f}", *islice(refs, _MOST_NAMED)]) + "\n")
                large = file.tell() > _LARGEST
            if large:
                self._shorten()

    def total(self) -> int:
        """How many there have been, by anybody in this clone."""
        gone, lines = self._read()
        return gone + len(lines)

    def since(self, moment: float) -> int:
        """How many of the last ones were after `moment` (seconds since 1970)."""
        return sum(_time_of(line) >= moment for line in self._read()[1])

    def seconds_since(self, ref: str) -> float:
        """How long ago a push from here named this ref first or nearly so; how far off where that is to come, by a
        clock that was wrong."""
        last = next((line for line in reversed(self._read()[1]) if ref in line.split(" ")), "")
        return abs(time.time() - _time_of(last))

    def refused(self, refs: Iterable[str], words: str) -> None:
        """Remember that the server does not take pushes of these refs, and what it says."""
        known = self.refusals() | {ref: " ".join(words.split()) for ref in refs}
        self._keep(known)

    def accepted(self, refs: Iterable[str]) -> None:
        """It does take these."""
        known = self.refusals()
        left = {ref: said for ref, said in known.items() if ref not in set(refs)}
        if left != known:
            self._keep(left)

    def _keep(self, refusals: Mapping[str, str]) -> None:
        whole.write(self._refusals, "".join(f"{ref} {said}\n" for ref, said in refusals.items()))

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

    def _read(self) -> tuple[int, list[str]]:
        """How many are gone, and the lines that are there."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return 0, []
        first, _, number = lines[0].partition(" ") if lines else ("", "", "")
        return (int(number), lines[1:]) if first == _GONE and number.isdecimal() else (0, lines)

    def _shorten(self) -> None:
        gone, lines = self._read()
        left = lines[len(lines) // 2 :]
        first = f"{_GONE} {gone + len(lines) - len(left)}"
        whole.write(self._path, "".join(f"{line}\n" for line in (first, *left)))


def _time_of(line: str) -> float:
    at = line.partition(" ")[0]
    return float(at) if at.replace(".", "", 1).isdecimal() else 0.0
