"""A sealed scratch repository to measure in, and how a figure is taken."""

from __future__ import annotations

import atexit
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from git_fleet.app.session import Session, open_session
from git_fleet.app.surroundings import Surroundings

_MEMORY = Path("/dev/shm")
FLEET = (sys.executable, "-m", "git_fleet")


@dataclass(frozen=True)
class Figure:
    """One line of the table. Both are milliseconds, or what `unit` says; `ratio` is ours to the baseline's median."""

    name: str
    ours_ms: float
    baseline: str
    baseline_ms: float
    target: str
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        """How many times the baseline it takes."""
        return self.ours_ms / self.baseline_ms if self.baseline_ms else float("nan")


@dataclass(frozen=True)
class Box:
    """A folder with a repository `repo` in it and an environment that sees nothing of the user's. `disk` is where
    what is measured lies: copies of the repository, and clones."""

    folder: Path
    repo: Path
    env: Mapping[str, str]
    disk: Path

    def run(self, *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        """Run a command to its end; its output. Raises CalledProcessError."""
        done = subprocess.run(
            args,
            cwd=cwd or self.repo,
            env={**self.env, **(env or {})},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def git(self, *args: str, cwd: Path | None = None) -> str:
        """Run git."""
        return self.run("git", *args, cwd=cwd)

    def fleet(self, *args: str, cwd: Path | None = None) -> str:
        """Run `git fleet` as a process of its own."""
        return self.run(*FLEET, *args, cwd=cwd)

    def session(self, worker: str, *, long_lived: bool = False) -> Session:
        """A session in this process."""
        around = Surroundings(
            now=lambda: datetime.now(UTC),
            env=dict(self.env),
            host="bench",
            state_dir=self.folder / "state" / "git-fleet",
            cache_dir=self.folder / "cache" / "git-fleet",
        )
        return open_session(self.repo, around, worker=worker, long_lived=long_lived)


@contextmanager
def box(files: Mapping[str, str], config: str, *, in_memory: bool = False) -> Iterator[Box]:
    """A repository with one commit of `files` and this fleet.toml; `in_memory` where there is such a place.

    It goes when the whole run ends, since deleting would be felt by what is measured next: for five minutes after
    thousands of files were deleted ext4 passes over their inodes one by one when it makes a file, which takes 250 us
    instead of 9. For the same reason what is built of many loose files, and packed, is built in memory.
    """
    disk = folder = _scratch(None)
    if in_memory and _MEMORY.is_dir():
        folder = _scratch(_MEMORY)
    home, repo = folder / "home", folder / "repo"
    home.mkdir()
    repo.mkdir()
    kept = ("PATH", "LANG", "TMPDIR", "VIRTUAL_ENV")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"  # git finds the installed program
    env |= {"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "XDG_STATE_HOME": str(folder / "state")}
    env |= {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(Path(__file__).parent.parent)}
    made = Box(folder, repo, env, disk)
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Bench\n\temail = bench@example.org\n[gc]\n\tauto = 0\n"
    )
    made.git("init", "--quiet", "--initial-branch=main")
    for name, text in {**files, "fleet.toml": config}.items():
        path = repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    made.git("add", "--all")
    made.git("commit", "--quiet", "-m", "Begin")
    yield made


def _scratch(place: Path | None) -> Path:
    """A new folder, which goes at the very end."""
    folder = Path(tempfile.mkdtemp(prefix="fleet-bench-", dir=place))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def median_ms(action: Callable[[], object], times: int) -> float:
    """The median of `times` runs, in milliseconds."""
    return statistics.median(each_ms(action, times))


def each_ms(action: Callable[[], object], times: int) -> list[float]:
    """How long each of `times` runs took, in milliseconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def alternating(
    ours: Callable[[], object], baseline: Callable[[], object], times: int
) -> tuple[float, float]:
    """Medians of both, in milliseconds, taken in turns so that noise meets both alike."""
    pairs = [(each_ms(ours, 1)[0], each_ms(baseline, 1)[0]) for _ in range(times)]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def spent(server: psutil.Process) -> float:
    """Processor seconds of the server and all it has started."""
    return sum(sum(one.cpu_times()[:2]) for one in (server, *server.children(recursive=True)))


def table(figures: Sequence[Figure]) -> str:
    """The figures as a table for people."""
    rows = [("FIGURE", "MEDIAN", "BASELINE", "MEDIAN", "RATIO", "TARGET")]
    rows += [
        (
            f.name,
            _shown(f.ours_ms, f.unit),
            f.baseline,
            _shown(f.baseline_ms, f.unit),
            f"{f.ratio:.2f}",
            f.target,
        )
        for f in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _shown(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}" if value < 100 else f"{value:.0f} {unit}"
