"""Moving main (DESIGN section 3, *commit point*, and section 10, step 4).

    intent      every change, old and new, as an event of the lead's log; all objects exist by now
    main        alone, by its exact old value, with a `verify` of the lead's log at the intent, while the
                tasks' logs are locked: what was rejected or withdrawn while the gates ran does not land
    events      the tasks' `integrate` events
    checkout    the worktree that has main checked out follows
    notes       the evidence
    complete    when these three are done, in whatever order, the intent is closed

Where a remote decides, main and the lead's log, which moves along by one event, are one push, and what is only
verified is compared as it begins; the branch and the worktree here follow then (homing.py).

The events are a transaction of their own that is prepared before main moves and committed after it, so the
tasks cannot move in between. Git prepares it while the intent is written, and commits it while another git brings
the worktree along and the evidence is written here: none of them needs another. With reftable, whose one lock would
keep main out, main moves with a `verify` of them instead. Main is the commit point. Whoever next holds the lead
finishes an open intent whose commits are in main and voids one whose are not (settling.py), so a process may die
anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from git_fleet.app import homing, settling
from git_fleet.app.lead import Leading, lost_lead
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.errors import (
    Busy,
    FleetError,
    GitFailed,
    LostRace,
    NeedsPerson,
    Refused,
    Stale,
    StaleClaim,
    Unreachable,
    disk_error,
)
from git_fleet.git import moves, worktrees
from git_fleet.git.along import Along
from git_fleet.git.refs import Refs, Update
from git_fleet.store import lead as log
from git_fleet.store import names
from git_fleet.store.base import tip
from git_fleet.store.lead import Intent, Landing


def land(
    leading: Leading,
    ref: str,
    old: Oid,
    new: Oid,
    landings: Sequence[Landing],
    unmoved: Mapping[str, Oid] = MappingProxyType({}),
) -> None:
    """Move `ref` from `old` to `new`, and the tasks with it, if the refs `unmoved` have these values still.

    Raises NeedsPerson before anything moved when the worktree that has it checked out is in the way,
    Stale when `ref` is not at `old` or a task or one of `unmoved` not as it was any more (the intent is void then), StaleClaim
    when the lead was lost; nothing has moved in these cases. StaleClaim, GitFailed and Unreachable may come after it has
    moved, and say so; so may NeedsPerson, for what keeps the worktree from following.
    """
    leading.work.store.objects.save()  # all but the intent itself, which says what is there by now
    move = _Move(leading, ref, old, new, tuple(landings), unmoved)
    try:
        _make(move)
        move.end()
    except (GitFailed, Busy, Unreachable, StaleClaim) as failed:
        if not move.moved:
            raise
        at = f"{ref.removeprefix('refs/heads/')} is at {new[:12]}"
        if isinstance(failed, StaleClaim):
            text = f"{at}, and then the lead was taken over: who leads now sees to the rest"
            raise StaleClaim(text, hint=failed.hint) from failed
        kind = Unreachable if isinstance(failed, Unreachable) else GitFailed  # busy: nothing has changed
        raise kind(f"{at}, and what comes after that failed: {failed.message}", hint=failed.hint) from failed


def _make(move: _Move) -> None:
    """Make the move. Where it cannot be made any more the intent is void. Raises as `land`."""
    leading = move.leading
    try:
        move.make()
    except (LostRace, Refused):
        if move.intent is None:
            raise  # nobody was told of it
        if tip(leading.work.store.refs.get(names.LEAD)) != leading.record.tip:
            raise lost_lead() from None
        settling.settle(leading)
        raise


class _Move(Struct):
    """A branch on its way from `old` to `new`, and what is known of it by now.

    `intent` is None until it is written, `moved` says that the branch has its new value, `recorded` that the tasks'
    events are in their logs, `noted` that the evidence is there. `unclear`: the worktree that was to follow by `way` has
    left the branch, has moved itself or is locked; `trouble` is why it did not follow.
    """

    leading: Leading
    ref: str
    old: Oid
    new: Oid
    landings: tuple[Landing, ...]
    unmoved: Mapping[str, Oid]
    way: moves.Way | None = None
    intent: Intent | None = None
    moved: bool = False
    recorded: bool = False
    noted: bool = False
    unclear: bool = False
    trouble: FleetError | None = None

    def make(self) -> None:
        """Move the branch, the tasks' logs right after it, and the worktree while these move.

        Raises LostRace when the branch, the lead or a task had moved; nothing has then.
        """
        repo, refs = self.leading.work.repo, self.leading.work.store.refs
        logs = [(names.task_log(landing.task), landing) for landing in self.landings]
        if refs.locks_each:
            along = Along(asked=self._announce, locked=self._move, moving=self._arrive)
            try:
                with Refs(repo, durable=True) as others:
                    others.transact([Update(log, each.tip, each.event) for log, each in logs], along=along)
                self.recorded = True
                return
            except LostRace as lost:
                if self.moved:
                    return  # the tasks are seen to without these locks
                if not isinstance(lost, Busy):
                    raise
                # No lock that a killed git left can be cleared while we hold some ourselves.
        if self.intent is None:
            self._announce()
        self._move(*(Update(log, each.tip, each.tip) for log, each in logs))
        self._follow()

    def _announce(self) -> None:
        """See that the worktree could follow, and write the intent."""
        session = self.leading.work
        homing.catch_up(session, self.ref, self.old)
        self.way = require_way(session, self.ref, self.old, self.new)
        checkout = str(self.way.worktree) if self.way else ""
        intent = Intent(self.ref, self.old, self.new, checkout, self.landings)
        person, now = session.person(), session.now()
        self.leading.write(lambda record: log.begin(session.store, record, intent, actor=person, now=now))
        self.intent = intent

    def _move(self, *others: Update) -> None:
        """Move the branch, while `others`, the lead's log and what must not move are as they were."""
        session = self.leading.work
        holding, held = log.hold(
            session.store, self.leading.record, actor=session.person(), now=session.now()
        )
        who = ", ".join(str(landing.task) for landing in self.landings[:3])
        same = (Update(each, at, at) for each, at in self.unmoved.items())
        updates = [Update(self.ref, self.old, self.new), holding, *same, *others]
        session.store.transact(updates, message=f"git-fleet: integrate {who}")
        self.leading.record = held
        self.moved = True
        homing.moved(session, self.ref, self.old, self.new, self.way.worktree if self.way else None)

    def _arrive(self) -> None:
        """Bring the worktree along, and write the evidence while git is at it."""
        self._follow(self._note)

    def _note(self) -> None:
        """Write the evidence. It comes later where a lock is in the way: none that a killed git left can be cleared
        while we hold some ourselves."""
        with suppress(LostRace):
            settling.note(self.leading.work, self.landings)
            self.noted = True

    def _follow(self, beside: Callable[[], None] = lambda: None) -> None:
        """Bring the worktree along, and do `beside` once git is at it. What keeps it is told when the tasks' events are
        written."""
        if self.way is None or self.intent is None:
            beside()
            return
        try:
            self.unclear = not _is_there(self.leading.work, self.intent)
            if not self.unclear:
                self.way.follow(beside)
                homing.arrived(self.leading.work)
        except Busy:
            self.unclear = True  # see `_note`
        except FleetError as trouble:
            self.trouble = trouble
        except OSError as error:
            if (known := disk_error(error)) is None:
                raise
            self.trouble = GitFailed(known.message, hint=known.hint)

    def end(self) -> None:
        """See to what is left once the branch has moved, and close the intent. Raises what kept the worktree."""
        session = self.leading.work
        if self.trouble is not None:
            raise self.trouble
        if self.unclear:
            settling.settle(self.leading)  # it looks closely
            return
        if self.way is not None and self.intent is not None:
            at = session.store.refs.get(self.ref)  # a commit may have come in between
            settling.refuse_undone(session, self.intent, at)
        if not self.recorded:
            settling.finish_tasks(self.leading, self.landings)
        if not self.noted:
            settling.note(session, self.landings)
        settling.close(self.leading, "complete")


