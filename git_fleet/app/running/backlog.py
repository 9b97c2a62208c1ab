"""What is handed in, verified and integrated beside the agents that work.

Each is a `git fleet verify` or `git fleet integrate` of its own process: it can be ended without ending the run, and
a run that is killed leaves it to finish what it has begun. One at a time of each kind; what comes meanwhile is for
the next one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from msgspec import Struct

from git_fleet.app.running.calls import Calls
from git_fleet.app.running.desk import Desk
from git_fleet.app.session import Session
from git_fleet.core.config import Config
from git_fleet.core.model import State
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.verdicts import to_ask, why_not
from git_fleet.errors import FleetError, GitFailed, Held
from git_fleet.git.process import last_words
from git_fleet.store import names

_GATHER_SECONDS = 2.0
"""So long, at most, what comes right after a call is left to gather for the next one while every worker is busy."""

_HELD_SECONDS = 1.0
_HELD_TRIES = 120
_AGAIN_SECONDS = 60.0
_END_SECONDS = 30.0
_HELD, _EJECTED = 3, 1
_KILLED_TRIES = 3


Wanted = Callable[[Session, str, str], list[TaskRecord]]


class Done(Struct, frozen=True):
    """One call came to its end. `document` is its answer, `trouble` what a person has to know, "" when all is well."""

    what: str
    document: dict[str, Any]
    trouble: str = ""

    @property
    def held(self) -> bool:
        """Whether nothing was done because somebody else is at it: another integration, another lead."""
        return bool(self.document.get("error", {}).get("code") == Held.code)


class Clerk(threading.Thread):
    """Calls one command whenever there is something to do for it, until it is told to stop.

    `wanted` says for what, as things are, of a plan and its base. `post` hears of each end (of an idle look, too: None). What a call could not
    do is tried again once one of its tasks or the base branch has moved, else after a minute.
    """

    def __init__(
        self,
        desk: Desk,
        base: str,
        what: str,
        arguments: Sequence[str],
        wanted: Wanted,
        post: Callable[[str, int, Done | None], None],
    ) -> None:
        super().__init__(name=what, daemon=True)
        self._desk, self._base, self._what, self._arguments = desk, base, what, arguments
        self._wanted, self._post = wanted, post
        self._asked = threading.Condition()
        self._generation, self._seen = 0, -1
        self._over = False
        self._calls = Calls(desk.options.program, desk.around)
        self._failed: tuple[object, ...] = ()
        self._failed_at = 0.0
        self._rests_until = 0.0
        self._session: Session | None = None

    def look(self, generation: int) -> None:
        """Something has changed (for the `generation`-th time): look whether there is something to do."""
        with self._asked:
            self._generation = generation
            self._asked.notify()

    def stop(self, *, now: bool) -> None:
        """Begin nothing more; `now`: end what is going on, in its orderly way."""
        with self._asked:
            self._over = True
            self._asked.notify()
        self._calls.stop(now=now)

    def run(self) -> None:
        """The thread."""
        with ExitStack() as opened:
            while (generation := self._next()) is not None:
                self._work(opened, generation)

    def _next(self) -> int | None:
        with self._asked:
            self._asked.wait_for(lambda: self._over or self._generation > self._seen)
            while (
                self._desk.all_busy and (left := self._rests_until - time.monotonic()) > 0 and not self._over
            ):
                self._asked.wait(left)
            return None if self._over else self._generation

    def _work(self, opened: ExitStack, generation: int) -> None:
        done = None
        try:
            session = self._session = self._session or opened.enter_context(self._desk.session())
            while (tasks := self._look(session)) and not self._in_vain(session, tasks):
                began = time.monotonic()
                done = self._call([str(record.id) for record in tasks])
                self._rests_until = time.monotonic() + min(_GATHER_SECONDS, time.monotonic() - began)
                if done.held and not self._over:
                    self._post(self._what, -1, done)  # the run is not over: it waits as for any other worker
                    done = None
                    continue
                if done.trouble:
                    self._failed, self._failed_at = self._key(session, tasks), time.monotonic()
                break
        except FleetError as error:
            done = Done(self._what, {}, error.message)
        except OSError as error:
            done = Done(self._what, {}, str(error))
        except Exception as error:  # noqa: BLE001 - a bug here must neither stop the run nor be lost
            done = Done(self._what, {}, f"a bug in git-fleet: {type(error).__name__}: {error}")
        self._seen = generation
        self._post(self._what, generation, done)

    def _look(self, session: Session) -> list[TaskRecord]:
        try:
            return self._wanted(session, self._desk.options.plan, self._base)
        except GitFailed:  # its git was killed, say: another one is asked
            return self._wanted(session, self._desk.options.plan, self._base)

    def _key(self, session: Session, tasks: Sequence[TaskRecord]) -> tuple[object, ...]:
        base = session.base_of(tasks[0].id) or session.main
        return (session.store.refs.get(names.branch(base)), *((record.id, record.tip) for record in tasks))

    def _in_vain(self, session: Session, tasks: Sequence[TaskRecord]) -> bool:
        """Whether the same call has failed, a short while ago."""
        recent = self._failed_at and time.monotonic() - self._failed_at < _AGAIN_SECONDS
        return bool(recent) and self._key(session, tasks) == self._failed

    def _call(self, tasks: Sequence[str]) -> Done:
        """Once, or again while somebody else leads or integrates (an earlier run's own process, say), and when it was
        killed, which leaves nothing that the next one does not finish."""
        killed = 0
        for _ in range(_HELD_TRIES):  # then a person is told
            code, document, words = self._calls.call(
                self._desk.root, self._what, *self._arguments, "--json", *tasks
            )
            error = document.get("error", {})
            killed += code < 0
            if self._over or (code != _HELD and not (code < 0 and killed <= _KILLED_TRIES)):
                break
            with self._asked:  # `look` wakes it, too, and is no reason to try again at once
                self._asked.wait_for(lambda: self._over, _HELD_SECONDS)
        said = error.get("message", "")
        hint = error.get("hint", "")
        trouble = f"{self._what}: {said} ({hint})" if said and hint else said
        # Python ends with 1, too, where it cannot even begin.
        answered = code == 0 or (code == _EJECTED and document)
        if not (trouble or answered or self._over):
            last = last_words(words)
            trouble = f"git fleet {self._what} ended with exit code {code}" + (f": {last}" if last else "")
        return Done(self._what, document, trouble)


def _handed_in(session: Session, plan: str) -> list[tuple[TaskRecord, Config]]:
    found = session.snapshot().of_plan(plan)
    waiting = (record for record in found if record.state.state in (State.PROPOSED, State.VERIFIED))
    return [(record, session.config_of(record.id)) for record in waiting]


def to_verify(session: Session, plan: str, base: str) -> list[TaskRecord]:
    """The proposals of the plan that a configured verifier has not answered about."""
    tip = session.store.objects.read_ref(names.branch(base))
    if tip is None or not session.config_in(tip[0]).verifiers:
        return []  # most have none; the whole fleet is not read for that
    return [record for record, config in _handed_in(session, plan) if _asks(record, config)]


def to_integrate(session: Session, plan: str, _: str) -> list[TaskRecord]:
    """The proposals that may land once those that verifiers are asked about have been."""
    found = _handed_in(session, plan)
    return [
        record for record, config in found if not _asks(record, config) and not why_not(record.state, config)
    ]


def to_integrate_unasked(session: Session, plan: str, _: str) -> list[TaskRecord]:
    """The same, with verifiers left unasked: whatever no policy keeps from landing."""
    return [record for record, config in _handed_in(session, plan) if not why_not(record.state, config)]


def _asks(record: TaskRecord, config: Config) -> bool:
    return bool(config.verifiers) and record.state.state is State.PROPOSED and to_ask(record.state, config)
