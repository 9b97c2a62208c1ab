"""`git fleet conflicts`: work in flight, uncommitted included, merged pairwise in memory and with the base branch.

Reading only: no ref is written, and no index or worktree. However many tasks there are, the merges are one git, and
only pairs that have changed something in common are merged. Whose hand-in waits is a rule over the tasks' logs
(core/collisions.py); what is remembered between two looks (`Known`) are git's answers about commits.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from types import MappingProxyType

from git_fleet.app import inflight
from git_fleet.app.comparing import Comparison, Known
from git_fleet.app.inflight import Live, Side
from git_fleet.app.session import Session
from git_fleet.core import collisions
from git_fleet.core.collisions import Collision, Conflicts, InFlight, Kind, Source, Unseen
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Overlap, State
from git_fleet.core.overlaps import Overlaps
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.git.drafts import Drafts
from git_fleet.git.watching import RefWatch
from git_fleet.store import names

_REST_SECONDS = 2.0
_REST_SHARE = 19


def conflicts(session: Session, tasks: Sequence[str] = (), known: Known | None = None) -> Conflicts:
    """Who collides, and where: all tasks at work in plans that count, or (`tasks`) only pairs with one of these.

    Raises InvalidInput for a task that is not there, GitFailed.
    """
    snapshot = session.snapshot()
    chosen = frozenset(session.record(snapshot, name).id for name in tasks)
    return _compare(session, snapshot, _counting(snapshot), chosen or None, known)


def watching(session: Session, tasks: Sequence[str] = ()) -> Iterator[Conflicts]:
    """The same again and again: what is found first, and then what is found when it is another.

    It looks again when refs move, but once a second at most. Worktrees tell nothing, so it looks by itself, too; it
    rests so long in between that looking takes at most a twentieth of the time. Raises as `conflicts`.
    """
    known = Known()
    shown: Conflicts | None = None
    with RefWatch(session.repo, (names.FLEET, names.branch("")), ignored=(names.LEAD,)) as refs:
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
    """What one task collides with, as far as its worker is to be told: quick enough for every sign of life.

    The work of others is read as it was last saved, except where the plan says that they overlap.
    """
    snapshot = session.snapshot().replacing([record])
    overlaps = session.index(snapshot).overlaps
    records = _counting(snapshot)
    near = {record.id} | {other.id for other in records if overlaps.policy(record.id, other.id)}
    found = _compare(session, snapshot, records, frozenset({record.id}), live=near.__contains__)
    return found.collisions


def waited_for(
    session: Session, snapshot: Snapshot, record: TaskRecord, commit: Oid | None = None
) -> tuple[Collision, ...]:
    """The collisions that the hand-in of `record` waits for. Costs nothing unless the plan has it watched beside
    tasks that were claimed before it. `commit` is what is to be handed in (default: the work as it is)."""
    overlaps = session.index(snapshot).overlaps
    first = list(collisions.keeps_waiting(record, snapshot, overlaps, session.around.host))
    if not first:
        return ()
    given = {record.id: commit} if commit else {}
    found = _compare(session, snapshot, [record, *first], frozenset({record.id}), given=given)
    return found.waiting(record.id)


def _counting(snapshot: Snapshot) -> list[TaskRecord]:
    return [record for record in snapshot.tasks.values() if snapshot.plans[record.id.plan].state.counts]


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
        tuple(_judged(session, snapshot, each) for each in found),
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


def _judged(session: Session, snapshot: Snapshot, collision: Collision) -> Collision:
    """With what the plan says of the two, and whose hand-in waits."""
    if collision.b is None:
        return collision
    overlaps, host = session.index(snapshot).overlaps, session.around.host
    policy = overlaps.policy(collision.a, collision.b)
    waits = None
    if policy is Overlap.WATCH and collision.kind is Kind.TEXTUAL:
        for mine, other in ((collision.a, collision.b), (collision.b, collision.a)):
            record = snapshot.record(mine)
            claimed = record is not None and record.state.state is State.CLAIMED
            if record is not None and claimed and other in _first(record, snapshot, overlaps, host):
                waits = mine
    return replace(collision, policy=policy, waits=waits)


def _first(record: TaskRecord, snapshot: Snapshot, overlaps: Overlaps, host: str) -> set[TaskId]:
    return {other.id for other in collisions.keeps_waiting(record, snapshot, overlaps, host)}
