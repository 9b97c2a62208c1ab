"""A claim that a run holds: read again, renewed, and known to be over."""

from __future__ import annotations

from dataclasses import dataclass

from git_fleet.app import work
from git_fleet.app.running.desk import Desk, Seat, held_by
from git_fleet.app.session import Session
from git_fleet.core.ids import TaskId
from git_fleet.core.model import State
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import AnswerIsNo, FleetError, GitFailed, IllegalEvent, StaleClaim


class Over(Exception):
    """The claim has ended without its run: handed in, blocked or released by the agent, or somebody has it now."""


@dataclass
class Holding:
    """The claim of `record` at `seat`. `session` is that of its thread; here it speaks with the claim's fence."""

    desk: Desk
    seat: Seat
    session: Session
    record: TaskRecord

    def __post_init__(self) -> None:
        self.session, self.mine = held_by(self.session, self.record), self.record.state.claim

    @property
    def task(self) -> TaskId:
        """The task."""
        return self.record.id

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

    def renew(self) -> None:
        """Renew the lease, and save the work tree. What hinders it is told, and stops nothing."""
        try:
            work.renew(self.session, str(self.task))
        except (StaleClaim, IllegalEvent, AnswerIsNo):
            return  # the next look sees it
        except FleetError as error:
            self.say(f"its lease was not renewed: {error.message}")
        except OSError as error:
            self.say(f"its lease was not renewed: {error}")
