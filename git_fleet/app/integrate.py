"""Proposals onto main: in a deliberate order, one commit per task, each gated on the tree that main
would really have (DESIGN section 10).

One task at a time: replay onto main as it is now, scope, gates in a clean checkout of exactly that
commit, then main moves (app/landing.py). If main moved meanwhile, the task is replayed and gated
again. A task that cannot land goes back to rework with what was found; the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from git_fleet.app import candidates, foreign
from git_fleet.app.acting import act, same_proposal
from git_fleet.app.candidates import Candidate
from git_fleet.app.checkouts import Checkout, Checkouts
from git_fleet.app.gates import GateResult
from git_fleet.app.judging import Judgement, judge
from git_fleet.app.landing import land, require_way, settle
from git_fleet.app.lead import Leading, leading
from git_fleet.app.session import Session
from git_fleet.core import codec, patterns
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event, after
from git_fleet.core.model import Output, State
from git_fleet.core.order import integration_order
from git_fleet.core.results import Ejected, Integration, Landed, Skipped
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import IllegalEvent, InvalidInput, Stale
from git_fleet.git.process import Git
from git_fleet.store import evidence, log, names, tasks
from git_fleet.store.base import tip
from git_fleet.store.lead import Landing

_TRIES = 20
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: plans or tasks (all when empty), a person's own order for the front."""

    targets: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    stop_on_conflict: bool = False
    dry_run: bool = False


@dataclass
class _Run:
    """One run: what it works with, and what came of it so far."""

    session: Session
    snapshot: Snapshot
    order: Order
    report: Report
    base: str
    config: Config
    main: Oid
    integrated: list[Landed] = field(default_factory=list)
    ejected: list[Ejected] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    gate_runs: int = 0

    @property
    def ref(self) -> str:
        return names.branch(self.base)


def integrate(session: Session, order: Order, report: Report) -> Integration:
    """Bring what is handed in onto its base branch. `report` gets a line for each step.

    Raises Held when somebody else leads, InvalidInput for targets that do not exist or when no gate
    is declared, NeedsPerson when the worktree of main is in the way, AnswerIsNo when a gate cannot be
    run, StaleClaim when the lead was lost. What has landed until then has landed.
    """
    snapshot = session.snapshot()
    chosen, skipped = _choose(snapshot, order)
    base = _base(session, snapshot, order, chosen)
    config = session.config(base)
    if chosen:
        _require_gates(config, chosen)
    main = tip(session.store.refs.get(names.branch(base)))
    if main is None:
        raise InvalidInput(f"there is no branch {base}", hint=f"git branch {base}")
    run = _Run(session, snapshot, order, report, base, config, main, skipped=skipped)
    warnings = foreign.warnings(session, snapshot, base)
    pool = Checkouts(session.repo, session.around.cache_dir)
    if order.dry_run:
        with pool.checkout(main) as checkout:
            _rehearse(run, _ordered(session, snapshot, chosen, order), checkout)
    else:
        with leading(session) as lead:
            _settle_first(lead, report)
            run.main = tip(session.store.refs.get(run.ref)) or main
            with pool.checkout(run.main) as checkout:
                for record in _ordered(session, snapshot, chosen, order):
                    if not _integrate_one(run, lead, checkout, record):
                        break
    return Integration(
        main, run.main, tuple(run.integrated), tuple(run.ejected), tuple(run.skipped), run.gate_runs, warnings,
        base,
    )  # fmt: skip


# --- what, and in which order --------------------------------------------------------------------


def _choose(snapshot: Snapshot, order: Order) -> tuple[list[TaskRecord], list[Skipped]]:
    """The tasks that are handed in among those asked for; those named one by one and not handed in."""
    waiting = (State.PROPOSED, State.VERIFIED)
    if not order.targets:
        return [record for record in snapshot.tasks.values() if record.state.state in waiting], []
    chosen: dict[TaskId, TaskRecord] = {}
    skipped = []
    for target in order.targets:
        if target in snapshot.plans:
            chosen |= {r.id: r for r in snapshot.of_plan(target) if r.state.state in waiting}
            continue
        record = snapshot.resolve(target)
        if record.state.state in waiting:
            chosen[record.id] = record
        else:
            skipped.append(Skipped(record.id, f"it is {record.state.state.phrase}"))
    return [record for record in snapshot.tasks.values() if record.id in chosen], skipped


def _base(session: Session, snapshot: Snapshot, order: Order, chosen: Sequence[TaskRecord]) -> str:
    """The one branch all of them go onto."""
    wanted = {record.id.plan for record in chosen} or {
        name for name in order.targets if name in snapshot.plans
    }
    bases = {plan.base for name in wanted if (plan := snapshot.plans[name].approved) is not None}
    if len(bases) > 1:
        raise InvalidInput(
            f"these go onto different branches: {', '.join(sorted(bases))}",
            hint="git fleet integrate PLAN, one by one",
        )
    return next(iter(bases), session.main)


