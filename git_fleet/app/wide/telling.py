"""The reports of all repositories of a workspace, each read once. Reading only."""

from __future__ import annotations

from git_fleet.app import reporting
from git_fleet.app.session import Session
from git_fleet.app.surroundings import Surroundings
from git_fleet.app.wide import across, looking
from git_fleet.core.reporting import Report
from git_fleet.core.workspace import Answer, Overview, Standing, Workspace

Reports = tuple[Answer[tuple[Report, ...]], ...]


def reports(space: Workspace, around: Surroundings) -> tuple[Overview, Reports]:
    """How the workspace stands, and the reports of each repository's plans that are approved and not closed. What gates
    printed has one share of reporting.LOG_BYTES for each repository and plan, so that many do not make a page larger."""
    share = reporting.LOG_BYTES // max(1, len(space.repos))

    def question(session: Session) -> tuple[Standing, tuple[Report, ...]]:
        found = looking.standing(session)
        return found, reporting.all_reports(session, share // max(1, len(found.plans)))

    answers = across.ask(space, around, question)
    standing = tuple(Answer(each.repo, each.value[0] if each.value else None, each.error) for each in answers)
    told = tuple(Answer(each.repo, each.value[1] if each.value else None, each.error) for each in answers)
    return looking.beside(space, around, standing), told
