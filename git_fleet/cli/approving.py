"""A plan shown to a person before it is approved: by `plan approve`, and by `run`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from git_fleet.cli.call import Call, look, say
from git_fleet.cli.editor import on_terminal
from git_fleet.errors import AnswerIsNo, InvalidInput
from git_fleet.views import machine_plans, plans
from git_fleet.views.look import Look, line

if TYPE_CHECKING:
    from git_fleet.app.approve import Preview
    from git_fleet.app.session import Session
    from git_fleet.core.snapshot import PlanRecord


def approve(
    call: Call, session: Session, plan_id: str, *, yes: bool, again: str = "", agents: Sequence[str] = ()
) -> PlanRecord:
    """Show what would collide and run, ask (unless `yes`), and approve exactly that. `again` is the command that
    does so without asking, `agents` are the commands of agents that are started then.

    Raises Denied for an agent, InvalidInput where nobody can be asked, AnswerIsNo when the answer is no.
    """
    from git_fleet.app import approve as approvals

    session.require_person("approve")
    found = approvals.preview(session, plan_id)
    if not call.as_json:
        how = look(sys.stderr)
        say(preview_text(found, how))
        if agents:
            say("\n".join(("", how.paint("Agents", "bold"), *(f"  {line(agent)}" for agent in agents))))
    if not yes:
        ask(call, plan_id, again or f"git fleet plan approve {plan_id} --yes")
    return approvals.approve(session, plan_id, expected=found.note)


def preview_document(found: Preview) -> Mapping[str, Any]:
    """It as JSON."""
    return machine_plans.preview(
        found.check,
        commands=found.commands,
        worktrees=found.worktrees,
        disk_bytes=found.disk_bytes,
        warnings=found.warnings,
    )


def preview_text(found: Preview, how: Look) -> str:
    """It for people."""
    return plans.preview(
        found.check,
        how,
        commands=found.commands,
        worktrees=found.worktrees,
        disk_bytes=found.disk_bytes,
        warnings=found.warnings,
    )


def ask(call: Call, plan_id: str, again: str) -> None:
    """Ask whether the plan is to be approved. Raises InvalidInput where nobody can be asked, AnswerIsNo when the answer is no."""
    if not on_terminal(call):
        raise InvalidInput("approving asks a person, and this is no terminal", hint=again)
    if not click.confirm(f"Approve plan {plan_id}?", default=False, err=True):
        raise AnswerIsNo(f"plan {plan_id} is not approved", hint=f"git fleet plan edit {plan_id}")
