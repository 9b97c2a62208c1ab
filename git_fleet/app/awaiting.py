"""`wait`: until there is a task to claim (DESIGN sections 6 and 12). Reads only, and sleeps while no ref moves."""

from __future__ import annotations

import time
from collections.abc import Callable

from git_fleet.app import sharing, status
from git_fleet.app.claim import NothingReady, nothing
from git_fleet.app.session import Session
from git_fleet.core.ready import limit
from git_fleet.core.results import ReadyTask
from git_fleet.git.watching import RefWatch
from git_fleet.store import bucket

_REFS = ("refs/fleet/", "refs/notes/fleet/plan", "refs/heads")
_IGNORED = ("refs/fleet/snapshot", "refs/fleet/salvage")
_LIMITED_SECONDS = 60


def wait(
    session: Session, plan: str, seconds: float, say: Callable[[str], None]
) -> tuple[ReadyTask, ...] | NothingReady:
    """The tasks that can be claimed (of `plan`, where one is named), as soon as there are some; or why there are none
    when every task has ended, or after `seconds`. `say` is told what is waited for, whenever that is something else.

    Raises InvalidInput for a plan that does not exist.
    """
    deadline, said = time.monotonic() + seconds, ""
    places = session.store.refs.places
    look = sharing.lookout(session.store, session.patience)
    with RefWatch(session.repo, places(*_REFS), ignored=places(*_IGNORED)) as watch:
        while True:
            found = _look(session, plan)
            left = deadline - time.monotonic()
            if not isinstance(found, NothingReady) or found.reason == "complete" or left <= 0:
                return found
            if found.text != said:
                said = found.text
                say(f"waiting: {said}")
            watch.wait(min(left, found.retry_after_seconds, *([session.patience] if look else [])))
            if look:
                look()


def _look(session: Session, plan: str) -> tuple[ReadyTask, ...] | NothingReady:
    """The answer at this moment."""
    snapshot = session.recent_snapshot(fresh=True)
    if plan:
        plan = snapshot.plan(plan).id
    config, store = session.config(), session.store
    reached = limit(snapshot.tasks.values(), config, snapshot.at, host=session.around.host)
    if reached is not None:
        return NothingReady("limit", reached.text, _LIMITED_SECONDS)
    found = tuple(task for task in status.ready_in(session, snapshot) if plan in ("", task.id.plan))
    if found and (missing := bucket.missing(store, config.bucket, snapshot.at)):
        return NothingReady("limit", "claims are rate-limited (bucket in fleet.toml)", missing)
    return found or nothing(session, snapshot, plan)
