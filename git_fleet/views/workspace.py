"""A workspace's repositories side by side, as text and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from git_fleet.core.model import PlanState, State
from git_fleet.core.results import Diagnosis, Problem
from git_fleet.core.wideplan import WidePlan
from git_fleet.core.wording import count
from git_fleet.core.workspace import (
    Answer,
    ChangesetResult,
    ChangesetView,
    Offer,
    Overview,
    Repo,
    Standing,
    WideRun,
    Workspace,
)
from git_fleet.errors import FleetError
from git_fleet.views import machine, upkeep
from git_fleet.views.look import Look, line, lines, some
from git_fleet.views.machine import Document
from git_fleet.views.standing import STYLES
from git_fleet.views.table import Cell, Table

T = TypeVar("T")

_SET_STYLES = {
    "half-way": "red bold",
    "begun": "yellow",
    "refused": "red",
    "ready": "blue bold",
    "landed": "green",
}


# --- one repository after the other --------------------------------------------------------------


def side_by_side(answers: Sequence[Answer[T]], shown: Callable[[T], str], look: Look) -> str:
    """What each repository answers, below its name."""
    if not answers:
        return "no repository is in the workspace yet (git fleet workspace add PATH|URL)"
    return "\n".join(part for answer in answers for part in _beneath(answer, shown, look)).rstrip("\n")


def _beneath(answer: Answer[T], shown: Callable[[T], str], look: Look) -> list[str]:
    heading = look.paint(f"── {answer.repo.name}", "bold")
    if answer.value is not None:
        return [heading, shown(answer.value), ""]
    return [heading, f"{look.paint('cannot be read:', 'red')} {_words(answer.error)}", ""]


def _words(error: FleetError | None) -> str:
    if error is None:
        return "?"
    return line(f"{error.message} ({error.hint})" if error.hint else error.message)


def answers(space: Workspace, found: Iterable[Answer[T]], document: Callable[[T], Document]) -> Document:
    """The same for programs: `answer` is what the command says in that repository."""
    return {"workspace": space.name, "repos": [_answer(each, document) for each in found]}


def _answer(answer: Answer[T], document: Callable[[T], Document]) -> Document:
    value = None if answer.value is None else document(answer.value)
    return {"repo": answer.repo.name, "error": _error(answer.error), "answer": value}


def _error(error: FleetError | None) -> Document | None:
    if error is None:
        return None
    return {"code": error.code, "message": error.message, "hint": error.hint}


# --- the workspace itself ------------------------------------------------------------------------


def repos(space: Workspace, look: Look) -> str:
    """`workspace list`."""
    if not space.repos:
        return f"{space.name}: no repository yet (git fleet workspace add PATH|URL)"
    table = Table(("REPO", "PATH", "MAIN", "LABELS", "URL"))
    for repo in space.repos:
        table.add(Cell(repo.name, "bold"), repo.path, repo.main, some(repo.labels), repo.url)
    return table.render(look)


def listing(space: Workspace) -> Document:
    """`workspace list`, and what `init`, `add` and `remove` leave."""
    return {"workspace": space.name, "folder": space.folder, "repos": [_repo(repo) for repo in space.repos]}


def _repo(repo: Repo) -> Document:
    return {
        "repo": repo.name,
        "path": repo.path,
        "url": repo.url or None,
        "main": repo.main or None,
        "labels": list(repo.labels),
    }


def overview(value: Overview, look: Look) -> str:
    """`workspace status`: a line for each repository and plan, then the change sets."""
    if not value.repos:
        return side_by_side(value.repos, str, look)
    table = Table(("REPO", "PLAN", "DONE", "READY", "WHAT"), right=frozenset({3}))
    for answer in value.repos:
        _rows(table, answer)
    text = [table.render(look)]
    text += [
        f"{answer.repo.name}: {_words(answer.error)}" for answer in value.repos if answer.error is not None
    ]
    if value.trouble:
        text += [f"{look.paint('plans of the workspace:', 'red')} {line(value.trouble)}"]
    return "\n".join([*text, *_changesets(value.changesets, look)])


def _rows(table: Table, answer: Answer[Standing]) -> None:
    found, name = answer.value, Cell(answer.repo.name, "bold")
    if found is None:
        table.add(name, "", "", "", Cell("cannot be read", "red"))
        return
    if not found.plans:
        table.add(name, "-", "", "", "no plan is open")
    for number, plan in enumerate(found.plans):
        counts: Counter[State] = Counter(dict(plan.counts))
        total = sum(counts.values()) - counts[State.CANCELLED]
        what = ", ".join(f"{counts[state]} {state}" for state in STYLES if counts[state])
        ready = str(found.ready) if not number and found.ready else ""
        done = f"{counts[State.INTEGRATED]}/{total}"
        shown = plan.plan if plan.state == "open" else f"{plan.plan} ({plan.state})"
        table.add(name if not number else "", shown, done, ready, what)


def _changesets(values: Sequence[ChangesetView], look: Look) -> list[str]:
    if not values:
        return []
    text = ["", look.paint("change sets", "bold")]
    for value in values:
        state = look.paint(value.state, _SET_STYLES.get(value.state, "dim"))
        text.append(
            f"{line(value.plan)}/{line(value.id)}: {state}{': ' + line(value.why) if value.why else ''}"
        )
        for part in value.repos:
            mark = look.paint("on main", "green") if part.moved else "not on main"
            tasks = ", ".join(f"{task} {state}" for task, state in part.tasks)
            text.append(f"    {part.repo}: {mark} ({line(tasks)})")
    return text


def status(value: Overview, document: Callable[[Any], Document]) -> Document:
    """`workspace status`."""
    return {
        **answers(
            value.workspace, value.repos, lambda found: {**document(found.status), "ready": found.ready}
        ),
        "at": machine.time(value.at),
        "changesets": [changeset(each) for each in value.changesets],
        "trouble": value.trouble or None,
    }


def changeset(value: ChangesetView) -> Document:
    """How a change set stands."""
    return {
        "plan": value.plan,
        "changeset": value.id,
        "state": value.state,
        "why": value.why or None,
        "at": machine.time(value.at),
        "repos": [
            {
                "repo": part.repo,
                "moved": part.moved,
                "tasks": [{"task": task, "state": state} for task, state in part.tasks],
            }
            for part in value.repos
        ],
    }


def ready(offers: Sequence[Offer], broken: Sequence[Answer[Any]], look: Look) -> str:
    """`workspace ready`."""
    text = ["nothing is ready in any repository"]
    if offers:
        table = Table(
            ("REPO", "TASK", "PRIORITY", "FILES", "WHAT"), whole=frozenset({0, 1}), right=frozenset({2})
        )
        for offer in offers:
            task = offer.task
            priority = str(task.priority) if task.priority else ""
            table.add(offer.repo.name, Cell(str(task.id), "bold"), priority, some(task.files), task.title)
        text = [table.render(look)]
    return "\n".join([*text, *(f"{each.repo.name} cannot be read: {_words(each.error)}" for each in broken)])


def offers(space: Workspace, found: Sequence[Offer], broken: Sequence[Answer[Any]]) -> Document:
    """`workspace ready`."""
    tasks = [
        {"repo": offer.repo.name, **task, "labels": list(offer.task.labels)}
        for offer in found
        for task in machine.ready([offer.task])["tasks"]
    ]
    return {
        "workspace": space.name,
        "tasks": tasks,
        "errors": [{"repo": each.repo.name, "error": _error(each.error)} for each in broken],
    }


def doctor(problems: Sequence[Problem], found: Sequence[Answer[Diagnosis]], look: Look) -> str:
    """`workspace doctor`."""
    own = (
        upkeep.doctor(Diagnosis(all(each.fixed for each in problems), tuple(problems), ()), look)
        if problems
        else ""
    )
    return "\n".join(filter(None, [own, side_by_side(found, lambda value: upkeep.doctor(value, look), look)]))


def diagnosis(space: Workspace, problems: Sequence[Problem], found: Sequence[Answer[Diagnosis]]) -> Document:
    """`workspace doctor`."""
    whole = machine.doctor(Diagnosis(not problems, tuple(problems), ()))
    return {**answers(space, found, machine.doctor), "problems": whole["problems"]}


def added(space: Workspace, name: str, look: Look, *, cloned: bool, linked: bool) -> str:
    """`workspace add`."""
    repo = space.repo(name)
    said = ", cloned" if cloned else ""
    text = [f"{look.paint(repo.name, 'bold')} is in {space.name}: {line(repo.path)}{said}"]
    if linked:
        text.append(f"it finds the workspace by git config fleet.workspace {line(space.folder)}")
    return "\n".join(text)


# --- plans over the repositories -----------------------------------------------------------------


def plan(space: Workspace, value: WidePlan, state: PlanState) -> Document:
    """`workspace import`, `show` and `approve`."""
    tasks = [
        {
            "task": f"{repo}/{task.id.task}",
            "title": task.title,
            "needs": [*(f"{repo}/{need}" for need in task.needs), *task.elsewhere],
            "changeset": task.changeset or None,
        }
        for repo, part in value.parts.items()
        for task in part.tasks
    ]
    sets = [
        {
            "changeset": each.id,
            "tasks": list(each.tasks),
            "order": list(each.order),
            "gates": [gate.name for gate in each.gates],
        }
        for each in value.changesets
    ]
    return {
        "workspace": space.name,
        "plan": value.id,
        "title": value.title,
        "state": str(state),
        "tasks": tasks,
        "changesets": sets,
    }


def _sizes(value: WidePlan) -> str:
    parts = (f"{count(len(part.tasks), 'task')} in {repo}" for repo, part in value.parts.items())
    return f"{', '.join(parts)}; {count(len(value.changesets), 'change set')}"


def stored(value: WidePlan, look: Look) -> str:
    """`workspace import`."""
    name = look.paint(value.id, "bold")
    return f"plan {name} of the workspace is stored: {_sizes(value)}\nnext: git fleet workspace approve {value.id}"


def promised(value: WidePlan, look: Look) -> str:
    """What `workspace approve` shows beside each repository's own preview."""
    text = [f"plan {look.paint(value.id, 'bold')}: {_sizes(value)}"]
    for each in value.changesets:
        text.append(
            f"change set {line(each.id)} lands together: {some(each.tasks, 8)}; {' → '.join(each.order)}"
        )
        runs = (gate.run if isinstance(gate.run, str) else " ".join(gate.run) for gate in each.gates)
        text += [f"    beside all checkouts: {line(run)}" for run in runs]
    return "\n".join(text)


