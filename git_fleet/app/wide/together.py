"""A change set onto every main: built in all repositories, gated side by side, then moved one after the other.

git cannot move two repositories at once. So what is about to become true is written down first, in the change set's log
in the workspace; whether a repository has moved is read off its own tasks; and whoever comes next goes on from there. See
DESIGN section 18 for what is done after which crash.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import asdict

from git_fleet.app import commands
from git_fleet.app.gates import GateResult, Outcome
from git_fleet.app.lead import leading
from git_fleet.app.session import Session
from git_fleet.app.settling import settle
from git_fleet.app.surroundings import Surroundings
from git_fleet.app.wide import across, gathering, plans, sets
from git_fleet.app.wide.sides import Side
from git_fleet.core import codec
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.progress import Report
from git_fleet.core.wideplan import Changeset
from git_fleet.core.workspace import ChangesetResult, Part, Workspace
from git_fleet.errors import Busy, FleetError, IllegalEvent, NeedsPerson, Stale
from git_fleet.git.repository import Repository
from git_fleet.store import names, wide
from git_fleet.store.base import tip
from git_fleet.store.wide import ChangesetRecord, WideIntent

T = TypeVar("T")

_ROUNDS = 20
_KEEP_SECONDS = 15.0


class _Work(Struct):
    """One run: the workspace's own session, the change set, its sides in the order in which they move."""

    space: Workspace
    around: Surroundings
    home: Session
    plan: str
    changeset: Changeset
    sides: list[Side]
    report: Report

    def record(self) -> ChangesetRecord:
        """The change set's log as it is now."""
        return wide.read_changeset(self.home.store, self.plan, self.changeset.id)

    @property
    def left(self) -> list[Side]:
        """The sides that have not moved, as last looked at."""
        return [side for side in self.sides if not side.moved]


def integrate(space: Workspace, around: Surroundings, name: str, report: Report) -> ChangesetResult:
    """Bring the change set `name` onto the mains of all its repositories, or go on with what was begun.

    Raises Held when somebody else leads in one of them, NeedsPerson when a worktree is in the way or a main does not
    pass its own gates, InvalidInput for what does not exist or has no gates. What has moved by then has moved; the same
    command goes on.
    """
    with plans.home(space, around) as home, ExitStack() as held:
        stored, changeset = sets.find(space, around, home, name)
        sides = {
            repo: _lead(space, around, stored.plan.id, changeset, repo, held)
            for repo in sorted(changeset.order)
        }
        ordered = [sides[repo] for repo in changeset.order]
        work = _Work(space, around, home, stored.plan.id, changeset, ordered, report)
        for side in ordered:
            if settle(side.lead):
                report(f"{side.repo.name}: an interrupted integration was found, and settled")
        for _ in range(_ROUNDS):
            try:
                return _round(work)
            except (Stale, IllegalEvent) as moved:
                report(f"{moved.message}; once more")
        raise Busy("the repositories keep moving", hint=f"git fleet integrate --changeset {changeset.id}")


def _lead(
    space: Workspace, around: Surroundings, plan: str, changeset: Changeset, repo: str, held: ExitStack
) -> Side:
    """The lead of one repository, for as long as `held` is open. Raises Held, Unreachable and what else keeps us from it,
    with its name."""
    tasks = tuple(TaskId(plan, task) for task in changeset.of_repo(repo))
    try:
        session = held.enter_context(across.opened(space, space.repo(repo), around))
        lead = held.enter_context(leading(session))
        rework = tuple(name.partition("/")[2] for name in changeset.rework if name.partition("/")[0] == repo)
        return Side(space.repo(repo), session, lead, tasks, changeset.id, rework)
    except FleetError as error:
        error.message = f"{repo}: {error.message}"
        raise


def _round(work: _Work) -> ChangesetResult:
    """Go on from how things are now, to the end. Raises Stale when something moved meanwhile."""
    record = work.record()
    for side in work.sides:
        side.look()
    if not work.left:
        return _complete(work, record)
    if record.log.intent is not None:
        intent = wide.read_intent(work.home.store, record.log.intent)
        if _stands(work, intent):
            work.report(f"change set {work.plan}/{record.id} was begun: it goes on")
            return _move(work, record, intent)
        work.report(
            f"change set {work.plan}/{record.id} was begun, and something has moved since: built and gated anew"
        )
    return _build(work, record)


def _complete(work: _Work, record: ChangesetRecord) -> ChangesetResult:
    if not record.log.landed:
        wide.complete(work.home.store, record, actor=work.home.person(), now=work.home.now())
    return _result(work, "landed")


def _stands(work: _Work, intent: WideIntent) -> bool:
    """Whether what is left of an intent may be moved as it is: all that the gates saw is as it was, and they are the
    gates that the change set has now."""
    if intent.gates != _asked(work):
        return False
    parts = {part.repo: part for part in intent.parts}
    if any(side.repo.name not in parts for side in work.left):
        return False
    expected = dict(intent.beside)
    expected |= {
        side.repo.name: parts[side.repo.name].new
        for side in work.sides
        if side.moved and side.repo.name in parts
    }
    others = _others(work, {side.repo.name for side in work.left})
    if {name: oid for name, (_, oid) in others.items()} != expected:
        return False
    return all(side.stands(parts[side.repo.name]) for side in work.left)


