"""A workspace's plan: tasks of several repositories, and the change sets that land together (DESIGN section 18).

The document is what tomllib gives for the text, after schemas/workspace-plan.schema.json. Each repository's part becomes
a plan of the same id: its tasks as any plan has them, with what they wait for elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.core import graph, plandoc, standstill
from git_fleet.core.config import Gate
from git_fleet.core.ids import TaskId, check_id
from git_fleet.core.model import Output, Overlap, Plan, Schedule, Task
from git_fleet.core.overlaps import pairs
from git_fleet.core.problems import Problems, nearest
from git_fleet.core.workspace import Workspace
from git_fleet.errors import InvalidInput

_HINT = "nothing was stored; correct it and import it again"


class Changeset(Struct, frozen=True):
    """Tasks (`repo/task`) that land together. `gates` run beside each other's checkouts of `repos` (all that the
    workspace has, where that is empty). `order` are its repositories, those that others need first. `rework` are those
    of its tasks that go back when such a gate is red."""

    id: str
    tasks: tuple[str, ...]
    gates: tuple[Gate, ...] = ()
    repos: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    rework: tuple[str, ...] = ()

    def of_repo(self, repo: str) -> tuple[str, ...]:
        """Its tasks in one repository, by their ids there."""
        return tuple(name.partition("/")[2] for name in self.tasks if name.partition("/")[0] == repo)


class WidePlan(Struct, frozen=True):
    """A workspace's plan: `parts` by repository, in the order of the workspace."""

    id: str
    title: str
    parts: Mapping[str, Plan]
    changesets: tuple[Changeset, ...] = ()

    def changeset(self, name: str) -> Changeset | None:
        """The change set of that id, or None."""
        return next((each for each in self.changesets if each.id == name), None)


def parse(
    document: Mapping[str, Any], space: Workspace, *, source: str, bases: Mapping[str, str]
) -> WidePlan:
    """The plan that a document says; `bases` are the default base of each repository.

    Raises InvalidInput with everything that is wrong.
    """
    plan_id = check_id(str(document.get("plan", "")), "plan")
    problems = Problems(source)
    tables = _by_repo(document, space, problems)
    problems.raise_if_any(hint=_HINT)
    head = {key: document[key] for key in ("version", "title", "base", "schedule") if key in document}
    parts = {
        repo: plandoc.parse_plan(
            {
                "version": plandoc.VERSION,
                **head,
                "plan": plan_id,
                "workspace": space.name,
                "task": tables[repo],
            },
            source=f"{source}: {repo}",
            default_base=bases.get(repo, "main"),
        )
        for repo in (each.name for each in space.repos)
        if repo in tables
    }
    tasks = {f"{repo}/{task.id.task}": task for repo, plan in parts.items() for task in plan.tasks}
    sets = [_changeset(table, tasks, space, problems) for table in document.get("changeset", ())]
    members = _members(sets, problems)
    _check_needs(tasks, problems)
    problems.raise_if_any(hint=_HINT)
    _check_cycles({name: _needs(name, task) for name, task in tasks.items()}, members, problems)
    for each in sets:
        _check_changeset(each, tasks, problems)
    problems.raise_if_any(hint=_HINT)
    parts = {repo: _settled(repo, plan, members) for repo, plan in parts.items()}
    ordered = tuple(replace(each, order=_order(each, tasks, problems)) for each in sets)
    problems.raise_if_any(hint=_HINT)
    return WidePlan(plan_id, str(document.get("title", "")) or plan_id, parts, ordered)


def refuse_standstill(plan: WidePlan, *, source: str) -> None:
    """Raises InvalidInput when change sets of the plan could wait for each other, or for themselves, for ever."""
    tasks = {f"{repo}/{task.id.task}": task for repo, part in plan.parts.items() for task in part.tasks}
    members = {name: each.id for each in plan.changesets for name in each.tasks}
    needs = {name: (*_needs(name, task), *task.follows_elsewhere) for name, task in tasks.items()}
    problems = Problems(source)
    if members:
        _add_waves(plan, members, needs, problems)
    problems.raise_if_any(hint=_HINT)
    _check_cycles(needs, members, problems)
    problems.raise_if_any(hint=_HINT)
    found = standstill.find(tasks, needs, members)
    if found is None:
        return
    text = (
        f"{found.waits} waits while change set {found.by} holds {found.held}, and that may wait for"
        f" {', which waits for '.join(found.way)}: none could ever land; let one of these two tasks need the other"
    )
    problems.add(text, where=f"changeset {found.by}", field="tasks")
    problems.raise_if_any(hint=_HINT)


