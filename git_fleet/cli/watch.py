"""`git fleet status --watch`: the status as it changes, on a screen of its own, until Ctrl-C.

What is stored is read again when refs have moved; what the worktrees hold, as seldom as `Details` says; the ages are
of every second. Where there is no terminal the status is printed again whenever it has changed.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from msgspec.structs import replace

from git_fleet.app import sharing
from git_fleet.app import status as looking
from git_fleet.app.comparing import Known
from git_fleet.app.details import Details
from git_fleet.app.running.desk import Bell
from git_fleet.app.session import Session
from git_fleet.cli.call import Call, look, write, write_json
from git_fleet.cli.screen import KEYS, Screen, drawn
from git_fleet.core.results import Status
from git_fleet.errors import FleetError
from git_fleet.git.watching import RefWatch
from git_fleet.views import machine_status, standing
from git_fleet.views.look import Look

_REFS = ("refs/fleet/", "refs/notes/fleet/plan", "refs/heads")
_IGNORED = ("refs/fleet/snapshot", "refs/fleet/bucket")
_SHARE = 20
_LEAST_SECONDS = 1.0
"""The picture is made again after so long, and so seldom that it takes one part in `_SHARE` of the time at most."""
_REST_SECONDS = 15.0
_NEVER = datetime.fromtimestamp(0, UTC)


def status(call: Call, plan: str | None, *, everything: bool) -> None:
    """Show the status (of the plan alone, where one is named) until somebody interrupts, which is how this ends well."""
    seen: _Seen | None = None
    try:
        with call.session(long_lived=True, reading=True) as session, _woken(session) as wake:
            if drawn(call):
                session.around = replace(session.around, warn=str)  # a line would tear the screen
            seen = _Seen(session, plan, everything)
            if drawn(call):
                _draw(seen, wake)
            else:
                _print(call, seen, wake, everything=everything)
    except KeyboardInterrupt:
        if seen is not None and drawn(call):
            write(standing.status(seen.value, look(sys.stdout), everything=everything))  # what was there last


class _Seen:
    """The status as it was seen last."""

    def __init__(self, session: Session, plan: str | None, everything: bool) -> None:
        self._session, self._plan, self._everything = session, plan, everything
        self._details, self._known = Details(), Known()
        self._snapshot = session.snapshot()
        self.value = self._again()

    def look(self, *, moved: bool) -> float:
        """See it anew, with what refs are now where they have `moved`. How long not to look again, in seconds."""
        began = time.monotonic()
        if moved:
            self._snapshot = self._session.snapshot()
        self.value = self._again()
        return max(_LEAST_SECONDS, _SHARE * (time.monotonic() - began))

    def _again(self) -> Status:
        now = replace(self._snapshot, at=self._session.now())
        return looking.standing(
            self._session, now, self._details, self._known, plan=self._plan, closed=self._everything
        )


class _Wake:
    """Somebody has something new to look at: a thread says that refs have moved."""

    def __init__(self) -> None:
        self.bell = Bell()
        self._moves = self._known = 0

    def moved(self) -> None:
        """Refs have."""
        self._moves += 1
        self.bell.ring()

    def wait(self, seconds: float) -> bool:
        """Until there is something new, but not longer than that; whether refs have moved since the last time."""
        self.bell.wait(seconds)
        before, self._known = self._known, self._moves
        return self._known != before


@contextmanager
def _woken(session: Session) -> Iterator[_Wake]:
    """Told when refs move. The thread is waited for by nobody."""
    wake = _Wake()
    places = session.store.refs.places
    watch = RefWatch(session.repo, places(*_REFS), ignored=places(*_IGNORED))
    look = sharing.lookout(session.store, session.patience)
    rest = session.patience if look else _REST_SECONDS

    def listen() -> None:
        while True:
            try:
                if watch.wait(rest):
                    wake.moved()
                elif look:
                    look()
            except (FleetError, OSError):  # its git was killed, say
                time.sleep(_REST_SECONDS)
                wake.moved()

    threading.Thread(target=listen, name="refs", daemon=True).start()
    yield wake


def _draw(seen: _Seen, wake: _Wake) -> None:
    with Screen(lambda shown, height: fitting(seen.value, shown, height)) as screen:
        rest = _LEAST_SECONDS
        while True:
            screen.draw()
            rest = seen.look(moved=wake.wait(rest))


def fitting(value: Status, shown: Look, height: int) -> list[str]:
    """The lines of the status for a screen of this height: of many tasks the foremost; then how it ends."""
    caption = shown.paint(f"{value.at.astimezone():%H:%M:%S}  {KEYS}", "dim")
    rows = max((len(plan.tasks) for plan in value.plans), default=0)
    while True:
        text = standing.status(value, shown, most_rows=rows).split("\n")
        too_many = len(text) + 1 - height
        if too_many <= 0 or rows <= 1:
            return [*text[: max(0, height - 1)], caption]
        rows = max(1, rows - max(1, too_many // len(value.plans)))


def _print(call: Call, seen: _Seen, wake: _Wake, *, everything: bool) -> None:
    """A document or the text, now and after each change."""
    said: Status | None = None
    rest = _LEAST_SECONDS
    while True:
        now = _lasting(seen.value)
        if now != said:
            said = now
            if call.as_json:
                write_json(machine_status.status(seen.value))
            else:
                write(standing.status(seen.value, look(sys.stdout), everything=everything) + "\n")
        rest = seen.look(moved=wake.wait(rest))


def _lasting(value: Status) -> Status:
    """The status without what changes by itself: the time, and signs of life."""
    plans = (
        replace(plan, tasks=tuple(replace(task, seen_at=None) for task in plan.tasks)) for plan in value.plans
    )
    return replace(value, at=_NEVER, plans=tuple(plans))