def require_way(session: Session, ref: str, old: Oid, new: Oid) -> moves.Way | None:
    """How the worktree that has `ref` checked out will follow it from `old` to `new`; None where none has.
    Raises NeedsPerson when it cannot, Stale when `ref` is not at `old` any more."""
    checkout = _only_checkout(session, ref)
    if checkout is None:
        return None
    try:
        return moves.plan_move(checkout, old, new)
    except NeedsPerson:
        if tip(session.store.refs.get(ref)) != old:  # the changes are those of another move
            raise Stale(f"{ref} has moved", hint="git fleet integrate") from None
        raise


def _is_there(session: Session, intent: Intent) -> bool:
    """Whether the worktree that is to follow has the branch still, and the branch has just moved."""
    found = (tree for tree in worktrees.list_worktrees(session.repo) if str(tree.path) == intent.checkout)
    return any(tree.branch == intent.ref and tree.head == intent.new for tree in found)


def _only_checkout(session: Session, ref: str) -> Path | None:
    """The worktree that has `ref` checked out. Raises NeedsPerson where several have, since only one would
    follow, and where its folder is gone."""
    places, branch = worktrees.occupied(session.repo, ref), ref.removeprefix("refs/heads/")
    for path in places:
        if not path.is_dir():
            raise NeedsPerson(
                f"{branch} is checked out in {path}, a folder that is gone", hint="git worktree prune"
            )
    if len(places) > 1:
        raise NeedsPerson(
            f"{branch} is checked out in several worktrees: {', '.join(map(str, places))}",
            hint=f"leave it in one: git -C {places[-1]} switch --detach",
        )
    return places[0] if places else None