def _require_gates(config: Config, chosen: Sequence[TaskRecord]) -> None:
    unchecked = [r for r in chosen if r.task.output is Output.COMMIT and not r.task.accept]
    if config.gates or config.gates_none or not unchecked:
        return
    raise InvalidInput(
        "no gate is declared, so nothing would be checked before main moves",
        hint='commit one in fleet.toml on the base branch:\n\n[[gate]]\nname = "tests"\nrun = "make test"\n\n'
        'or say there, above the first table, that nothing is to be checked: gates = "none"',
    )


def _ordered(
    session: Session, snapshot: Snapshot, chosen: Sequence[TaskRecord], order: Order
) -> list[TaskRecord]:
    index = session.index(snapshot)
    by_id = {record.id: record for record in chosen}
    first = [snapshot.resolve(name).id for name in order.first]
    unknown = [task_id for task_id in first if task_id not in by_id]
    if unknown:
        raise InvalidInput(
            f"--order names {', '.join(map(str, unknown))}, which {'is' if len(unknown) == 1 else 'are'} not handed in",
            hint="git fleet status",
        )
    ids = integration_order(
        [record.task for record in chosen],
        dependents=index.dependents,
        shared=lambda task_id: len(index.overlaps.of(task_id)),
        first=first,
    )
    return [by_id[task_id] for task_id in ids]


def _settle_first(lead: Leading, report: Report) -> None:
    done = settle(lead)
    if done:
        report(
            f"an interrupted integration was found: {'completed' if done == 'complete' else 'it had not moved main'}"
        )


# --- one task ------------------------------------------------------------------------------------


def _integrate_one(run: _Run, lead: Leading, checkout: Checkout, record: TaskRecord) -> bool:
    """Land, eject or skip one task; False when the run is to stop."""
    for _ in range(_TRIES):
        lead.keep()
        record = run.session.reread(record)
        why = _not_now(run, record)
        if why:
            run.skipped.append(Skipped(record.id, why))
            return True
        try:
            return _try(run, lead, checkout, record)
        except (Stale, IllegalEvent) as moved:
            run.report(f"{record.id}: {moved.message}; once more")
            run.main = tip(run.session.store.refs.get(run.ref)) or run.main
    run.skipped.append(Skipped(record.id, f"{run.base} or the task keeps moving"))
    return True


def _not_now(run: _Run, record: TaskRecord, landed: Collection[TaskId] = ()) -> str:
    """Why the task is left as it is, or "" when it may go on. `landed` count as integrated."""
    state = record.state
    if state.state not in (State.PROPOSED, State.VERIFIED):
        return f"it is {state.state.phrase}"
    if state.state is State.PROPOSED and run.config.policy.verdicts:
        return "it waits for verdicts"
    open_needs = [
        str(need) for need in record.task.needs_ids if need not in landed and not _has_landed(run, need)
    ]
    return f"it needs {', '.join(open_needs)} first" if open_needs else ""


def _has_landed(run: _Run, task: TaskId) -> bool:
    """Whether a task that another needs is integrated, maybe in this run."""
    known = run.snapshot.tasks.get(task)
    return known is not None and State.INTEGRATED in (
        known.state.state,
        run.session.reread(known).state.state,
    )


def _try(run: _Run, lead: Leading, checkout: Checkout, record: TaskRecord) -> bool:
    made = _candidate(run, checkout, record)
    if isinstance(made, Ejected):
        return _eject(run, record, made, {})
    if made.commit is not None:  # before the gates, which may take long
        require_way(run.session, run.ref, run.main, made.commit)
    found = judge(run.session, run.config, record, checkout, made.commit or run.main, run.report)
    run.gate_runs += len(found.results)
    if found.ejected is not None:
        return _eject(run, record, found.ejected, found.texts)
    verified = _upheld(run, record, found)
    if made.commit is None:
        _settle_empty(run, verified, made)
    elif not _parks(run, verified, made):
        _land(run, lead, verified, made, found.results)
    return True


def _candidate(run: _Run, checkout: Checkout, record: TaskRecord) -> Candidate | Ejected:
    """The task's commit on main as it is, merged in a clean checkout of main (whatever gates left there:
    the merge obeys its .gitattributes)."""
    checkout.commit = run.main
    checkout.reset()
    return candidates.build(run.session, Git(checkout.path), record, run.main, run.config)


def _eject(run: _Run, record: TaskRecord, ejected: Ejected, texts: Mapping[str, bytes]) -> bool:
    """Back to rework, with what was found; the next claim gets it."""
    fields = {
        "reason": ejected.reason,
        "findings": (candidates.finding(ejected),),
        "paths": list(ejected.paths[:50]),
    }
    _record(run, record, "eject", fields, texts)
    run.ejected.append(ejected)
    run.report(f"{record.id}: back to rework ({ejected.reason})")
    return not (run.order.stop_on_conflict and ejected.reason == "conflict")


