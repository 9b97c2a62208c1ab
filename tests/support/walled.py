"""A server with the wall, and one clone from which everybody pushes under a name of their own.

The fleet lives in the clone; what a test pushes are its refs, by real pushes through `git receive-pack`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from git_fleet.app import guarding
from git_fleet.app.session import Session
from tests.support.clock import FakeClock
from tests.support.clones import make_clones
from tests.support.fleet import approved, open_fleet, task
from tests.support.repo import Repo

ALLOWED = """\
base main
lead boss
worker w1
worker w2 w2
verifier skeptic verifier:skeptic person:s?
worker both
verifier both verifier:both both
"""


@dataclass(frozen=True)
class Walled:
    """`server` is the bare repository, `clone` where the fleet's sessions work."""

    server: Path
    clone: Repo
    now: datetime

    def as_worker(self, name: str, *, hours: int = 0) -> Session:
        """A session of that worker in the clone; its clock stands still, so many hours from now."""
        return open_fleet(self.clone, name, FakeClock(self.now + timedelta(hours=hours)))

    def push(self, pusher: str, *refspecs: str) -> tuple[int, str]:
        """Push by a real receive-pack: its exit code, and what came to the terminal."""
        done = self.clone.try_git(
            "push", "--no-verify", str(self.server), *refspecs, env={"FLEET_PUSHER": pusher}
        )
        return done.returncode, os.fsdecode(done.stderr)

    def must_take(self, pusher: str, *refspecs: str) -> None:
        """The push must go through."""
        code, said = self.push(pusher, *refspecs)
        assert code == 0, said

    def must_refuse(self, why: str, pusher: str, *refspecs: str) -> None:
        """The push must be refused, with this reason on the terminal, and change nothing."""
        before = Repo(self.server).refs()
        code, said = self.push(pusher, *refspecs)
        assert code != 0, said
        assert "remote: git-fleet: refused: " in said, said
        assert why in said, said
        assert "remote:   next: " in said, said
        assert "Traceback" not in said
        assert Repo(self.server).refs() == before


def walled(repo: Repo, tmp_path: Path, *, plain: bool) -> Walled:
    """A plan of three tasks is open, a and b overlapping; the server has it, and nothing else."""
    server = tmp_path / "hub.git"
    repo.run_git("clone", "--quiet", "--bare", ".", str(server))
    guarding.guard(server, plain=plain, dry_run=False)
    (server / "fleet" / "allowed").write_text(ALLOWED, encoding="utf-8")
    found = Walled(server, repo, datetime.now(UTC).replace(microsecond=0))
    boss = found.as_worker("boss")
    approved(boss, task("a", files=["x/**"]), task("b", files=["x/y"]), task("c"), task("d"))
    found.must_take("boss", "refs/fleet/*:refs/fleet/*", "refs/notes/fleet/*:refs/notes/fleet/*")
    return found


class Deciding:
    """A server with the wall that decides between two clones, `a` and `b`."""

    def __init__(self, folder: Path, environment: pytest.MonkeyPatch, *, plain: bool) -> None:
        self.server, clones = make_clones(folder)
        self._clones = dict(zip("ab", clones, strict=True))
        self._environment = environment
        guarding.guard(self.server, plain=plain, dry_run=False)
        (self.server / "fleet" / "allowed").write_text(ALLOWED, encoding="utf-8")

    def acting(self, name: str, clone: str = "a") -> Session:
        """A session of that worker in one of the clones, who pushes from now on."""
        self.pushes_as(name)
        return open_fleet(self._clones[clone], name, FakeClock(datetime.now(UTC)), host=clone)

    def pushes_as(self, name: str) -> None:
        """Who the server takes every push for from now on."""
        self._environment.setenv("FLEET_PUSHER", name)