def _by_repo(
    document: Mapping[str, Any], space: Workspace, problems: Problems
) -> dict[str, list[dict[str, Any]]]:
    """The tables of each repository's tasks, ids and needs as they are there."""
    known = {repo.name for repo in space.repos}
    found: dict[str, list[dict[str, Any]]] = {}
    for table in document.get("task", ()):
        name = str(table["id"])
        repo, slash, task = name.lower().partition("/")
        if not slash or repo not in known:
            what = (
                f"workspace {space.name} has no repository {repo!r}{nearest(repo, known)}"
                if slash
                else "it must be repo/task"
            )
            problems.add(f"found {name!r}; {what}", where=f"task {name}", field="id")
            continue
        own, others = [], []
        for need in table.get("needs", ()):
            where, slash, rest = str(need).partition("/")
            if not slash:
                problems.add(f"found {need!r}; it must be repo/task", where=f"task {name}", field="needs")
            elif where.lower() == repo:
                own.append(rest)
            else:
                others.append(str(need).lower())
        made = {key: value for key, value in table.items() if key not in ("id", "needs")}
        made |= {
            "id": task,
            **({"needs": own} if own else {}),
            **({"needs_elsewhere": others} if others else {}),
        }
        found.setdefault(repo, []).append(made)
    return found


def _changeset(
    table: Mapping[str, Any], tasks: Mapping[str, Task], space: Workspace, problems: Problems
) -> Changeset:
    where = f"changeset {table['id']}"
    names = tuple(str(name).strip().lower() for name in table["tasks"])
    for name in names:
        if name not in tasks:
            problems.add(
                f"found {name!r}; no task has this id{nearest(name, tasks)}", where=where, field="tasks"
            )
    repos = tuple(str(name).strip().lower() for name in table.get("repos", ()))
    for name in repos:
        if all(repo.name != name for repo in space.repos):
            problems.add(f"found {name!r}; the workspace has no such repository", where=where, field="repos")
    rework = tuple(str(name).strip().lower() for name in table.get("rework", ()))
    for name in rework:
        if name not in names:
            text = f"found {name!r}; the change set has no such task{nearest(name, names)}"
            problems.add(text, where=where, field="rework")
    gates = tuple(
        Gate(gate["name"], tuple(gate["run"]) if isinstance(gate["run"], list) else gate["run"],
             float(gate.get("timeout_seconds", 600.0)))
        for gate in table["gates"]
    )  # fmt: skip
    try:
        return Changeset(check_id(str(table["id"]), "found"), names, gates, repos, rework=rework)
    except InvalidInput as error:
        problems.add(error.message, where=where, field="id")
        return Changeset("x", names, gates, repos)


def _members(sets: Sequence[Changeset], problems: Problems) -> dict[str, str]:
    """Which change set each task is in."""
    found: dict[str, str] = {}
    for number, each in enumerate(sets):
        if any(each.id == other.id for other in sets[:number]):
            problems.add("another change set has this id", where=f"changeset {each.id}", field="id")
        for name in each.tasks:
            if found.setdefault(name, each.id) != each.id:
                text = f"found {name!r}; it is in change set {found[name]} already"
                problems.add(text, where=f"changeset {each.id}", field="tasks")
    return found


def _check_needs(tasks: Mapping[str, Task], problems: Problems) -> None:
    for name, task in tasks.items():
        for need in task.needs_elsewhere:
            if need not in tasks:
                text = f"found {need!r}; no task has this id{nearest(need, tasks)}"
                problems.add(text, where=f"task {name}", field="needs")


def _needs(name: str, task: Task) -> Iterator[str]:
    repo = name.partition("/")[0]
    yield from (f"{repo}/{need}" for need in task.needs)
    yield from task.needs_elsewhere