def opened(value: WidePlan, look: Look) -> str:
    """`workspace approve`."""
    name = look.paint(value.id, "bold")
    return f"plan {name} is open in {', '.join(value.parts)}\nnext: git fleet workspace ready"


def landed(value: ChangesetResult) -> Document:
    """`integrate --changeset`."""
    return {
        "plan": value.plan,
        "changeset": value.id,
        "state": value.state,
        "why": value.why or None,
        "log": value.log,
        "tasks": [
            {
                "repo": part.repo,
                "task_id": part.task,
                "outcome": part.outcome,
                "commit": part.commit,
                "why": part.why or None,
            }
            for part in value.parts
        ],
    }


def landing(value: ChangesetResult, look: Look) -> str:
    """`integrate --changeset`."""
    state = look.paint(value.state, _SET_STYLES.get(value.state, "yellow"))
    text = [
        f"change set {line(value.plan)}/{line(value.id)}: {state}{': ' + lines(value.why) if value.why else ''}"
    ]
    for part in value.parts:
        said = (
            f" ({line(part.why)})"
            if part.why and part.outcome != "ejected"
            else f": {line(part.why)}"
            if part.why
            else ""
        )
        commit = f" as {part.commit[:12]}" if part.commit else ""
        text.append(f"    {part.repo}: {part.task} {part.outcome}{commit}{said}")
    text += [f"    | {line(each)}" for each in value.log.rstrip().split("\n")[-20:] if value.log]
    if value.state == "refused":
        text.append(
            'whose fault it is, nobody knows but you: git fleet reject TASK --finding "…" in its repository'
        )
    elif value.state == "half-way":
        text.append(f"it is half-way: git fleet integrate --changeset {value.id} goes on")
    return "\n".join(text)


# --- run -----------------------------------------------------------------------------------------


def ran(value: WideRun) -> Document:
    """`run --workspace`."""
    return {
        "workspace": value.workspace,
        "stop": {"code": value.stop.code, "text": value.stop.text},
        "claims": [
            {
                "repo": each.repo,
                "task_id": str(each.engaged.task),
                "how": each.engaged.how,
                "text": each.engaged.text,
            }
            for each in value.worked
        ],
        "integrated": [{"repo": repo, "task_id": task} for repo, task in value.landed],
        "left": value.left,
    }


def run(value: WideRun, look: Look) -> str:
    """`run --workspace`."""
    table = Table(("REPO", "TASK", "CAME OF IT", "WHAT"), whole=frozenset({0, 1}))
    for each in value.worked:
        engaged = each.engaged
        table.add(each.repo, Cell(str(engaged.task), "bold"), engaged.how, engaged.text.partition("\n")[0])
    name = look.paint(value.workspace, "bold")
    end = f"{name}: {count(len(value.landed), 'task')} integrated, {value.left} left; {line(value.stop.text)}"
    return "\n".join([*([table.render(look)] if value.worked else []), end])
