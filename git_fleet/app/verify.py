"""`git fleet verify`: proposals are not facts until something other than their worker has tried to refute
them (DESIGN section 9).

Of each proposal: its scope, then its gates, in a clean checkout of exactly what was handed in. What is red
there goes back at once, and no verifier is asked. Then the verifiers that have not answered yet, each with
a checkout of its own, side by side; every answer is recorded as it comes, so that one who is killed and
runs again asks only the rest. With the last answer comes the conclusion.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from functools import partial
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from git_fleet.app import briefing, commands, verdicts
from git_fleet.app.briefing import Case
from git_fleet.app.checkouts import Checkout, Checkouts
from git_fleet.app.commands import End, Ran
from git_fleet.app.gating import Gating, Judgement
from git_fleet.app.session import Session
from git_fleet.app.stacking import Layer
from git_fleet.core.adapters import adapter_of, heard
from git_fleet.core.answers import Answer, Question, inconclusive, read_answer
from git_fleet.core.config import Command, Config, Verifier
from git_fleet.core.model import Ruling, State
from git_fleet.core.progress import Progress, Report, Watch, unwatched
from git_fleet.core.results import Ejected, Skipped, Verification, Verified
from git_fleet.core.scope import outside
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.core.verdicts import Decision, by_hand, counting, decision, lenses_of, missing, persons_command
from git_fleet.errors import AnswerIsNo, Denied, FleetError, IllegalEvent, InvalidInput, Stale
from git_fleet.git import contents
from git_fleet.git.flocks import alone
from git_fleet.store import gatelogs, proposals

_LAST_WORDS = 120

_DECLARE = (
    'commit one in fleet.toml on the base branch:\n\n[[verifier]]\nname = "skeptic"\nlens = "correctness"\n'
    'run = ["claude", "-p", "--output-format", "json", "{prompt}"]'
)


class Asked(Struct, frozen=True):
    """What is asked for: plans or tasks (all that are handed in when empty), only some lenses, or all
    `again` though they have answered."""

    targets: tuple[str, ...] = ()
    lenses: tuple[str, ...] = ()
    again: bool = False


class _Run(Struct):
    """One run: what it works with, and what came of it so far."""

    session: Session
    asked: Asked
    report: Report
    pool: Checkouts
    tasks: list[Verified] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    refused: list[FleetError] = field(default_factory=list)


def verify(session: Session, asked: Asked, report: Report, watch: Watch = unwatched) -> Verification:
    """Ask the configured verifiers about what is handed in. `report` gets a line for each step, `watch` hears
    how many tasks are done.

    A task that is named and verified already is asked about once more only with `again`; it is proposed
    again then. Raises Denied for whoever made a proposal that is named, or all there are (else they are left),
    AnswerIsNo when nothing that is named is handed in, InvalidInput for an unknown name or lens and when no verifier is configured, NeedsPerson when a gate of
    the repository cannot be run. What was answered until then is in the log.
    """
    snapshot = session.snapshot()
    run = _Run(session, asked, report, Checkouts(session.repo, session.around.cache_dir))
    chosen = list(_chosen(snapshot, asked))
    proposals.have(session.store, [record for record, _ in chosen])
    for number, (record, named) in enumerate(chosen):
        watch(Progress("verifying", number, len(chosen)))
        try:
            _verify(run, record, named=named)
        except (Stale, IllegalEvent) as moved:
            run.skipped.append(Skipped(record.id, _of_it(record, moved.message)))
    if run.refused and len(run.refused) == len(run.skipped) and not run.tasks:
        raise run.refused[0]
    return Verification(tuple(run.tasks), tuple(run.skipped))


def _of_it(record: TaskRecord, message: str) -> str:
    """What an error says of a task that is named beside it."""
    rest = message.removeprefix(f"{record.id}")
    return f"it{rest}" if rest.startswith(" ") else rest.removeprefix(": ")


def _chosen(snapshot: Snapshot, asked: Asked) -> Iterator[tuple[TaskRecord, bool]]:
    """The tasks that are meant, in plan order, and whether each was named itself."""
    named = {snapshot.resolve(name).id for name in asked.targets if name not in snapshot.plans}
    plans = {name for name in asked.targets if name in snapshot.plans}
    for record in snapshot.tasks.values():
        wanted = not asked.targets or record.id.plan in plans
        if record.id in named or (wanted and record.state.state is State.PROPOSED):
            yield record, record.id in named


def _verify(run: _Run, record: TaskRecord, *, named: bool) -> None:
    config = run.session.config_of(record.id)
    state = record.state.state
    if state is not State.PROPOSED and not (state is State.VERIFIED and run.asked.again):
        again = "; --again asks once more" if state is State.VERIFIED else ""
        run.skipped.append(Skipped(record.id, f"it is {state.phrase}{again}"))
        if not again:
            said = f"{record.id} is {state.phrase}: there is nothing to verify"
            run.refused.append(AnswerIsNo(said, hint=f"git fleet explain {record.id}"))
        return
    wanted = _wanted(record, config, run.asked)
    try:
        verdicts.require_other(run.session, record, *(verifier.name for verifier in wanted))
    except Denied as denied:
        if named:
            raise
        run.refused.append(denied)
        run.skipped.append(Skipped(record.id, denied.message))
        return
    if state is State.VERIFIED:
        record = verdicts.reverify(run.session, record, "asked again")
    if wanted:
        _alone(run, record, config, wanted)
    elif decision(record.state, config) is not Decision.WAIT:
        run.tasks.append(outcome(run.session, verdicts.settle(run.session, record, config)))
    elif lenses_of(config):
        run.skipped.append(Skipped(record.id, _nobody_left(record, config, run.asked)))
    else:
        raise InvalidInput("no verifier is configured, so there is nobody to ask", hint=_DECLARE)


def _nobody_left(record: TaskRecord, config: Config, asked: Asked) -> str:
    """Why there is nobody to ask, though there are lenses."""
    if asked.lenses:
        return f"{', '.join(asked.lenses)}: answered already; --again asks once more"
    lenses = ", ".join(missing(record.state, config))
    command = persons_command(record.id, record.state, config)
    return f"it waits for a person{': ' if lenses else ''}{lenses} ({command})"


def _wanted(record: TaskRecord, config: Config, asked: Asked) -> tuple[Verifier, ...]:
    """The verifiers to ask. Raises InvalidInput for a lens that none has."""
    known = [verifier.lens for verifier in config.verifiers]
    for lens in asked.lenses:
        if lens not in known:
            hint = f"git fleet verify {record.id} --lens {known[0]}" if known else _DECLARE
            if lens in config.policy.require:
                hint = f"git fleet verdict {record.id} --lens {lens} --upheld, which is a person's answer"
            raise InvalidInput(
                f"no verifier has the lens {lens!r}; there are: {', '.join(known) or 'none'}", hint=hint
            )
    heard = {verdict.lens for verdict in counting(record.state) if by_hand(verdict)}
    taken_back = record.state.state is State.VERIFIED  # by asking again
    again = [lens for lens in known if taken_back or lens not in heard]  # else a person's word stays
    open_lenses = again if asked.again else missing(record.state, config)
    return tuple(
        verifier
        for verifier in config.verifiers
        if verifier.lens in open_lenses and (not asked.lenses or verifier.lens in asked.lenses)
    )


# --- one proposal -------------------------------------------------------------------------------------


def _alone(run: _Run, record: TaskRecord, config: Config, wanted: Sequence[Verifier]) -> None:
    """Ask those of `wanted` whom no other `git fleet verify` is asking at this moment: an agent's answer is
    dear, and of two for one lens the later would be left out."""
    with ExitStack() as stack:
        mine = [verifier for verifier in wanted if _held(stack, run.session, record, verifier.lens)]
        now = run.session.reread(record)  # who asked until a moment ago may have the answer
        if now.state.proposal != record.state.proposal or now.state.state is not State.PROPOSED:
            run.skipped.append(Skipped(record.id, f"it is {now.state.state.phrase} by now"))
            return
        before, heard = counting(record.state), counting(now.state)
        news = {verdict.lens for verdict in heard if verdict not in before}
        mine = [verifier for verifier in mine if verifier.lens not in news]
        if mine:
            run.tasks.append(_examine(run, now, config, mine))
        else:
            run.skipped.append(Skipped(record.id, "another git fleet verify asks its verifiers"))


def _held(stack: ExitStack, session: Session, record: TaskRecord, lens: str) -> bool:
    """Whether we alone ask about this lens of this proposal, for as long as `stack` lasts. The flock ends
    with its process, however that ends. (A lock file that is removed while another opens it lets both ask:
    then the log decides, see verdicts.add.)"""
    number = record.state.proposal.number if record.state.proposal else 0
    folder = session.repo.fleet_dir / "verifying"
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{record.id.plan}+{record.id.task}+{number}+{lens}"
    try:
        stack.enter_context(alone(place, wait=False))
    except BlockingIOError:
        return False
    stack.callback(place.unlink, missing_ok=True)
    return True


def _examine(run: _Run, record: TaskRecord, config: Config, wanted: Sequence[Verifier]) -> Verified:
    """Scope, gates, verifiers, conclusion."""
    session, proposal = run.session, record.state.proposal
    onto = verdicts.base_tip(session, record)
    if proposal is None or onto is None:
        raise AssertionError("what is proposed has a proposal, and its plan a base")
    case = Case(record, proposal, onto)
    asked = [(verifier, briefing.command(case, verifier)) for verifier in wanted]  # before anything runs
    refused = _out_of_scope(session, config, case)
    texts: Mapping[str, bytes] = {}
    if refused is None:
        found = _gates(run, config, case)
        case, refused, texts = replace(case, gates=found.results), found.ejected, found.texts
    if refused is not None:
        record = verdicts.refute(session, record, refused.reason, refused.finding, texts)
        return replace(outcome(session, record), reason=refused.reason, detail=refused.detail)
    record = _ask(run, config, case, asked)
    return outcome(session, verdicts.settle(session, record, config))


def _out_of_scope(session: Session, config: Config, case: Case) -> Ejected | None:
    """The scope gate, on what the proposal changes."""
    proposal = case.proposal
    if proposal.commit is None or proposal.base is None:
        return None
    changes = session.store.objects.changed_paths(proposal.base, proposal.commit)
    paths = [change.path for change in changes]
    beyond = outside(
        paths, case.record.task.owned, generated=config.generated_paths, protected=config.protected
    )
    if not beyond:
        return None
    detail = f"changes files that are not the task's: {contents.listing(beyond)}"
    return Ejected(case.record.id, "scope", beyond, detail)


def _gates(run: _Run, config: Config, case: Case) -> Judgement:
    """The gates, on exactly what was handed in (of a report: main). What passed there before is not run again."""
    proposal, objects = case.proposal, run.session.store.objects
    gating = Gating(run.session, config, run.pool, run.report)
    tree = proposal.tree or objects.read_commit(case.at).tree
    layer = Layer(case.record, proposal, case.onto, proposal.commit, tree)
    if not gating.wanted(layer):
        run.report(f"{case.record.id}: no gates")
    found = gating.judge(layer)
    if found.ejected is not None and proposal.base is not None:
        below = objects.read_commit(proposal.base).tree
        gating.blame(
            found, run.session.base_of(case.record.id) or "", proposal.base, below, threading.Event()
        )
    if found.texts:
        store, now = run.session.store, run.session.now()
        gatelogs.keep(store, case.record.id, proposal.number, found.texts, actor=run.session.person(), at=now)
    return found


def outcome(session: Session, record: TaskRecord) -> Verified:
    """How a task stands with its verifiers."""
    proposal = record.state.proposal
    return Verified(
        id=record.id,
        title=record.task.title,
        state=record.state.state,
        proposal=proposal.number if proposal else 0,
        commit=proposal.commit if proposal else None,
        verdicts=tuple(one for one in verdicts.given(session, record) if one.counts),
        missing=missing(record.state, session.config_of(record.id)),
        reason="verdict" if record.state.state is State.REWORK else "",
    )


# --- asking -------------------------------------------------------------------------------------------


def _ask(run: _Run, config: Config, case: Case, asked: Sequence[tuple[Verifier, Command]]) -> TaskRecord:
    """Ask each verifier, all at once, and record each answer as it comes: the task after the last.

    Each has a checkout of its own, which stays taken for as long as anything of the verifier runs in it. That
    the proposal has gone away is noticed with the next answer: then, and when we are interrupted, those still
    at work are ended.
    """
    record, stop = case.record, threading.Event()
    run.report(f"{record.id}: asks {', '.join(verifier.lens for verifier, _ in asked)}")
    document = briefing.request(run.session, case)
    with ExitStack() as stack:
        # Before the threads: checkouts are made one at a time anyway, and a session is one thread's.
        places = [stack.enter_context(run.pool.checkout(case.at)) for _ in asked]
        threads = stack.enter_context(ThreadPoolExecutor(len(asked)))
        stack.callback(stop.set)
        at_work = {
            threads.submit(_question(run, config, case, document, verifier, what, place, stop)): verifier
            for (verifier, what), place in zip(asked, places, strict=True)
        }
        for future in as_completed(at_work):
            record = _record(run, case, record, at_work[future], future.result())
    return record


def _question(
    run: _Run,
    config: Config,
    case: Case,
    document: dict[str, Any],
    verifier: Verifier,
    command: Command,
    place: Checkout,
    stop: threading.Event,
) -> Callable[[], Ran]:
    """What one thread does: no more than to run the verifier's command."""
    session, record = run.session, case.record
    folder = session.repo.fleet_dir / "logs" / record.id.plan / record.id.task / str(case.proposal.number)
    stdin = json.dumps(briefing.for_verifier(document, case, verifier)).encode("ascii")
    return partial(
        commands.run,
        command,
        place.path,
        env=briefing.environment(session.around.env, config, verifier),
        log=folder / f"verify-{verifier.lens}.log",
        timeout_seconds=verifier.timeout_seconds,
        stdin=stdin,
        keep_out=True,
        stop=stop,
        pass_fds=(place.lock,),
    )


