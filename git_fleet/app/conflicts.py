"""`git fleet conflicts`: work in flight, uncommitted included, merged pairwise in memory and with the base branch.

Reading only: no ref is written, and no index or worktree. However many tasks there are, the merges are one git, and
only pairs that have changed something in common are merged. Whose hand-in waits is a rule over the tasks' logs
(core/collisions.py); what is remembered between two looks (`Known`) are git's answers about commits.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from types import MappingProxyType

from msgspec.structs import replace
from msgspec.structs import replace as replace_fields

from git_fleet.app import inflight
from git_fleet.app.comparing import Comparison, Known
from git_fleet.app.inflight import Live, Side
from git_fleet.app.session import Session
from git_fleet.core import collisions
from git_fleet.core.collisions import Collision, Conflicts, InFlight, Kind, Source, Unseen
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Output, Overlap, State
from git_fleet.core.overlaps import Overlaps
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import FleetError
from git_fleet.git.drafts import Drafts
from git_fleet.store import kept, names

_REST_SECONDS = 2.0
_REST_SHARE = 19


def conflicts(session: Session, tasks: Sequence[str] = (), known: Known | None = None) -> Conflicts:
    """Who collides, and where: all tasks at work in plans that count, or (`tasks`) only pairs with one of these.

    Raises InvalidInput for a task that is not there, GitFailed.
    """
    snapshot = session.snapshot()
    chosen = frozenset(session.record(snapshot, name).id for name in tasks)
    return _compare(session, snapshot, _at_work(snapshot), chosen or None, known)


def watching(session: Session, tasks: Sequence[str] = ()) -> Iterator[Conflicts]:
    """The same again and again: what is found first, and then what is found when it is another.

    It looks again when refs move, but once a second at most. Worktrees tell nothing, so it looks by itself, too; it
    rests so long in between that looking takes at most a twentieth of the time. Raises as `conflicts`.
    """
    from git_fleet.git.watching import RefWatch

    known = Known()
    shown: Conflicts | None = None
    places = session.store.refs.places
    watched, ignored = places(names.FLEET, names.branch("")), places(names.LEAD)
    with RefWatch(session.repo, watched, ignored=ignored) as refs:
        while True:
            began = time.monotonic()
            found = conflicts(session, tasks, known)
            took = time.monotonic() - began
            if shown is None or not found.says_the_same(shown):
                shown = found
                yield found
            refs.wait(max(_REST_SECONDS, _REST_SHARE * took))
            time.sleep(took)  # where refs move all the time: half of it, then


def around(session: Session, record: TaskRecord) -> tuple[Collision, ...]:
    """What one claimed task collides with, as far as its worker is to be told: quick enough for every sign of life.
    `record` is the task as it is now.

    The work of others is read as it was last saved, except where the plan says that they overlap. Only tasks are read
    that have a worktree here or were saved: in a large plan these are few.
    """
    if record.state.state is not State.CLAIMED or record.task.output is Output.REPORT:
        return ()
    snapshot = _nearby(session, record)
    overlaps = _overlaps(session, snapshot)
    records = _at_work(snapshot)
    near = {record.id} | {other.id for other in records if overlaps.policy(record.id, other.id)}
    found = _compare(session, snapshot, records, frozenset({record.id}), live=near.__contains__)
    return found.collisions


def _nearby(session: Session, record: TaskRecord) -> Snapshot:
    """The task, and those whose work may be at hand, with their plans: a snapshot that has nothing else."""
    found = session.snapshot_of(str(record.id))
    plans, tasks = dict(found.plans), dict[TaskId, TaskRecord]()
    saved = {kept.task_of(ref) for ref in session.store.refs.read(names.SNAPSHOTS)}
    for task in sorted({record.id, *saved, *inflight.placed_here(session)}):
        one = session.snapshot_of(str(task))
        plans |= one.plans
        tasks |= one.tasks
    return replace_fields(found, plans=plans, tasks={**tasks, record.id: record})


def notes(session: Session, record: TaskRecord) -> tuple[str, ...]:
    """What the worker of `record` is told of work that collides with its own, a sentence each: conflicts, not files
    that merge. Raises nothing that whoever reports could be hindered by."""
    try:
        found = around(session, record)
    except FleetError as error:
        return (f"whether other work collides with yours could not be seen: {error.message}",)
    except OSError as error:
        return (f"whether other work collides with yours could not be seen: {error}",)
    return tuple(collisions.told(each, record.id) for each in found if each.kind is Kind.TEXTUAL)


def waited_for(
    session: Session, snapshot: Snapshot, record: TaskRecord, commit: Oid | None = None
) -> tuple[Collision, ...]:
    """The collisions that the hand-in of `record` waits for. Costs nothing unless the plan has it watched beside
    tasks that were claimed before it. `commit` is what is to be handed in (default: the work as it is)."""
    overlaps = _overlaps(session, snapshot)
    first = list(collisions.keeps_waiting(record, snapshot, overlaps, session.around.host))
    if not first:
        return ()
    given = {record.id: commit} if commit else {}
    found = _compare(session, snapshot, [record, *first], frozenset({record.id}), given=given)
    return found.waiting(record.id)


def waiting(
    session: Session, snapshot: Snapshot, known: Known | None = None
) -> dict[TaskId, tuple[Collision, ...]]:
    """The tasks whose hand-in waits, each with the collisions that it waits for. Costs nothing as long as no two
    tasks that are watched are at work. Raises GitFailed."""
    overlaps, host = _overlaps(session, snapshot), session.around.host
    wanted: dict[TaskId, TaskRecord] = {}
    for record in _at_work(snapshot):
        first = list(collisions.keeps_waiting(record, snapshot, overlaps, host))
        if first and record.state.state is State.CLAIMED:
            wanted |= {one.id: one for one in (record, *first)}
    found = _compare(session, snapshot, list(wanted.values()), known=known) if wanted else None
    return {task: waits for task in wanted if found is not None and (waits := found.waiting(task))}


def _at_work(snapshot: Snapshot) -> list[TaskRecord]:
    """The active tasks of plans that count."""
    return [
        record
        for record in snapshot.tasks.values()
        if record.state.state.active and snapshot.plans[record.id.plan].state.counts
    ]


def _overlaps(session: Session, snapshot: Snapshot) -> Overlaps:
    """The overlaps among active tasks: in a large plan these are few, and nothing else collides."""
    active = {record.id for record in _at_work(snapshot)}
    revisions = [plan for record in snapshot.plans.values() for plan in record.counting]
    tasks = [task for plan in revisions for task in plan.tasks if task.id in active]
    return Overlaps(tasks, session.config().generated_paths)


def _compare(
    session: Session,
    snapshot: Snapshot,
    records: Sequence[TaskRecord],
    chosen: frozenset[TaskId] | None = None,
    known: Known | None = None,
    live: Live = inflight.everywhere,
    given: Mapping[TaskId, Oid] = MappingProxyType({}),
) -> Conflicts:
    """Compare the work of these tasks, those of one base branch with each other. `chosen` as in `conflicts`, `live`
    as in `inflight.sides`; `given` is what is to stand for a task's work."""
    known = known or Known()
    found: list[Collision] = []
    work: list[InFlight] = []
    unseen: list[Unseen] = []
    checked = merged = 0
    with closing(Drafts(session.store.objects)) as drafts:
        for base, same in _by_base(snapshot, records).items():
            rest = [record for record in same if record.id not in given]
            sides, gone = inflight.sides(session, drafts, rest, live)
            sides += [Side(record, given[record.id], Source.BRANCH) for record in same if record.id in given]
            unseen += [one for one in gone if chosen is None or one.id in chosen]
            tip = session.store.objects.read_ref(names.branch(base))
            if tip is None or not sides:
                continue
            compared = Comparison(session, drafts, base, tip[0], sides, chosen)
            unseen += compared.unseen
            work += compared.in_flight()
            checked += compared.checked
            merged += compared.merge(known)
            found += compared.collisions()
    known.forget()
    return Conflicts(
        snapshot.at,
        tuple(work),
        _judged(session, snapshot, found),
        tuple(unseen),
        checked,
        merged,
    )


