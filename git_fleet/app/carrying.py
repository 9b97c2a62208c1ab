"""Kept work taken to the git server, and from there: what a worker in a clone that goes away has saved.

Snapshots and salvages are of one repository, and say what a worktree there held. A clone that is made for one worker
takes them to the server before it goes, each under the next free number of `refs/fleet/salvage/<plan>/<task>/`: it only
makes refs, so nothing that others have kept there is ever moved. Whoever claims in such a clone takes over first what
is there, as salvages of its own; and what a worker saved under a claim that is still the latest one is its snapshot here,
so that a take-over goes on from it.

Where no remote decides, nothing is carried: all workers share the refs of one repository.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from git_fleet.app.salvage import unsafe_tips
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid, TaskId, parse_task_id
from git_fleet.core.model import State
from git_fleet.core.progress import Report
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import Busy, FleetError, Held, LostRace
from git_fleet.git.refs import ABSENT, Update
from git_fleet.git.remote import Remote
from git_fleet.store import kept, knowledge, names
from git_fleet.store.shared import SharedRefs

EVERY_SECONDS = 300.0
"""How often what is saved meanwhile is taken to the server, if there is something new."""

_TRIES = 5
_NUMBERED = re.compile(rf"{names.SALVAGE}([^/]+/[^/]+)/([0-9]{{1,9}})")


def remote_of(session: Session) -> Remote | None:
    """The server that decides about the session's refs; None where none does."""
    refs = _shared(session)
    return refs.remote if refs is not None else None


def _shared(session: Session) -> SharedRefs | None:
    return session.store.refs if isinstance(session.store.refs, SharedRefs) else None


def carry(session: Session, plan: str) -> tuple[str, ...]:
    """Take to the server what is kept here of the plan's tasks and is not there yet: the refs made there.

    Raises Unreachable, Busy when others take every number, Held when the server refuses.
    """
    refs = _shared(session)
    if refs is None:
        return ()
    found = [*kept.snapshots(session.store, plan)]
    found += [each for each in kept.salvages(session.store) if each.task.plan == plan]
    if not found:
        return ()
    there = _listed(refs.remote, plan)
    new = {each.oid: each for each in found if each.oid not in there.values()}
    wanted = [each for each in new.values() if _is_worth_it(session, refs.remote, each)]
    return tuple(_carry_one(refs, plan, each.task, each.oid, there) for each in wanted)


def _is_worth_it(session: Session, remote: Remote, each: kept.Kept) -> bool:
    """Whether it keeps a commit that the server's branches, proposals and kept work do not contain."""
    return bool(unsafe_tips(session.store, (each.start, *each.rest), (), safe_places(remote)))


def safe_places(remote: Remote) -> tuple[str, ...]:
    """Below which names refs here have what the server has."""
    return (names.mirrors(remote.name), f"refs/remotes/{remote.name}/")


def not_carried(session: Session, plan: str) -> list[Oid]:
    """Commits that kept work here holds, and the server's kept work does not."""
    remote = remote_of(session)
    there = set(_listed(remote, plan).values()) if remote is not None else set()
    found = (*kept.snapshots(session.store), *kept.salvages(session.store))
    return [oid for each in found if each.oid not in there for oid in (each.start, *each.rest)]


def tell(session: Session) -> tuple[str, ...]:
    """Push what is here alone because it was to ride along with a later push, and what was learned while the server
    could not be reached: the refs that were. What has lost is kept apart; what was claimed offline is for app/sync.py.
    Raises Unreachable, Refused."""
    refs = _shared(session)
    if refs is None:
        return ()
    refs.refresh()
    told = []
    unsettled = refs.unsettled()
    for ref in refs.waiting():
        task = names.task_of(ref)
        if task not in unsettled:
            with suppress(LostRace):
                refs.tell(ref)
                told.append(ref)
    if knowledge.tell(session.store, actor=session.actor, at=session.now()):
        told.append(names.KNOWLEDGE)
    return tuple(told)


def _carry_one(refs: SharedRefs, plan: str, task: TaskId, oid: Oid, there: dict[str, Oid]) -> str:
    """Under the next number that is free on the server. What a push did is found out by listing again."""
    said = ""
    for _ in range(_TRIES):
        ref = names.salvage(task, _last_number(there, task) + 1)
        refs.pushes.add([ref])
        said = refs.remote.push([Update(ref, ABSENT, oid)])
        if said:
            there.clear()
            there.update(_listed(refs.remote, plan))
        else:
            there[ref] = oid
        made = next((name for name, value in there.items() if value == oid), "")
        if made:
            return made
    raise Busy(
        f"what is kept of {task} cannot be put on the remote {refs.remote.name}: {said}", hint="try again"
    )


