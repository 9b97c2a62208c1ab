"""Many workers in one process: what a server for agents does for each of them (DESIGN sections 2, 6 and 12).

Each call names its worker, or means the one that the process itself is. They are as far apart here as in
processes of their own: whatever a call does it does in a session of its own, in whatever thread it runs in, as
its worker, with the environment of that worker's claim of the task. So a worker speaks only for what it holds:
by the fence of the claim made here, and for other claims by its name.

Claims alone share a session, one that lives long and is used by one call after another: it keeps what it has read
of the fleet, which makes a claim among thousands of tasks a matter of milliseconds, whoever asks. What is known of the
fleet is shared by all sessions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self, TypeVar

from msgspec.structs import replace

from git_fleet.app import claim as claiming
from git_fleet.app import knowledge, work
from git_fleet.app.claim import Claimed, NothingReady, Request
from git_fleet.app.placing import Placed
from git_fleet.app.session import Session, open_session
from git_fleet.app.surroundings import Surroundings, check_worker
from git_fleet.core.model import Output, State
from git_fleet.errors import Busy, FleetError, Held, StaleClaim
from git_fleet.store.fleet import Known

T = TypeVar("T")

_OURS = "FLEET_"
_NO_COMMITS = (
    "commit nothing: the lead does. report_done takes your files as they are, and message for the commit"
)


class Serving:
    """The workers of one server in the repository that `start` is in. `worker` is who the process itself is."""

    def __init__(self, start: Path, around: Surroundings, worker: str) -> None:
        self.worker = worker
        self._start = start
        self._around = around
        plain = {name: text for name, text in around.env.items() if not name.startswith(_OURS)}
        self._nobodys = replace(around, env=plain)
        self._given: dict[tuple[str, str], Mapping[str, str]] = {}  # the environment of each claim made here
        self._known = Known()
        self._lane = threading.Lock()  # of the session for claims
        self._claims: Session | None = None
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what claims have kept open. What other calls still do is theirs to end."""
        with self._lane:
            self._ended = True
            if self._claims is not None:
                self._claims.__exit__(None, None, None)

    # --- one call, one session -------------------------------------------------------------------

    def session(self, worker: str = "", task: str = "") -> Session:
        """A new session of a worker, for the thread that asks, with what it was given when it claimed `task`.

        The worktree that the server stands in and the environment it was started with are those of its own
        worker alone. Raises InvalidInput for a name that cannot be one.
        """
        name = worker or self.worker
        kept = list(self._given.items())  # others may add to it meanwhile
        given = next((env for (who, held), env in kept if who == name and _means(task, held)), None)
        around = self._nobodys if given is not None or name != self.worker else self._around
        if given is not None:
            around = replace(around, env={**around.env, **given})
        session = open_session(self._start, around, worker=name, known=self._known)
        if name != self.worker:
            session.placement = None
        return session

    # --- claims ----------------------------------------------------------------------------------

    def claim(self, worker: str, request: Request) -> Claimed | Placed | NothingReady:
        """Take a task for a worker: Claimed, to be placed by `place`; Placed where that is done already.

        What the worker holds already and names is gone on with. Where the process was started for one task (by
        `git fleet run`, say), its own worker gets that one and no other unless it names one. Raises as
        `claiming.claim`, and as `placing.resume`.
        """
        name = check_worker(worker or self.worker)
        started_for = self._started_for() if name == self.worker else None
        meant = request.task or started_for
        if meant is not None and self._holds(name, meant):
            with self.session(name, meant) as session:
                return self._noted(session, claiming.resume(session, meant))
        if started_for is not None and request.task is None:
            return NothingReady(
                "complete", f"{started_for}, for which you were started, is not yours any more", 0
            )
        return self._in_lane(lambda session: self._claim(session, name, request))

    def _claim(self, session: Session, worker: str, request: Request) -> Claimed | Placed | NothingReady:
        session.actor = worker
        got = claiming.claim(session, request)
        if isinstance(got, Claimed) and not request.worktree:
            return self._noted(session, claiming.place(session, got))
        return got

    def place(self, worker: str, claimed: Claimed) -> Placed:
        """The worktree of a claim just made. A claim whose worktree fails is kept, and said to be."""
        name = worker or self.worker
        try:
            with open_session(self._start, self._nobodys, worker=name, known=self._known) as session:
                session.placement = None
                return self._noted(session, claiming.place(session, claimed))
        except (Held, StaleClaim):  # it is not ours any more
            raise
        except FleetError as error:
            task = claimed.record.id
            error.message = f"{task} is claimed, but its worktree cannot be made: {error.message}"
            then = f'claim_task with task_id "{task}" goes on, git fleet release {task} --worker {name} gives it back'
            error.hint = f"{error.hint}; {then}" if error.hint else then
            raise

    def give_back(self, worker: str, claimed: Claimed) -> None:
        """Release a claim that its worker was never told of. Raises as `work.release`."""
        task = str(claimed.record.id)
        with self.session(worker, task) as session:
            work.release(session, task, "its claim was called off")

    def _noted(self, session: Session, placed: Placed) -> Placed:
        """The claim of the session's actor, kept in mind; with what else its worker has to know."""
        task = placed.record.id
        self._given[session.actor, str(task)] = dict(placed.env)
        placed = replace(placed, learnings=knowledge.for_task(session, placed.record))
        committing = not session.config_of(task).lead_commits or placed.record.task.output is Output.REPORT
        return placed if committing else replace(placed, notes=(*placed.notes, _NO_COMMITS))

    def _started_for(self) -> str | None:
        env = self._around.env
        given = all(env.get(name) for name in ("FLEET_PLAN", "FLEET_TASK", "FLEET_FENCE"))
        return f"{env['FLEET_PLAN']}/{env['FLEET_TASK']}" if given else None

    def _holds(self, worker: str, task: str) -> bool:
        """Whether the worker holds the task now, as far as was read last; names that mean none are refused later."""

        def look(session: Session) -> bool:
            try:
                record = session.record(session.snapshot_of(task), task)
            except FleetError:
                return False
            claim = record.state.claim
            return record.state.state is State.CLAIMED and claim is not None and claim.holder == worker

        return self._in_lane(look)

    def _in_lane(self, act: Callable[[Session], T]) -> T:
        """Do it with the session for claims, which one call at a time has. Raises Busy when the server is ending."""
        with self._lane:
            if self._ended:
                raise Busy("the server is ending")
            if self._claims is None:
                self._claims = open_session(
                    self._start,
                    self._nobodys,
                    worker=self.worker,
                    long_lived=True,
                    bulk=False,
                    known=self._known,
                )
                self._claims.placement = None
                self._claims.keep_config(self._claims.main)  # for those who have no session that lives long
            return act(self._claims)


def _means(task: str, held: str) -> bool:
    """Whether `task`, as somebody wrote it, is the task of that full id."""
    short = task.strip().lower().lstrip("#")
    return bool(short) and (held == short or held.endswith(f"/{short}"))
