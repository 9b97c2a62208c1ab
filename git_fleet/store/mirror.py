"""What a git server's refs are, as listed by it, and the mirror of that in this repository (DESIGN section 11).

The mirror (`refs/fleet-remote/<remote>/`) keeps the last listing for the next process, and keeps its objects.

A listing is read ref by ref, in an order that is the server's, and claims rest on what was read before what (DESIGN
section 6): the guard before the tips, the plans' logs after them. So a listing counts when the guard is what it was
known to be before, and the plans' logs, too, which must have stayed the same until after it if a tip has moved since.
No value of a log ever comes back, so what is the same twice was the same in between.
`tests/races/claim_model.py` shows that each of these is needed.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from git_fleet.core.ids import Oid
from git_fleet.errors import Busy, GitFailed, LostRace, Unreachable
from git_fleet.git import whole
from git_fleet.git.refs import ABSENT, Refs, Update, Value
from git_fleet.git.remote import Remote
from git_fleet.git.repository import Repository
from git_fleet.store import names

REMOTE_FILE = "remote"
"""In `<common dir>/fleet/`: the name of the remote that decides, for hooks; its time is that of the last listing."""

_LOOKS = 60

_LOGS = (names.TASK_LOGS, names.PLAN_LOGS, names.LEAD, names.GUARD)

Listing = dict[str, Oid]
"""The shared refs of a remote by their full names there."""


class Mirror:
    """The mirror of what `remote` has of the refs that are `shared`. `bases` are the branches among them."""

    def __init__(
        self, repo: Repository, remote: Remote, shared: Callable[[str], bool], *, persistent: bool
    ) -> None:
        self.remote = remote
        self.bases: set[str] = set()
        self._shared = shared
        self._git = repo.git()
        self._refs = Refs(repo, persistent=persistent)  # a cache: it need not be on the disk
        self._seen = repo.fleet_dir / REMOTE_FILE
        self.asked_in_vain = -math.inf  # when it did not answer (time.monotonic)

    def close(self) -> None:
        """End the kept git."""
        self._refs.close()

    def age_seconds(self) -> float:
        """How old the newest listing in the mirror is; one from a time to come, by a clock that was wrong, is as old
        as it is far off."""
        try:
            return abs(time.time() - self._seen.stat().st_mtime)
        except FileNotFoundError:
            return float("inf")

    def kept(self) -> Listing:
        """What the mirror says. Of proposals it has those that somebody here has needed."""
        found = self._refs.read(names.mirrors(self.remote.name))
        return {names.of_mirror(self.remote.name, ref): oid for ref, oid in found.items()}

    def look(self) -> Listing:
        """List what the remote has until it is of one moment (see above), its objects fetched and the mirror
        brought along. Raises Unreachable, Busy when it never holds still."""
        began = time.time()
        before = self.kept()
        for _ in range(_LOOKS):
            there = self._list()
            if not self._take(before, there):
                before = self.kept()
                continue  # something went while we fetched it
            if self._is_of_one_moment(before, there):
                self._remember(began)
                return there
            before = there
        raise Busy("the remote's refs change faster than they can be read", hint="try again")

    def _is_of_one_moment(self, before: Listing, there: Listing) -> bool:
        """Whether a listing counts (see above), after what was known `before` it."""
        plans = _below(there, names.PLAN_LOGS)
        if there.get(names.GUARD) != before.get(names.GUARD) or plans != _below(before, names.PLAN_LOGS):
            return False
        moved = _below(there, names.TASK_LOGS) != _below(before, names.TASK_LOGS)
        return not moved or _below(self._list(), names.PLAN_LOGS) == plans

    def want(self, there: Listing, refs: Iterable[str]) -> None:
        """Have these refs of a listing, too, proposals say. Raises Unreachable."""
        kept = self.kept()
        wanted = {ref: there[ref] for ref in refs if ref in there and kept.get(ref) != there[ref]}
        self.remote.fetch([*wanted])
        self.follow([Update(ref, value(kept, ref), oid) for ref, oid in wanted.items()])

    def follow(self, updates: Sequence[Update]) -> None:
        """Move the mirror with what was listed or pushed, from what it was known to be *before* that: it never goes
        back. Where somebody was faster, or this is cut short, the next look heals it."""
        moves = [Update(names.mirrored(self.remote.name, each.ref), each.old, each.new) for each in updates]
        try:
            while moves:
                moves = self._moved(moves)
        except Busy:  # a lock of one of them stays: that keeps no other back
            for one in moves if len(moves) > 1 else ():
                with suppress(LostRace):
                    self._refs.transact([one], message="the remote has it so")

    def _moved(self, moves: Sequence[Update]) -> list[Update]:
        """Make all these moves, or, where another was faster with some, none: those that are left then, which are
        fewer. (As a rule that is none, since all who work here learn the same.) Raises Busy."""
        try:
            self._refs.transact(moves, message="the remote has it so")
        except Busy:
            raise
        except LostRace:
            now = self._refs.read(*(each.ref for each in moves))
            left = [each for each in moves if value(now, each.ref) == each.old]
            return left if len(left) < len(moves) else []
        return []

    def _list(self) -> Listing:
        patterns = (f"{names.FLEET}*", f"{names.NOTES}*", *sorted(self.bases))
        try:
            listed = self.remote.list_refs(*patterns)
        except Unreachable:
            self.asked_in_vain = time.monotonic()
            raise
        return {ref: oid for ref, oid in listed.items() if self._shared(ref)}

    def _take(self, kept: Listing, there: Listing) -> bool:
        """Fetch what a listing has beside what was `kept` before it, and bring the mirror along; proposals are left
        out unless they are there already. False when it cannot be had any more."""
        changed = [
            ref
            for ref, oid in there.items()
            if kept.get(ref) != oid and (ref in kept or not ref.startswith(names.PROPOSALS))
        ]
        gone = [ref for ref in kept if ref not in there]
        try:
            self.remote.fetch(changed)
            self._pin_what_went(kept, there)
            self.follow([Update(ref, value(kept, ref), value(there, ref)) for ref in (*changed, *gone)])
        except (Unreachable, GitFailed):
            if (
                self._list() == there
            ):  # it can be reached, and has it all: then that is what stands in the way
                raise
            return False
        return True

    def _pin_what_went(self, kept: Listing, there: Listing) -> None:
        """Keep the events that the remote had and has no more: it was brought back from a backup, say. A folded log
        is in its archive."""
        moved = [ref for ref in kept if ref.startswith(_LOGS) and kept[ref] != there.get(ref)]
        if not moved:
            return
        after = [there[ref] for ref in there if ref in moved or ref.startswith(names.ARCHIVE)]
        asked = "".join(f"{oid}\n" for oid in [*(kept[ref] for ref in moved), *(f"^{oid}" for oid in after)])
        missing = self._git.run("rev-list", "--stdin", input=asked.encode(), ok=(0, 128)).out.decode().split()
        for ref in moved:
            if kept[ref] in missing:
                with suppress(LostRace):
                    pin = Update(names.gone(ref, kept[ref]), ABSENT, kept[ref])
                    self._refs.transact([pin], message="the remote has it no more")

    def _remember(self, began: float) -> None:
        self._seen.parent.mkdir(exist_ok=True)
        try:
            known = self._seen.read_text(encoding="utf-8")
        except FileNotFoundError:
            known = ""
        if known != f"{self.remote.name}\n":
            whole.write(self._seen, f"{self.remote.name}\n")
        os.utime(self._seen, (began, began))


def _below(refs: Mapping[str, Oid], prefix: str) -> Listing:
    return {ref: oid for ref, oid in refs.items() if ref.startswith(prefix)}


def value(refs: Mapping[str, Oid], ref: str) -> Value:
    """The ref's value among these, or ABSENT."""
    return refs.get(ref, ABSENT)
