"""What tasks wait for in other repositories, looked up through the workspace (DESIGN section 18).

Whatever goes wrong on the way counts as not done, and is said: no workspace, another one of that name's place, a
repository that is gone, a task that nobody has approved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from git_fleet.app import sharing
from git_fleet.core.ids import TaskId
from git_fleet.core.model import PlanState
from git_fleet.core.snapshot import Elsewhere, Snapshot
from git_fleet.errors import FleetError, InvalidInput
from git_fleet.store import archive, fleet
from git_fleet.store.base import Store

if TYPE_CHECKING:
    from git_fleet.core.workspace import Workspace

Wanted = tuple[str, str]
"""A plan, and `repo/task` in it."""


class Reader(Protocol):
    """What is needed of a session."""

    @property
    def store(self) -> Store:
        """The doors to its repository."""


Open = Callable[[Path, str], AbstractContextManager[Reader]]
"""Opens the repository in a folder for reading; the second is its main branch, "" where it says so itself."""


def looked_up(snapshot: Snapshot, start: Path, env: Mapping[str, str], open_: Open) -> Snapshot:
    """The snapshot with what its tasks wait for elsewhere; itself where none does. The workspace is looked for from
    `start`."""
    wanted = {
        (record.id.plan, need): plan.workspace
        for record in snapshot.tasks.values()
        if record.task.elsewhere and not record.state.state.ended
        if (plan := snapshot.plans[record.id.plan].approved) is not None
        for need in record.task.elsewhere
    }
    return replace(snapshot, elsewhere=_found(wanted, snapshot.at, start, env, open_)) if wanted else snapshot


def _found(
    wanted: Mapping[Wanted, str], now: datetime, start: Path, env: Mapping[str, str], open_: Open
) -> dict[Wanted, Elsewhere]:
    from git_fleet.app import workspaces  # few tasks wait for another repository

    try:
        space = workspaces.require(start, env)
    except FleetError as error:
        return dict.fromkeys(wanted, Elsewhere(None, error.message))
    found = {
        each: Elsewhere(None, f"the workspace here is {space.name}, the plan is of {name}")
        for each, name in wanted.items()
        if name != space.name
    }
    for repo in dict.fromkeys(need.partition("/")[0] for plan, need in wanted if (plan, need) not in found):
        found |= _in_repo(
            space, repo, [each for each in wanted if each[1].partition("/")[0] == repo], now, open_
        )
    return found


def _in_repo(
    space: Workspace, name: str, wanted: Iterable[Wanted], now: datetime, open_: Open
) -> dict[Wanted, Elsewhere]:
    from git_fleet.app import workspaces

    try:
        repo = space.repo(name)
        with open_(workspaces.require_root(space, repo), repo.main) as reader:
            sharing.refresh(reader.store)
            return {each: _task(reader.store, each, now) for each in wanted}
    except (FleetError, OSError) as error:
        said = error.message if isinstance(error, FleetError) else str(error)
        return dict.fromkeys(wanted, Elsewhere(None, said))


def _task(store: Store, wanted: Wanted, now: datetime) -> Elsewhere:
    task = TaskId(wanted[0], wanted[1].partition("/")[2])
    try:
        found = fleet.read_task(store, now, task)
        plan, record = found.plans.get(task.plan), found.tasks.get(task)
        if plan is not None and plan.state is PlanState.CLOSED:
            state = archive.ended(store, task)
            return Elsewhere(state, "" if state else f"plan {task.plan} is closed there")
    except InvalidInput as error:
        return Elsewhere(None, error.message)
    if record is None:
        return Elsewhere(None, f"no approved plan {task.plan} there has it")
    return Elsewhere(record.state.state)
