"""For what a run needs a person, while it goes on with the rest; and why it goes on no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from git_fleet.app.session import Session
from git_fleet.core.model import PlanState, State
from git_fleet.core.running import Stop
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.core.verdicts import to_ask, why_not


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
