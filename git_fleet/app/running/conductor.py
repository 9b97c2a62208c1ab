"""Who does what, and when the run is over: the one thread that claims.

It waits for what happens (an engagement ended, refs moved, a signal came) and then fills the free seats. Nothing is
looked at again before something has changed, so a run that waits for long agents does nothing.

A run is over when nothing goes on and nothing will: every seat is free, nothing could be claimed, and verifying and
integrating found nothing to do, all of it since the last change; and nobody else holds a task of the plan.
"""

from __future__ import annotations

import queue
import threading
import time
from contextlib import ExitStack

from msgspec import Struct, field

from git_fleet.app import claim
from git_fleet.app.running import backlog, listening, needed, orders, recovery
from git_fleet.app.running.backlog import Clerk, Done, Wanted
from git_fleet.app.running.desk import IN_TURN, Desk, Seat
from git_fleet.app.running.engagement import Ended, Engagement, How
from git_fleet.app.running.events import AT_ONCE, GENTLY, Asked, Changed, Event, Free, Looked
from git_fleet.app.running.patience import HINDERED, backoff
from git_fleet.app.running.recovery import Left
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.model import State, Usage
from git_fleet.core.running import Stop, Tally
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import FleetError
from git_fleet.store import names

_TICK_SECONDS = 15.0
_LEAST_SECONDS = 0.05
_FAILURES = 5
_REST_SECONDS = 60.0
"""So long one waits at the most before looking again whether something can be claimed, without having been told."""


