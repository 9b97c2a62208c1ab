"""The integration queue: entries stacked on main, decided from the bottom up (DESIGN section 10).

What becomes of an entry follows from what is below it: a conflict, a path outside its scope, a red gate
may vanish when something below it goes. So an outcome is final, and acted on, only when everything below it is.
Which candidates are gated, and when, is the strategies' business (speculation.py, bisection.py).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct, field

from git_fleet.app import verdicts
from git_fleet.app.acting import act, same_proposal
from git_fleet.app.gating import Gating, Judgement
from git_fleet.app.landing import land, require_way
from git_fleet.app.lead import Leading
from git_fleet.app.preparing import prepare
from git_fleet.app.session import Session
from git_fleet.app.stacking import Layer, Stack
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import State
from git_fleet.core.progress import Progress, Report, Watch, unwatched
from git_fleet.core.results import Ejected, Landed, Skipped
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.core.verdicts import why_not
from git_fleet.errors import IllegalEvent, Stale
from git_fleet.git import contents
from git_fleet.git.drafts import Drafts
from git_fleet.store import gatelogs, names

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")

_KEEP_SECONDS = 15.0  # how often a lead that waits for gates looks whether its lease has to be renewed
_PATHS = 50  # named in an event


class Left(Struct, frozen=True):
    """The task stays as it is, and why."""

    reason: str


class Outdated(Struct, frozen=True):
    """Main would have changed what the task owns or reads: its verdicts are asked for again."""

    reason: str


Decided = Judgement | Ejected | Left | Outdated


class Entry(Struct):
    """A task in the queue. `layer` is None where it cannot be laid on what is below it; `outcome` is None
    until its gates have answered."""

    record: TaskRecord
    layer: Layer | None
    outcome: Decided | None = None

    @property
    def stands(self) -> bool:
        """Whether those above may count on it."""
        red = isinstance(self.outcome, Judgement) and self.outcome.ejected is not None
        return self.layer is not None and not self.layer.parks and not red


class Tally(Struct):
    """What came of a run so far."""

    integrated: list[Landed] = field(default_factory=list)
    ejected: list[Ejected] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


class Queue(Struct):
    """The entries on top of `main`, what still waits, and what came of the others.

    `lead` is None on a dry run: then nothing is decided, only laid. `over` says that something has moved since
    the fleet was read (main, a plan, a task, the configuration): what is left belongs to another round. `changeset` is
    the one that is being integrated: what is in another is left alone.
    """

    session: Session
    snapshot: Snapshot
    config: Config
    base: str
    main: Oid
    drafts: Drafts
    stack: Stack
    gating: Gating
    report: Report
    watch: Watch = unwatched
    lead: Leading | None = None
    stop_on_conflict: bool = False
    changeset: str = ""
    tally: Tally = field(default_factory=Tally)
    entries: list[Entry] = field(default_factory=list)
    waiting: deque[TaskRecord] = field(default_factory=deque)
    over: bool = False

    @property
    def ref(self) -> str:
        """The branch that moves, as a ref."""
        return names.branch(self.base)

    @property
    def left(self) -> list[TaskRecord]:
        """What nothing has come of yet."""
        return [*(entry.record for entry in self.entries), *self.waiting]

    @property
    def undecided(self) -> list[Entry]:
        """The entries whose gates have not answered, lowest first."""
        return [entry for entry in self.entries if entry.outcome is None]

    def fill(self, width: int | None) -> None:
        """Lay what waits on the stack until `width` entries (None: all) wait for their gates."""
        self.stack.learn(self.waiting)
        gated = len(self.undecided)
        while self.waiting and (width is None or gated < width) and not self._barred:
            entry = self._lay(self.waiting.popleft())
            self.entries.append(entry)
            gated += entry.outcome is None
            self.watch(Progress("replaying", self._total - len(self.waiting), self._total))

    @property
    def _barred(self) -> bool:
        """Whether nothing may be laid above: what lands there lives by another configuration."""
        top = self.entries[-1] if self.entries else None
        return top is not None and top.stands and top.layer is not None and top.layer.reconfigures

    def rehearse(self) -> None:
        """The order, the conflicts and the resulting commits; no gate runs and no ref moves."""
        self.fill(None)
        for entry in self.entries:
            match entry:
                case Entry(outcome=Ejected() as ejected):
                    self.tally.ejected.append(ejected)
                    if self.stops(entry):
                        return
                case Entry(outcome=Left(reason) | Outdated(reason)):
                    self.tally.skipped.append(Skipped(entry.record.id, reason))
                case Entry(layer=Layer() as layer) if layer.parks:
                    self._park_said(entry.record, layer)
                case Entry(layer=Layer() as layer):
                    self.tally.integrated.append(Landed(entry.record.id, layer.commit, layer.tree))
                    self.main = layer.commit or self.main

    def ready(self) -> None:
        """Let gates see what is laid, and see that main could move there: gates may take long.

        Raises NeedsPerson when the worktree of main is in the way.
        """
        if not self.undecided:
            return
        self.drafts.save()
        if self.stack.top == self.main:
            return
        try:
            require_way(self.session, self.ref, self.main, self.stack.top)
        except Stale as moved:
            self._end_round(moved.message)

    def attend(self, gates: Collection[Future[T]]) -> set[Future[T]]:
        """Wait until one of them has ended, and keep the lead meanwhile: those that have ended."""
        from concurrent.futures import FIRST_COMPLETED, wait

        while True:
            done, _ = wait(gates, timeout=_KEEP_SECONDS, return_when=FIRST_COMPLETED)
            if done:
                return done
            if self.lead is not None:
                self.lead.keep()

    def attended(self, gates: Callable[[threading.Event], R]) -> R:
        """What these gates say, in a thread of their own: the lead is kept meanwhile, and they end with us."""
        from concurrent.futures import ThreadPoolExecutor  # it brings in logging, and is not always needed

        stop = threading.Event()
        with ThreadPoolExecutor(1, thread_name_prefix="gates") as pool:
            try:
                (answered,) = self.attend([pool.submit(gates, stop)])
                return answered.result()
            finally:
                stop.set()

    def drop(self, entry: Entry, outcome: Decided) -> None:
        """`entry` does not stand, as things are below it: what is above waits to be laid anew without it."""
        entry.outcome = outcome
        at = next(number for number, other in enumerate(self.entries) if other is entry)
        above = [other.record for other in self.entries[at + 1 :]]
        del self.entries[at + 1 :]
        self.waiting.extendleft(reversed(above))
        self.stack.cut(entry.layer.onto if entry.layer is not None else self.stack.top)

    def _lay(self, record: TaskRecord) -> Entry:
        why = self._not_now(record)
        if why:
            return Entry(record, None, Left(why))
        below = self.stack.top
        layer = self.stack.lay(record)
        if isinstance(layer, Ejected):
            return Entry(record, None, layer)
        overtaken = verdicts.overtaken(self.session, record, self.config, below)
        if overtaken:
            self.stack.cut(below)
            return Entry(record, None, Outdated(overtaken))
        return Entry(record, layer, None if self.gating.wanted(layer) else Judgement())

    def _not_now(self, record: TaskRecord) -> str:
        """Why the task is left as it is, or "" when it may go on."""
        state = record.state
        if state.state not in (State.PROPOSED, State.VERIFIED):
            return f"it is {state.state.phrase}"
        if record.task.changeset and record.task.changeset != self.changeset:
            return (
                f"it lands with change set {record.task.changeset}: in the workspace,"
                f" git fleet integrate --changeset {record.task.changeset}"
            )
        waits = why_not(state, self.config)
        if waits:
            return waits
        missing = [name for name, _ in self.snapshot.missing_elsewhere(record.task)]
        missing += [str(need) for need in record.task.needs_ids if not self._has_landed(need)]
        return f"it needs {', '.join(missing)} first" if missing else ""

    def _has_landed(self, task: TaskId) -> bool:
        """Whether a task that another needs is integrated, or would be by what is below."""
        if any(landed.id == task for landed in self.tally.integrated):
            return True
        if any(entry.record.id == task and entry.stands for entry in self.entries):
            return True
        known = self.snapshot.tasks.get(task)
        return known is not None and State.INTEGRATED in (
            known.state.state,
            self.session.reread(known).state.state,
        )

    # --- deciding --------------------------------------------------------------------------------

    def settle(self) -> bool:
        """Act on the entries at the bottom whose outcome is known; main moves once. False when the round is
        to stop there.

        Raises NeedsPerson when a gate does not pass on main itself: then nobody is sent back for it.
        """
        known = list(takewhile(lambda entry: entry.outcome is not None, self.entries))
        if not known or self.lead is None:
            return True
        stop = next((at for at, entry in enumerate(known) if self.stops(entry)), None)
        known = known if stop is None else known[: stop + 1]
        self.lead.keep()
        try:
            self._land(known)
        except (Stale, IllegalEvent) as moved:
            self._end_round(moved.message)
            return False
        del self.entries[: len(known)]
        for entry in known:
            self.close(entry)
        total = self._total
        self.watch(Progress("integrating", total - len(self.entries) - len(self.waiting), total))
        return stop is None and not self.over

    def stops(self, entry: Entry) -> bool:
        """Whether the run ends when it comes to this entry."""
        ejected = entry.outcome
        return self.stop_on_conflict and isinstance(ejected, Ejected) and ejected.reason == "conflict"

    def _land(self, known: Sequence[Entry]) -> None:
        """Move main to the last of those that land, one commit each, while the others stay what they are."""
        landing = [
            (entry, entry.layer, entry.outcome)
            for entry in known
            if isinstance(entry.outcome, Judgement) and entry.stands and entry.layer and entry.layer.lands
        ]
        if not landing or self.lead is None:
            return
        for entry, _, _ in landing:
            self.keep_logs(entry.record, entry.outcome)
        self.drafts.begin_saving()
        landings = [prepare(self.session, layer, found) for _, layer, found in landing]
        land(self.lead, self.ref, self.main, landings[-1].commit, landings, self.rests_on(known))
        self.main = landings[-1].commit
        self.over = any(layer.reconfigures for _, layer, _ in landing)
        for each, (_, layer, _) in zip(landings, landing, strict=True):
            self.tally.integrated.append(Landed(each.task, each.commit, layer.tree))
            self.report(f"{each.task}: {self.base} is at {each.commit[:12]}")

    def rests_on(self, known: Sequence[Entry]) -> dict[str, Oid]:
        """The refs that must not have moved when main does: the plans as they were approved, and what lands
        without a commit (somebody may need it)."""
        plans = [self.snapshot.plans[plan] for plan in dict.fromkeys(entry.record.id.plan for entry in known)]
        found = {names.plan_log(plan.id): plan.tip for plan in plans if plan.tip is not None}
        for entry in known:
            ends = entry.stands and entry.layer is not None and entry.layer.commit is None
            if ends and entry.record.tip is not None:
                found[names.task_log(entry.record.id)] = entry.record.tip
        return found

    def close(self, entry: Entry) -> None:
        """What becomes of an entry that is at the bottom and did not land."""
        try:
            if not (entry.layer is not None and entry.layer.lands and entry.stands):
                self.keep_logs(entry.record, entry.outcome)
            match entry.outcome:
                case Left(reason):
                    self.tally.skipped.append(Skipped(entry.record.id, reason))
                case Outdated(reason):
                    verdicts.reverify(self.session, entry.record, reason)
                    self.tally.skipped.append(Skipped(entry.record.id, f"{reason}; git fleet verify"))
                case Ejected() as ejected:
                    self._eject(entry.record, ejected, {})
                case Judgement(ejected=Ejected() as ejected, texts=texts) as found:
                    # All that is below has landed, so main is what the task met.
                    tree = self.session.store.objects.read_commit(self.main).tree
                    self.attended(partial(self.gating.blame, found, self.base, self.main, tree))
                    self._eject(entry.record, ejected, texts)
                case Judgement() as found if entry.layer is not None and not entry.layer.lands:
                    self._end(entry.record, entry.layer, found)
        except (Stale, IllegalEvent) as moved:
            self._end_round(f"{entry.record.id}: {moved.message}")

    def _end(self, record: TaskRecord, layer: Layer, found: Judgement) -> None:
        """Park it for a person, or settle it without a commit: a report, or nothing is left to commit."""
        record = self._upheld(record, found)
        if layer.parks:
            self._record(record, "park", {"reason": self._park_said(record, layer)})
            return
        reason = "a report" if layer.proposal.commit is None else f"{self.base} has all of it already"
        self._record(record, "integrate", {"number": layer.proposal.number, "reason": reason})
        self.tally.integrated.append(Landed(record.id, None, layer.tree))
        self.report(f"{record.id}: integrated without a commit ({reason})")

    def _park_said(self, record: TaskRecord, layer: Layer) -> str:
        reason = f"touches {contents.listing(layer.parks)}"
        self.tally.skipped.append(Skipped(record.id, f"parked for a person: it {reason}"))
        return reason

    @property
    def _total(self) -> int:
        done = self.tally
        ended = len(done.integrated) + len(done.ejected) + len(done.skipped)
        return ended + len(self.entries) + len(self.waiting)

    def _eject(self, record: TaskRecord, ejected: Ejected, texts: Mapping[str, bytes]) -> None:
        """Back to rework, with what was found; the next claim gets it."""
        fields = {
            "reason": ejected.reason,
            "findings": (ejected.finding,),
            "paths": list(ejected.paths[:_PATHS]),
        }
        self._record(record, "eject", fields, texts)
        self.tally.ejected.append(ejected)
        self.report(f"{record.id}: back to rework ({ejected.reason})")

    def keep_logs(self, record: TaskRecord, outcome: Decided | None) -> None:
        """Put what the gates printed beside the proposal, whole, before an event tells what came of them."""
        if isinstance(outcome, Judgement) and outcome.texts and record.state.proposal is not None:
            number, session = record.state.proposal.number, self.session
            gatelogs.keep(
                session.store, record.id, number, outcome.texts, actor=session.person(), at=session.now()
            )

    def _upheld(self, record: TaskRecord, found: Judgement) -> TaskRecord:
        """Where no verifier is configured, passing gates count as the uphold; without gates it is nobody's."""
        if record.state.state is State.VERIFIED:
            return record
        number = record.state.proposal.number if record.state.proposal else 0
        return self._record(record, "uphold", {"by": found.by, "number": number}, found.texts)

    def _record(
        self,
        record: TaskRecord,
        name: str,
        fields: Mapping[str, Any],
        texts: Mapping[str, bytes] | None = None,
    ) -> TaskRecord:
        """Append an event about the proposal that was looked at. Raises Stale when there is another by now."""
        decide = same_proposal(record, lambda _: fields)
        return act(self.session, record, name, decide, actor=self.session.person(), texts=texts)

    def _end_round(self, why: str) -> None:
        """Others were faster: what is left is looked at anew, as it is now."""
        self.report(f"{why}; once more")
        self.over = True
