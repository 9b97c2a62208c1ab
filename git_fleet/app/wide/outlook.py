"""What a run over a workspace would begin with. Reading only."""

from __future__ import annotations

from collections.abc import Sequence

from git_fleet.app import choosing, opening, profiles
from git_fleet.app.session import Session
from git_fleet.app.surroundings import Surroundings
from git_fleet.app.wide import across, looking
from git_fleet.core.model import PlanState
from git_fleet.core.workspace import Ahead, WideOutlook, Workspace


def foresee(
    space: Workspace, around: Surroundings, command: Sequence[str], labels: Sequence[str], workers: int
) -> WideOutlook:
    """What so many workers, their agents started by `command` (else as each fleet.toml says), would do, and what keeps
    them from a repository: no gates, no command, or that it cannot be read."""

    def look(session: Session) -> Ahead:
        snapshot = session.snapshot()
        found: dict[str, None] = {}
        left = 0
        for plan in snapshot.plans.values():
            records = [each for each in snapshot.of_plan(plan.id) if not each.state.state.ended]
            if plan.state is not PlanState.OPEN or not records:
                continue
            config, tasks = session.config_of(records[0].id), [each.task for each in records]
            choosing.require_gates(config, records)
            agent = profiles.agent_for(config, tasks, command, session.around.env, None)
            found |= dict.fromkeys(opening.commands(config, tasks, command, agent))
            left += len(records)
        return Ahead(tuple(found), left)

    answers = across.ask(space, around, look)
    broken = {answer.repo.name for answer in answers if answer.error is not None}
    offers, _ = looking.ready(space, around, labels)
    return WideOutlook(space.name, workers, answers, tuple(it for it in offers if it.repo.name not in broken))
