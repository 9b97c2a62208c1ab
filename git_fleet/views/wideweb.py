"""A workspace as pages: one report over all of its repositories, and the front page of their boards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from git_fleet.core.model import PlanState, State
from git_fleet.core.reporting import Report
from git_fleet.core.results import PlanStatus
from git_fleet.core.workspace import Answer, ChangesetView, Overview, Standing
from git_fleet.errors import FleetError
from git_fleet.views import board
from git_fleet.views.report import Page, Slice, Tile, slices
from git_fleet.views.web import Load, environment, standing_alone

_SET_TONES = {"half-way": "bad", "refused": "bad", "begun": "some", "landed": "good"}
_WAITING = (State.PROPOSED, State.VERIFIED, State.PARKED, State.BLOCKED)
_UNHAPPY = ("half-way", "begun", "refused", "ready")
Links = Callable[[str, str], str]
"""Where the page tells of a repository, or of its plan ("": of the whole repository); "" where it does not."""


class PlanCard(NamedTuple):
    """A plan on its repository's card."""

    name: str
    title: str
    state: PlanState
    done: int
    total: int
    states: list[Slice]
    link: str


class Card(NamedTuple):
    """A repository beside the others; `error` is set where it cannot be read, and nothing else then."""

    name: str
    link: str
    labels: Sequence[str]
    plans: list[PlanCard]
    ready: int
    waiting: int
    error: FleetError | None


class SetRow(NamedTuple):
    """A change set, and the colour of its state."""

    of: ChangesetView
    tone: str


class Told(NamedTuple):
    """What a report tells of one repository."""

    name: str
    pages: list[Page]
    error: FleetError | None


def report_page(
    value: Overview, answers: Sequence[Answer[tuple[Report, ...]]], load: Load, *, version: str
) -> str:
    """The reports of all repositories as one HTML file that needs no network, as views/web.py has that of a plan;
    a repository that cannot be read says why in its place."""
    told = [
        Told(
            answer.repo.name,
            [
                Page(each, f"{_plan_anchor(answer.repo.name, each.review.plan)}/")
                for each in answer.value or ()
            ],
            answer.error,
        )
        for answer in answers
    ]
    there = {page.prefix.removesuffix("/") for each in told for page in each.pages}

    def links(repo: str, plan: str) -> str:
        anchor = _plan_anchor(repo, plan) if plan else _repo_anchor(repo)
        return f"#{anchor}" if not plan or anchor in there else ""

    return standing_alone(
        "wide_report.html.j2",
        load,
        **_overview(value, links),
        told=told,
        repo_anchor=_repo_anchor,
        version=version,
    )


def front_page(value: Overview, load: Load, *, whole: bool) -> str:
    """What the board of a workspace begins with: its repositories side by side, each leading to its own board."""

    def links(repo: str, plan: str) -> str:
        base = board.repo_path(repo)
        return f"{base}/plan/{plan}" if plan else f"{base}/"

    return (
        environment(load)
        .get_template("wide_front.html.j2")
        .render(
            whole=whole,
            place=board.Place(workspace=value.workspace.name),
            plans=(),
            current="",
            title=value.workspace.name,
            **_overview(value, links),
        )
    )


def _overview(value: Overview, links: Links) -> dict[str, Any]:
    """What the report and the board show alike, each with links of its own."""
    return {
        "space": value.workspace.name,
        "at": value.at,
        "tiles": list(_tiles(value)),
        "cards": [_card(answer, links) for answer in value.repos],
        "sets": set_rows(value),
        "trouble": value.trouble,
    }


def set_rows(value: Overview) -> list[SetRow]:
    """The change sets, those first that want somebody."""
    order = {state: number for number, state in enumerate(_UNHAPPY)}
    found = sorted(value.changesets, key=lambda each: order.get(each.state, len(order)))
    return [SetRow(each, _SET_TONES.get(each.state, "")) for each in found]


def _repo_anchor(repo: str) -> str:
    return f"repo-{repo}"


def _plan_anchor(repo: str, plan: str) -> str:
    return f"{repo}/{plan}"  # ids have no slash, so no two are alike, nor like that of a repository


def _card(answer: Answer[Standing], links: Links) -> Card:
    name, found = answer.repo.name, answer.value
    plans = found.plans if found else ()
    waiting = sum(Counter(dict(plan.counts))[state] for plan in plans for state in _WAITING)
    return Card(
        name,
        links(name, ""),
        answer.repo.labels,
        [_plan_card(plan, links(name, plan.plan)) for plan in plans],
        found.ready if found else 0,
        waiting,
        answer.error,
    )


def _plan_card(plan: PlanStatus, link: str) -> PlanCard:
    done, total = _done(plan)
    return PlanCard(plan.plan, plan.title, plan.state, done, total, slices(dict(plan.counts)), link)


def _done(plan: PlanStatus) -> tuple[int, int]:
    """How many of its tasks are integrated, and how many there are; cancelled ones do not count."""
    counts = Counter(dict(plan.counts))
    return counts[State.INTEGRATED], sum(counts.values()) - counts[State.CANCELLED]


def _tiles(value: Overview) -> Iterator[Tile]:
    """The headline numbers."""
    standing = [answer.value for answer in value.repos if answer.value is not None]
    plans = [plan for each in standing for plan in each.plans]
    counts: Counter[State] = Counter()
    for plan in plans:
        counts.update(dict(plan.counts))
    done, total = (sum(pair) for pair in zip(*map(_done, plans), strict=True)) if plans else (0, 0)
    broken = len(value.repos) - len(standing)
    yield Tile(
        f"{len(standing)} of {len(value.repos)}" if broken else str(len(standing)),
        "repositories can be read" if broken else "repositories",
        tone="bad" if broken else "",
    )
    yield Tile(f"{done} of {total}", "tasks integrated", tone="good" if total and done == total else "")
    yield Tile(str(counts[State.CLAIMED]), "at work")
    yield Tile(str(sum(each.ready for each in standing)), "ready to be claimed")
    yield Tile(
        str(sum(counts[state] for state in _WAITING)),
        "wait for somebody",
        ", ".join(f"{counts[state]} {state}" for state in _WAITING if counts[state]),
    )
    if value.changesets:
        half = sum(each.state == "half-way" for each in value.changesets)
        landed = sum(each.state == "landed" for each in value.changesets)
        yield Tile(
            f"{landed} of {len(value.changesets)}",
            "change sets landed",
            f"{half} half-way" if half else "",
            "bad" if half else "",
        )