class Conductor(Struct, dict=True):
    """One run. `events` may be posted to from any thread, and from signal handlers."""

    desk: Desk
    session: Session
    base: str
    events: queue.SimpleQueue[Event] = field(default_factory=queue.SimpleQueue)
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._generation, self._shown, self._idle = 1, 0, {"claim": 0}
        self._clerks: dict[str, Clerk] = {}
        self._work: dict[str, queue.SimpleQueue[tuple[Left, bool] | None]] = {}
        self._threads: list[threading.Thread] = []
        self._stop: Stop | None = None
        self._began = time.monotonic()
        self._spent_before = self._spent(self.session.snapshot())
        self._retry_at, self._passes, self._missed = 0.0, False, 0
        self._given_up: set[Oid | None] = set()
        self._unsure: set[str] = set()  # workers whose last claim failed, though it may have been made
        self._caller = needed.Caller(self.desk, self.session, self.base, self.tally)
        self._failures = 0

    def conduct(self, left: list[Left]) -> Tally:
        """Work the plan to its end. `left` is what an earlier run has begun."""
        listening.to_refs(self.session.store.refs, self.session.repo, self.base, self.events)
        self._begin(left)
        listening.to_orders(self.desk, self.events)
        try:
            while not self._step():
                pass
        except BaseException:
            self._end_all()
            raise
        finally:
            self._finish()
        self.tally.stop = self._stop or needed.why_over(self.session.snapshot(), self.desk.options.plan)
        return self.tally

    def _step(self) -> bool:
        """Do what there is to do, and wait for the next thing to happen: whether the run is over. What fails once,
        because a git was killed say, is not its end."""
        try:
            self._fill()
            self._let_look()
            if self._over():
                return True
            self._handle(self._next())
            self._failures = 0
        except (FleetError, OSError) as error:
            self._failures += 1
            if self._failures > _FAILURES:
                raise
            self.desk.report(f"tried again: {error.message if isinstance(error, FleetError) else error}")
            time.sleep(self._failures)
            self._changed()
        return False

    # --- what happens ----------------------------------------------------------------------------

    def _next(self) -> Event | None:
        try:
            return self.events.get(timeout=max(_LEAST_SECONDS, self._patience()))
        except queue.Empty:
            return None

    def _patience(self) -> float:
        """For how long nothing has to be done, unless something happens."""
        options, now = self.desk.options, time.monotonic()
        if self._stop is not None:
            return _REST_SECONDS
        until = _TICK_SECONDS if self._limited() else _REST_SECONDS
        if options.max_seconds:
            until = min(until, self._began + options.max_seconds - now)
        if rests := self.desk.rests_for:
            return min(until, rests)
        return min(until, self._retry_at - now) if self._retry_at else until

    def _handle(self, event: Event | None) -> None:
        match event:
            case None:
                if time.monotonic() >= self._retry_at:
                    self._idle["claim"] = 0
            case Changed():
                self._ring()
                self._changed()
            case Asked(now=now):
                self._asked(now=now)
            case Free(seat, ended):
                self._freed(seat, ended)
                self._caller.look()
            case Looked(what, generation, done):
                self._looked(what, generation, done)
                if done is not None:
                    self._caller.look()
        self._check_limits()

    def _changed(self) -> None:
        self._generation += 1

    def _let_look(self) -> None:
        """Once the seats that got free have their next tasks: what is handed in may wait while all are busy."""
        if self._shown < self._generation:
            self._shown = self._generation
            for clerk in self._clerks.values():
                clerk.look(self._generation)

    def _ring(self) -> None:
        """Wake who works on a task whose log has moved: its claim may have ended, or cost too much. And who waits for
        others."""
        self.session.store.refs.reload()
        for seat in self.desk.seats:
            if seat.phase == IN_TURN:
                seat.bell.ring()
            record = seat.record
            found = self.session.store.objects.read_ref(names.task_log(record.id)) if record else None
            if record is not None and found is not None and found[0] != record.tip:
                seat.bell.ring()

    def _asked(self, *, now: bool) -> None:
        if now or self._stop is not None:
            self.desk.report(AT_ONCE)
            self._stop = Stop("interrupted", "it was interrupted")
            self._end_all()
            return
        self._stop = Stop("interrupted", "it was interrupted")
        self.desk.report(GENTLY)
        self._changed()

    def _end_all(self) -> None:
        self.desk.end()
        for clerk in self._clerks.values():
            clerk.stop(now=True)

    def _freed(self, seat: Seat, ended: Ended) -> None:
        seat.record, seat.agent, seat.words, seat.owed = None, None, "", 0.0
        seat.now("free")
        said = f": {ended.text.splitlines()[0]}" if ended.text else ""
        self.desk.report(f"{ended.record.id}: {ended.how}{said}")
        self.tally.ended(ended.record.id, str(ended.how))
        if ended.how is How.TROUBLE:
            claimed = ended.record.state
            if claimed.state is State.CLAIMED and claimed.claim is not None:
                self._given_up.add(claimed.claim.fence)
            self._caller.trouble(f"{ended.record.id}: {ended.text}")
        if seat.retired:
            self._work[seat.worker].put(None)
        self._changed()

    def _looked(self, what: str, generation: int, done: Done | None) -> None:
        self._idle[what] = generation
        if done is None:
            return
        self._report(done)
        if done.trouble:
            self._caller.again(done.trouble)
            return
        if done.document.get("integrated") or done.document.get("ejected") or done.what == "verify":
            self._changed()

    def _report(self, done: Done) -> None:
        for entry in done.document.get("integrated", ()):
            commit = str(entry.get("commit") or "")[:12]
            self.tally.integrated += 1
            self.desk.report(f"{entry['task_id']}: integrated {commit}".rstrip())
        for entry in done.document.get("ejected", ()):
            self.tally.ejected += 1
            self.desk.report(f"{entry['task_id']}: back to rework ({entry['reason']})")
        if done.what == "verify":
            for entry in done.document.get("tasks", ()):
                self._report_verified(
                    str(entry["task_id"]), str(entry["state"]), str(entry.get("reason") or "")
                )

    def _report_verified(self, task: str, state: str, reason: str) -> None:
        if state == State.REWORK:
            self.tally.ejected += 1
            self.desk.report(f"{task}: back to rework ({reason})")
        elif state == State.VERIFIED:
            self.desk.report(f"{task}: upheld")

    # --- limits ----------------------------------------------------------------------------------

    def _limited(self) -> bool:
        return bool(self.desk.options.max_cost_usd or self.desk.options.max_seconds)

    def _check_limits(self) -> None:
        options = self.desk.options
        if self._stop is not None or not self._limited():
            return
        if options.max_seconds and time.monotonic() - self._began >= options.max_seconds:
            self._stop = Stop("time", f"its {options.max_seconds / 60:g} minutes (--max-minutes) are over")
        elif options.max_cost_usd:
            known = self._spent(self.session.snapshot()).cost_usd - self._spent_before.cost_usd
            spent = known + sum(seat.owed for seat in self.desk.seats)
            if spent >= options.max_cost_usd:
                said = f"it has cost {spent:.2f} US dollars (--max-cost {options.max_cost_usd:g})"
                self._stop = Stop("cost", said)
        if self._stop is not None:
            self.desk.report(f"{self._stop.text}; ending the agents, their work is saved")
            self._end_all()

    def _spent(self, snapshot: Snapshot) -> Usage:
        return sum((record.state.usage for record in snapshot.of_plan(self.desk.options.plan)), Usage())

    # --- claiming --------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Claim for every free seat, until there is nothing; look no more before something has changed."""
        if self._stop is not None or self._idle["claim"] >= self._generation or self.desk.rests_for:
            return
        for seat in self.desk.seats:
            if seat.record is not None or seat.retired:
                continue
            record = self._claim(seat)
            if record is None:
                self._idle["claim"] = self._generation
                return
            self._engage(seat, Left(record, seat.worker, None), made=False)

    def _claim(self, seat: Seat) -> TaskRecord | None:
        self.session.actor = seat.worker
        plan = self.desk.options.plan
        mine = frozenset(other.record.id for other in self.desk.seats if other.record is not None)
        try:
            if seat.worker in self._unsure:
                made = recovery.unattended(self.session, plan, seat.worker, mine, self._given_up)
                self._unsure.discard(seat.worker)
                if made is not None:
                    return made
            but = mine | orders.killed(self.desk.folder, plan)
            got = claim.claim(self.session, claim.Request(plan=plan, but=but))
        except (FleetError, OSError) as error:
            self._unsure.add(seat.worker)
            said = error.message if isinstance(error, FleetError) else str(error)
            self._caller.again(said)
            self._missed += 1
            self._retry_at = time.monotonic() + backoff(self._missed, HINDERED)
            return None
        self._missed = 0
        if isinstance(got, claim.NothingReady):
            self.tally.nothing = got.text
            after = got.retry_after_seconds
            self._retry_at = time.monotonic() + min(after or _REST_SECONDS, _REST_SECONDS)
            self._passes = got.passes
            return None
        self._retry_at = 0.0
        return got.record

    def _engage(self, seat: Seat, left: Left, *, made: bool) -> None:
        seat.record, seat.agent = left.record, left.agent
        seat.now("claimed")
        self.tally.claims += 1
        self._work[seat.worker].put((left, made))

    # --- threads ---------------------------------------------------------------------------------

    def _begin(self, left: list[Left]) -> None:
        for seat in self.desk.seats:
            self._seat(seat)
        free = [seat for seat in self.desk.seats if not seat.retired]
        for one in left:
            seat = free.pop(0) if free else self._extra()
            said = "goes on, its agent is still at work" if one.agent is not None else "goes on"
            self.tally.recovered += 1
            self.desk.report(f"{one.record.id}: {said}")
            self._engage(seat, one, made=True)
        options = self.desk.options
        if options.verify:
            self._clerk("verify", (), backlog.to_verify)
        if options.integrate:
            wanted = backlog.to_integrate if options.verify else backlog.to_integrate_unasked
            self._clerk("integrate", ("--jobs", str(options.jobs)), wanted)

    def _extra(self) -> Seat:
        """A seat beyond those asked for, for an agent that is at work already; it goes when that has ended."""
        seat = Seat(f"{self.desk.seats[0].worker}-{len(self.desk.seats) + 1}", retired=True)
        self.desk.seats.append(seat)
        self._seat(seat)
        return seat

    def _seat(self, seat: Seat) -> None:
        self._work[seat.worker] = queue.SimpleQueue()
        thread = threading.Thread(
            target=self._sit, args=(seat, self._work[seat.worker]), name=seat.worker, daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _sit(self, seat: Seat, work: queue.SimpleQueue[tuple[Left, bool] | None]) -> None:
        """The thread of a worker: one engagement after another."""
        with ExitStack() as opened:
            session = None
            while (given := work.get()) is not None:
                left, made = given
                try:
                    session = session or opened.enter_context(self.desk.session())
                    ended = Engagement(self.desk, seat, session, left.record, left.agent, placed=made).work()
                except FleetError as error:  # before it has begun
                    ended = Ended(left.record, How.TROUBLE, error.message)
                except Exception as error:  # noqa: BLE001 - a bug in one thread must not stop the others, nor be lost
                    ended = Ended(
                        left.record, How.TROUBLE, f"a bug in git-fleet: {type(error).__name__}: {error}"
                    )
                self.events.put(Free(seat, ended))

    def _clerk(self, what: str, arguments: tuple[str, ...], wanted: Wanted) -> None:
        self._idle[what] = 0
        clerk = Clerk(
            self.desk, self.base, what, arguments, wanted, lambda *found: self.events.put(Looked(*found))
        )
        self._clerks[what] = clerk
        clerk.start()

    # --- the end ---------------------------------------------------------------------------------

    def _over(self) -> bool:
        if any(seat.record is not None for seat in self.desk.seats):
            return False
        if self.desk.ending.is_set():
            return True
        if any(self._idle[what] < self._generation for what in self._clerks):
            return False
        if self._stop is not None:
            return True
        if self._idle["claim"] < self._generation or self.desk.rests_for:
            return False
        if 0 < self._missed <= _FAILURES:
            return False  # whether there is something to claim is not known
        return not self._passes and not self._others_at_work()

    def _others_at_work(self) -> bool:
        """Whether tasks of the plan are claimed, by workers that are not ours; what we gave up does not count."""
        records = self.session.snapshot().of_plan(self.desk.options.plan)
        claims = [record.state.claim for record in records if record.state.state is State.CLAIMED]
        return any(claim is not None and claim.fence not in self._given_up for claim in claims)

    def _finish(self) -> None:
        for clerk in self._clerks.values():
            clerk.stop(now=self.desk.ending.is_set())
        for seat in self.desk.seats:
            self._work[seat.worker].put(None)
        for thread in [*self._threads, *self._clerks.values()]:
            thread.join()
