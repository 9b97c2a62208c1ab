"""The fleet's refs where a git server decides between machines (DESIGN section 11): the same interface as `Refs`.

A transaction is one atomic push with the old value of each ref, and then the mirror (store/mirror.py). What is read
is one listing of the server's refs, and stays that until it is refreshed.

Who won is found out by listing again, never by what git says: a push whose answer was lost may have come through.

On top of what the server has there may be events that are here alone (`store/names.py`): those that were to ride
along with the next push, and what was done while the server could not be reached.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from git_fleet.core.ids import Oid, TaskId
from git_fleet.errors import GitFailed, LostRace, Refused, Unreachable
from git_fleet.git.along import Along
from git_fleet.git.refs import ABSENT, Refs, Update, Value, lost_race
from git_fleet.git.remote import Remote
from git_fleet.git.repository import Repository
from git_fleet.store import names
from git_fleet.store.mirror import Listing, Mirror
from git_fleet.store.pushes import Pushes, refusal

RIDE_SECONDS = 60.0
"""The progress and renewals of a claim are pushed so often at most; in between they wait for the next push of its
log. Each claim counts for itself: were it all pushes of a clone, one whose siblings push all the time would never be
renewed where others see it."""

_TRIES = 4  # pushes that were refused although nobody was faster
_FIRST_PAUSE = 0.05  # seconds; doubled each time, and a random part of it is waited
_NOT_SHARED = (*names.HERE_ALONE, *names.TAKEN)
_ALONE = (names.TASK_LOGS, names.PROPOSALS)  # kinds that can be ahead of the server


class SharedRefs(Refs):
    """The refs of the fleet as the remote has them, and all others as they are here.

    `bases` are the branches (full names) whose value is the remote's, too: those that plans are integrated onto.
    `trouble` says why the last refresh could not be had, where one was content with less. `offline`: nothing is
    asked of the remote, and what is written stays here.
    """

    def __init__(
        self,
        repo: Repository,
        remote: Remote,
        *,
        bases: Iterable[str] = (),
        durable: bool = False,
        persistent: bool = False,
    ) -> None:
        super().__init__(repo, durable=durable, persistent=persistent)
        self.mirror = Mirror(repo, remote, self.is_shared, persistent=persistent)
        self.mirror.bases |= set(bases)
        self.remote = remote
        self.pushes = Pushes(repo.fleet_dir / "pushes")
        self.trouble: Unreachable | None = None
        self.offline = False
        self._there: Listing | None = None
        self._here: Listing = {}
        self._ignored: frozenset[str] = frozenset()
        self._looked = -math.inf  # when what is read was listed by us, of one moment (time.monotonic)

    def another(self) -> SharedRefs:
        """The same refs, for another thread."""
        return SharedRefs(self._repo, self.remote, bases=self.mirror.bases, durable=True)

    # --- reading ---------------------------------------------------------------------------------

    @property
    def locks_each(self) -> bool:
        """No lock is held on a server between two pushes."""
        return False

    def close(self) -> None:
        """End the kept gits."""
        super().close()
        self.mirror.close()

    def is_shared(self, ref: str) -> bool:
        """Whether the ref's value is the remote's to say."""
        if ref.startswith(names.FLEET):
            return not ref.startswith(_NOT_SHARED)
        return ref.startswith(names.NOTES) or ref in self.mirror.bases

    def places(self, *prefixes: str) -> tuple[str, ...]:
        """Below which names something moves here when what is below these does."""
        kept = [names.mirrored(self.remote.name, each) for each in prefixes if self._is_mixed(each)]
        return (*prefixes, *kept)

    def read(self, *prefixes: str) -> dict[str, Oid]:
        """As `Refs.read`: shared refs as they were at the last refresh, all others as they are now."""
        view, bases = self._view(), {}
        here = [
            each for each in prefixes if not self._is_mixed(each) or each.rstrip("/") + "/" == names.FLEET
        ]
        found = (
            {ref: oid for ref, oid in super().read(*here).items() if not self.is_shared(ref)} if here else {}
        )
        wanted = [each.removesuffix("/") for each in prefixes if self._is_mixed(each)]
        for prefix in wanted:
            if prefix in view:
                found[prefix] = view[prefix]
            elif prefix in self.mirror.bases:
                bases[prefix] = prefix
            below = prefix + "/"
            found |= {ref: oid for ref, oid in view.items() if ref.startswith(below)}
        if bases:  # the remote has no such branch yet: ours is what will be pushed there
            found |= super().read(*bases)
        return dict(sorted(found.items()))

    def named(self, name: str) -> str:
        """The name of an object (`<ref>`, `<ref>:<path>`) by the value that `read` gives for its ref."""
        ref, colon, path = name.partition(":")
        if not self.is_shared(ref):
            return name
        found = self.get(ref)
        return f"{self._repo.zero if found is ABSENT else found}{colon}{path}"

    def _is_mixed(self, prefix: str) -> bool:
        """Whether something shared can be below the prefix."""
        return self.is_shared(prefix) or self.is_shared(prefix + "/")

    def _view(self) -> Mapping[str, Oid]:
        if self._there is None:
            self._load()
        there = self._there or {}
        return {**there, **self._here} if self._here else there

    # --- refreshing ------------------------------------------------------------------------------

    def refresh(self, max_age_seconds: float = 0.0) -> None:
        """Read anew what the remote has; content with a listing of the last `max_age_seconds`, which another
        process may have made, and with any if the remote cannot be reached. Raises Unreachable without it."""
        self.trouble = None
        if self.offline or (max_age_seconds and self.mirror.age_seconds() < max_age_seconds):
            self._load()
            return
        try:
            self._there = self.mirror.look()
        except Unreachable as error:
            if not max_age_seconds:
                raise
            self.trouble = error
            self._load()
            return
        self._looked = time.monotonic()
        self._find_own(tidy=not max_age_seconds)

    def rely(self, seconds: float) -> None:
        """Read anew unless what is read was listed here, of one moment, within so many seconds. For whoever decides on
        it by the old value of a ref: an old reading loses the race, it breaks no rule. (What the mirror says will not
        do: another process may be moving it ref by ref.) Raises Unreachable."""
        if time.monotonic() - self._looked >= seconds:
            self.refresh()

    def now(self, ref: str) -> Value:
        """The value that the remote has for the ref at this moment; what is read stays as it was. Raises Unreachable."""
        return self.remote.list_refs(ref).get(ref, ABSENT)

    def follow(self, bases: Collection[str]) -> bool:
        """Take these branches (full names) for the remote's, too. Whether one was not known: then refresh."""
        known = self.mirror.bases.issuperset(bases)
        self.mirror.bases.update(bases)
        return not known

    def want(self, refs: Iterable[str]) -> None:
        """Have the objects of these here, too: proposals are only fetched when somebody needs them."""
        self.mirror.want(self._there or {}, refs)

    def reload(self) -> None:
        """Take over what other processes here have learned, without asking the remote."""
        self._load()

    def _load(self) -> None:
        """What the mirror says (which has few proposals), and what is here alone."""
        self._looked = -math.inf
        known = (self._there or {}).items()
        self._there = {ref: oid for ref, oid in known if ref.startswith(names.PROPOSALS)} | self.mirror.kept()
        self._find_own(tidy=False)

    # --- what is here alone ----------------------------------------------------------------------

    def waiting(self) -> Listing:
        """What is ahead of the remote."""
        self._view()
        return dict(self._here)

    def tell(self, *refs: str) -> None:
        """Push what is here alone of these refs. Raises as `transact`."""
        self._push([Update(ref, self._at(ref), self._here[ref]) for ref in refs if ref in self._here])

    def give_up(self, *refs: str) -> None:
        """Put what is here alone of these refs where what has lost is kept."""
        for ref in refs:
            if ref in self._here:
                self._keep_apart(ref, self._here.pop(ref))

    @contextmanager
    def ignoring(self, *refs: str) -> Iterator[None]:
        """While the block runs these are as the remote has them."""
        self._ignored = frozenset(refs)
        try:
            self._find_own(tidy=False)
            yield
        finally:
            self._ignored = frozenset()
            self._find_own(tidy=False)

    def mark_offline(self, task: TaskId, claim: Oid) -> Update:
        """What concerns the task stays here from now on: what must be so still when the claim is made. A mark whose
        claim was never made gives way. Raises LostRace."""
        mark = names.offline(task)
        super().transact([Update(mark, super().get(mark), claim)], message="claimed offline")
        return Update(mark, claim, claim)

    def unmark(self, task: TaskId, claim: Oid) -> None:
        """What concerns the task is the remote's again."""
        with suppress(LostRace):
            super().transact([Update(names.offline(task), claim, ABSENT)], message="settled")

    def _at(self, ref: str) -> Value:
        return (self._there or {}).get(ref, ABSENT)

    def _find_own(self, *, tidy: bool) -> None:
        """Find what is ahead of the remote. With `tidy`, what it has by now goes, and what has lost is kept apart."""
        self._here = {}
        for ref, oid in super().read(*_ALONE).items():
            at = self._at(ref)
            if ref in self._ignored:
                continue
            if at is ABSENT or (at != oid and self._contains(oid, at)):
                self._here[ref] = oid
            elif tidy and (at == oid or self._contains(at, oid)):
                with suppress(LostRace):
                    super().transact([Update(ref, oid, ABSENT)], message="the remote has it")
            elif tidy:
                self._keep_apart(ref, oid)

    def _keep_apart(self, ref: str, oid: Oid) -> None:
        with suppress(LostRace):
            super().transact([Update(names.lost(ref, oid), ABSENT, oid)], message="somebody else was first")
        with suppress(LostRace):
            super().transact([Update(ref, oid, ABSENT)], message="somebody else was first")

    def _contains(self, new: Oid, old: Value) -> bool:
        return self._git.run("merge-base", "--is-ancestor", str(old), new, ok=(0, 1, 128)).code == 0

    def unsettled(self) -> frozenset[TaskId]:
        """The tasks that were claimed while the remote could not be reached: what concerns them waits for `git fleet
        sync`. Not those whose claim was never made, or has lost: these are the remote's."""
        self._view()
        if not any(ref.startswith(names.TASK_LOGS) for ref in self._here):
            return frozenset()  # without asking git: a claim made offline is ahead of the remote
        marked = {names.task_of(mark): claim for mark, claim in super().read(names.OFFLINE).items()}
        logs = {task: self._here.get(names.task_log(task)) for task in marked if task}
        return frozenset(task for task, log in logs.items() if log and self._contains(log, marked[task]))

    def _stay_here(self, updates: Sequence[Update]) -> bool:
        """Whether changes of these refs wait for `git fleet sync`. Raises Refused when some do, and others cannot."""
        if self.offline:
            return True
        tasks = {each.ref: task for each in updates if (task := names.task_of(each.ref))}
        unsettled = self.unsettled() if tasks else frozenset()
        staying = {ref: task for ref, task in tasks.items() if task in unsettled}
        if staying and any(each.changes and each.ref not in staying for each in updates):
            first, hint = next(iter(staying.values())), "git fleet sync settles it"
            raise Refused(f"{first} was claimed offline, and {self.remote.name} does not know it", hint=hint)
        return bool(staying)

    def _write_here(self, updates: Sequence[Update], message: str, same: Sequence[Update] = ()) -> None:
        """Change what is here alone, if the refs `same` have these values."""
        self._require(updates)
        own = [
            Update(each.ref, self._here.get(each.ref, ABSENT), each.new) for each in updates if each.changes
        ]
        try:
            super().transact([*own, *same], message=message)
        except LostRace:
            self._load()
            raise
        self._here |= {each.ref: each.new for each in own if isinstance(each.new, str)}

    # --- writing ---------------------------------------------------------------------------------

    def transact(
        self, updates: Sequence[Update], *, message: str = "git-fleet", along: Along | None = None
    ) -> None:
        """As `Refs.transact`, the shared refs by one push. Shared and local refs do not change together.

        A ref that is only verified is compared with what the server has as the push begins: what must not move
        at all is moved along. Raises as `Refs.transact`, Refused when the server does not want it, and
        Unreachable when it is not known whether it has it.
        """
        shared = [update for update in updates if self.is_shared(update.ref)]
        local = [update for update in updates if not self.is_shared(update.ref)]
        changing = [update for update in shared if update.changes]
        if not changing:
            self._require(shared)
            super().transact(local, message=message, along=along)
            return
        if along is not None or any(update.changes for update in local):
            raise ValueError("no transaction spans this repository and another")
        if self._stay_here(shared):
            self._write_here(shared, message, local)
            return
        if self.offline:
            raise Unreachable("this needs the remote", hint="git fleet sync")
        self._require(shared)
        self._push(shared)

    def transact_soon(self, update: Update, *, message: str = "git-fleet") -> None:
        """As `transact`, but others may be told of it a little later: with the next push of this ref, at the latest
        with the first such change after RIDE_SECONDS."""
        waits = self.is_shared(update.ref) and self.pushes.seconds_since(update.ref) < RIDE_SECONDS
        if waits and update.ref.startswith(_ALONE):
            self._write_here([update], message)
        else:
            self.transact([update], message=message)

    def _require(self, updates: Iterable[Update]) -> None:
        view = self._view()
        for update in updates:
            known = update.ref in view or update.ref not in self.mirror.bases
            at = view.get(update.ref, ABSENT) if known else self.get(update.ref)
            if at != update.old:
                raise lost_race(update, at)

    def _push(self, batch: Sequence[Update]) -> None:
        asked = [
            Update(each.ref, self._at(each.ref), each.new if each.changes else self._at(each.ref))
            for each in batch
        ]
        asked = [each for each in asked if each.changes or each.old is not ABSENT]
        if asked:  # else all of it is here alone, and goes: git, told to push nothing, pushes branches
            self._send(asked)
        self._drop_own(batch)

    def _send(self, asked: Sequence[Update]) -> None:
        for attempt in range(1, _TRIES + 1):
            self.pushes.add(each.ref for each in asked if each.changes)
            said = self.remote.push(asked)
            if not said:
                self._pushed(asked)
                return
            self.refresh()  # which raises where the server cannot be asked
            if self._came_through(asked, said):
                return
            time.sleep(os.urandom(1)[0] / 255 * _FIRST_PAUSE * 2**attempt)
        self.pushes.refused([each.ref for each in asked if each.changes], said)
        branch = next((each.ref for each in asked if each.ref in self.mirror.bases), "")
        raise refusal(self.remote.name, branch, said)

    def _pushed(self, asked: Sequence[Update]) -> None:
        """Keep what the remote has now; the next refresh heals it where that is cut short."""
        there = self._there = dict(self._there or {})
        moved = [update for update in asked if update.changes]
        for update in moved:
            if isinstance(update.new, str):
                there[update.ref] = update.new
            else:
                there.pop(update.ref, None)
        self.mirror.follow(moved)
        self.pushes.accepted(update.ref for update in moved)

    def _drop_own(self, told: Sequence[Update]) -> None:
        for update in told:
            own = self._here.pop(update.ref, None) if update.changes else None
            if own is not None:
                with suppress(LostRace):
                    super().transact([Update(update.ref, own, ABSENT)], message="the remote has it")

    def _came_through(self, asked: Sequence[Update], said: str) -> bool:
        """What a push did that was not confirmed, by what the remote has now; False when nothing.

        Raises Held or Stale when it lost, GitFailed when the server was cut in the middle.
        """
        there = self._there or {}
        changing = [each for each in asked if each.changes]
        moved = [each for each in changing if self._is_applied(each, there)]
        if len(moved) == len(changing):
            return True
        lost = next(
            (each for each in asked if each not in moved and there.get(each.ref, ABSENT) != each.old), None
        )
        if moved:
            left = ", ".join(each.ref for each in changing if each not in moved)
            raise GitFailed(
                f"the remote {self.remote.name} took a part of a push ({said}); not moved: {left}",
                hint="git fleet doctor",
            )
        if lost is not None:
            raise lost_race(lost, there.get(lost.ref, ABSENT))
        return False
