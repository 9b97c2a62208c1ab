"""Verdicts in a task's log: who may give one, what follows from them, when they count no more
(DESIGN sections 4 and 9).

A verdict is an event of its own, so that what was answered survives whatever happens to the one who asked.
The conclusion is another, `uphold` or `refute`, drawn by whoever finds all verdicts there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from git_fleet.app.acting import act, same_proposal
from git_fleet.app.session import Session
from git_fleet.app.surroundings import AGENT_VARIABLES
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event, cut
from git_fleet.core.model import Finding, Ruling, State, Verdict
from git_fleet.core.patterns import Matcher, parse
from git_fleet.core.results import Given
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.verdicts import Decision, by_hand, counting, decision, lenses_of, needed
from git_fleet.errors import Denied, IllegalEvent, InvalidInput
from git_fleet.store import log, names
from git_fleet.store.base import tip

if TYPE_CHECKING:
    from git_fleet.core.answers import Answer

_TRIES = 20
_NAMED = 5  # paths in one sentence
_LENS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MAX_NAME = 100


# --- who may ----------------------------------------------------------------------------------------


def require_other(session: Session, record: TaskRecord, *verifiers: str, verb: str = "verify") -> None:
    """Raises Denied when the one acting, or one of the `verifiers`, made the task's proposal. `verb` is what
    they are about to do with it.

    Every way in which somebody shows who they are counts: the worktree they stand in, their environment
    (FLEET_WORKER, FLEET_TASK, FLEET_FENCE), the name they act under. Makers are all who ever held the task:
    an earlier attempt may be part of what is handed in. It is a guard-rail: who hides all of that is not
    recognised.
    """
    makers, fences = _makers(session, record)
    for name, how in _shown(session, record, fences, verifiers):
        if not name or name.casefold() in makers:
            raise Denied(
                f"whoever made a proposal cannot {verb} it: {how}",
                hint=f"leave {record.id} to somebody else: git fleet {verb} {record.id}, run by the lead from"
                " the main worktree",
            )


def _makers(session: Session, record: TaskRecord) -> tuple[frozenset[str], frozenset[str]]:
    """The names of all who held the task or handed it in, without regard to case, and their fences."""
    makers, fences = set[str](), set[str]()
    if record.state.proposal is not None:
        makers.add(record.state.proposal.worker.casefold())
    for entry in log.history(session.store.objects, record.tip):
        if entry.event.name == "claim":
            makers |= {entry.event.actor.casefold(), entry.event.fields["claim"].holder.casefold()}
            fences.add(entry.oid)
    return frozenset(makers), frozenset(fences)


def _shown(
    session: Session, record: TaskRecord, fences: frozenset[str], verifiers: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """By what name one is known, and how; an empty name is a maker's for sure."""
    env, task, placement = session.around.env, record.id, session.placement
    if placement is not None:
        if session.here() == task:
            yield "", f"this is the worktree of {task}"
        yield placement.worker, f"this worktree is {placement.worker}'s"
    if env.get("FLEET_TASK") in (task.task, str(task)) and env.get("FLEET_PLAN", task.plan) == task.plan:
        yield "", f"FLEET_TASK says that you work on {task}"
    if env.get("FLEET_FENCE") in fences:
        yield "", f"FLEET_FENCE is of a claim of {task}"
    if env.get("FLEET_WORKER"):
        yield env["FLEET_WORKER"], f"FLEET_WORKER says that you are {env['FLEET_WORKER']}"
    yield session.actor, f"you act as {session.actor}"
    yield from ((name, f"{name} worked on {task}") for name in verifiers)


# --- giving one -------------------------------------------------------------------------------------


def give(
    session: Session, name: str, ruling: Ruling, lens: str, findings: Sequence[str], summary: str = ""
) -> TaskRecord:
    """Answer for a lens oneself, as a person (or as an agent, where `policy.human` lets agents), and draw
    the conclusion when it was the last answer: the task after that.

    Raises Denied for an agent and for whoever made the proposal, IllegalEvent when nothing is handed in,
    InvalidInput for a lens that is no word or that nobody asks for, and a refutation that says nothing.
    """
    from git_fleet.core.answers import Answer  # what it needs to read a verifier's is not needed to land

    record = session.record(session.snapshot(), name)
    session.require_person("verdict", record.id)
    if not _LENS.fullmatch(lens):
        raise InvalidInput(
            f"lens {lens!r}: a word of letters, digits, '.', '_' and '-'",
            hint=_typed(record, "LENS", ruling),
        )
    config = session.config_of(record.id)
    lens = _known_lens(lens, record, config, ruling)
    if ruling is not Ruling.UPHELD and not findings:
        raise InvalidInput(
            "a refutation needs a reason",
            hint=_typed(record, lens, ruling),
        )
    agent = any(session.around.env.get(sign) for sign in AGENT_VARIABLES)
    who = session.actor if agent else session.person()
    require_other(session, record, who)
    identity = f"{'worker' if agent else 'person'}:{who}"
    verdict = new_verdict(record, lens, identity, ruling, base_tip(session, record))
    said = tuple(Finding(text, verdict.source) for text in findings)
    record = add(session, record, verdict, Answer(ruling, said, summary), {})
    return settle(session, record, config)


