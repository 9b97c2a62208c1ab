"""Taking back exactly one task's commit, through the same gates and the same intent (DESIGN section 10)."""

from __future__ import annotations

from contextlib import ExitStack

from msgspec.structs import replace

from git_fleet.app import generated
from git_fleet.app.checkouts import Checkout, Checkouts
from git_fleet.app.gating import Gating, Judgement
from git_fleet.app.landing import land, require_way
from git_fleet.app.lead import Leading, leading
from git_fleet.app.session import Session
from git_fleet.app.settling import settle
from git_fleet.app.stacking import Layer
from git_fleet.core import codec
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, parse_task_id
from git_fleet.core.lifecycle import Event, after
from git_fleet.core.model import State
from git_fleet.core.progress import Report
from git_fleet.core.results import Ejected, Reverted
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.core.trailers import clean, parse, revert_message
from git_fleet.errors import AnswerIsNo, IllegalEvent, InvalidInput, NeedsPerson, Stale
from git_fleet.git import contents, replay
from git_fleet.git.drafts import Drafts
from git_fleet.git.formats import parse_signature
from git_fleet.store import archive, evidence, log, names, tasks
from git_fleet.store.base import tip
from git_fleet.store.lead import Landing

_TRIES = 20


def revert(session: Session, name: str, reason: str, report: Report, *, dry_run: bool = False) -> Reverted:
    """One commit on main that undoes what the task had become; the task is `reverted` then.

    Raises IllegalEvent for a task that has no commit on main or whose plan is closed, NeedsPerson when later commits are in the way
    or a gate cannot be run, AnswerIsNo when a gate is red without it, Held when somebody else leads; nothing has
    moved in these cases.
    """
    _landed(_record(session, session.snapshot(), name))
    if dry_run:
        return _round(session, name, reason, report, None)
    with leading(session) as lead:
        for _ in range(_TRIES):
            try:
                return _round(session, name, reason, report, lead)
            except Stale as moved:
                report(f"{moved.message}; once more")
    raise Stale("the base branch or the task keeps moving", hint=f"git fleet revert {name}")


def _record(session: Session, snapshot: Snapshot, name: str) -> TaskRecord:
    """The task, if its log can tell that it was reverted: one of a closed plan has ended for good."""
    try:
        return session.record(snapshot, name)
    except InvalidInput:
        commit = _landed_for_good(session, name)
        if commit is None:
            raise
        raise IllegalEvent(
            f"{name} is no task of an open plan any more, so its log cannot say that {commit[:12]} was reverted",
            hint=f"git revert {commit[:12]}, and say why in its message; while a plan is open on that branch, between"
            " git fleet lead acquire and git fleet lead release",
        ) from None


def _landed_for_good(session: Session, name: str) -> Oid | None:
    try:
        at = archive.tip_of(session.store, parse_task_id(name))
    except InvalidInput:
        return None
    return tasks.state_at(session.store, at).landed


def _landed(record: TaskRecord) -> Oid:
    """The commit that the task has become."""
    state = record.state
    if state.state is not State.INTEGRATED:
        raise IllegalEvent(
            f"{record.id} is {state.state.phrase}, so there is nothing of it to revert",
            hint=f"git fleet log {record.id}",
        )
    if state.landed is None:
        raise IllegalEvent(
            f"{record.id} ended without a commit, so there is nothing to revert",
            hint=f"git fleet log {record.id}",
        )
    return state.landed


def _round(session: Session, name: str, reason: str, report: Report, lead: Leading | None) -> Reverted:
    with Drafts(session.store.objects) as drafts, ExitStack() as held:
        session = replace(session, store=replace(session.store, objects=drafts))
        if lead is not None:
            held.enter_context(lead.working_as(session))
            settle(lead)
        snapshot = session.snapshot()
        record = session.record(snapshot, name)
        landed = _landed(record)
        base = session.base_of(record.id) or session.main
        main = tip(session.store.refs.get(names.branch(base)))
        if main is None or not drafts.is_ancestor(landed, main):
            raise IllegalEvent(f"{base} does not contain {landed[:12]}", hint="git fleet doctor")
        config = session.config(base)
        layer = _layer(session, config, drafts, record, landed, main, reason)
        for other in _dependents(snapshot, record):
            report(f"{other.id} needs {record.id} and is integrated: it stays")
        gating = Gating(session, config, Checkouts(session.repo, session.around.cache_dir), report)
        if lead is not None:
            _land(session, lead, layer, landed, base, gating, reason, report)
        return Reverted(record.id, landed, layer.at, main, layer.at, gating.runs, base)


def _dependents(snapshot: Snapshot, record: TaskRecord) -> list[TaskRecord]:
    return [
        other
        for other in snapshot.of_plan(record.id.plan)
        if record.id in other.task.needs_ids and other.state.state is State.INTEGRATED
    ]


