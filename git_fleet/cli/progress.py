"""One line on the terminal that says how far a long run is (DESIGN section 12).

    with progress(call) as bar:
        found = use_case(session, report=bar.say, watch=bar)

It appears after a second, stands below whatever `bar.say` prints, and is gone when the run ends. Where
nobody looks (standard error is no terminal, or `--json` was asked for) nothing is drawn, and `bar.say` is `say`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from git_fleet.cli.call import Call, say
from git_fleet.core.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

DELAY_SECONDS = 1.0
_REDRAWN_PER_SECOND = 8
_BAR_COLUMNS = 24


@contextmanager
def progress(call: Call, *, delay_seconds: float = DELAY_SECONDS) -> Iterator[Line]:
    """The line for this call of a command; removed at the end, whatever the end is."""
    line = Line()
    watched = sys.stderr.isatty() and not call.as_json and os.environ.get("TERM") != "dumb"
    if not watched:
        yield line
        return
    timer = threading.Timer(delay_seconds, line.appear)
    timer.daemon = True  # an interrupted run need not wait for it
    timer.start()
    try:
        yield line
    finally:
        timer.cancel()
        line.remove()


@contextmanager
def working(call: Call, stage: str, *, delay_seconds: float = DELAY_SECONDS) -> Iterator[Line]:
    """The line for something of which nobody knows how much there is of it: that it goes on, and for how long."""
    with progress(call, delay_seconds=delay_seconds) as line:
        line(Progress(stage, 0, 0))
        yield line


class Line:
    """What a run calls at each step (it is a core.progress.Watch), and says its lines with. Safe to
    share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._latest: Progress | None = None
        self._due = self._over = False
        self._live: Live | None = None

    def __call__(self, step: Progress) -> None:
        """Remember the step; the screen follows a few times a second."""
        self._latest = step
        if self._due and self._live is None:
            self.appear()

    def say(self, text: str) -> None:
        """A line for people on standard error, above the progress line if that is there."""
        with self._lock:
            if self._live is None:
                say(text)
                return
            from rich.text import Text

            # Whole, wherever the terminal breaks it: it may be a command to copy.
            self._live.console.print(Text.from_ansi(text), soft_wrap=True)

    def appear(self) -> None:
        """Draw from now on: at once if the run has told anything, else at its first step."""
        with self._lock:
            self._due = True
            if self._latest is not None and self._live is None and not self._over:
                self._live = _started(self)

    def remove(self) -> None:
        """Take the line off the terminal, for good."""
        with self._lock:
            self._over = True
            if self._live is not None:
                self._live.stop()
                self._live = None

    def row(self) -> Table:
        """The line as it is now: stage, bar, how many of how many, minutes and seconds since the run began."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        step = self._latest or Progress("", 0, 0)
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        row = Table.grid(padding=(0, 1))
        for narrows in (False, True, False, False):  # the bar, where the terminal is narrow
            row.add_column(no_wrap=not narrows)
        counted = f"{step.done}/{step.total}" if step.total else str(step.done or "")
        bar = ProgressBar(total=step.total or None, completed=step.done, width=_BAR_COLUMNS)
        row.add_row(Text(step.stage), bar, Text(counted), Text(f"{minutes}:{seconds:02}"))
        return row


def console(file: TextIO | None = None, *, cursor: bool = False) -> Console:
    """Standard error (or `file`) for rich. It leaves the cursor alone, unless `cursor`: a run that is killed could not
    show it again. And it asks the terminal for its size, not COLUMNS: what is redrawn in place must fit, and
    terminals change."""
    from rich.console import Console

    class Terminal(Console):
        def show_cursor(self, show: bool = True) -> bool:
            return cursor and super().show_cursor(show)

    env = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return Terminal(file=file or sys.stderr, _environ=env)


def _started(line: Line) -> Live:
    """A display of the line, drawn by a thread of its own: a gate may take long, and time goes on."""
    from rich.live import Live

    live = Live(
        console=console(),
        get_renderable=line.row,
        refresh_per_second=_REDRAWN_PER_SECOND,
        transient=True,
        redirect_stdout=False,  # it is the answer, and belongs to whoever reads it
    )
    live.start(refresh=True)
    return live