def _by_base(snapshot: Snapshot, records: Iterable[TaskRecord]) -> dict[str, list[TaskRecord]]:
    """The tasks by the branch that their plan is integrated onto."""
    found: dict[str, list[TaskRecord]] = {}
    for record in records:
        plan = snapshot.plans[record.id.plan].approved
        if plan is not None:
            found.setdefault(plan.base, []).append(record)
    return found


def _judged(session: Session, snapshot: Snapshot, found: Sequence[Collision]) -> tuple[Collision, ...]:
    """With what the plan says of each two, and whose hand-in waits."""
    if not any(each.b for each in found):
        return tuple(found)
    overlaps, host = _overlaps(session, snapshot), session.around.host
    judged = []
    for each in found:
        policy = overlaps.policy(each.a, each.b) if each.b else None
        watched = policy is Overlap.WATCH and each.kind is Kind.TEXTUAL
        sides = ((each.a, each.b), (each.b, each.a)) if watched and each.b else ()
        waits = [mine for mine, other in sides if _is_after(snapshot, mine, other, overlaps, host)]
        judged.append(replace(each, policy=policy, waits=next(iter(waits), None)))
    return tuple(judged)


def _is_after(snapshot: Snapshot, task: TaskId, other: TaskId, overlaps: Overlaps, host: str) -> bool:
    """Whether the hand-in of `task` waits for `other`."""
    record = snapshot.record(task)
    if record is None or record.state.state is not State.CLAIMED:
        return False
    return any(one.id == other for one in collisions.keeps_waiting(record, snapshot, overlaps, host))
