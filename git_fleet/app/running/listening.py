"""Who tells a run that something has happened elsewhere: refs that moved, a command that has ordered something."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from git_fleet.app.running import orders
from git_fleet.app.running.desk import Desk
from git_fleet.app.running.events import Changed, Event
from git_fleet.errors import FleetError
from git_fleet.git.refs import Refs
from git_fleet.git.repository import Repository
from git_fleet.git.watching import RefWatch
from git_fleet.store import names

_REST_SECONDS = 60.0
_REMOTE_SECONDS = 20.0
_AGAIN_SECONDS = 15.0
_LOOK_SECONDS = 1.0
"""What a run moves itself is told by who does it, so one look a second will do."""


class Told(Protocol):
    """Who is told: a queue, say. From any thread."""

    def put(self, event: Event, /) -> object:
        """It has happened."""


def to_refs(refs: Refs, repo: Repository, base: str, events: Told) -> None:
    """Tell `events` from now on, to the end of this process, of all that moves: call it before the first look."""
    elsewhere = refs.places(names.FLEET) != (names.FLEET,)
    watched, ignored = refs.places(names.FLEET, names.branch(base)), refs.places(names.LEAD, names.SNAPSHOTS)
    watch = RefWatch(repo, watched, ignored=ignored)
    threading.Thread(target=_refs, args=(watch, events, elsewhere), name="refs", daemon=True).start()


def to_orders(desk: Desk, events: Told) -> None:
    """Tell the seats and `events`, to the end of this process, when a command has ordered something. For the run of a
    plan alone: of two that listen each would hear a part."""
    threading.Thread(target=_bell, args=(desk, events), name="bell", daemon=True).start()


def _refs(watch: RefWatch, events: Told, elsewhere: bool) -> None:
    """What moves here is told of; what moves `elsewhere`, on a remote, is looked for now and then."""
    with watch as refs:
        while True:
            try:
                if refs.wait(_REMOTE_SECONDS if elsewhere else _REST_SECONDS) or elsewhere:
                    events.put(Changed())
                    time.sleep(_LOOK_SECONDS)
            except (FleetError, OSError):  # its git was killed, say
                time.sleep(_AGAIN_SECONDS)
                events.put(Changed())


def _bell(desk: Desk, events: Told) -> None:
    for _ in orders.rung(desk.folder):
        for seat in desk.seats:
            seat.bell.ring()
        events.put(Changed())
