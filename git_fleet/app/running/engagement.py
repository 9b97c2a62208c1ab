"""One claim of a run: its worktree, its agents, what becomes of what they did.

    claimed ─► worktree, setup ─► agent ─► ended ─► handed in
                    ▲                        ├─► again, after a pause (it failed, or was told to come later)
                    └────────────────────────┤
                                             ├─► blocked, with a code and a reason
                                             └─► released, what it did saved

An agent may do any of this itself (`git fleet done`): what the task's log says is what counts. Nothing that it wrote
is deleted here.
"""

from __future__ import annotations

import time
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.app import agents, claim, handin, placing, waiting, work
from git_fleet.app.agents import Agent
from git_fleet.app.running import fresh, mending, starting, turns
from git_fleet.app.running.account import Account
from git_fleet.app.running.desk import Desk, Seat
from git_fleet.app.running.following import GRACE_SECONDS, follow
from git_fleet.app.running.holding import Holding, Over, Stopping
from git_fleet.app.running.patience import FAILED, HINDERED, HINDERED_TRIES, LIMITED, backoff
from git_fleet.app.session import Session
from git_fleet.core.model import Output, State
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.supervision import Advice, Outcome, Tries, how_it_ended, limits_of, outcome
from git_fleet.errors import (
    FREE_SPACE,
    Collides,
    FleetError,
    GitFailed,
    LostRace,
    NeedsPerson,
    NothingChanged,
)

_REASON_LINES = 20
_ENDED = "the run was ended"
_GONE = "its worktree was deleted"


class How(StrEnum):
    """How an engagement ended."""

    HANDED_IN = "handed in"
    BLOCKED = "blocked"
    RELEASED = "released"
    KILLED = "killed"
    LOST = "lost"
    TROUBLE = "trouble"


class Ended(Struct, frozen=True):
    """What came of an engagement; `text` says more, for people."""

    record: TaskRecord
    how: How
    text: str = ""


