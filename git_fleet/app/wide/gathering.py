"""Checkouts of several repositories side by side in one folder, for the gates of a change set.

The folder is `<cache_dir>/workspace-<name>-<key>/checkout-<n>`, flocked while it is in use, as app/checkouts.py has it: a
linked worktree of each repository, called as the repository is in the workspace, so `../lib` works, too. The key is of the
workspace and of these repositories: no gate finds one beside them that was checked out for another.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from git_fleet.app import checkouts, gates
from git_fleet.app.checkouts import Checkout
from git_fleet.app.gates import GateResult, Outcome
from git_fleet.app.surroundings import Surroundings
from git_fleet.core.config import Gate
from git_fleet.core.ids import Oid
from git_fleet.core.workspace import Workspace
from git_fleet.errors import GitFailed
from git_fleet.git.repository import Repository


class Gathered(Struct, frozen=True):
    """The checkouts by repository, all below `folder`."""

    folder: Path
    lock: int
    checkouts: Mapping[str, Checkout]

    def reset(self) -> None:
        """All of them clean again. Raises GitFailed, Busy."""
        for checkout in self.checkouts.values():
            checkout.reset()


@contextmanager
def gathered(
    space: Workspace, around: Surroundings, wanted: Mapping[str, tuple[Repository, Oid]]
) -> Iterator[Gathered]:
    """These commits, checked out side by side, ours until the block ends. Raises GitFailed, Busy."""
    key = hashlib.sha256(os.fsencode("\0".join((space.folder, *sorted(wanted))))).hexdigest()[:12]
    home = around.cache_dir.absolute() / f"workspace-{space.name}-{key}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        number, lock = checkouts.take(home)
    except OSError as error:
        raise GitFailed(
            f"cannot write {home}: {error.strerror}", hint="make the cache folder writable"
        ) from error
    folder = home / f"{checkouts.NAME}{number}"
    try:
        found = {name: Checkout(repo, folder / name, lock, commit) for name, (repo, commit) in wanted.items()}
        yield Gathered(folder, lock, found)
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)  # closing would not do: what a gate left running has inherited it
        os.close(lock)


def run(
    space: Workspace,
    around: Surroundings,
    wanted: Mapping[str, tuple[Repository, Oid]],
    asked: Sequence[Gate],
    logs: Path,
    stop: threading.Event,
) -> list[GateResult]:
    """Ask the gates in order beside these commits, up to the first that does not pass. Each finds every checkout clean,
    and where it is in `FLEET_REPO_<NAME>`."""
    results: list[GateResult] = []
    with gathered(space, around, wanted) as found:
        own = {space.repo(name).variable: str(each.path) for name, each in found.checkouts.items()}
        env = gates.gate_environment(around.env) | own
        for number, gate in enumerate(asked, 1):
            found.reset()
            log = logs / f"{number}-{gate.name}.log"
            results.append(
                gates.run_gate(gate, found.folder, env=env, log=log, stop=stop, pass_fds=(found.lock,))
            )
            if results[-1].outcome is not Outcome.PASS:
                break
    return results
