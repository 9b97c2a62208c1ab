"""For what a run needs a person, while it goes on with the rest; and why it goes on no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from git_fleet.app.running.desk import Desk
from git_fleet.app.running.notify import notify
from git_fleet.app.session import Session
from git_fleet.core.model import PlanState, State
from git_fleet.core.running import Stop, Tally
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.core.verdicts import to_ask, why_not


class Caller:
    """Tells a person what a run needs them for, by a line, and by `[notify]`; `tally` counts and keeps it."""

    def __init__(self, desk: Desk, session: Session, base: str, tally: Tally) -> None:
        self._desk, self._session, self._base, self._tally = desk, session, base, tally
        self._told: set[str] = set()
        self._last = ""

    def look(self) -> None:
        """Tell of what waits for a person, once."""
        for said in needed(self._session, self._desk.options.plan):
            if said not in self._told:
                self._told.add(said)
                self._tell(said)

    def trouble(self, text: str) -> None:
        """Tell of something that failed."""
        self._last = text
        self._tally.troubles.append(text)
        self._tell(text)

    def again(self, text: str) -> None:
        """The same, unless it is what failed last."""
        if text != self._last:
            self.trouble(text)

    def _tell(self, text: str) -> None:
        self._tally.calls += 1
        self._desk.report(text)
        command = self._session.config(self._base).notify
        notify(self._desk, command, f"git-fleet, plan {self._desk.options.plan}: {text}")


def needed(session: Session, plan: str) -> Iterator[str]:
    """What waits for a person in the plan, each with what lets it go on."""
    snapshot = session.snapshot()
    log = snapshot.plans[plan].log
    if snapshot.plans[plan].state is PlanState.PAUSED:
        said = f" ({log.reason})" if log.reason else ""
        yield f"the plan is paused{said}: git fleet plan resume {plan}"
    for record in snapshot.of_plan(plan):
        if record.state.state is State.PARKED:
            yield f"{record.id} is to be accepted (it {record.state.reason}): git fleet accept {record.id}"
        elif record.state.state is State.PROPOSED and _is_for_a_person(session, record):
            yield f"{record.id} waits for a person's verdict: git fleet review {plan}"


def _is_for_a_person(session: Session, record: TaskRecord) -> bool:
    config = session.config_of(record.id)
    return bool(why_not(record.state, config)) and not to_ask(record.state, config)


def why_over(snapshot: Snapshot, plan: str) -> Stop:
    """Why nothing goes on any more."""
    records, state = snapshot.of_plan(plan), snapshot.plans[plan].state
    if all(record.state.state.ended for record in records):
        return Stop("complete", "every task has ended")
    if state is PlanState.PAUSED:
        reason = snapshot.plans[plan].log.reason
        return Stop("paused", f"the plan is paused: {reason}" if reason else "the plan is paused")
    counts = Counter(record.state.state.phrase for record in records if not record.state.state.ended)
    said = ", ".join(f"{number} {phrase}" for phrase, number in counts.items())
    return Stop("waiting", f"nothing is ready: {said}")