def bring(session: Session, plan: str) -> None:
    """Have here what is kept of the plan's tasks on the server. Raises Unreachable."""
    remote = remote_of(session)
    if remote is None:
        return
    here = {each.oid for each in kept.salvages(session.store) if each.task.plan == plan}
    here |= {each.oid for each in kept.snapshots(session.store, plan)}
    new = {ref: oid for ref, oid in _listed(remote, plan).items() if oid not in here}
    if not new:
        return
    remote.fetch([*new])
    for ref, oid in new.items():
        _keep(session, parse_task_id(_place(ref)[0]), oid)
    latest = session.snapshot()
    for record in latest.of_plan(plan):
        _as_snapshot(session, record)


def _keep(session: Session, task: TaskId, oid: Oid) -> None:
    """As the task's next salvage here."""
    for _ in range(_TRIES):
        number = _last_number(session.store.refs.read(f"{names.SALVAGE}{task}"), task) + 1
        with suppress(Held):
            session.store.transact(
                [Update(names.salvage(task, number), ABSENT, oid)], message="from the remote"
            )
            return


def _as_snapshot(session: Session, record: TaskRecord) -> None:
    """What the holder of the latest claim has saved last, as the snapshot of that claim here."""
    claim, store = record.state.claim, session.store
    if record.state.state is not State.CLAIMED or claim is None or claim.fence is None:
        return
    if kept.snapshot(store, record.id) is not None:
        return
    own = [each for each in kept.salvages(store, record.id) if each.origin.fence == claim.fence]
    if own:
        last = max(own, key=lambda each: each.at)
        with suppress(LostRace):
            store.transact([Update(names.snapshot(record.id), ABSENT, last.oid)], message="from the remote")


def have(session: Session, record: TaskRecord) -> None:
    """Have here what was saved last of a task's work where the next claim goes on from it, as far as the server has
    it. Raises Unreachable."""
    saved, refs = record.state.salvaged, _shared(session)
    if saved is not None and refs is not None and not refs.offline and not has(session, saved):
        bring(session, record.id.plan)


def is_here(session: Session, plan: str, record: TaskRecord) -> bool:
    """Whether the commit that a claim starts from is at hand, asked of the server if need be."""
    claim = record.state.claim
    if claim is None or claim.start is None or has(session, claim.start):
        return True
    bring(session, plan)
    return has(session, claim.start)


def has(session: Session, commit: Oid) -> bool:
    """Whether the commit is here."""
    return next(session.store.objects.read_many([commit])) is not None


@contextmanager
def regularly(
    session: Callable[[], AbstractContextManager[Session]],
    plan: str,
    report: Report,
    every_seconds: float = EVERY_SECONDS,
) -> Iterator[None]:
    """Carry again and again until the end of the block, in a thread with sessions of its own: a machine that goes
    away without a word takes no more with it than was done since."""
    over = threading.Event()

    def go() -> None:
        told = ""
        while not over.wait(every_seconds):
            try:
                with session() as own:
                    carry(own, plan)
                told = ""
            except (FleetError, OSError) as error:
                said = error.message if isinstance(error, FleetError) else str(error)
                if said != told:
                    report(f"what is saved is not on the remote yet: {said}")
                told = said

    thread = threading.Thread(target=go, name="carrying", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _listed(remote: Remote, plan: str) -> dict[str, Oid]:
    """The kept work of a plan on the server; what is not named as it should be is nobody's."""
    found = remote.list_refs(f"{names.SALVAGE}{plan}/*")
    return {ref: oid for ref, oid in found.items() if _is_numbered(ref)}


def _is_numbered(ref: str) -> bool:
    match = _NUMBERED.fullmatch(ref)
    if match is None:
        return False
    try:
        parse_task_id(match[1])
    except FleetError:
        return False
    return True


def _place(ref: str) -> tuple[str, int]:
    match = _NUMBERED.fullmatch(ref)
    if match is None:
        raise AssertionError("only numbered ones are listed")
    return match[1], int(match[2])


def _last_number(refs: dict[str, Oid], task: TaskId) -> int:
    numbers = [_place(ref) for ref in refs if _NUMBERED.fullmatch(ref)]
    return max((number for name, number in numbers if name == str(task)), default=0)
