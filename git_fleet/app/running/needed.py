"""For what a run needs a person, while it goes on with the rest."""

from __future__ import annotations

from collections.abc import Iterator

from git_fleet.app.session import Session
from git_fleet.core.model import PlanState, State
from git_fleet.core.snapshot import TaskRecord
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