class Engagement:
    """A claim worked on from a seat, in the session of that seat's thread."""

    def __init__(
        self,
        desk: Desk,
        seat: Seat,
        session: Session,
        record: TaskRecord,
        agent: Agent | None = None,
        *,
        placed: bool = True,
    ) -> None:
        """`agent` is one that is found at work; without `placed` the claim was made just now."""
        self._desk, self._seat = desk, seat
        self._held = Holding(desk, seat, session, record)
        self._session = self._held.session
        config = self._session.config_of(record.id)
        self._limits = limits_of(config, record.task.worker)
        self._profile = config.profile(record.task.worker)
        self._found, self._placed = agent, placed
        self._number = agent.number if agent else 0
        self._tries = Tries(failed=max(0, self._number - 1))
        self._refusal = ""
        self._reports = record.task.output is Output.REPORT

    def work(self) -> Ended:
        """Follow the claim to its end. Whatever goes wrong is an end, too."""
        try:
            return self._work()
        except Over:
            return self._over()
        except LostRace as error:  # the claim may go on, and something else be somebody's
            return self._trouble(error) if self._held.is_ours() else self._over()
        except FleetError as error:
            return self._trouble(error)
        except OSError as error:
            return self._trouble(GitFailed(str(error)))
        except Exception as error:  # noqa: BLE001 - a bug: its agent must not go on unseen, nor its claim be kept
            return self._trouble(FleetError(f"a bug in git-fleet: {type(error).__name__}: {error}"))

    # --- from one agent to the next --------------------------------------------------------------

    def _work(self) -> Ended:
        while True:
            agent = self._found or self._begin()
            if isinstance(agent, Ended):
                return agent
            found, self._found, self._seat.agent = self._found, None, agent
            self._seat.now("at work")
            account = Account(agent)
            try:
                made_to = follow(self._held, agent, account, self._limits)
                agent.sweep()
            finally:
                self._held.settle(account)
            self._held.require()
            ended = self._conclude(agent, account, made_to, found=found is not None)
            if ended is not None:
                return ended

    def _conclude(
        self, agent: Agent, account: Account, made_to: Advice | None, *, found: bool
    ) -> Ended | None:
        """What follows from the end of an agent; None when another one is to be started."""
        mending.mend(self._session, self._held.record)
        ordered = self._obey()
        if isinstance(ordered, Ended):
            return ordered
        if self._desk.ending.is_set():
            return self._release(_ENDED)
        if ordered:
            return None
        ended, words, told = agent.exit(), account.last_words, account.told
        code, why = (ended.code, ended.why) if ended else (None, "")
        said = made_to.reason if made_to else how_it_ended(code, why, told.failure)
        follows = outcome(code, words, self._tries, self._profile.retries, made_to, told)
        if mending.is_gone(self._held.record) and not (self._reports and follows is Outcome.HAND_IN):
            return self._release_gone()
        if found and code is None and made_to is None:
            self._held.say(
                f"{said}; another one goes on"
            )  # with its run, or its machine: no failure of its own
            return None
        match follows:
            case Outcome.HAND_IN:
                return self._hand_in(words, account.report if self._reports else "")
            case Outcome.LATER:
                self._tries = replace(self._tries, limited=self._tries.limited + 1)
                seconds = backoff(self._tries.limited, LIMITED)
                self._desk.slow_down(self._session, seconds)
                return self._rest(
                    seconds, f"it was told to come later ({said}); all wait for {seconds:.0f} s"
                )
            case Outcome.AGAIN:
                return self._again(said)
            case Outcome.RELEASE:
                return self._release(said)
            case Outcome.BLOCK:
                return self._block(made_to.code if made_to else "failed", said, words)

    def _again(self, said: str) -> Ended | None:
        self._tries = replace(self._tries, failed=self._tries.failed + 1)
        seconds = backoff(self._tries.failed, FAILED)
        return self._rest(seconds, f"{said}; again in {seconds:.0f} s")

    def _again_or_block(self, said: str, words: str, code: str = "failed") -> Ended | None:
        if self._tries.failed < self._profile.retries:
            return self._again(said)
        return self._block(code, said, words)

    def _obey(self) -> Ended | bool | None:
        """Do what a person ordered meanwhile: True when another agent is to be started, None without an order."""
        order = self._held.order()
        if order is None:
            return None
        agents.clear_order(self._held.folder)
        if order.order == "kill":
            return self._release(f"{order.by} killed it", How.KILLED)
        if order.order == "fresh":
            self._seat.now("starting over")
            fresh.start_over(self._session, self._held.record)
        self._tries, self._refusal = Tries(), ""
        self._held.say(f"{order.by} has it started again")
        return True

    # --- the agent -------------------------------------------------------------------------------

    def _begin(self) -> Agent | Ended:
        """The worktree, made or found or made again, as often as a person orders; then the agent in it."""
        placed = self._place()
        while ordered := self._obey():
            if isinstance(ordered, Ended):
                return ordered
            placed = self._place()
        if placed.trouble and not self._desk.ending.is_set():
            return self._block("setup", placed.trouble, "")
        waited = self._rest(0.0, "")  # while others were told to come later nobody begins
        if waited is not None:
            return waited
        self._number += 1
        return starting.start(self._held, placed, self._number, self._refusal)

    def _place(self) -> placing.Placed:
        self._seat.now("worktree")
        stop = Stopping(self._held)
        if self._placed:
            return placing.place(self._session, self._held.record, stop)
        placed = claim.place(self._session, claim.Claimed(self._held.record), stop)
        self._placed = True
        return placed

    # --- waiting ---------------------------------------------------------------------------------

    def _rest(self, seconds: float, said: str) -> Ended | None:
        """Wait, and keep the claim meanwhile; an end when the run ends, or a person ordered it."""
        if self._desk.ending.is_set():
            return self._release(_ENDED)
        if said:
            self._held.say(said)
        until = time.monotonic() + seconds
        while (left := max(until - time.monotonic(), self._desk.rests_for)) > 0:
            self._seat.now("waiting")
            waits = min(left, self._limits.renew)
            self._seat.bell.wait(waits)
            self._held.require()
            if self._desk.ending.is_set():
                return self._release(_ENDED)
            order = self._obey()
            if order is not None:
                return order if isinstance(order, Ended) else None
            if waits == self._limits.renew:
                self._held.renew()
        return None

    # --- its end ---------------------------------------------------------------------------------

    def _hand_in(self, words: str, report: str) -> Ended | None:
        """The work as a proposal; None when that was refused and another agent is to put it right."""
        self._seat.now("handing in")
        if self._reports and not report.strip():
            return self._block("no-report", "it ended without a report", words)
        try:
            done = self._handed_in(handin.Handin(all_changes=not self._reports, result=report))
        except Collides as refused:
            return self._after_others(refused, words, report)
        except NothingChanged:
            return self._block("no-changes", "it ended well and changed nothing", words)
        except (LostRace, NeedsPerson):
            raise
        except FleetError as refused:
            if refused.hint == FREE_SPACE:
                raise  # no agent can put that right
            self._refusal = f"{refused.message}\n{refused.hint}".strip()
            return self._again_or_block(f"it cannot be handed in: {refused.message}", words, "hand-in")
        return Ended(done.record, How.HANDED_IN, "; ".join(done.notes))

    def _after_others(self, refused: Collides, words: str, report: str) -> Ended | None:
        """Once what it collides with is integrated; blocked where this run will not see the day."""
        self._held.say(refused.message)
        for _ in turns.looks(self._held, self._limits):
            if self._desk.ending.is_set():
                return self._release(_ENDED)
            order = self._obey()
            if order:
                return order if isinstance(order, Ended) else None
            if not waiting.must_wait(self._session, self._held.record):
                return self._hand_in(words, report)
        return self._block(refused.code, refused.message, words)

    def _handed_in(self, given: handin.Handin) -> handin.HandedIn:
        """Hand in, again and again while the disk is full: somebody may clear it. Raises as `handin.done`."""
        number = 1
        while True:
            try:
                return handin.done(self._session, str(self._held.task), given)
            except GitFailed as full:
                if full.hint != FREE_SPACE or number > HINDERED_TRIES or self._desk.ending.is_set():
                    raise
                self._held.say(f"not handed in yet: {full.message}")
                self._seat.bell.wait(backoff(number, HINDERED))
                mending.mend(self._session, self._held.record)
                self._held.require()
                number += 1

    def _block(self, code: str, said: str, words: str) -> Ended:
        """The task cannot go on; what is in its worktree is saved, too."""
        last = "\n".join(words.rstrip().splitlines()[-_REASON_LINES:])
        reason = f"{said}\n\n{last}" if last else said
        acted = work.block(self._session, str(self._held.task), code, reason)
        return Ended(acted.record, How.BLOCKED, "; ".join((f"{code}: {said}", *acted.notes)))

    def _release(self, reason: str, how: How = How.RELEASED) -> Ended:
        acted = work.release(self._session, str(self._held.task), reason)
        return Ended(acted.record, how, "; ".join((reason, *acted.notes)))

    def _release_gone(self) -> Ended:
        """Its worktree was deleted: the next claim starts from what was saved of it, and git may forget the place."""
        acted = work.release(self._session, str(self._held.task), _GONE)
        if not any(note.endswith("stays there") for note in acted.notes):  # all of it is kept
            mending.forget(self._session, self._held.record)
        return Ended(acted.record, How.RELEASED, "; ".join((_GONE, *acted.notes)))

    def _over(self) -> Ended:
        """The claim has ended without us."""
        self._end_agent()
        mine, now = self._held.mine, self._session.reread(self._held.record)
        order = self._held.order()
        agents.clear_order(self._held.folder)
        if order is not None and order.order == "kill":
            return Ended(now, How.KILLED, f"{order.by} killed it")
        state, claimed = now.state.state, now.state.claim
        same = mine is not None and claimed is not None and claimed.fence == mine.fence
        if same and state in (State.PROPOSED, State.VERIFIED, State.PARKED, State.INTEGRATED):
            return Ended(now, How.HANDED_IN)
        if same and state is State.BLOCKED:
            return Ended(now, How.BLOCKED, f"{now.state.code}: {now.state.reason}")
        if same and state is not State.CLAIMED:
            return Ended(now, How.RELEASED, now.state.reason)
        return Ended(now, How.LOST, f"it is {state.phrase}, and not {self._seat.worker}'s any more")

    def _trouble(self, error: FleetError) -> Ended:
        """Something failed that is not the agent's fault, a full disk for instance. The claim is given up; what keeps
        its log from saying so may pass, so that is tried for a while."""
        self._end_agent()
        said = f"{error.message} ({error.hint})" if error.hint else error.message
        number = 1
        while True:
            try:
                return replace(self._block("trouble", said, ""), how=How.TROUBLE)
            except LostRace:
                return Ended(self._held.record, How.TROUBLE, said)
            except (FleetError, OSError) as also:
                more = also.message if isinstance(also, FleetError) else str(also)
            if self._desk.ending.is_set() or number > HINDERED_TRIES:
                return Ended(self._held.record, How.TROUBLE, f"{said}; and its log cannot say so: {more}")
            self._held.say(f"in trouble: {said}")
            self._seat.bell.wait(backoff(number, HINDERED))
            number += 1

    def _end_agent(self) -> None:
        if self._seat.agent is not None:
            self._seat.agent.end(GRACE_SECONDS)