def _record(run: _Run, case: Case, record: TaskRecord, verifier: Verifier, ran: Ran) -> TaskRecord:
    """Append what one verifier answered, unless somebody else has answered for its lens meanwhile."""
    who = f"verifier:{verifier.name}"
    verdict = verdicts.new_verdict(record, verifier.lens, who, Ruling.INCONCLUSIVE, case.onto)
    answer = _answer(case.question(verifier, verdict.source), verifier, ran)
    run.report(f"{record.id}: {verifier.lens}: {answer.ruling} ({ran.seconds:.1f} s)")
    texts = {"output": commands.printed(ran.log)}
    verdict = replace(verdict, verdict=str(answer.ruling))
    now = verdicts.add(run.session, case.record, verdict, answer, texts)
    if verdict not in now.state.verdicts:
        run.report(f"{record.id}: {verifier.lens}: left out, it was answered meanwhile")
    return now


def _answer(asked: Question, verifier: Verifier, ran: Ran) -> Answer:
    """What a verifier said; one that did not come to its end by itself has said nothing."""
    if ran.end is End.NOT_STARTED:
        return inconclusive(asked, ran.why)
    if ran.code is None:
        return inconclusive(asked, f"it ran out of time ({verifier.timeout_seconds:g} s)")
    out = ran.out.decode("utf-8", "replace")
    said = heard(adapter_of(verifier.run), out)
    if ran.code:
        last = (said.last_words if said.spoke else ran.tail).rpartition("\n")[2][:_LAST_WORDS]
        how = f"ended with exit code {ran.code}"
        if ran.code < 0:
            how = f"was ended by signal {-ran.code} ({signal.strsignal(-ran.code) or 'unknown'})"
        return inconclusive(asked, f"it {how}{': ' if last else ''}{last}")
    if ran.out_cut:
        return inconclusive(asked, f"it printed more than {commands.OUT_BYTES >> 20} MiB")
    if said.failure:
        return inconclusive(asked, f"its program says that it failed: {said.failure}")
    if said.spoke and not said.answer.strip():
        return inconclusive(asked, "it came to its end without a final text")
    return read_answer(said.answer if said.spoke else out, asked)  # not what its tools have shown it
