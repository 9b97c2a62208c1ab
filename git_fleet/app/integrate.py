"""Proposals onto main: in a deliberate order, one commit per task, each gated on the tree that main
would really have (DESIGN section 10).

Here a run begins and ends. What becomes of a task is decided in queue.py, when its gates run in
speculation.py and bisection.py, how main moves in landing.py. A task that cannot land goes back to rework with
what was found; the others go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from msgspec import Struct, field
from msgspec.structs import replace

from git_fleet.app import choosing, foreign, trust
from git_fleet.app.checkouts import Checkouts
from git_fleet.app.gating import Gating
from git_fleet.app.lead import Leading, leading
from git_fleet.app.queue import Queue
from git_fleet.app.session import Session
from git_fleet.app.settling import settle
from git_fleet.app.speculation import speculate
from git_fleet.app.stacking import Stack
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.progress import Progress, Report, Watch, unwatched
from git_fleet.core.results import Integration, Skipped
from git_fleet.core.snapshot import Snapshot
from git_fleet.core.wording import count
from git_fleet.errors import InvalidInput, NeedsPerson
from git_fleet.git.drafts import Drafts
from git_fleet.store import names, proposals

_REST_SECONDS = 60.0
_IDLE_ROUNDS = 20  # in which others were always faster


class Order(Struct, frozen=True):
    """What is asked for: plans or tasks (all when empty), a person's own order for the front.

    `jobs` candidates are gated at once; with `batch` only the top of the stack is, and halves of it
    when that is red. Without `cache` every gate runs, also where it is known to pass.
    """

    targets: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    stop_on_conflict: bool = False
    dry_run: bool = False
    jobs: int = 1
    batch: bool = False
    cache: bool = True


def integrate(session: Session, order: Order, report: Report, watch: Watch = unwatched) -> Integration:
    """Bring what is handed in onto its base branch. `report` gets a line for each step, `watch` how far it is.

    Raises Held when somebody else leads, InvalidInput for targets that do not exist or when no gate
    is declared, NeedsPerson when the worktree of main is in the way or main does not pass its own gates, StaleClaim
    when the lead was lost. What has landed until then has landed; a note of KeyboardInterrupt says so.
    """
    task = _Task(order, report, watch)
    if order.dry_run:
        return _round(session, task, None)[0]
    task.seen = _look(
        session, task
    )  # before anybody leads: what cannot be done is refused, and leaves no trace
    with leading(session) as lead:
        return _rounds(session, task, lead)


def _look(session: Session, task: _Task) -> Snapshot:
    """The fleet, in which what is asked for can be done. Raises InvalidInput when it cannot."""
    snapshot = session.snapshot()
    chosen, _ = choosing.choose(snapshot, task.order.targets, task.base)
    base = task.base or choosing.base_of(session, snapshot, task.order.targets, chosen)
    config = session.config(base)
    if chosen:
        choosing.require_gates(config, chosen)
    return snapshot


def keep_integrating(
    session: Session, order: Order, report: Report, watch: Watch = unwatched
) -> Iterator[Integration]:
    """Integrate what is handed in, and go on as more is, until all tasks asked for have ended: what came of it
    each time that something did. It leads all the time. Raises as `integrate`; InvalidInput, too, when what is
    asked for goes onto different branches."""
    from git_fleet.git.watching import RefWatch

    base = choosing.only_base(session, session.snapshot(), order.targets)
    task = _Task(order, report, watch, base)
    task.seen = _look(session, task)
    places = session.store.refs.places
    ours = (names.LEAD, names.SNAPSHOTS)  # which each round writes, or which say nothing to the queue
    with (
        leading(session) as lead,
        RefWatch(session.repo, places(names.FLEET, names.branch(base)), ignored=places(*ours)) as refs,
    ):
        while True:
            found = _rounds(session, task, lead)
            if found.integrated or found.ejected:
                yield found
            task.begun = True
            if not choosing.may_come(session.snapshot(), order.targets, base):
                return
            watch(Progress("waiting", 0, 0))
            refs.wait(min(_REST_SECONDS, session.config(base).lease_seconds / 4))
            lead.keep()


class _Task(Struct):
    """What a run is to do. `base` names the branch where only one counts; `begun`: what is asked for has been
    there, so it may have ended since; `left` is what the round before came to nothing with, `seen` the fleet as
    it was read just before, `unsigned` what was said to rest on events that do not count, `landed` what its rounds have
    brought to main."""

    order: Order
    report: Report
    watch: Watch
    base: str = ""
    begun: bool = False
    left: tuple[TaskId, ...] = ()
    seen: Snapshot | None = None
    unsigned: list[Skipped] = field(default_factory=list)
    landed: list[str] = field(default_factory=list)


def _rounds(session: Session, task: _Task, lead: Leading) -> Integration:
    """Rounds until one has found everything as it was read: configuration, plans, tasks, main."""
    whole: Integration | None = None
    idle = 0
    task.landed.clear()
    while True:
        try:
            found, again = _round(session, task, lead)
        except NeedsPerson as stop:
            raise _after(stop, task.landed) from stop
        except KeyboardInterrupt as stop:
            stop.add_note(_so_far(task.landed))
            raise
        task.begun = True
        idle = 0 if found.integrated or found.ejected else idle + 1
        whole = found if whole is None else _joined(whole, found)
        if not again or idle == _IDLE_ROUNDS:
            return whole


def _joined(one: Integration, next_one: Integration) -> Integration:
    """Two rounds as one: what was left in the first is what the second has looked at."""
    return Integration(
        one.main_before,
        next_one.main_after,
        one.integrated + next_one.integrated,
        one.ejected + next_one.ejected,
        next_one.skipped,
        one.gate_runs + next_one.gate_runs,
        next_one.warnings,
        next_one.base,
    )


def _after(stop: NeedsPerson, landed: Sequence[str]) -> NeedsPerson:
    if not landed:
        return stop
    return NeedsPerson(f"{stop.message} (before that, {', '.join(landed)} landed)", hint=stop.hint)


def _so_far(landed: Sequence[str]) -> str:
    before = f"{count(len(landed), 'task')} landed before that; " if landed else ""
    return f"{before}git fleet integrate goes on"


def _round(session: Session, task: _Task, lead: Leading | None) -> tuple[Integration, bool]:
    """Everything that is handed in now; and whether something has moved meanwhile, so that another round has to
    look again."""
    order, report = task.order, task.report
    with Drafts(session.store.objects) as drafts, ExitStack() as held:
        session = replace(session, store=replace(session.store, objects=drafts))
        if lead is not None:
            held.enter_context(lead.working_as(session))
            if _settle_first(lead, report):
                task.seen = None
        snapshot, task.seen = task.seen or session.snapshot(), None
        targets = choosing.still(snapshot, order.targets) if task.begun else order.targets
        chosen, skipped = choosing.choose(snapshot, targets, task.base)
        if order.targets and not targets:
            chosen = []  # all that was asked for is gone
        base = task.base or choosing.base_of(session, snapshot, targets, chosen)
        found = session.store.objects.read_ref(names.branch(base))
        if found is None:
            raise InvalidInput(f"there is no branch {base}", hint=f"git branch {base}")
        main = found[0]
        config = session.config_in(main)
        chosen, unsigned = trust.counting(session, chosen, signed=config.policy.signed)
        if chosen:
            choosing.require_gates(config, chosen)
        pool = Checkouts(session.repo, session.around.cache_dir)
        gating = Gating(session, config, pool, report, fresh=not order.cache)
        stack = held.enter_context(Stack(session, drafts, pool, config, main))
        queue = Queue(session, snapshot, config, base, main, drafts, stack, gating, report, task.watch, lead)
        queue.stop_on_conflict = order.stop_on_conflict
        first = choosing.still(snapshot, order.first, chosen) if task.begun else order.first
        proposals.have(session.store, chosen)
        stack.expect(chosen)  # git is at it; what follows is asked meanwhile
        warnings = foreign.warnings(session, snapshot, base)
        queue.waiting.extend(choosing.in_order(session, snapshot, chosen, first))
        gone = [task_id for task_id in task.left if all(record.id != task_id for record in chosen)]
        queue.tally.skipped += _moved_on(snapshot, gone) if task.begun else skipped
        queue.tally.skipped += [one for one in unsigned if one not in task.unsigned]
        task.unsigned += unsigned
        try:
            _drain(queue, order)
        finally:
            task.landed += (str(each.id) for each in queue.tally.integrated)
        task.left = tuple(record.id for record in queue.left)
        return _outcome(queue, main, warnings), queue.over


def _moved_on(snapshot: Snapshot, gone: Sequence[TaskId]) -> list[Skipped]:
    """Why tasks that were to be integrated are not any more."""
    known = [record for task_id in gone if (record := snapshot.tasks.get(task_id)) is not None]
    return [Skipped(record.id, f"it is {record.state.state.phrase}") for record in known]


def _outcome(queue: Queue, main: Oid, warnings: tuple[str, ...]) -> Integration:
    done = queue.tally
    left = (
        [Skipped(each.id, f"{queue.base} or the task keeps moving") for each in queue.left]
        if queue.over
        else []
    )
    return Integration(
        main,
        queue.main,
        tuple(done.integrated),
        tuple(done.ejected),
        (*done.skipped, *left),
        queue.gating.runs,
        warnings,
        queue.base,
    )


def _drain(queue: Queue, order: Order) -> None:
    if order.dry_run:
        queue.rehearse()
    elif order.batch:
        from git_fleet.app.bisection import bisect

        bisect(queue)
    else:
        speculate(queue, order.jobs)


def _settle_first(lead: Leading, report: Report) -> bool:
    """Whether an intent was open, and is closed now."""
    done = settle(lead)
    if done:
        report(
            f"an interrupted integration was found: {'completed' if done == 'complete' else 'it had not moved main'}"
        )
    return bool(done)
