"""What is pushed to a server that has the wall, looked at before any ref moves.

The hook itself (`hooks/pre-receive`) has let pass who may move which ref. Here the rest: every event follows from
the one before by the state table and says who wrote it, a verdict is on somebody else's proposal, and every commit
that a base gets carries the trailers of a proposal that was verified. What is not yet on the server is read from
where git keeps it until the push is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from git_fleet.app import documents
from git_fleet.app.checks import logs
from git_fleet.app.configs import CONFIG_FILE
from git_fleet.core import learnings, verdicts
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import ATTEMPTS
from git_fleet.core.model import PENDING, PlanLog, State, TaskState
from git_fleet.core.trailers import read_revert, read_stamp
from git_fleet.errors import FleetError, InvalidInput
from git_fleet.git.formats import parse_signature
from git_fleet.git.process import Git
from git_fleet.git.signatures import ALLOWED, Signers, signers, split
from git_fleet.store import knowledge, lead, log, names, plans, tasks
from git_fleet.store.base import Store, tip
from git_fleet.store.log import Entry

FAST_CLOCK = timedelta(seconds=120)
"""How far the clock of another machine may be ahead; an event from the future could end a lease that runs."""

_WITHOUT_VERDICTS = ("gates", "nobody")
"""By whom an integration upholds: by the gates that it ran, or by nobody where there was none (app/gating.py)."""


class Move(NamedTuple):
    """One ref of a push: from `old` (None: it is new) to `new` (None: it goes)."""

    ref: str
    old: Oid | None
    new: Oid | None


class Refusal(NamedTuple):
    """Which ref, why, and what to do instead."""

    ref: str
    why: str
    fix: str = "git fleet doctor, in the clone it comes from"


class Push:
    """One push to the repository of `store`, whose `git` sees what is pushed. `by_lead`: whoever pushes leads;
    `bases` are full names of branches, `now` is the server's clock."""

    def __init__(
        self,
        store: Store,
        git: Git,
        moves: Sequence[Move],
        *,
        bases: Sequence[str],
        by_lead: bool,
        now: datetime,
    ) -> None:
        self._store, self._git, self._moves, self._now = store, git, moves, now
        self._bases, self._by_lead = bases, by_lead
        self._configs: dict[str, Config] = {}
        self._coming = {move.ref: move.new for move in moves}

    def refusals(self) -> Iterator[Refusal]:
        """Everything that stands against the push; nothing where it may go on. What cannot be read is refused."""
        known = {move.old for move in self._moves if move.old}
        events = (names.TASK_LOGS, names.PLAN_LOGS, names.LEAD)
        tips = {m.ref: m.new for m in self._moves if m.new and m.ref.startswith(events)}
        read = logs.chains(self._store, tips, above=known)
        for move in self._moves:
            if move.new is None:
                continue
            try:
                for why in self._look(move, read.get(move.ref)):
                    yield Refusal(move.ref, why)
            except (FleetError, *logs.BROKEN) as error:
                yield Refusal(move.ref, f"it cannot be read: {error}")

    def _look(self, move: Move, chain: logs.Chain | None) -> Iterator[str]:
        if chain is not None:
            if chain.damage:
                yield chain.damage
                return
            looks: Mapping[str, Callable[[Move, list[Entry]], Iterator[str]]] = {
                names.TASK_LOGS: self._task,
                names.PLAN_LOGS: self._plan,
                names.LEAD: lambda _, entries: logs.read_leads(entries),
            }
            look = next(look for prefix, look in looks.items() if move.ref.startswith(prefix))
            yield from look(move, chain.entries[::-1])
        elif move.new and move.ref == names.GUARD:
            logs.read_guard(self._store, move.new)
        elif move.new and move.ref == names.BUCKET:
            logs.read_bucket(self._store, move.new)
        elif move.new and move.ref == names.KNOWLEDGE:
            yield from self._knowledge(move)
        elif move.ref in self._bases:
            yield from self._base(move)

    # --- logs ----------------------------------------------------------------------------------------

    def _plan(self, move: Move, entries: list[Entry]) -> Iterator[str]:
        before = plans.read_log(self._store, move.old) if move.old else PlanLog()
        yield from logs.fold_plan(entries, before)
        plan_id = move.ref.removeprefix(names.PLAN_LOGS)
        after = entries[-1].plan_log if entries else before
        for note in filter(None, (after.revision, after.incoming) if after.state.counts else ()):
            plans.revision(self._store, plan_id, note)

    def _task(self, move: Move, entries: list[Entry]) -> Iterator[str]:
        before = log.read(self._store.objects, move.old).task_state if move.old else PENDING
        unlawful = list(logs.fold_task(entries, before))
        yield from unlawful
        if unlawful:
            return
        task = names.task_of_log(move.ref)
        for entry in entries:
            what = f"event {entry.oid[:12]} ({entry.event.name})"
            yield from (f"{what} {why}" for why in self._event(task, entry, before))
            before = entry.task_state

    def _event(self, task: TaskId, entry: Entry, before: TaskState) -> Iterator[str]:
        """What the state table does not know: who wrote the event, when, and what it speaks of."""
        event = entry.event
        author = self._store.objects.read_commit(entry.oid).author.name
        if author != parse_signature(log.signature(event).stored()).name:
            yield f"says that it is by {event.actor}, and its commit is by {author}"
        yield from self._signed(task, entry)
        if event.at > self._now + FAST_CLOCK:
            yield "is of a time to come: is the clock right there?"
        looks = {
            "claim": self._claim,
            "done": self._done,
            "block": self._block,
            "verdict": self._verdict,
            "uphold": self._uphold,
            "integrate": self._integrate,
        }
        if event.name in looks:
            yield from looks[event.name](task, entry, before)

    def _signed(self, task: TaskId, entry: Entry) -> Iterator[str]:
        """A signature that is there must be right, where something says whose keys count."""
        needed = self._config(task).policy.signed
        if self._signers is None:
            if needed:
                yield f"cannot be checked: the server has no fleet/{ALLOWED} that says whose keys count"
            return
        data = self._store.objects.read(entry.oid)[1]
        if needed or split(data, self._signers.object_format)[1]:
            doubt = self._signers.doubt(data, entry.event.actor, entry.event.at)
            yield from filter(None, [doubt, tasks.misplaced(task, entry.event, data)])

    @cached_property
    def _signers(self) -> Signers | None:
        return signers(self._store.repo)

    def _claim(self, _task: TaskId, entry: Entry, _before: TaskState) -> Iterator[str]:
        holder = entry.event.fields["claim"].holder
        if holder != entry.event.actor:
            yield f"claims for {holder} and is by {entry.event.actor}"

    def _done(self, task: TaskId, entry: Entry, before: TaskState) -> Iterator[str]:
        proposal = entry.event.fields["proposal"]
        if before.claim is None or proposal.worker != before.claim.holder:
            yield f"hands in the work of {proposal.worker}, who does not hold the task"
        if self._value(names.proposal(task, proposal.number)) != proposal.oid:
            yield f"names proposal {proposal.number}, which is not here: push it first"
        elif self._store.objects.read_commit(proposal.oid).parents[:1] != (
            (proposal.commit,) if proposal.commit else ()
        ):
            yield f"says of proposal {proposal.number} another commit than it has"

    def _block(self, task: TaskId, entry: Entry, before: TaskState) -> Iterator[str]:
        if entry.event.fields["code"] == ATTEMPTS and before.attempts_used < self._config(task).max_attempts:
            yield "says that attempts are used up, and they are not"

    def _verdict(self, _task: TaskId, entry: Entry, before: TaskState) -> Iterator[str]:
        verdict = entry.event.fields["verdict"]
        if verdict.verifier != entry.event.actor:
            yield f"is a verdict of {verdict.verifier} and by {entry.event.actor}"
        worker = before.proposal.worker if before.proposal else ""
        if worker in (verdict.verifier, verdict.verifier.partition(":")[2]):
            yield f"is a verdict of {verdict.verifier} on its own proposal"

    def _uphold(self, task: TaskId, entry: Entry, before: TaskState) -> Iterator[str]:
        if entry.event.fields.get("by") in _WITHOUT_VERDICTS:
            waits = verdicts.why_not(before, self._config(task))
            if not self._by_lead:
                yield "upholds without a verdict, which only a lead may do"
            elif waits:
                yield f"upholds without the verdicts that are asked for: {waits}"
        elif verdicts.decision(before, self._config(task)) is not verdicts.Decision.UPHOLD:
            yield "does not follow from the verdicts"

    def _integrate(self, task: TaskId, entry: Entry, before: TaskState) -> Iterator[str]:
        commit, proposal = entry.event.fields.get("commit"), before.proposal
        if commit is None:
            return  # a report, or work that main had already
        if not any(self._has(base, commit) for base in self._bases):
            yield f"names commit {commit[:12]}, which no base has: push that first"
            return
        if entry.event.fields.get("via") == "forge":
            return  # merged by pull request, perhaps without our trailers
        stamp = read_stamp(self._store.objects.read_commit(commit).message)
        if stamp is None or proposal is None or (stamp.task, stamp.proposal) != (task, proposal.oid):
            yield f"names commit {commit[:12]}, which was not made for its latest proposal"

    # --- what was learned ----------------------------------------------------------------------------

    def _knowledge(self, move: Move) -> Iterator[str]:
        """Every file that comes is a learning or a decision, and a worker speaks for itself alone."""
        objects, new = self._store.objects, Oid(str(move.new))
        before = knowledge.listing(objects, move.old) if move.old else {}
        coming = {path for path, oid in knowledge.listing(objects, new).items() if before.get(path) != oid}
        pushed = f"{move.old}..{new}" if move.old else new
        writers = set(self._git.text("log", "--format=%an", pushed).splitlines())
        content = knowledge.files(objects, [new])
        for path in sorted(coming):
            try:
                found = learnings.parse(path, content.get(path, b""))
            except InvalidInput as error:
                yield f"{path} is neither a learning nor a decision: {error.message}"
                continue
            if not self._by_lead and found.by not in writers:
                yield f"{path} says that it is by {found.by}, who is the author of nothing in this push"
            if found.at > self._now + FAST_CLOCK:
                yield f"{path} is of a time to come: is the clock right there?"

    # --- bases ---------------------------------------------------------------------------------------

    def _base(self, move: Move) -> Iterator[str]:
        """Every commit that a base gets while a plan counts is one that an integration made."""
        if move.old is None or move.new is None or move.ref not in self._guarded.values():
            return
        listed = self._git.text("rev-list", "--reverse", f"{move.old}..{move.new}").split()
        for oid in map(Oid, listed):
            why = self._landed(oid)
            if why:
                yield f"commit {oid[:12]} {why}"

    def _landed(self, oid: Oid) -> str:
        message = self._store.objects.read_commit(oid).message
        reverted = read_revert(message)
        if reverted is not None:
            there = self._store.objects.exists(reverted) and self._store.objects.is_ancestor(reverted, oid)
            return "" if there else f"takes back {reverted[:12]}, which is not below it"
        stamp = read_stamp(message)
        if stamp is None:
            return "carries no trailers of a verified proposal: work on a base comes by git fleet integrate"
        last = self._value(names.task_log(stamp.task))
        state = log.read(self._store.objects, last).task_state if last else PENDING
        proposal = state.proposal
        if proposal is None or proposal.oid != stamp.proposal or proposal.worker != stamp.worker:
            return f"says that it is proposal {stamp.proposal[:12]} of {stamp.task} by {stamp.worker}, which it is not"
        if state.state in (State.VERIFIED, State.INTEGRATED):
            return ""
        # Where gates alone uphold, the event that says so follows main; the lead's intent is there before.
        waits = verdicts.why_not(state, self._config(stamp.task)) if state.state is State.PROPOSED else ""
        if state.state is State.PROPOSED and not waits and (stamp.task, oid) in self._intended:
            return ""
        return (
            f"is of {stamp.task}, which is {state.state.phrase}, not verified{f': {waits}' if waits else ''}"
        )

    @cached_property
    def _intended(self) -> frozenset[tuple[TaskId, Oid]]:
        """The tasks that the lead is about to land, by the intent that is open once this is pushed, each with the
        commit it is to become."""
        last = self._value(names.LEAD)
        intent = log.read(self._store.objects, last).lead_state.intent if last else None
        landings = lead.read_intent(self._store, intent).landings if intent else ()
        return frozenset((landing.task, landing.commit) for landing in landings if not landing.reverts)

    @cached_property
    def _guarded(self) -> dict[str, str]:
        """The plans that count once this is pushed, each with its base as a full name."""
        found = {}
        refs = {*self._store.refs.read(names.PLAN_LOGS), *self._coming}
        for ref in sorted(ref for ref in refs if ref.startswith(names.PLAN_LOGS)):
            last = self._value(ref)
            state = plans.read_log(self._store, last) if last else PlanLog()
            note = state.revision or state.incoming
            if state.state.counts and note:
                plan_id = ref.removeprefix(names.PLAN_LOGS)
                found[plan_id] = names.branch(plans.revision(self._store, plan_id, note).plan.base)
        return found

    def _config(self, task: TaskId) -> Config:
        base = self._guarded.get(task.plan, self._bases[0])
        if base not in self._configs:
            self._configs[base] = self._read_config(base)
        return self._configs[base]

    def _read_config(self, base: str) -> Config:
        found = next(self._store.objects.read_many([f"{base}:{CONFIG_FILE}"]))
        return documents.load_config(found.data, CONFIG_FILE)[0] if found else Config()

    def _value(self, ref: str) -> Oid | None:
        """What the ref will be after the push."""
        return self._coming[ref] if ref in self._coming else tip(self._store.refs.get(ref))

    def _has(self, base: str, commit: Oid) -> bool:
        now = self._value(base)
        return (
            now is not None
            and self._store.objects.exists(commit)
            and self._store.objects.is_ancestor(commit, now)
        )
