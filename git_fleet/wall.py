"""What the wall of a server calls when git and sh have let a push pass: is what is pushed as it should be?

    wall yes|no BASE…      whether whoever pushes leads, and the branches that are bases

Standard input is git's own to a pre-receive hook: `OLD NEW REF` a line. Exit code 0 lets pass, any other refuses,
with what, why and the next safe step on standard error, which git shows on the terminal of whoever pushes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from git_fleet.app.receiving import Move, Push, Refusal
from git_fleet.core.guardrail import printable
from git_fleet.core.ids import Oid
from git_fleet.errors import FleetError
from git_fleet.git.objects import Objects
from git_fleet.git.process import Git
from git_fleet.git.refs import Refs
from git_fleet.git.repository import discover
from git_fleet.store.base import Store
from git_fleet.store.cache import Cache

DENIED = 4
_SHOWN = 10
# Where git keeps what is pushed until it is accepted; the door to git drops such variables unless they are handed on.
_QUARANTINE = ("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_OBJECT_DIRECTORY", "GIT_QUARANTINE_PATH")


def main(argv: Sequence[str]) -> int:
    """Look at the push on standard input: the exit code of the hook."""
    lead, *bases = argv
    moves = [_move(line) for line in os.fsdecode(sys.stdin.buffer.read()).splitlines() if line]
    try:
        refusals = list(islice(_refusals(moves, bases, by_lead=lead == "yes"), _SHOWN))
    except (FleetError, OSError) as error:
        refusals = [Refusal("push", f"it could not be looked at: {error}", "tell whoever keeps the server")]
    for one in refusals:
        print(f"git-fleet: refused: {printable(one.ref)}: {printable(one.why)}", file=sys.stderr)
        print(f"  next: {printable(one.fix)}", file=sys.stderr)
    return DENIED if refusals else 0


def _refusals(moves: Sequence[Move], bases: Sequence[str], *, by_lead: bool) -> Iterator[Refusal]:
    repo = discover(Path.cwd())
    handed_on = {name: os.environ[name] for name in _QUARANTINE if name in os.environ}
    git = Git(repo.common_dir, git_dir=repo.common_dir, env=lambda: handed_on)
    with Objects(repo, git=git) as objects:
        store = Store(repo, Refs(repo), objects, Cache(repo.fleet_dir / "cache"))
        yield from Push(store, git, moves, bases=bases, by_lead=by_lead, now=datetime.now(UTC)).refusals()


def _move(line: str) -> Move:
    old, new, ref = line.split(" ", 2)
    return Move(ref, _value(old), _value(new))


def _value(word: str) -> Oid | None:
    return Oid(word) if word.strip("0") else None