def _layer(
    session: Session,
    config: Config,
    drafts: Drafts,
    record: TaskRecord,
    landed: Oid,
    main: Oid,
    reason: str,
) -> Layer:
    """The commit that main would get. It is merged where main is, since the merge obeys attributes there."""
    proposal = record.state.proposal
    if proposal is None:
        raise AssertionError("an integrated task has a proposal")
    with Checkouts(session.repo, session.around.cache_dir).checkout(main) as checkout:
        subject = generated.Subject(record.id, proposal.number, main)
        tree = _undone(session, config, drafts, checkout, subject, (landed, _below(session, record, landed)))
        if tree == drafts.read_commit(main).tree:
            raise IllegalEvent(
                f"nothing of {landed[:12]} is left to take back", hint=f"git fleet log {record.id}"
            )
        git = drafts.git(checkout.path, holding=[checkout.lock])
        settings = replay.commit_settings(git)
        who = parse_signature(git.run("var", "GIT_COMMITTER_IDENT").out.strip())
        title = parse(clean(drafts.read_commit(landed).message)).subject
        commit = replay.commit_tree(
            git,
            drafts,
            tree=tree,
            onto=main,
            message=revert_message(record.id, title, landed, reason, session.person()),
            author=who,
            committer=who,
            sign=settings.sign,
        )
    return Layer(record, proposal, main, commit, tree)


def _below(session: Session, record: TaskRecord, landed: Oid) -> Oid:
    """What main was before the task: of one that a forge has rebased, several commits further back."""
    events = (entry.event for entry in log.history(session.store.objects, record.tip))
    integrated = [event for event in events if event.name == "integrate"]
    below = integrated[-1].fields.get("below") if integrated else None
    return Oid(below) if below else session.store.objects.read_commit(landed).parents[0]


def _undone(
    session: Session,
    config: Config,
    drafts: Drafts,
    checkout: Checkout,
    subject: generated.Subject,
    brought: tuple[Oid, Oid],
) -> Oid:
    """Main's tree without what `brought`, a commit and what was below it, make a difference of. Generated files that it touched stay as main has them,
    and are made anew; where it brought nothing else, they go back to what they were, like any other."""
    main, (landed, before) = subject.onto, brought
    paths = [change.path for change in drafts.changed_paths(before, landed)]
    ours = generated.matcher(config.generated_paths)
    entries = generated.touched(config.generated, paths)
    if len(ours.match_all(paths)) == len(paths):
        entries = ()
    sides = [generated.without(drafts, each, main, ours) if entries else each for each in (landed, before)]
    git = drafts.git(checkout.path, holding=[checkout.lock])
    merged = replay.merge_from(git, drafts, base=sides[0], ours=main, theirs=sides[1])
    if merged.tree is None:
        raise NeedsPerson(
            f"what came after {landed[:12]} is in the way of reverting it: {contents.listing(merged.conflicts)}",
            hint="revert what was built on it first, or plan a task that undoes it by hand",
        )
    made = generated.regenerate(session, config, drafts, checkout, entries, subject, merged.tree)
    if isinstance(made, Ejected):
        raise AnswerIsNo(
            f"without {subject.task} generated files cannot be made: {made.detail}",
            hint="what was built on it has to go, or be mended, first",
        )
    return made


def _land(
    session: Session,
    lead: Leading,
    layer: Layer,
    landed: Oid,
    base: str,
    gating: Gating,
    reason: str,
    report: Report,
) -> None:
    session.store.objects.save()
    require_way(session, names.branch(base), layer.onto, layer.at)
    found = _judge(layer, gating)
    landing = _prepare(session, layer, found, landed, reason)
    lead.keep()
    land(lead, names.branch(base), layer.onto, layer.at, [landing])
    report(f"{layer.record.id}: {base} is at {layer.at[:12]}, without {landed[:12]}")


def _judge(layer: Layer, gating: Gating) -> Judgement:
    """The repository's gates on main without the task. (Its own would miss what is gone.)"""
    found = gating.ask(layer, gating.common)
    if found.ejected is not None:
        raise AnswerIsNo(
            f"without {layer.record.id} the branch would be red: {found.ejected.detail}",
            hint=f"what was built on it has to go, or be mended, first; the whole output is in {found.results[-1].log}",
        )
    return found


def _prepare(session: Session, layer: Layer, found: Judgement, landed: Oid, reason: str) -> Landing:
    record = layer.record
    if record.tip is None:
        raise AssertionError("an integrated task has a log")
    fields = {"commit": layer.at, "reverted": landed, "reason": reason}
    event = Event("revert", session.now(), session.person(), fields)
    prepared = log.write(
        session.store.objects,
        event,
        after(record.state, event),
        parent=record.tip,
        subject=tasks.subject(record.id, event),
        texts=found.texts,
    )
    note = evidence.text(
        {
            "plan": record.id.plan,
            "task": record.id.task,
            "reverts": landed,
            "by": session.person(),
            "reverted_at": codec.format_time(event.at),
            "gate": [
                {"name": result.name, "outcome": str(result.outcome), "seconds": round(result.seconds, 3)}
                for result in found.results
            ],
        }
    )
    return Landing(record.id, layer.proposal.number, layer.at, record.tip, prepared, note, reverts=True)