def _known_lens(said: str, record: TaskRecord, config: Config, ruling: Ruling) -> str:
    """The lens as the configuration spells it. Another is a person's own, where the policy asks for more
    than are configured or none is; else it would be counted by nobody. Raises InvalidInput then."""
    known = lenses_of(config)
    names = (*known, *(verdict.lens for verdict in counting(record.state)))
    found = next((lens for lens in names if lens.casefold() == said.casefold()), None)
    if found is None and known and needed(config.policy) <= len(known):
        raise InvalidInput(
            f"nobody asks for the lens {said!r}; there are: {', '.join(known)}",
            hint=_typed(record, known[0], ruling),
        )
    return found or said


def _typed(record: TaskRecord, lens: str, ruling: Ruling) -> str:
    finding = "" if ruling is Ruling.UPHELD else ' --finding "…"'
    return f"git fleet verdict {record.id} --lens {lens} --{ruling}{finding}"


def new_verdict(record: TaskRecord, lens: str, who: str, ruling: Ruling, onto: Oid | None) -> Verdict:
    """A verdict on the task's latest proposal, bound to it. `onto` is the tip of the base branch when it
    was asked for. Raises IllegalEvent when nothing is handed in."""
    proposal = record.state.proposal
    if proposal is None or record.state.state is not State.PROPOSED:
        raise IllegalEvent(f"{record.id} is {record.state.state.phrase}", hint=_hint(record))
    lens, who = cut(lens, MAX_NAME), cut(who, MAX_NAME)
    return Verdict(lens, who, str(ruling), proposal.number, proposal.oid, onto)


def _hint(record: TaskRecord) -> str:
    if record.state.state is State.VERIFIED:
        return (
            f"git fleet verify {record.id} --again asks once more, git fleet reject {record.id} takes it back"
        )
    return f"git fleet log {record.id} tells why"


def base_tip(session: Session, record: TaskRecord) -> Oid | None:
    """The tip of the branch that the task's plan is integrated onto."""
    return tip(session.store.refs.get(names.branch(session.base_of(record.id) or session.main)))


def add(
    session: Session, record: TaskRecord, verdict: Verdict, answer: Answer, texts: Mapping[str, bytes]
) -> TaskRecord:
    """Append a verdict to the log of the task that it was given on. `record` is the task as it was when the
    question was asked.

    What a verifier says comes too late when somebody has answered for its lens since then, and never takes
    the place of a person's word: then the task is returned as it is, without it. Raises Stale when another
    proposal was handed in meanwhile, IllegalEvent when none is there any more.
    """
    fields: dict[str, Any] = {"verdict": verdict, "findings": answer.findings}
    fields |= {"summary": answer.summary} if answer.summary else {}
    before = _answer_for(record, verdict.lens)

    def decide(now: TaskRecord) -> dict[str, Any]:
        there = _answer_for(now, verdict.lens)
        if not by_hand(verdict) and there is not None and (there != before or by_hand(there)):
            raise _Late
        return fields

    try:
        decided = same_proposal(record, decide)
        return act(session, record, "verdict", decided, actor=verdict.verifier, texts=texts)
    except _Late:
        return session.reread(record)


class _Late(Exception):
    """The lens has been answered meanwhile."""


def _answer_for(record: TaskRecord, lens: str) -> Verdict | None:
    return next((verdict for verdict in counting(record.state) if verdict.lens == lens), None)


def settle(session: Session, record: TaskRecord, config: Config) -> TaskRecord:
    """Draw the conclusion from the verdicts where there is one: `uphold`, or `refute` with what was found.

    Others may give verdicts at this moment; what counts is what the log says when the event is written.
    """
    proposal = record.state.proposal
    for _ in range(_TRIES):
        said = decision(record.state, config)
        if (
            record.state.state is not State.PROPOSED
            or record.state.proposal != proposal
            or said is Decision.WAIT
        ):
            break
        try:
            return _conclude(session, record, config, said)
        except IllegalEvent:
            record = session.reread(record)
    return record


