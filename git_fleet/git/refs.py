"""The only module that writes refs: `git update-ref --stdin`, always with the old value stated.

There is no unconditional write. libgit2 writes no refs here: measured, its conditional creation lets two
win. Who won is never read off an error message but off the refs themselves, read again.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from git_fleet.core.ids import Oid
from git_fleet.errors import Busy, GitFailed, Held, InvalidInput, LostRace, NeedsPerson, Stale
from git_fleet.git import locks, tracing
from git_fleet.git.along import Along
from git_fleet.git.process import Child, no_space
from git_fleet.git.refnames import check_names, folders
from git_fleet.git.repository import PackedRefs, Repository
from git_fleet.git.updates import ABSENT, Absent, Transaction, Update, Value

__all__ = ["Refs", "Update", "ABSENT", "Absent", "Value", "lost_race"]

_OURS = ("refs/fleet/", "refs/notes/fleet/", "refs/fleet-remote/")
_PREFIXES_AT_ONCE = 1000  # the length of an argument list is limited
_ATTEMPTS = 8  # with one lock in the way; about half a second, over a second for packed-refs
_UNEXPLAINED = 3  # attempts when nobody seems to be in the way
_UNSEEN = 40  # attempts when git met a lock that had gone each time we looked: others are at work
_CLEARINGS = 3  # a passing `git pack-refs` may keep us from removing a lock for a moment
# How long git itself waits for a lock, in ms. Short, because it holds the writers' flock meanwhile; the
# longer waiting is done here, without the flock.
_SHORT_WAITS = ("-c", "core.filesRefLockTimeout=20", "-c", "core.packedRefsTimeout=100")
# Else git looks for a ref that has the name of an object id, under six folders, for each value that it is given.
_PLAIN_IDS = ("-c", "core.warnAmbiguousRefs=false")
_LOCKED = ".lock': File exists"  # how git says so; it decides how long we try, never who has won
_TOO_LITTLE = 65_536  # bytes free on a disk that counts as full
_FIRST_PAUSE = 0.01  # seconds; doubled each time, and a random part of it is waited
_MANY = 8  # refs that are flushed to the disk together, not each by git as it is written


class _Refusal(NamedTuple):
    """A transaction that git did not confirm. `prepared`: it had all its locks, so it may have moved refs."""

    error: GitFailed
    prepared: bool


class Refs:
    """Reads and writes the refs of one repository. Not for sharing between threads, nor across a fork.

    `durable` flushes refs to the disk. `persistent` keeps one git for all transactions (0.2 ms instead
    of 2 ms each): for long-lived processes, which then must `close` it.
    """

    def __init__(self, repo: Repository, *, durable: bool = False, persistent: bool = False) -> None:
        self._repo = repo
        self._git = repo.git(durable=durable)
        self._flushes = durable and not repo.uses_reftable
        self._persistent = persistent
        self._writers = locks.Writers(repo)
        self._packed = PackedRefs(repo)
        self._child: Child | None = None
        self._purpose = ("", False)

    @property
    def locks_each(self) -> bool:
        """Whether a transaction locks its own refs alone, so that others can move meanwhile: not so in a
        reftable."""
        return not self._repo.uses_reftable

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the kept git; the next transaction starts another."""
        self._end_child()
        self._writers.close()
        self._packed.close()

    def read(self, *prefixes: str) -> dict[str, Oid]:
        """All refs below the prefixes, sorted by name; a full ref name gives that ref alone.

        A prefix ends at a slash: `refs/fleet/task/p` does not give `refs/fleet/task/p2/x`. One process.
        """
        found: dict[str, Oid] = {}
        for few in _batches(prefixes):
            for line in self._listed(few):
                value, _, ref = line.partition(" ")
                found[ref] = Oid(value)
        return dict(sorted(found.items()))

    def _listed(self, prefixes: Sequence[str]) -> list[str]:
        """`value ref` of all refs below the prefixes, read while packed-refs stayed the same file (see
        PackedRefs), so that no value is older than this call."""
        packed = PackedRefs(self._repo)  # not the one that watches over the kept git
        try:
            packed.replaced()
            while True:
                out = self._git.run("for-each-ref", "--format=%(objectname) %(refname)", *prefixes).out
                if not packed.replaced():
                    return os.fsdecode(out).split("\n")[:-1]
        finally:
            packed.close()

    def get(self, ref: str) -> Value:
        """The ref's value, or ABSENT."""
        return self.read(ref).get(ref, ABSENT)

    def refresh(self, max_age_seconds: float = 0.0) -> None:
        """Read anew what others may have changed: nothing is kept here."""

    def reload(self) -> None:
        """Take over what other processes have learned: nothing is kept here."""

    def want(self, refs: Iterable[str]) -> None:
        """Have here what these refs name: it is."""

    def named(self, name: str) -> str:
        """The name under which an object that is named by a ref is found: its own."""
        return name

    def places(self, *prefixes: str) -> tuple[str, ...]:
        """Below which names something moves here when what is below these does: the same."""
        return prefixes

    def transact_soon(self, update: Update, *, message: str = "git-fleet") -> None:
        """As `transact`, for what others may be told of a little later: there is no sooner."""
        self.transact([update], message=message)

    def transact(
        self, updates: Sequence[Update], *, message: str = "git-fleet", along: Along | None = None
    ) -> None:
        """Make all changes, or none against competitors; `message` goes to reflogs.

        `along` is what is done meanwhile. Where `locks_each` it may move other refs, through other `Refs`.

        Against a *crash* it is not all or nothing: a git killed while it renames leaves some refs moved
        (DESIGN section 3, commit point); that is reported as GitFailed with the names of both kinds.

        Raises Held (a ref that must not exist does), Stale (it has another value), Busy (a lock stays and
        may not be removed), all three with nothing changed; InvalidInput for names git would refuse;
        NeedsPerson for a symbolic ref; GitFailed for anything else; ValueError for one ref named twice.
        """
        batch = tuple(updates)
        if not batch:
            return
        check_names([update.ref for update in batch])
        self._refuse_symbolic(batch)
        with tracing.of_refs(message, [(update.ref, update.old, update.new) for update in batch]):
            self._until_decided(batch, message, along or Along())

    def _until_decided(self, batch: Sequence[Update], message: str, along: Along) -> None:
        """Try until it is done, or known why it cannot be. Raises as `transact`."""
        seen: dict[Path, locks.Identity] = {}
        unexplained = stuck = 0
        for attempt in itertools.count(1):
            refusal = self._attempt(batch, message, along)
            if refusal is None or self._has_happened(batch, refusal):
                return
            met = self._locks_met(batch)
            # Locks that come and go are others at work. Only the same one, again and again, was left behind.
            stuck = stuck + 1 if met.items() & seen.items() else min(len(met), 1)
            unexplained = 0 if met else unexplained + 1
            if unexplained == (_UNSEEN if _LOCKED in refusal.error.message else _UNEXPLAINED):
                raise self._explained(batch, refusal)
            if stuck >= _ATTEMPTS + _CLEARINGS:
                raise _kept_out(met)
            if stuck >= _ATTEMPTS:
                locks.clear(self._repo, met)
            seen = met
            jitter = os.urandom(1)[0] / 255
            time.sleep(jitter * _FIRST_PAUSE * 2 ** min(attempt, 4))

    def _attempt(self, batch: Sequence[Update], message: str, along: Along) -> _Refusal | None:
        """One transaction; None when git confirmed it. Afterwards no git of ours is still at it.

        It is begun again when packed-refs was replaced after its git had started: git may then have checked
        the old values against a file that is no more (see PackedRefs). What is asked while the locks are held
        stays true until they are let go.
        """
        done = False
        try:
            while True:
                purpose = (message, self._flushes and sum(update.changes for update in batch) >= _MANY)
                outdated = [self._writers.share(), self._packed.replaced(), purpose != self._purpose]
                if any(outdated):
                    self._end_child()
                child = self._child = self._child or self._start(*purpose)
                transaction = Transaction(child, self._repo, batch, flushes=purpose[1])
                prepared, found = transaction.lock(along)
                if not prepared:
                    break
                if not found:
                    self._flushes = False  # its lock files are elsewhere: git is to flush them
                elif not self._packed.replaced():
                    break
                self._end_child()
                self._writers.leave()  # who clears locks may be waiting for us, at a gate that we pass again
            if prepared:
                along.locked()
                done = transaction.move(along)
            if done:
                return None
            self._end_child()
            return _Refusal(child.error(), prepared)
        finally:
            if not (done and self._persistent):
                self._end_child()  # also when interrupted: it must be over before the flock is let go
            self._writers.leave()

    def _start(self, message: str, flushed_here: bool) -> Child:
        self._purpose = (message, flushed_here)
        return Child(
            self._git,
            *_SHORT_WAITS,
            *_PLAIN_IDS,
            *(("-c", "core.fsync=none") if flushed_here else ()),
            *("update-ref", "--no-deref", "-m", message or "git-fleet", "--stdin", "-z"),
            pass_fds=(self._writers.fd,),
        )

    def _end_child(self) -> None:
        if self._child is not None:
            self._purpose = ("", False)  # where this is interrupted, it is ended again, not used again
            self._child.end()
            self._child = None

    def _has_happened(self, batch: Sequence[Update], refusal: _Refusal) -> bool:
        """Decide from the refs what an unconfirmed transaction did; False when nothing, and it may be retried.

        Raises Held or Stale when it lost, GitFailed when it was cut in the middle.
        """
        now = self.read(*(update.ref for update in batch))
        if not refusal.prepared:
            # It had not got all its locks, so it wrote nothing: whatever differs is someone else's.
            lost = next((update for update in batch if now.get(update.ref, ABSENT) != update.old), None)
            if lost is not None:
                raise lost_race(lost, now.get(lost.ref, ABSENT))
            return False
        # It held every lock and every old value was right, so whatever differs came from it, or after it.
        changing = [update for update in batch if update.changes]
        moved = [update.ref for update in changing if self._is_applied(update, now)]
        left = [update.ref for update in changing if now.get(update.ref, ABSENT) == update.old]
        if len(moved) == len(changing):
            return True
        if len(left) == len(changing):
            return False
        raise _cut(refusal, moved, [update.ref for update in changing if update.ref not in moved])

    def _is_applied(self, update: Update, now: Mapping[str, Oid]) -> bool:
        """Whether the ref has the new value, or something built on it since."""
        value = now.get(update.ref, ABSENT)
        if value == update.new:
            return True
        if isinstance(value, Absent) or isinstance(update.new, Absent) or value == update.old:
            return False
        return self._git.run("merge-base", "--is-ancestor", update.new, value, ok=(0, 1, 128)).code == 0

    def _locks_met(self, batch: Sequence[Update]) -> dict[Path, locks.Identity]:
        """The lock files that stand in the way of this transaction right now, and which files they are."""
        names = [f"{update.ref}.lock" for update in batch]
        if any(update.new is ABSENT for update in batch):
            names += ["packed-refs.lock", "packed-refs.new"]
        if any(update.ref.startswith("refs/heads/") for update in batch):
            names.append("HEAD.lock")  # git writes HEAD's reflog when its branch moves
        if self._repo.uses_reftable:
            names = ["reftable/tables.list.lock"]
        paths = (self._repo.common_dir / name for name in names)
        return {path: identity for path in paths if (identity := locks.identity(path))}

    def _explained(self, batch: Sequence[Update], refusal: _Refusal) -> GitFailed | InvalidInput:
        """The error for a transaction that git refuses although nobody is in its way."""
        for update in batch:
            if update.old is not ABSENT:
                continue
            above = folders(update.ref)
            for other in self.read(update.ref, *above):
                if other in above or other.startswith(f"{update.ref}/"):
                    return InvalidInput(
                        f"the ref {update.ref} cannot exist beside {other}: one is a folder of the other",
                        hint=f"choose another name, or remove {other} if it is not needed",
                    )
        disk = os.statvfs(self._repo.common_dir)
        if disk.f_bavail * disk.f_frsize < _TOO_LITTLE or (disk.f_files and not disk.f_favail):
            return no_space("update-ref")  # git itself only says "couldn't write" here
        return refusal.error

    def _refuse_symbolic(self, batch: Sequence[Update]) -> None:
        """A symbolic ref (an alias of a branch) would silently become a ref of its own."""
        foreign = [update.ref for update in batch if not update.ref.startswith(_OURS)]
        if not foreign:
            return
        out = self._git.run("for-each-ref", "--format=%(refname) %(symref)", *foreign).out
        for line in os.fsdecode(out).split("\n")[:-1]:
            ref, _, target = line.partition(" ")
            if target:
                raise NeedsPerson(f"{ref} is a symbolic ref to {target}", hint=f"name {target} instead")


def lost_race(update: Update, now: Value) -> LostRace:
    """The error for a change that somebody was faster with; the ref is at `now`. Held when it was to be new, else Stale."""
    if update.old is ABSENT:
        return Held(f"{update.ref} must not exist yet, but is {now}", hint="git fleet status")
    return Stale(f"{update.ref} was expected at {update.old}, but is {now}", hint="git fleet status")


def _cut(refusal: _Refusal, moved: Sequence[str], unmoved: Sequence[str]) -> GitFailed:
    """What a git that died while it moved refs has left."""
    return GitFailed(
        f"{refusal.error.message}; it was cut in the middle: "
        f"moved {', '.join(moved) or 'nothing'}; not moved, or not known: {', '.join(unmoved)}",
        hint="git fleet doctor",
    )


def _kept_out(met: Iterable[Path]) -> Busy:
    return Busy(
        f"the lock file {min(met)} stays, and a git that may own it is running",
        hint="wait for it to end and try again; `git fleet doctor` shows it",
    )


def _batches(prefixes: Sequence[str]) -> Iterable[Sequence[str]]:
    return [prefixes[at : at + _PREFIXES_AT_ONCE] for at in range(0, len(prefixes), _PREFIXES_AT_ONCE)]
