"""What this clone has pushed: one line a push, so that it can be counted and kept rare.

`<common dir>/fleet/pushes` has `<seconds since 1970> <worker>` on each line, oldest first; only the last ones stay.
"""

from __future__ import annotations

import time
from pathlib import Path

from git_fleet.git.locks import alone

_LARGEST = 256 * 1024  # bytes; then the older half goes


class Pushes:
    """The pushes of this clone, in the file `path`."""

    def __init__(self, path: Path, worker: str) -> None:
        self._path = path
        self._worker = " ".join(worker.split())

    def add(self) -> None:
        """Count one by this worker, now. A line is written in one piece."""
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{time.time():.3f} {self._worker}\n")
            large = file.tell() > _LARGEST
        if large:
            self._shorten()

    def since(self, moment: float) -> int:
        """How many there were after `moment` (seconds since 1970), by anybody in this clone."""
        return sum(at >= moment for at, _ in self._lines())

    def seconds_since_last(self) -> float:
        """How long ago this worker pushed last."""
        mine = [at for at, worker in self._lines() if worker == self._worker]
        return time.time() - max(mine, default=0.0)

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
