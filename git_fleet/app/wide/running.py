"""`git fleet run --workspace`: workers that own no repository. One that is free takes the most important task anywhere.

A worker works one task at a time, as `git fleet worker` does in that task's repository. One thread looks at all
repositories and says who works what; a clerk beside it verifies and integrates in each repository where something is handed in, and
lands change sets that are ready, by commands of this program, so that they may be killed apart from the run.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from git_fleet.app import workspaces
from git_fleet.app.placing import Placed
from git_fleet.app.running import run as running
from git_fleet.app.running.calls import Calls
from git_fleet.app.running.desk import Bell, Options
from git_fleet.app.running.events import AT_ONCE, GENTLY
from git_fleet.app.running.worker import Worker
from git_fleet.app.session import Session
from git_fleet.app.surroundings import Surroundings
from git_fleet.app.wide import across, looking
from git_fleet.app.wide.limits import Limits
from git_fleet.core.ids import TaskId
from git_fleet.core.model import PlanState, State
from git_fleet.core.progress import Report
from git_fleet.core.running import Engaged, Stop
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.workspace import Offer, Repo, WideEngaged, WideRun, Workspace
from git_fleet.errors import FleetError, InvalidInput

_REST_SECONDS = 60.0
_HANDED_IN = "handed in"
_LANDS = ("ready", "begun", "half-way")

Key = tuple[str, TaskId]
"""A repository and a task in it."""


class Wanted(Struct, frozen=True):
    """What is asked for. `program` starts this program, `command` the agents (else what each fleet.toml says), `name` is
    what the workers are called, with a number each. `labels`: only tasks with one of them. `jobs`: gate so many
    candidates at once in a repository. `max_cost_usd` and `max_seconds` end it, 0 is no limit."""

    workers: int
    program: tuple[str, ...]
    name: str
    command: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    verify: bool = True
    integrate: bool = True
    jobs: int = 1
    max_cost_usd: float = 0.0
    max_seconds: float = 0.0


class _Freed(Struct, frozen=True):
    """A worker is free: what came of `key`, None where it could not be claimed."""

    worker: str
    key: Key
    engaged: Engaged | None


class _Cleared(Struct, frozen=True):
    """The clerk has looked through everything of a generation; `landed` by repository, `moved`: something has changed."""

    generation: int
    landed: tuple[tuple[str, str], ...]
    moved: bool


class _Asked(Struct, frozen=True):
    """Whoever runs this wants its end, gently or `now`."""

    now: bool


class _Backlog(Struct, frozen=True):
    """What waits in one repository: whether there are proposals that may land alone, and verifiers to ask."""

    waiting: bool
    verifiers: bool


class Run(Struct, dict=True):
    """One run over a workspace. `ask_to_end` may be called from any thread, and from signal handlers."""

    space: Workspace
    around: Surroundings
    wanted: Wanted
    report: Report
    describe: Callable[[Placed], str]
    events: queue.SimpleQueue[_Freed | _Cleared | _Asked] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self._seats = {f"{self.wanted.name}-{number}": Bell() for number in range(1, self.wanted.workers + 1)}
        self._busy: dict[str, Key] = {}
        self._workers: dict[str, Worker] = {}
        self._left: set[Key] = set()  # given up in this life: others may fare better
        self._later: set[Key] = set()  # could not be claimed; again when something has changed
        self._worked: list[WideEngaged] = []
        self._landed: list[tuple[str, str]] = []
        self._refused: set[str] = set()  # change sets, until something of them is handed in anew
        self._generation, self._cleared, self._clerk = 1, 0, False
        self._ending = self._now = False
        self._stop: Stop | None = None
        self._quiet = 0.0  # seconds since something happened
        self._calls = Calls(self.wanted.program, self.around)

    def ask_to_end(self, *, now: bool = False) -> None:
        """Claim nothing more; `now` ends the agents, their work saved and their tasks given back."""
        self._ending = True
        self._now = self._now or now
        for worker in list(self._workers.values()):
            worker.ask_to_end(now=now)
        self.events.put(_Asked(now))

    def work(self) -> WideRun:
        """Work until nothing is left that can be done here. Raises InvalidInput where no repository has an open plan."""
        self._begin_again()
        limits = Limits(self.space, self.around, self.wanted.max_cost_usd, self.wanted.max_seconds)
        while True:
            self._check(limits)
            offers = self._fill()
            self._let_clear()
            if not self._busy and not self._clerk and (self._ending or self._cleared >= self._generation):
                break
            self._handle(offers, limits.patience(_REST_SECONDS))
        return self._result()

    def _check(self, limits: Limits) -> None:
        seats = [seat for worker in list(self._workers.values()) for seat in worker.desk.seats]
        if self._ending or (stop := limits.reached(sum(seat.owed for seat in seats))) is None:
            return
        self._stop = stop
        self.report(f"{stop.text}; ending the agents, their work is saved")
        self.ask_to_end(now=True)

    # --- who works what --------------------------------------------------------------------------

    def _fill(self) -> int:
        """Give every free worker the most important task that there is: how many are left over."""
        free = [seat for seat in self._seats if seat not in self._busy]
        if self._ending or not free:
            return 0
        offers, broken = looking.ready(self.space, self.around, self.wanted.labels)
        for answer in broken:
            self._tell_once(
                f"{answer.repo.name} cannot be read: {answer.error.message if answer.error else ''}"
            )
        taken = {*self._busy.values(), *self._left, *self._later}
        left = [offer for offer in offers if (offer.repo.name, offer.task.id) not in taken]
        for seat, offer in zip(free, left, strict=False):
            self._start(seat, offer)
        return max(0, len(left) - len(free))

    def _tell_once(self, text: str) -> None:
        told: set[str] = self.__dict__.setdefault("_told", set())
        if text not in told:
            told.add(text)
            self.report(text)

    def _start(self, seat: str, offer: Offer) -> None:
        key = (offer.repo.name, offer.task.id)
        self._busy[seat] = key
        thread = threading.Thread(target=self._sit, args=(seat, offer.repo, key), name=seat, daemon=True)
        thread.start()

    def _sit(self, seat: str, repo: Repo, key: Key) -> None:
        """The thread of a worker, for one task."""
        engaged: Engaged | None = None
        try:
            with across.opened(self.space, repo, self.around, worker=seat, long_lived=True) as session:
                one = self._worker(session, repo, seat, key[1].plan, str(key[1]))
                self._workers[seat] = one
                if self._ending:
                    one.ask_to_end(now=self._now)
                worked = one.work()
                engaged = next(iter(worked.tasks), None)
        except FleetError as error:
            self.report(f"{repo.name}: {key[1]}: {error.message}")
            engaged = Engaged(key[1], "trouble", error.message)
        except Exception as error:  # noqa: BLE001 - a bug in one thread must not stop the others, nor be lost
            engaged = Engaged(key[1], "trouble", f"a bug in git-fleet: {type(error).__name__}: {error}")
            self.report(f"{repo.name}: {key[1]}: {engaged.text}")
        finally:
            self._workers.pop(seat, None)
            self.events.put(_Freed(seat, key, engaged))

    def _worker(self, session: Session, repo: Repo, seat: str, plan: str, task: str) -> Worker:
        wanted = self.wanted
        options = Options(
            plan=plan,
            workers=1,
            program=wanted.program,
            verify=False,
            integrate=False,
            command=wanted.command,
            worker=seat,
        )
        ready = running.prepare(session, options)

        def say(text: str) -> None:
            self.report(f"{repo.name}: {text}")

        return Worker(session, ready, say, self.describe, task=task, most=1, bell=self._seats[seat])

    def _begin_again(self) -> None:
        """Give back what workers of these names hold from a run before that was killed; their agents end, their work is
        saved."""
        plans = across.ask(self.space, self.around, _open_plans)
        if not any(answer.value for answer in plans):
            raise InvalidInput(
                f"no repository of workspace {self.space.name} has an open plan",
                hint="git fleet workspace status",
            )
        for answer in plans:
            for plan, holders in answer.value or ():
                for seat in sorted(holders & set(self._seats)):
                    with across.opened(
                        self.space, answer.repo, self.around, worker=seat, long_lived=True
                    ) as session:
                        self._worker(session, answer.repo, seat, plan, "").begin_again()

    # --- what happens ----------------------------------------------------------------------------

    def _handle(self, offers: int, seconds: float) -> None:
        try:
            event = self.events.get(timeout=seconds)
        except queue.Empty:
            self._quiet += seconds
            if self._quiet >= _REST_SECONDS:  # others may have changed what no event tells
                self._quiet = 0.0
                self._later.clear()
                self._generation += offers == 0
            return
        self._quiet = 0.0
        match event:
            case _Freed(worker, key, engaged):
                self._freed(worker, key, engaged)
            case _Asked(now):
                self._asked(now=now)
            case _Cleared(generation, landed, moved):
                self._clerk, self._cleared = False, generation
                self._landed += landed
                if moved:
                    self._changed()

    def _asked(self, *, now: bool) -> None:
        if now:
            self._calls.stop(now=True)
        if self._stop is None:  # else it has said why
            self.report(AT_ONCE if now else GENTLY)

    def _freed(self, worker: str, key: Key, engaged: Engaged | None) -> None:
        self._busy.pop(worker, None)
        if engaged is None:
            self._later.add(key)
            return
        self._worked.append(WideEngaged(key[0], engaged))
        if engaged.how == _HANDED_IN:
            self._refused.clear()
        else:
            self._left.add(key)
        self._changed()

    def _changed(self) -> None:
        self._generation += 1
        self._later.clear()

    # --- verifying and integrating ---------------------------------------------------------------

    def _let_clear(self) -> None:
        if not self.wanted.integrate and not self.wanted.verify:
            self._cleared = self._generation
        if self._clerk or self._cleared >= self._generation or self._ending:
            return
        self._clerk = True
        thread = threading.Thread(target=self._clear, args=(self._generation,), name="clerk", daemon=True)
        thread.start()

    def _clear(self, generation: int) -> None:
        """The thread of the clerk: everything that waits, once."""
        landed: list[tuple[str, str]] = []
        moved = False
        try:
            for answer in across.ask(self.space, self.around, _backlog):
                if answer.value is not None and answer.value.waiting:
                    moved |= self._clear_one(answer.repo, answer.value, landed)
            if self.wanted.integrate:
                moved |= self._clear_sets(landed)
        except (FleetError, OSError) as error:
            self._tell_once(f"verifying and integrating: {error}")
        finally:
            self.events.put(_Cleared(generation, tuple(landed), moved))

    def _clear_one(self, repo: Repo, waits: _Backlog, landed: list[tuple[str, str]]) -> bool:
        place, moved = str(workspaces.place_of(self.space, repo)), False
        if waits.verifiers and self.wanted.verify:
            said = self._command("-C", place, "verify")
            moved |= any(each.get("state") != State.PROPOSED for each in said.get("tasks", ()))
        if self.wanted.integrate:
            said = self._command("-C", place, "integrate", "--jobs", str(self.wanted.jobs))
            moved |= bool(said.get("integrated") or said.get("ejected"))
            self._integrated(repo.name, said.get("integrated", ()), landed)
            for each in said.get("ejected", ()):
                self.report(f"{repo.name}: {each['task_id']}: back to rework ({each['reason']})")
        return moved

    def _clear_sets(self, landed: list[tuple[str, str]]) -> bool:
        moved = False
        for each in looking.overview(self.space, self.around, self.space.repos).changesets:
            name = f"{each.plan}/{each.id}"
            if each.state not in _LANDS or name in self._refused:
                continue
            said = self._command("integrate", "--changeset", name, "--workspace", self.space.folder)
            if self._now:
                break
            state = str(said.get("state") or "in trouble")
            self.report(f"change set {name}: {state}{': ' + said['why'] if said.get('why') else ''}")
            moved |= state == "landed" or any(part["outcome"] == "ejected" for part in said.get("tasks", ()))
            if state != "landed":
                self._refused.add(name)
                continue
            for part in said["tasks"]:
                self._integrated(part["repo"], [part], landed)
        return moved

    def _integrated(self, repo: str, entries: Any, landed: list[tuple[str, str]]) -> None:
        for entry in entries:
            landed.append((repo, str(entry["task_id"])))
            self.report(
                f"{repo}: {entry['task_id']}: integrated {str(entry.get('commit') or '')[:12]}".rstrip()
            )

    def _command(self, *words: str) -> dict[str, Any]:
        """What a command of this program answers; what goes wrong is said, and is no answer."""
        _, found, said = self._calls.call(Path(self.space.folder), *words, "--json")
        if self._now or (found and "error" not in found):
            return found
        why = found["error"]["message"] if found else said[-400:] or "no answer"
        self._tell_once(f"git fleet {' '.join(words)}: {why}")
        return {}

    def _result(self) -> WideRun:
        answers = across.ask(self.space, self.around, _unended)
        left = sum(answer.value or 0 for answer in answers)
        known = all(answer.error is None for answer in answers)
        if self._stop is not None:
            stop = self._stop
        elif self._ending:
            stop = Stop("interrupted", "it was interrupted")
        elif left or not known:
            stop = Stop("waiting", f"nothing can be claimed now, {left} tasks have not ended")
        else:
            stop = Stop("complete", "every task of every open plan has ended")
        return WideRun(self.space.name, stop, tuple(self._worked), tuple(self._landed), left)


def _open_plans(session: Session) -> tuple[tuple[str, frozenset[str]], ...]:
    """The open plans, each with those who hold tasks of it."""
    snapshot = session.snapshot()
    return tuple(
        (
            plan.id,
            frozenset(
                record.state.claim.holder
                for record in snapshot.of_plan(plan.id)
                if record.state.state is State.CLAIMED and record.state.claim is not None
            ),
        )
        for plan in snapshot.plans.values()
        if plan.state is PlanState.OPEN
    )


def _backlog(session: Session) -> _Backlog:
    records = [record for record in _open(session) if record.state.state in (State.PROPOSED, State.VERIFIED)]
    waiting = any(not record.task.changeset for record in records)
    proposed = any(record.state.state is State.PROPOSED for record in records)
    verifiers = bool(session.config().verifiers)
    return _Backlog(waiting or (proposed and verifiers), verifiers)


def _open(session: Session) -> Iterator[TaskRecord]:
    snapshot = session.snapshot()
    return (
        record for record in snapshot.tasks.values() if snapshot.plans[record.id.plan].state is PlanState.OPEN
    )


def _unended(session: Session) -> int:
    return sum(not record.state.state.ended for record in _open(session))
