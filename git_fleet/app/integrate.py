"""Proposals onto main: in a deliberate order, one commit per task, each gated on the tree that main
would really have (DESIGN section 10).

Here a run begins and ends. What becomes of a task is decided in queue.py, when its gates run in
speculation.py and bisection.py, how main moves in landing.py. A task that cannot land goes back to rework with
what was found; the others go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from git_fleet.app import choosing, foreign
from git_fleet.app.bisection import bisect
from git_fleet.app.checkouts import Checkouts
from git_fleet.app.gating import Gating
from git_fleet.app.landing import settle
from git_fleet.app.lead import Leading, leading
from git_fleet.app.queue import Queue
from git_fleet.app.session import Session
from git_fleet.app.speculation import speculate
from git_fleet.app.stacking import Stack
from git_fleet.core.progress import Progress, Report, Watch, unwatched
from git_fleet.core.results import Integration
from git_fleet.errors import InvalidInput
from git_fleet.git.drafts import Drafts
from git_fleet.git.watching import RefWatch
from git_fleet.store import names
from git_fleet.store.base import tip

_REST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Order:
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
    is declared, NeedsPerson when the worktree of main is in the way or a gate cannot be run, StaleClaim
    when the lead was lost. What has landed until then has landed.
    """
    if order.dry_run:
        return _round(session, order, report, watch, None)
    choosing.choose(session.snapshot(), order.targets)  # before anybody leads: refuse what does not exist
    with leading(session) as lead:
        return _round(session, order, report, watch, lead)


def keep_integrating(
    session: Session, order: Order, report: Report, watch: Watch = unwatched
) -> Iterator[Integration]:
    """Integrate what is handed in, and go on as more is, until all tasks asked for have ended; each round that
    brought or ejected something. It leads all the time. Raises as `integrate`."""
    base = choosing.base_of(session, session.snapshot(), order.targets, ())
    ours = (names.LEAD, names.SNAPSHOTS)  # which each round writes, or which say nothing to the queue
    with (
        leading(session) as lead,
        RefWatch(session.repo, (names.FLEET, names.branch(base)), ignored=ours) as refs,
    ):
        while True:
            found = _round(session, order, report, watch, lead)
            if found.integrated or found.ejected:
                yield found
            if not choosing.may_come(session.snapshot(), order.targets):
                return
            watch(Progress("waiting", 0, 0))
            refs.wait(min(_REST_SECONDS, session.config(base).lease_seconds / 4))
            lead.keep()


def _round(session: Session, order: Order, report: Report, watch: Watch, lead: Leading | None) -> Integration:
    """Everything that is handed in now."""
    with Drafts(session.store.objects) as drafts, ExitStack() as held:
        session = replace(session, store=replace(session.store, objects=drafts))
        if lead is not None:
            held.enter_context(lead.working_as(session))
            _settle_first(lead, report)
        snapshot = session.snapshot()
        chosen, skipped = choosing.choose(snapshot, order.targets)
        base = choosing.base_of(session, snapshot, order.targets, chosen)
        config = session.config(base)
        if chosen:
            choosing.require_gates(config, chosen)
        main = tip(session.store.refs.get(names.branch(base)))
        if main is None:
            raise InvalidInput(f"there is no branch {base}", hint=f"git branch {base}")
        warnings = foreign.warnings(session, snapshot, base)
        pool = Checkouts(session.repo, session.around.cache_dir)
        gating = Gating(session, config, pool, report, fresh=not order.cache)
        stack = held.enter_context(Stack(session, drafts, pool, config, main))
        queue = Queue(session, snapshot, config, base, main, drafts, stack, gating, report, watch, lead)
        queue.stop_on_conflict = order.stop_on_conflict
        queue.tally.skipped += skipped
        queue.waiting.extend(choosing.in_order(session, snapshot, chosen, order.first))
        _drain(queue, order)
        done = queue.tally
        return Integration(
            main, queue.main, tuple(done.integrated), tuple(done.ejected), tuple(done.skipped), gating.runs,
            warnings, base,
        )  # fmt: skip


def _drain(queue: Queue, order: Order) -> None:
    if order.dry_run:
        queue.rehearse()
    elif order.batch:
        bisect(queue)
    else:
        speculate(queue, order.jobs)


def _settle_first(lead: Leading, report: Report) -> None:
    done = settle(lead)
    if done:
        report(
            f"an interrupted integration was found: {'completed' if done == 'complete' else 'it had not moved main'}"
        )
