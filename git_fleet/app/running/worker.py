"""One worker, wherever it is: it claims, has an agent work, hands in, and claims again until there is nothing left.

A run has many workers, a backlog and a person; this has none of them, so any number can stand beside each other, each
started by an engine for jobs, in one repository or in clones of their own. Its name is all that lasts: started again
under the same name (a pod that was replaced, a job that was requeued) it takes its own claims over with a new fence, so
that what is left of its former life moves nothing any more, and goes on from what was saved.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress

from git_fleet.app import agents, carrying, claim, sharing, work
from git_fleet.app.placing import Placed
from git_fleet.app.running import listening, recovery
from git_fleet.app.running.desk import Bell, Desk, Options, Seat, held_by
from git_fleet.app.running.engagement import Ended, Engagement, How
from git_fleet.app.running.patience import HINDERED, backoff
from git_fleet.app.running.run import Ready, surroundings
from git_fleet.app.session import Session
from git_fleet.core.ids import TaskId
from git_fleet.core.model import State
from git_fleet.core.progress import Report
from git_fleet.core.running import Engaged, Stop, Worked
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import AnswerIsNo, FleetError, Held, InvalidInput, LostRace, Unreachable
from git_fleet.git import cloning

_LOOK_SECONDS = 60.0
"""How long to wait, without having been told of anything, before looking again whether something can be claimed."""

_AGAIN = "its worker was started again"
_HANDED_IN = (State.PROPOSED, State.VERIFIED, State.PARKED, State.INTEGRATED)


class Worker:
    """The worker that `session` acts as, on one plan; `task` names the only one it is to work, `most` how many at the
    most (0: any number). It waits `patience_seconds` for something to become ready. Who has one worker after the other
    gives them one `bell`."""

    def __init__(
        self,
        session: Session,
        ready: Ready,
        report: Report,
        describe: Callable[[Placed], str],
        *,
        task: str = "",
        most: int = 0,
        patience_seconds: float = 0.0,
        bell: Bell | None = None,
    ) -> None:
        options: Options = ready.options
        self.desk = Desk(
            root=session.repo.worktree or session.repo.common_dir,
            around=surroundings(session.around),
            options=options,
            fleet=session.repo.fleet_dir,
            report=report,
            describe=describe,
            seats=[Seat(session.actor, bell or Bell())],
        )
        self._session, self._seat = session, self.desk.seats[0]
        self._task, self._most, self._patience = task, most, patience_seconds
        self._stop: Stop | None = None
        self._base = ready.base
        self._no_more = self._waits = False
        self._worked: list[Engaged] = []
        self._mine: list[str] = []  # tasks of a former life
        self._left: set[TaskId] = set()  # tasks given up in this life: others may fare better

    def ask_to_end(self, *, now: bool = False) -> None:
        """A signal came. From any thread, and from signal handlers: claim nothing more; `now` ends the agent, its
        work saved and its task given back."""
        self._no_more = True
        if now:
            self.desk.end()
        self._seat.bell.ring()

    def put(self, _: object) -> None:
        """Something has happened elsewhere: look again, if it is what is waited for."""
        if self._waits:
            self._seat.bell.ring()

    def work(self) -> Worked:
        """Work until there is nothing left, and say what came of it.

        Raises InvalidInput for a task that is not of the plan, Held while another of its name is at work here.
        """
        with self._alone():
            return self._work()

    def _alone(self) -> AbstractContextManager[None]:
        return recovery.attending(self.desk.folder, self.desk.options.plan, self._seat.worker)

    def _work(self) -> Worked:
        began, pushed = time.monotonic(), sharing.pushed(self._session.store)
        if self._patience:
            listening.to_refs(self._session.store.refs, self._session.repo, self._base, self)
        self._require_task()
        self._begin_again()
        with self._carrying():
            while (record := self._next()) is not None:
                self._engage(record)
        stop = self._stop or Stop("interrupted", "it was interrupted")
        return Worked(
            self.desk.options.plan,
            self._seat.worker,
            stop,
            tuple(self._worked),
            time.monotonic() - began,
            pushes=sharing.pushed(self._session.store) - pushed,
        )

    def _carrying(self) -> AbstractContextManager[None]:
        if carrying.remote_of(self._session) is None:
            return nullcontext()
        return carrying.regularly(self.desk.session, self.desk.options.plan, self.desk.report)

    def _carry(self) -> None:
        """What cannot be sent away is a reason to make no more of it."""
        try:
            carrying.carry(self._session, self.desk.options.plan)
        except FleetError as error:
            self.desk.report(error.message)
            self._stop = Stop("trouble", error.message)

    # --- the life before -------------------------------------------------------------------------

    def begin_again(self) -> None:
        """Give back what this worker holds from a former life, all that is found of its work saved: claimed again,
        it has a new fence. Raises Held as `work`."""
        with self._alone():
            self._begin_again()

    def _begin_again(self) -> None:
        plan = self.desk.options.plan
        carrying.bring(self._session, plan)
        for agent in agents.all_in(self.desk.fleet, plan):
            if agent.worker == self._seat.worker:
                agent.end()
                agent.sweep()
                agents.forget(agent.folder)
        for record in self._session.snapshot().of_plan(plan):
            held = record.state.claim
            if record.state.state is State.CLAIMED and held and held.holder == self._seat.worker:
                self.desk.report(f"{record.id}: goes on, claimed by {held.holder} before")
                with suppress(LostRace):  # somebody has taken it over at this moment
                    work.release(held_by(self._session, record), str(record.id), _AGAIN)
                self._mine.append(str(record.id))
        if self._mine:
            self._carry()

    # --- one task after another ------------------------------------------------------------------

    def _require_task(self) -> None:
        if self._task:
            plan = self.desk.options.plan
            record = self._session.snapshot().resolve(
                self._task if "/" in self._task else f"{plan}/{self._task}"
            )
            if record.id.plan != plan:
                raise InvalidInput(f"{record.id} is not of plan {plan}", hint=f"--plan {record.id.plan}")
            self._task = str(record.id)

    def _engage(self, record: TaskRecord) -> None:
        self._seat.record = record
        ended = Engagement(self.desk, self._seat, self._session, record, placed=False).work()
        self._seat.record = self._seat.agent = None
        said = f": {ended.text.splitlines()[0]}" if ended.text else ""
        self.desk.report(f"{ended.record.id}: {ended.how}{said}")
        self._worked.append(Engaged(ended.record.id, str(ended.how), ended.text))
        if ended.how is not How.HANDED_IN:
            self._left.add(ended.record.id)
        self._look_at(ended)
        self._carry()

    def _look_at(self, ended: Ended) -> None:
        """Whether that was the last one."""
        if ended.how is How.TROUBLE:
            self._stop = Stop("trouble", ended.text or "it met trouble")
        elif self.desk.ending.is_set():
            self._stop = Stop("interrupted", "it was interrupted")
        elif self._task or (self._most and len(self._worked) >= self._most):
            self._stop = Stop("worked", "it has worked what it was to work")

    def _next(self) -> TaskRecord | None:
        """The next claim; waits for one. None at the end, `_stop` says why."""
        until, failures = time.monotonic() + self._patience, 0
        while self._stop is None and not self._no_more:
            try:
                found = self._claim()
                failures, pause = 0, _LOOK_SECONDS
            except (FleetError, OSError) as error:
                failures += 1
                said = error.message if isinstance(error, FleetError) else str(error)
                found = Stop("unreachable" if isinstance(error, Unreachable) else "trouble", said)
                self.desk.report(f"tried again: {said}")
                pause = backoff(failures, HINDERED)
            if isinstance(found, TaskRecord):
                return found
            left = until - time.monotonic()
            self._waits = not failures
            if left <= 0 or found.code in ("complete", "nothing"):
                self._stop = found
            else:
                self._seat.bell.wait(min(pause, left))
            self._waits = False
        return None

    def _claim(self) -> TaskRecord | Stop:
        """A task, or why there is none: `complete` and `nothing` are for good. Raises what may pass."""
        plan = self.desk.options.plan
        rests = self.desk.rests_for
        if rests:
            return Stop("waiting", "it was told to come later")
        carrying.bring(self._session, plan)
        mine = self._mine.pop() if self._mine and not self._task else ""
        wanted = claim.Request(task=self._task or mine or None, plan=plan, but=frozenset(self._left))
        try:
            got = claim.claim(self._session, wanted)
        except (AnswerIsNo, Held) as no:
            if mine:
                return self._claim()
            if not self._task:
                raise
            record = self._session.snapshot().resolve(self._task)
            if record.state.state in _HANDED_IN:
                return Stop("complete", f"{record.id} is {record.state.state.phrase} already")
            return Stop("nothing", no.message)
        if isinstance(got, claim.NothingReady):
            return Stop("complete" if got.reason == "complete" else "waiting", got.text)
        if self._prepare(got.record):
            return got.record
        with suppress(LostRace):
            work.release(
                held_by(self._session, got.record), str(got.record.id), "what it starts from is elsewhere"
            )
        self._left.add(got.record.id)
        return Stop("waiting", f"what {got.record.id} starts from is not on the remote")

    def _prepare(self, record: TaskRecord) -> bool:
        """Have what the claim starts from, and all of its history where work goes on: a merge needs that."""
        held = record.state.claim
        remote = carrying.remote_of(self._session)
        if remote is not None and held is not None and held.start != held.base:
            place = self._session.repo.common_dir
            if cloning.is_shallow(place):
                cloning.complete(place, remote.name)
        return carrying.is_here(self._session, self.desk.options.plan, record)
