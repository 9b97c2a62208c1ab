"""A claim that a run holds: read again, renewed, and known to be over."""

from __future__ import annotations

import math
import time
from pathlib import Path

from msgspec import Struct

from git_fleet.app import agents, work
from git_fleet.app.agents import Order
from git_fleet.app.running.account import Account, settle
from git_fleet.app.running.desk import Desk, Seat, held_by
from git_fleet.app.session import Session
from git_fleet.core.ids import TaskId
from git_fleet.core.model import NO_USAGE, State
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import AnswerIsNo, FleetError, GitFailed, IllegalEvent, StaleClaim

_SAID_SECONDS = 60.0


class Over(Exception):
    """The claim has ended without its run: handed in, blocked or released by the agent, or somebody has it now."""


class Holding(Struct, dict=True):
    """The claim of `record` at `seat`. `session` is that of its thread; here it speaks with the claim's fence."""

    desk: Desk
    seat: Seat
    session: Session
    record: TaskRecord

    _summary: str = ""
    _collisions: tuple[str, ...] = ()
    _said_at: float = -math.inf

    def __post_init__(self) -> None:
        self._summary = self.record.state.summary
        self.session, self.mine = held_by(self.session, self.record), self.record.state.claim

    @property
    def task(self) -> TaskId:
        """The task."""
        return self.record.id

    @property
    def fence(self) -> str:
        """What tells the claim from all others."""
        return str(self.mine.fence) if self.mine is not None else ""

    @property
    def folder(self) -> Path:
        """Where its agent is on record, and what a person orders about it."""
        return agents.folder_of(self.desk.fleet, self.task)

    def order(self) -> Order | None:
        """What a person has ordered about it, and nobody has obeyed yet."""
        return agents.read_order(self.folder, self.fence)

    def say(self, text: str) -> None:
        """A line about it."""
        self.desk.report(f"{self.task}: {text}")

    def is_ours(self) -> bool:
        """Whether the task is claimed as it was; it is read again."""
        try:
            found = self.session.reread(self.record)
        except GitFailed:  # its git was killed, say: another one is asked
            found = self.session.reread(self.record)
        self.record = self.seat.record = found
        now = self.record.state.claim
        claimed = self.record.state.state is State.CLAIMED
        return claimed and self.mine is not None and now is not None and now.fence == self.mine.fence

    def was_let_go(self) -> bool:
        """Whether the claim, which has ended, was handed in, blocked or given back, and not taken away."""
        state, now = self.record.state.state, self.record.state.claim
        same = self.mine is not None and now is not None and now.fence == self.mine.fence
        return same and state not in (State.CLAIMED, State.CANCELLED)

    def lease_left(self) -> float:
        """Seconds until anybody may take the claim over, by the machine's own clock, which may jump."""
        claim = self.record.state.claim
        return (claim.expires_at - self.session.now()).total_seconds() if claim is not None else 0.0

    def require(self) -> None:
        """Raises Over when the claim has ended."""
        if not self.is_ours():
            raise Over

    def renew(self, account: Account | None = None) -> None:
        """Renew the lease, and save the work tree; with what its agent is at and has used, where there is one. What
        hinders it is told, and stops nothing."""
        words = self._words(account) if account else ""
        owed = account.owed(self.record.state) if account else NO_USAGE
        self.seat.owed = 0.0
        try:
            if words or owed != NO_USAGE:
                acted = work.progress(self.session, str(self.task), words, usage=owed)
                self._summary = acted.record.state.summary if words else self._summary
            else:
                acted = work.renew(self.session, str(self.task))
            self.record = self.seat.record = acted.record  # else it would look like a sign of life
            for collision in acted.collisions:
                if collision not in self._collisions:
                    self.say(collision)
            self._collisions = acted.collisions
        except (StaleClaim, IllegalEvent, AnswerIsNo):
            return  # the next look sees it
        except FleetError as error:
            self.say(f"its lease was not renewed: {error.message}")
        except OSError as error:
            self.say(f"its lease was not renewed: {error}")

    def settle(self, account: Account) -> None:
        """Its agent has ended: what it has used goes into the log, also when it has handed in by itself."""
        try:
            self.record = self.seat.record = settle(self.session, self.record, account)
        except (StaleClaim, IllegalEvent):
            return  # somebody else works on it
        except (FleetError, OSError) as error:
            self.say(f"what it has used is not in its log: {error}")
        finally:
            self.seat.owed = 0.0

    def _words(self, account: Account) -> str:
        """What its log is to say that the agent is at: no more often than once a minute, and nothing for an agent
        that says it there itself."""
        words, now = account.hearing.words, time.monotonic()
        own = self.record.state.summary != self._summary
        if own or not account.hearing.spoke or words == self._summary or now - self._said_at < _SAID_SECONDS:
            return ""
        self._said_at = now
        return words


class Stopping(Struct):
    """Whether what is done for a claim, by no agent yet, is to stop: its run ends, or a person has ordered something."""

    held: Holding

    def is_set(self) -> bool:
        """Whether it is."""
        return self.held.desk.ending.is_set() or self.held.order() is not None
