"""What one agent of a run says: read as it comes, and what of it the task's log does not know yet."""

from __future__ import annotations

from git_fleet.app import outputs, work
from git_fleet.app.agents import Agent
from git_fleet.app.session import Session
from git_fleet.core.adapters import Hearing, adapter_named
from git_fleet.core.model import NO_USAGE, TaskState, Usage
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.supervision import Told
from git_fleet.core.trailers import clean


class Account:
    """Of an agent, whoever started it: its log is read once, from the beginning of what is kept."""

    def __init__(self, agent: Agent) -> None:
        self._agent, self._reader = agent, outputs.Reader(agent.log)
        self._printed: float | None = None
        self.hearing = Hearing(adapter_named(agent.adapter))

    def look(self) -> bool:
        """Read what is new: whether there is a sign of life in it. Costs nothing while nothing is printed."""
        printed = self._agent.last_output()
        if printed == self._printed:
            return False
        first, self._printed = self._printed is None, printed
        lines, more = self._reader.lines()
        signs = [self.hearing.hear(line) for line in lines]
        if signs or (more and self.hearing.spoke):
            return any(signs)
        return not first  # a part of a line; or the disk is full, and it still prints

    def finish(self) -> None:
        """It has ended: read the rest."""
        lines, _ = self._reader.lines(over=True)
        for line in lines:
            self.hearing.hear(line)

    def owed(self, state: TaskState) -> Usage:
        """What it has used and its task's log does not tell: neither by us, an earlier run, nor the agent itself."""
        return self.hearing.usage.beyond(state.usage.beyond(self._agent.before))

    # --- once it has ended -----------------------------------------------------------------------

    @property
    def told(self) -> Told:
        """What it said of its end."""
        said = self.hearing
        return Told(said.failure, said.limited) if said.spoke else Told()

    @property
    def last_words(self) -> str:
        """The end of what it said, for people."""
        return clean(self.hearing.last_words) if self.hearing.spoke else self._agent.tail()

    @property
    def report(self) -> str:
        """Its final text; of one that prints no events all of its end."""
        return clean(self.hearing.answer) if self.hearing.spoke else self._agent.tail()


def settle(session: Session, record: TaskRecord, account: Account) -> TaskRecord:
    """What an agent has used that has ended goes into its task's log, also when it has handed in by itself: the task as
    it is then. `session` speaks for its claim. Raises StaleClaim when somebody else has claimed the task."""
    account.finish()
    record = session.reread(record)
    owed = account.owed(record.state)
    return work.use(session, str(record.id), owed).record if owed != NO_USAGE else record