def _others(work: _Work, without: set[str]) -> dict[str, tuple[Repository, Oid]]:
    """The mains of the repositories that the gates see beside those `without`. Raises NeedsPerson for one that cannot
    be read: nobody would know what it makes of the change."""
    chosen = work.changeset.repos or tuple(repo.name for repo in work.space.repos)
    found: dict[str, tuple[Repository, Oid]] = {
        side.repo.name: (side.session.repo, side.main())
        for side in work.sides
        if side.repo.name not in without
    }
    known = {side.repo.name for side in work.sides}
    repos = [work.space.repo(name) for name in chosen if name not in known]

    def main(session: Session) -> tuple[Repository, Oid | None]:
        return session.repo, tip(session.store.refs.get(names.branch(session.main)))

    for answer in across.ask(work.space, work.around, main, repos):
        repo, oid = answer.value or (None, None)
        if repo is None or oid is None:
            why = answer.error.message if answer.error else "its main has no commit"
            raise NeedsPerson(
                f"{answer.repo.name} cannot be checked out beside the others: {why}",
                hint="git fleet workspace doctor; repos = […] of the change set leaves repositories out",
            )
        found[answer.repo.name] = (repo, oid)
    return found


def _build(work: _Work, record: ChangesetRecord) -> ChangesetResult:
    """Candidates, their own gates, the change set's gates; then the intent, and the moves."""
    with ExitStack() as held:
        left = work.left
        for side in left:
            side.build(held, work.report)
        for side in left:
            side.judge()
        troubles = [said for side in left for said in side.refused()]
        if troubles:
            if record.log.intent is not None:
                _refuse(work, record, "; ".join(troubles), {})
            return _result(
                work, "half-way" if len(left) < len(work.sides) else "waiting", "; ".join(troubles)
            )
        others = _others(work, {side.repo.name for side in left})
        wanted = others | {side.repo.name: (side.session.repo, side.candidate) for side in left}
        bad = _gate(work, record, wanted)
        if bad is not None:
            return bad
        parts = tuple(side.prepare() for side in left)
        beside = {name: oid for name, (_, oid) in others.items()}
        intent = WideIntent(parts, beside, _asked(work))
        record = wide.begin(work.home.store, record, intent, actor=work.home.person(), now=work.home.now())
        return _move(work, record, intent)


def _gate(
    work: _Work, record: ChangesetRecord, wanted: Mapping[str, tuple[Repository, Oid]]
) -> ChangesetResult | None:
    """What came of it when a gate of the change set did not pass; None when all did."""
    asked = work.changeset.gates
    work.report(f"change set {work.plan}/{record.id}: gates: {', '.join(gate.name for gate in asked)}")
    logs = work.home.repo.fleet_dir / "logs" / "changesets" / work.plan / record.id
    results = _attended(work, lambda stop: gathering.run(work.space, work.around, wanted, asked, logs, stop))
    bad = results[-1]
    if bad.outcome is Outcome.PASS:
        return None
    cannot = "cannot be run: " if bad.outcome is Outcome.ERROR else ""
    reason = f"gate {bad.name}: {cannot}{bad.reason}"
    _refuse(work, record, reason, _texts(results))
    if bad.outcome is Outcome.FAIL:  # one that cannot be run says nothing of anybody's work
        for side in work.left:
            side.send_back(f"change set {work.plan}/{record.id}: {reason}\n{bad.tail}".rstrip())
    half = len(work.left) < len(work.sides)
    return _result(work, "half-way" if half else "refused", reason, bad.tail)


def _asked(work: _Work) -> str:
    return codec.canonical({"gates": [asdict(gate) for gate in work.changeset.gates]})


def _texts(results: list[GateResult]) -> dict[str, bytes]:
    return {result.log.name: commands.printed(result.log) for result in results}


def _refuse(work: _Work, record: ChangesetRecord, reason: str, texts: Mapping[str, bytes]) -> None:
    wide.refuse(work.home.store, record, reason, texts, actor=work.home.person(), now=work.home.now())


def _attended(work: _Work, asked: Callable[[threading.Event], T]) -> T:
    """What takes long, in a thread of its own: all leads are kept meanwhile, and it ends with us."""
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="gates") as pool:
        try:
            future = pool.submit(asked, stop)
            while not wait([future], timeout=_KEEP_SECONDS, return_when=FIRST_COMPLETED).done:
                for side in work.sides:
                    side.lead.keep()
            return future.result()
        finally:
            stop.set()


def _move(work: _Work, record: ChangesetRecord, intent: WideIntent) -> ChangesetResult:
    """Move the mains that have not moved yet, in the order of needs. Raises Stale when one is not as it was."""
    parts = {part.repo: part for part in intent.parts}
    for side in work.left:
        side.lead.keep()
        side.move(parts[side.repo.name], work.report)
    for side in work.sides:
        side.look()
    if work.left:
        raise Stale(f"{work.left[0].repo.name}: a task of the change set is not integrated")
    return _complete(work, record)


def _result(work: _Work, state: str, why: str = "", log: str = "") -> ChangesetResult:
    outcomes = [outcome for side in work.sides for outcome in side.outcomes]
    told = {(each.repo, each.task) for each in outcomes if each.outcome == "integrated"}
    outcomes = [
        each for each in outcomes if each.outcome == "integrated" or (each.repo, each.task) not in told
    ]
    outcomes += [Part(side.repo.name, str(task), "integrated", *_commit(side, task)) for side in work.sides
                 for task in side.tasks if side.moved and (side.repo.name, str(task)) not in told]  # fmt: skip
    return ChangesetResult(work.plan, work.changeset.id, state, tuple(outcomes), why, log)


def _commit(side: Side, task: TaskId) -> tuple[Oid | None, str]:
    record = side.snapshot.tasks.get(task) if side.snapshot is not None else None
    return record.state.landed if record else None, "it was there already"