def _conclude(session: Session, record: TaskRecord, config: Config, said: Decision) -> TaskRecord:
    def decide(now: TaskRecord) -> dict[str, Any]:
        if decision(now.state, config) is not said:
            raise IllegalEvent(f"somebody gave a verdict on {now.id} meanwhile")
        heard = ", ".join(verdict.lens for verdict in counting(now.state))
        number = now.state.proposal.number if now.state.proposal else 0
        return {"by": heard, "number": number} | ({"reason": "verdict"} if said is Decision.REFUTE else {})

    return act(session, record, str(said), same_proposal(record, decide), actor=session.person())


def refute(
    session: Session, record: TaskRecord, reason: str, finding: Finding, texts: Mapping[str, bytes]
) -> TaskRecord:
    """Back to rework for something that no verifier need be asked about: a red gate (`texts` are what gates
    printed), a path out of scope."""
    number = record.state.proposal.number if record.state.proposal else 0
    fields = {"reason": reason, "findings": (finding,), "number": number}
    decide = same_proposal(record, lambda _: fields)
    return act(session, record, "refute", decide, actor=session.person(), texts=texts)


# --- reading them -----------------------------------------------------------------------------------


def given(session: Session, record: TaskRecord) -> tuple[Given, ...]:
    """Every verdict on the task's latest proposal, from its log, oldest first, findings whole."""
    found: list[Given] = []
    for entry in log.history(session.store.objects, record.tip):
        event = entry.event
        if event.name == "done":
            found.clear()
        elif event.name == "reverify":
            found = [replace(one, counts=False) for one in found]
        elif event.name == "verdict":
            verdict = event.fields["verdict"]
            found = [replace(one, counts=one.counts and one.lens != verdict.lens) for one in found]
            found.append(_given(entry.oid, event, verdict))
    return tuple(found)


def _given(oid: Oid, event: Event, verdict: Verdict) -> Given:
    return Given(
        lens=verdict.lens,
        verifier=verdict.verifier,
        verdict=verdict.verdict,
        at=event.at,
        proposal=verdict.proposal,
        onto=verdict.onto,
        findings=event.fields.get("findings", ()),
        summary=event.fields.get("summary", ""),
        oid=oid,
    )


# --- when main moves --------------------------------------------------------------------------------


def overtaken(session: Session, record: TaskRecord, config: Config, main: Oid) -> str:
    """Why what upholds a verified task counts no more once it is put on the commit `main`, else "".

    Verdicts count until something changes that the task owns or reads. What a person accepted stays so.
    """
    state = record.state
    if state.state is not State.VERIFIED:
        return ""
    if decision(state, config) is not Decision.UPHOLD:
        accepted = state.proposal is not None and state.unparked == state.proposal.number
        return (
            "" if accepted or not needed(config.policy) else "it was verified before verdicts were asked for"
        )
    given_on = dict.fromkeys(verdict.onto for verdict in counting(state) if verdict.onto is not None)
    changed = dict.fromkeys(path for onto in given_on for path in outdated(session, record, onto, main))
    if not changed:
        return ""
    more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    base = session.base_of(record.id) or session.main
    return f"{base} has changed {', '.join([*changed][:_NAMED])}{more} since it was verified"


def outdated(session: Session, record: TaskRecord, old_main: Oid, new_main: Oid) -> tuple[str, ...]:
    """The paths that changed between two commits of main and that the task owns or reads. Generated ones
    are left out: they change with every task, and are made anew."""
    if old_main == new_main:
        return ()
    task = record.task
    concerned = Matcher(parse(text) for text in (*task.owned, *task.reads))
    generated = Matcher(parse(text) for text in session.config_of(task.id).generated_paths)
    paths = [change.path for change in session.store.objects.changed_paths(old_main, new_main)]
    return tuple(path for path in paths if concerned.match(path) and not generated.match(path))


def reverify(session: Session, record: TaskRecord, why: str) -> TaskRecord:
    """Send a verified task back to its verifiers; what they said before counts no more.

    Raises Stale when another proposal was handed in meanwhile, IllegalEvent when it is not verified any more.
    """
    decide = same_proposal(record, lambda _: {"reason": why})
    return act(session, record, "reverify", decide, actor=session.person())
