"""A workspace: many repositories looked at and worked as one (DESIGN section 18).

`from_document` takes a decoded workspace.toml that its schema accepts. Paths are as written: relative ones are
seen from the folder of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from msgspec import Struct

from git_fleet.core import spelling
from git_fleet.core.ids import Oid, check_id
from git_fleet.core.problems import Lines, Problems, line_of, show
from git_fleet.core.results import PlanStatus, ReadyTask, Status
from git_fleet.core.running import Engaged, Stop
from git_fleet.errors import FleetError, InvalidInput

FILE = "workspace.toml"
VERSION = 1
CLONES = "repos"
"""The folder, beside the file, of a repository that has an address and no path."""

T = TypeVar("T")


class Repo(Struct, frozen=True):
    """One repository. `path` is where it is, `url` where it can be cloned from ("": nowhere), `main` its default
    base ("": as it says itself), `labels` count as labels of all its tasks."""

    name: str
    path: str
    url: str = ""
    main: str = ""
    labels: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that names its checkout for the gates of a change set."""
        return "FLEET_REPO_" + "".join(c if c.isalnum() else "_" for c in self.name).upper()


class Workspace(Struct, frozen=True):
    """What workspace.toml says; `folder` is where it is, absolute."""

    name: str
    folder: str
    repos: tuple[Repo, ...] = ()

    def repo(self, name: str) -> Repo:
        """The repository of that name. Raises InvalidInput."""
        found = next((repo for repo in self.repos if repo.name == name.strip().lower()), None)
        if found is None:
            known = ", ".join(repo.name for repo in self.repos) or "none yet"
            raise InvalidInput(
                f"workspace {self.name} has no repository {show(name)}; there are: {known}",
                hint="git fleet workspace list",
            )
        return found


class Answer(Struct, Generic[T], frozen=True):
    """What came of a question to one repository: the answer, or why there is none."""

    repo: Repo
    value: T | None = None
    error: FleetError | None = None


class Standing(Struct, frozen=True):
    """One repository in `workspace status`: how it stands, and how many tasks can be claimed now."""

    status: Status
    ready: int

    @property
    def plans(self) -> tuple[PlanStatus, ...]:
        """Its plans that are not closed."""
        return self.status.plans


class Offer(Struct, frozen=True):
    """A task that can be claimed now, and the repository that it is in."""

    repo: Repo
    task: ReadyTask


class Moving(Struct, frozen=True):
    """One repository in a change set: its tasks, where each is in its life, and whether its main has them."""

    repo: str
    tasks: tuple[tuple[str, str], ...]
    moved: bool


class ChangesetView(Struct, frozen=True):
    """How a change set stands. `state` is waiting, ready, refused, begun, half-way or landed; `why` what keeps it
    from landing, `at` when something was last done about it."""

    plan: str
    id: str
    state: str
    repos: tuple[Moving, ...]
    why: str = ""
    at: datetime | None = None
    intent: Oid | None = None


class Part(Struct, frozen=True):
    """What came of a task of a change set: `outcome` is integrated, ejected or skipped, `why` the reason."""

    repo: str
    task: str
    outcome: str
    commit: Oid | None = None
    why: str = ""


class ChangesetResult(Struct, frozen=True):
    """What `integrate --changeset` has done. `state` is landed, refused, waiting or half-way; `log` is what the gate
    that refused it printed last."""

    plan: str
    id: str
    state: str
    parts: tuple[Part, ...]
    why: str = ""
    log: str = ""


class WideEngaged(Struct, frozen=True):
    """What came of one claim of a run over a workspace."""

    repo: str
    engaged: Engaged


class WideRun(Struct, frozen=True):
    """What came of a run over a workspace: why it ended, its claims, what landed (`repo`, `plan/task`), how many tasks of
    open plans have not ended."""

    workspace: str
    stop: Stop
    worked: tuple[WideEngaged, ...]
    landed: tuple[tuple[str, str], ...]
    left: int


class Ahead(Struct, frozen=True):
    """What a run would find in one repository: the commands that start agents, placeholders as they are; how many tasks
    of open plans have not ended."""

    agents: tuple[str, ...]
    left: int


class WideOutlook(Struct, frozen=True):
    """What a run over a workspace would do: `offers` can be claimed now, in this order."""

    workspace: str
    workers: int
    repos: tuple[Answer[Ahead], ...]
    offers: tuple[Offer, ...]


class Overview(Struct, frozen=True):
    """A workspace at one moment."""

    workspace: Workspace
    at: datetime
    repos: tuple[Answer[Standing], ...]
    changesets: tuple[ChangesetView, ...] = ()
    trouble: str = ""


def from_document(
    document: Mapping[str, Any], *, folder: str, source: str = FILE, lines: Lines | None = None
) -> Workspace:
    """The workspace that a document says, which its schema accepts. Raises InvalidInput with all that is wrong."""
    problems = Problems(source)
    name = _name(document["name"], problems, "", line_of(lines or {}, ("name",)))
    seen: dict[str, str] = {}
    repos: list[Repo] = []
    for index, table in enumerate(document.get("repo", ())):
        place = ("repo", index)
        repo = _repo(table, problems, line_of(lines or {}, (*place, "name")))
        other = seen.setdefault(repo.variable, repo.name)
        if other != repo.name or any(known.name == repo.name for known in repos):
            text = f"found {show(table['name'])}; another repository is {other!r}, and gates tell them apart as {repo.variable}"
            problems.add(text, where=f"repo {repo.name}", field="name", line=line_of(lines or {}, place))
        repos.append(repo)
    problems.raise_if_any(hint=f"correct {source}")
    return Workspace(name, folder, tuple(repos))


def _repo(table: Mapping[str, Any], problems: Problems, line: int) -> Repo:
    where = f"repo {table['name']}"
    name = _name(table["name"], problems, where, line)
    for field in ("path", "url", "main"):
        if problem := spelling.line_problem(table.get(field, "")):
            problems.add(f"found {show(table[field])}; {problem}", where=where, field=field, line=line)
    main = table.get("main", "")
    if main and (problem := spelling.branch_problem(main)):
        problems.add(f"found {show(main)}; {problem}", where=where, field="main", line=line)
    url, path = table.get("url", ""), table.get("path", "")
    if not url and not path:
        problems.add(
            "it is missing, and so is url; allowed: where the repository is",
            where=where,
            field="path",
            line=line,
        )
    if problem := url_problem(url):
        problems.add(f"found {show(url)}; {problem}", where=where, field="url", line=line)
    return Repo(name, path or f"{CLONES}/{name}", url, main, tuple(table.get("labels", ())))


def url_problem(url: str) -> str:
    """What is wrong with the address of a repository, or "": it must be no option, and nothing that makes git run a
    program (`ext::…`)."""
    if url.startswith("-"):
        return "it must not begin with '-'"
    if "::" in url.partition("/")[0]:
        return "an address that names a program is not taken"
    return spelling.line_problem(url)


def _name(value: Any, problems: Problems, where: str, line: int) -> str:
    try:
        return check_id(value, "found")
    except InvalidInput as error:
        problems.add(error.message, where=where, field="name", line=line)
        return "x"
