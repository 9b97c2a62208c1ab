"""One question to every repository of a workspace, in threads: git processes wait for each other's disk, not for us."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from git_fleet.app import workspaces
from git_fleet.app.session import Session, open_session
from git_fleet.app.surroundings import Surroundings
from git_fleet.core.workspace import Answer, Repo, Workspace
from git_fleet.errors import FleetError, InvalidInput, disk_error

T = TypeVar("T")

_THREADS = 8
READER = "reader"
"""The actor of a session that only looks: git's configuration need not be asked who that is."""


def opened(
    space: Workspace,
    repo: Repo,
    around: Surroundings,
    *,
    worker: str | None = None,
    reading: bool = False,
    long_lived: bool = False,
) -> Session:
    """A session in one repository. Raises InvalidInput where there is none, and as `open_session`."""
    return open_session(
        workspaces.require_root(space, repo),
        around,
        worker=worker,
        reading=reading,
        long_lived=long_lived,
        bulk=False,
        main=repo.main,
    )


def ask(
    space: Workspace,
    around: Surroundings,
    question: Callable[[Session], T],
    among: Sequence[Repo] | None = None,
) -> tuple[Answer[T], ...]:
    """What each repository (of `among`) answers, in the order of the file; what cannot be read is an error in its
    place and hides nobody else. The question must write nothing."""
    from concurrent.futures import ThreadPoolExecutor  # it brings in logging

    repos = space.repos if among is None else among

    def one(repo: Repo) -> Answer[T]:
        try:
            with opened(space, repo, around, worker=READER, reading=True) as session:
                return Answer(repo, value=question(session))
        except FleetError as error:
            return Answer(repo, error=error)
        except OSError as error:
            return Answer(repo, error=unreadable(space, repo, error))

    with ThreadPoolExecutor(min(_THREADS, max(1, len(repos))), thread_name_prefix="repos") as pool:
        return tuple(pool.map(one, repos))


def unreadable(space: Workspace, repo: Repo, error: OSError) -> FleetError:
    """What is said of a repository that the machine does not let us read."""
    return disk_error(error) or InvalidInput(f"{workspaces.place_of(space, repo)}: {error}")


def chosen(space: Workspace, labels: Sequence[str], names: Sequence[str] = ()) -> tuple[Repo, ...]:
    """The repositories of these names (all), with one of these labels where any is given. Raises InvalidInput for a
    name that is not there."""
    repos = [space.repo(name) for name in names] or space.repos
    return tuple(repo for repo in repos if not labels or set(labels) & set(repo.labels))
