"""`workspace doctor`: whether each repository is there, is the one meant, and is well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from git_fleet.app import doctor, sharing, workspaces
from git_fleet.app.session import Session
from git_fleet.app.surroundings import Surroundings
from git_fleet.app.wide import across, editing, looking, plans
from git_fleet.core import workspace
from git_fleet.core.results import Diagnosis, Problem
from git_fleet.core.workspace import Answer, Overview, Repo, Workspace
from git_fleet.errors import FleetError
from git_fleet.git.process import Git


def check(
    space: Workspace, around: Surroundings, *, fix: bool
) -> tuple[tuple[Problem, ...], tuple[Answer[Diagnosis], ...]]:
    """What is wrong with the workspace, and what `git fleet doctor` says of each repository. With `fix` a repository
    that is missing is cloned where its address is known, and one that knows of no workspace is told of this one; in
    the repositories themselves nothing is repaired."""
    problems = [problem for repo in space.repos for problem in _problems(space, repo, fix=fix)]
    problems += _unshared(space, around)
    problems += _open_changesets(looking.overview(space, around, space.repos))

    def look(session: Session) -> Diagnosis:
        return doctor.doctor(session, fix=False)

    return tuple(problems), across.ask(space, around, look)


def _open_changesets(found: Overview) -> Iterator[Problem]:
    """What landed in one repository and not in another, or was about to: nothing here repairs that."""
    if found.trouble:
        yield Problem("workspace-plans", f"the workspace's plans cannot be read: {found.trouble}", "git fsck")
    for each in found.changesets:
        if each.state in ("begun", "half-way"):
            text = f"change set {each.plan}/{each.id} is {each.state}: {each.why}"
            yield Problem("changeset-open", text, f"git fleet integrate --changeset {each.plan}/{each.id}")


def _unshared(space: Workspace, around: Surroundings) -> Iterator[Problem]:
    """Repositories that others see through a git server, under plans that nobody sees but here; or the reverse."""

    def shared(session: Session) -> bool:
        return sharing.standing(session.store) is not None

    try:
        with plans.home(space, around, reading=True) as home:
            ours = shared(home)
    except FleetError:
        return  # said as what keeps its plans from being read
    other = [each.repo.name for each in across.ask(space, around, shared) if each.value is (not ours)]
    if not other:
        return
    named, file = ", ".join(other), f"{space.folder}/fleet.toml"
    if ours:
        text = f"others see the workspace's plans by its remote, but not what is done in {named}"
        yield Problem("workspace-not-shared", text, "commit remote = … in the fleet.toml of each, too")
    else:
        text = f"others see {named} by a remote, but no plan and no change set of the workspace"
        yield Problem("workspace-not-shared", text, f'commit remote = "origin" in {file}, too')


def _problems(space: Workspace, repo: Repo, *, fix: bool) -> Iterator[Problem]:
    place = workspaces.place_of(space, repo)
    if not place.exists() and repo.url:
        text = f"{repo.name} is not cloned yet"
        yield _done(
            Problem("repo-missing", text, "git fleet workspace doctor --fix"), fix=fix, space=space, repo=repo
        )
    if not place.exists():
        return
    try:
        workspaces.require_root(space, repo)
        if repo.url and repo.url not in Git(place).text("remote", "-v"):
            text = f"{repo.name} has no remote with the address {repo.url}"
            yield Problem("repo-other", text, f"correct the address in {space.folder}/{workspace.FILE}")
        found = workspaces.find(place, {})
    except FleetError as error:
        yield Problem("repo-unusable", f"{repo.name}: {error.message}", error.hint)
        return
    if found is None:
        text = (
            f"{repo.name} does not know its workspace: what its tasks need elsewhere is not found from there"
        )
        yield _done(
            Problem("repo-unlinked", text, "git fleet workspace doctor --fix"),
            fix=fix,
            space=space,
            repo=repo,
        )
    elif found.resolve() != Path(space.folder).resolve():
        text = f"{repo.name} is in another workspace, too, and looks there: {found}"
        yield Problem("repo-elsewhere", text, f"git -C {place} config {workspaces.SETTING} {space.folder}")


def _done(problem: Problem, *, fix: bool, space: Workspace, repo: Repo) -> Problem:
    """The problem, put right where that is wanted."""
    if not fix:
        return problem
    try:
        if problem.code == "repo-missing":
            editing.clone(space, repo)
        editing.link(space, repo)
    except FleetError as error:
        return Problem(
            problem.code, f"{problem.text}; it could not be repaired: {error.message}", problem.fix
        )
    return Problem(problem.code, problem.text, problem.fix, fixed=True)