def _upheld(run: _Run, record: TaskRecord, found: Judgement) -> TaskRecord:
    """Where no verifier is configured, passing gates count as the uphold, recorded before the intent. Where
    there are no gates either, it is nobody's, and says so."""
    if record.state.state is State.VERIFIED:
        return record
    number = record.state.proposal.number if record.state.proposal else 0
    fields = {"by": found.by, "number": number}
    return _record(run, record, "uphold", fields, found.texts)


def _record(
    run: _Run,
    record: TaskRecord,
    name: str,
    fields: Mapping[str, Any],
    texts: Mapping[str, bytes] | None = None,
) -> TaskRecord:
    """Append an event about the proposal that was looked at. Raises Stale when there is another by now."""
    decide = same_proposal(record, lambda _: fields)
    return act(run.session, record, name, decide, actor=run.session.person(), texts=texts)


def _parks(run: _Run, record: TaskRecord, made: Candidate) -> bool:
    """Whether the proposal touches what a person has to look at; it waits for `accept` or `reject`."""
    if made.commit is None or record.state.unparked == made.proposal.number or not run.config.park:
        return False
    matcher = patterns.Matcher(patterns.parse(text) for text in run.config.park)
    changes = run.session.store.objects.changed_paths(made.onto, made.commit)
    touched = matcher.match_all([change.path for change in changes])
    if not touched:
        return False
    _record(run, record, "park", {"reason": f"touches {', '.join(touched[:5])}"})
    run.skipped.append(Skipped(record.id, f"parked for a person: it touches {', '.join(touched[:5])}"))
    return True


def _settle_empty(run: _Run, record: TaskRecord, made: Candidate) -> None:
    """A report, or a commit with nothing left in it, ends without a commit; its log says so."""
    reason = "a report" if made.proposal.commit is None else f"{run.base} has all of it already"
    _record(run, record, "integrate", {"number": made.proposal.number, "reason": reason})
    run.integrated.append(Landed(record.id, None, made.tree))
    run.report(f"{record.id}: integrated without a commit ({reason})")


def _land(
    run: _Run, lead: Leading, record: TaskRecord, made: Candidate, results: Sequence[GateResult]
) -> None:
    session, commit = run.session, made.commit
    if commit is None or record.tip is None:
        raise AssertionError("what lands has a commit and a log")
    event = Event(
        "integrate", session.now(), session.person(), {"commit": commit, "number": made.proposal.number}
    )
    prepared = log.write(
        session.store.objects,
        event,
        after(record.state, event),
        parent=record.tip,
        subject=tasks.subject(record.id, event),
    )
    note = evidence.text(_evidence(session, record, made, results))
    landing = Landing(record.id, made.proposal.number, commit, record.tip, prepared, note)
    land(lead, run.ref, made.onto, commit, [landing])
    run.main = commit
    run.integrated.append(Landed(record.id, commit, made.tree))
    run.report(f"{record.id}: {run.base} is at {commit[:12]}")


def _evidence(
    session: Session, record: TaskRecord, made: Candidate, results: Sequence[GateResult]
) -> dict[str, Any]:
    """What the note on the commit says: who did it, what was checked, when."""
    state, claim = record.state, record.state.claim
    document: dict[str, Any] = {
        "plan": record.id.plan,
        "task": record.id.task,
        "worker": made.proposal.worker,
        "proposal": made.proposal.oid,
        "number": made.proposal.number,
        "attempt": state.attempt,
        "integrated_at": codec.format_time(session.now()),
        "gate": [
            {"name": result.name, "outcome": str(result.outcome), "seconds": round(result.seconds, 3)}
            for result in results
        ],
        "verdict": [
            {"lens": verdict.lens, "verifier": verdict.verifier, "verdict": verdict.verdict}
            for verdict in state.verdicts
        ],
    }
    if claim is not None:
        document["claimed_at"] = codec.format_time(claim.acquired_at)
    if state.usage.input_tokens or state.usage.output_tokens or state.usage.cost_usd:
        document["usage"] = codec.encode_fields({"usage": state.usage})["usage"]
    return document


# --- dry run -------------------------------------------------------------------------------------


def _rehearse(run: _Run, ordered: Sequence[TaskRecord], checkout: Checkout) -> None:
    """The order, the conflicts and the resulting commits; no gate runs and no ref moves."""
    landed: set[TaskId] = set()
    for record in ordered:
        why = _not_now(run, record, landed)
        if why:
            run.skipped.append(Skipped(record.id, why))
            continue
        made = _candidate(run, checkout, record)
        if isinstance(made, Ejected):
            run.ejected.append(made)
            continue
        landed.add(record.id)
        run.main = made.commit or run.main
        run.integrated.append(Landed(record.id, made.commit, made.tree))
