"""The screen of a run: who is at what, redrawn once a second; plain lines where nobody sits there."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from git_fleet.cli.call import Call, say
from git_fleet.cli.interrupts import silence
from git_fleet.cli.progress import console
from git_fleet.core.model import Usage
from git_fleet.views.look import age, line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from git_fleet.app.running.desk import Seat
    from git_fleet.app.running.run import Run
    from git_fleet.core.snapshot import TaskRecord

_PER_SECOND = 1.0
_LINES_LEFT = 8  # of the terminal, for what is said, the heading and the last line
_ROWS_AT_LEAST = 2
_WIDE_COLUMNS = 100
_COLOURS = {"at work": "green", "waiting": "yellow", "ending": "red", "saying goodbye": "yellow"}
_BELL = "\a"


@contextmanager
def live(call: Call, plan: str, records: Sequence[TaskRecord] = ()) -> Iterator[Screen]:
    """The screen for this call of a command. It stands below what is said, and is gone at the end. `records` are
    the plan's tasks as the run begins."""
    terminal = sys.stderr.isatty() and not call.as_json
    drawn = terminal and os.environ.get("TERM") != "dumb"
    screen = Screen(plan, records, drawn=drawn, bell=terminal, quiet=call.as_json)
    try:
        yield screen
    finally:
        screen.remove()


class Screen:
    """What a run tells. Safe to share between threads. `asked` is how often it was asked to end."""

    def __init__(
        self,
        plan: str,
        records: Sequence[TaskRecord] = (),
        *,
        drawn: bool,
        bell: bool = False,
        quiet: bool = False,
    ) -> None:
        self.asked = 0
        self._plan, self._drawn, self._bell, self._quiet = plan, drawn, bell, quiet
        self._tasks = len(records)
        self._ended = sum(record.state.state.ended for record in records)
        self._before = sum((record.state.usage for record in records), Usage()).cost_usd
        self._costs = {record.id: record.state.usage.cost_usd for record in records}
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._run: Run | None = None
        self._rung = 0
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """A line, with the time of day; above the screen where there is one."""
        said = f"{datetime.now().astimezone():%H:%M:%S}  {line(text)}"
        with self._lock, _unread():
            if self._live is not None:
                from rich.text import Text

                self._live.console.print(Text(said), soft_wrap=True)
            elif not self._quiet:
                say(said)
        self._ring()

    def watch(self, run: Run) -> None:
        """The run begins: draw from now on."""
        self._run = run
        if not self._drawn:
            return
        from rich.live import Live

        with self._lock:
            self._live = Live(
                console=console(),
                get_renderable=self._picture,
                refresh_per_second=_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def remove(self) -> None:
        """Take the screen off the terminal; who is away from it hears that the run has ended."""
        with self._lock, _unread():
            if self._live is not None:
                self._live.stop()
                self._live = None
        if self._run is not None and not self.asked:
            self._ring(over=True)

    def _ring(self, *, over: bool = False) -> None:
        """The terminal's bell, once for each time that a person is needed."""
        if self._run is None or not self._bell:
            return
        tally = self._run.conductor.tally
        needed = tally.calls + sum(how == "blocked" for how in list(tally.ends.values())) + over
        if needed > self._rung:
            self._rung = needed
            with _unread():
                sys.stderr.write(_BELL)
                sys.stderr.flush()

    # --- the picture -----------------------------------------------------------------------------

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        self._ring()
        seats = list(self._run.desk.seats) if self._run else []
        busy = [seat for seat in seats if seat.record is not None]
        spent = self._spent(busy)
        size = self._live.console.size if self._live is not None else console().size
        shown, more = fitting(busy, size.height)
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=True, header_style="dim")
        cost = any(seat.record.state.usage.cost_usd + seat.owed for seat in shown if seat.record is not None)
        columns = ["WORKER", "TASK", "IS", "FOR", *(["COST"] if cost else [])]
        for name in columns:
            table.add_column(
                name,
                no_wrap=True,
                overflow="ellipsis",
                justify="right" if name in ("FOR", "COST") else "left",
            )
        table.add_column("LAST LINE", no_wrap=True, ratio=1, overflow="ellipsis")
        for seat in shown:
            cells = _row(seat, wide=size.width >= _WIDE_COLUMNS, cost=cost)
            table.add_row(*(Text(text, style=style) for text, style in cells))
        parts: list[RenderableType] = [table] if shown else []
        if more:
            parts.append(Text(f"… and {more} more at work", style="dim"))
        free = sum(not seat.retired for seat in seats) - sum(not seat.retired for seat in busy)
        caption = self._caption(len(busy), free, spent)
        parts.append(
            Text(caption, style="yellow" if self.asked else "dim", no_wrap=True, overflow="ellipsis")
        )
        return Group(*parts)

    def _spent(self, busy: Sequence[Seat]) -> float:
        """US dollars that this run has cost, as far as it can be seen from here."""
        for seat in busy:
            if seat.record is not None:
                self._costs[seat.record.id] = seat.record.state.usage.cost_usd + seat.owed
        return sum(self._costs.values()) - self._before

    def _caption(self, busy: int, free: int, spent: float) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        landed = self._ended + (self._run.conductor.tally.integrated if self._run else 0)
        parts = [line(self._plan), f"{min(landed, self._tasks)}/{self._tasks} done", f"{busy} at work"]
        parts += [f"{free} free"] if free and not self.asked else []
        parts += [f"{minutes}:{seconds:02}"]
        parts += [f"${spent:.2f}"] if spent else []
        keys = ("Ctrl-C: claim nothing more", "ending; Ctrl-C: end the agents now", "ending the agents")
        return "  ".join([*parts, keys[min(self.asked, 2)]])


@contextmanager
def _unread() -> Iterator[None]:
    """A run goes on though nobody reads any more what it says."""
    try:
        yield
    except OSError:
        silence((sys.stderr.fileno(),))


def fitting(busy: Sequence[Seat], height: int) -> tuple[list[Seat], int]:
    """The seats that a terminal of this height has room for, beside what is said, and how many more there are."""
    most = max(_ROWS_AT_LEAST, height - _LINES_LEFT)
    if len(busy) <= most:
        return list(busy), 0
    return list(busy[: most - 1]), len(busy) - most + 1


def _row(seat: Seat, *, wide: bool, cost: bool) -> list[tuple[str, str]]:
    """A worker's cells and their styles. Where it is narrow the task stands without its plan, which all share."""
    record, agent = seat.record, seat.agent
    if record is None:
        return []
    said = (agent.words() or seat.words) if agent is not None and seat.phase == "at work" else ""
    spent = record.state.usage.cost_usd + seat.owed
    return [
        (line(seat.worker), ""),
        (str(record.id) if wide else record.id.task, "bold"),
        (seat.phase, _COLOURS.get(seat.phase, "cyan")),
        (age(time.monotonic() - seat.since), ""),
        *([(f"${spent:.2f}" if spent else "", "")] if cost else []),
        (line(said), "dim"),
    ]