def _add_waves(
    plan: WidePlan, members: Mapping[str, str], needs: dict[str, tuple[str, ...]], problems: Problems
) -> None:
    """In waves a task waits for all of the wave before; two of one change set in one repository must not."""
    for repo, part in plan.parts.items():
        if part.schedule is not Schedule.WAVES:
            continue
        turns = [(pair.a, pair.b) for pair in pairs(part.tasks) if pair.policy is Overlap.SERIALIZE]
        found = [[f"{repo}/{task.task}" for task in wave] for wave in graph.waves(part.tasks, turns)]
        for before, wave in pairwise(found):
            needs.update({name: (*needs[name], *before) for name in wave})
        first: dict[str, tuple[int, str]] = {}
        for number, name in ((number, name) for number, wave in enumerate(found, 1) for name in wave):
            known, other = first.setdefault(members.get(name, name), (number, name))
            if known != number:
                text = f"{other} is in wave {known} and {name} in wave {number}, which waits until the first has landed"
                problems.add(text, where=f"changeset {members[name]}", field="tasks")


def _check_cycles(waits: Mapping[str, Iterable[str]], members: Mapping[str, str], problems: Problems) -> None:
    """A change set lands as a whole, so it waits for all that any task of it waits for."""

    def whole(name: str) -> TaskId:
        return TaskId("changeset", members[name]) if name in members else TaskId(*name.split("/", 1))

    needs: dict[TaskId, list[TaskId]] = {}
    for name, others in waits.items():
        mine = needs.setdefault(whole(name), [])
        mine += [other for need in others if (other := whole(need)) != whole(name)]
    cycle = graph.find_cycle(needs)
    if cycle:
        problems.add(
            f"a cycle: {' -> '.join(map(str, (*cycle, cycle[0])))}; all of it waits for itself", field="needs"
        )


def _check_changeset(each: Changeset, tasks: Mapping[str, Task], problems: Problems) -> None:
    """Of two tasks of one repository that wait for each other the second could never be claimed."""
    where = f"changeset {each.id}"
    for repo in dict.fromkeys(name.partition("/")[0] for name in each.tasks):
        own = [tasks[f"{repo}/{task}"] for task in each.of_repo(repo)]
        ids = {task.id.task for task in own}
        waiting = [(task.id.task, need) for task in own for need in task.needs if need in ids]
        waiting += [(pair.a.task, pair.b.task) for pair in pairs(own) if pair.policy == "serialize"]
        for one, other in waiting:
            text = f"{repo}/{one} and {repo}/{other} take turns, so they cannot land together; make one task of them"
            problems.add(text, where=where, field="tasks")
        for task in own:
            if task.output is Output.REPORT:
                problems.add(
                    f"{repo}/{task.id.task} is a report, which lands by itself", where=where, field="tasks"
                )


def _order(each: Changeset, tasks: Mapping[str, Task], problems: Problems) -> tuple[str, ...]:
    """The repositories, those that others need first."""
    repos = list(dict.fromkeys(name.partition("/")[0] for name in each.tasks))
    needs = {
        repo: {
            other
            for task in each.of_repo(repo)
            for need in tasks[f"{repo}/{task}"].needs_elsewhere
            if need in each.tasks and (other := need.partition("/")[0]) != repo
        }
        for repo in repos
    }
    ordered: list[str] = []
    while len(ordered) < len(repos):
        free = [repo for repo in repos if repo not in ordered and needs[repo] <= set(ordered)]
        if not free:
            left = ", ".join(repo for repo in repos if repo not in ordered)
            problems.add(
                f"no order of {left}: each needs another first", where=f"changeset {each.id}", field="tasks"
            )
            break
        ordered.append(free[0])
    return tuple(ordered)


def _settled(repo: str, plan: Plan, members: Mapping[str, str]) -> Plan:
    """The part as its repository stores it: a need within a change set can only be followed."""

    def of_task(task: Task) -> Task:
        own = members.get(f"{repo}/{task.id.task}", "")
        beside = tuple(need for need in task.needs_elsewhere if own and members.get(need) == own)
        needs = tuple(need for need in task.needs_elsewhere if need not in beside)
        return replace(task, needs_elsewhere=needs, follows_elsewhere=beside, changeset=own)

    return replace(plan, tasks=tuple(map(of_task, plan.tasks)))
