"""The screen of a run: who is at what, redrawn once a second; plain lines where nobody sits there."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from git_fleet.cli.call import Call, say
from git_fleet.views.look import age, line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from git_fleet.app.running.desk import Desk, Seat

_PER_SECOND = 1.0


@contextmanager
def live(call: Call, plan: str) -> Iterator[Screen]:
    """The screen for this call of a command. It stands below what is said, and is gone at the end."""
    drawn = sys.stderr.isatty() and not call.as_json and os.environ.get("TERM") != "dumb"
    screen = Screen(plan, drawn=drawn, quiet=call.as_json)
    try:
        yield screen
    finally:
        screen.remove()


class Screen:
    """What a run tells. Safe to share between threads."""

    def __init__(self, plan: str, *, drawn: bool, quiet: bool) -> None:
        self._plan, self._drawn, self._quiet = plan, drawn, quiet
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._desk: Desk | None = None
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """A line, with the time of day; above the screen where there is one."""
        said = f"{datetime.now().astimezone():%H:%M:%S}  {line(text)}"
        with self._lock:
            if self._live is not None:
                from rich.text import Text

                self._live.console.print(Text(said), soft_wrap=True)
            else:
                say(said)

    def watch(self, desk: Desk) -> None:
        """The run begins: draw from now on."""
        self._desk = desk
        if not self._drawn:
            return
        from rich.console import Console
        from rich.live import Live

        with self._lock:
            self._live = Live(
                console=Console(file=sys.stderr),
                get_renderable=self._table,
                refresh_per_second=_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def remove(self) -> None:
        """Take the screen off the terminal."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def _table(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 2, 0, 0), expand=True, show_header=True, header_style="dim")
        for name, share, most in (
            ("WORKER", 0, 16),
            ("TASK", 0, 30),
            ("IS", 0, 14),
            ("FOR", 0, 5),
            ("COST", 0, 8),
        ):
            table.add_column(name, no_wrap=True, ratio=share or None, max_width=most, overflow="ellipsis")
        table.add_column("LAST LINE", no_wrap=True, ratio=1, overflow="ellipsis")
        seats = list(self._desk.seats) if self._desk else []
        for seat in seats:
            if not (seat.retired and seat.record is None):
                table.add_row(*(Text(cell, style=style) for cell, style in _row(seat)))
        if self._desk is not None:
            table.caption = Text(self._caption(self._desk), style="dim")
            table.caption_justify = "left"
        return table

    def _caption(self, desk: Desk) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        at_work = sum(seat.record is not None for seat in desk.seats)
        spent = f", {desk.spent:.2f} US dollars" if desk.spent else ""
        ends = "ending" if desk.ending.is_set() else "Ctrl-C: no new claims"
        return f"{self._plan}  {minutes}:{seconds:02}  {at_work} at work{spent}  ({ends})"


def _row(seat: Seat) -> list[tuple[str, str]]:
    """A worker's cells and their styles."""
    if seat.record is None:
        return [(line(seat.worker), ""), ("", ""), ("free", "dim"), ("", ""), ("", ""), ("", "")]
    cost = seat.record.state.usage.cost_usd
    said = seat.agent.last_line() if seat.agent is not None and seat.phase == "at work" else ""
    colour = {"at work": "green", "waiting": "yellow", "ending": "red"}.get(seat.phase, "cyan")
    return [
        (line(seat.worker), ""),
        (str(seat.record.id), "bold"),
        (seat.phase, colour),
        (age(time.monotonic() - seat.since), ""),
        (f"${cost:.2f}" if cost else "", ""),
        (line(said), "dim"),
    ]
