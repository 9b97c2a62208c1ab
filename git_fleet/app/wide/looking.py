"""How the repositories of a workspace stand, and what can be claimed in any of them. Reading only."""

from __future__ import annotations

from collections.abc import Sequence

from git_fleet.app import status as looking
from git_fleet.app.session import Session
from git_fleet.app.surroundings import Surroundings
from git_fleet.app.wide import across, plans, sets
from git_fleet.core.results import ReadyTask
from git_fleet.core.workspace import Answer, ChangesetView, Offer, Overview, Repo, Standing, Workspace
from git_fleet.errors import FleetError


def overview(space: Workspace, around: Surroundings, repos: Sequence[Repo]) -> Overview:
    """Each repository's plans and what is ready there, and how the change sets stand."""
    return beside(space, around, across.ask(space, around, standing, repos))


def beside(space: Workspace, around: Surroundings, answers: tuple[Answer[Standing], ...]) -> Overview:
    """The same where the repositories have been asked already."""
    found: tuple[ChangesetView, ...] = ()
    trouble = ""
    try:
        with plans.home(space, around, reading=True) as session:
            found = sets.views(space, around, session, answers)
    except FleetError as error:
        trouble = error.message
    return Overview(space, around.now(), answers, found, trouble)


def standing(session: Session) -> Standing:
    """How one repository stands."""
    snapshot = session.snapshot()
    found = looking.standing(session, snapshot, None)
    return Standing(found, len(looking.ready_in(session, snapshot)))


def ready(
    space: Workspace, around: Surroundings, labels: Sequence[str] = ()
) -> tuple[tuple[Offer, ...], tuple[Answer[tuple[ReadyTask, ...]], ...]]:
    """What can be claimed now anywhere, the most important first (priority, then the order of the repositories and
    their own), and the repositories that cannot be read. `labels`: only tasks that have one of them, by themselves or
    by their repository."""
    answers = across.ask(space, around, looking.ready)
    offers = [
        Offer(answer.repo, task)
        for answer in answers
        for task in answer.value or ()
        if not labels or set(labels) & {*answer.repo.labels, *task.labels}
    ]
    offers.sort(key=lambda offer: -offer.task.priority)
    return tuple(offers), tuple(answer for answer in answers if answer.error is not None)
