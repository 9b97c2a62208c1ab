"""A screen of its own for what is looked at until Ctrl-C: redrawn in place, without flicker, and gone at the end with
what stood on the terminal before left as it was."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from git_fleet.cli.call import Call
from git_fleet.cli.progress import console
from git_fleet.views.look import Look

if TYPE_CHECKING:
    from rich.text import Text

KEYS = "Ctrl-C ends"

Picture = Callable[[Look, int], Sequence[str]]
"""The lines for a screen of that look and height, painted; no more of them than the height."""


def drawn(call: Call) -> bool:
    """Whether this call may draw on its standard output: a terminal that can be, and no JSON."""
    return sys.stdout.isatty() and not call.as_json and os.environ.get("TERM") != "dumb"


class Screen:
    """Use as a context manager, in the main thread, and `draw` when there is something new to see. A terminal that
    changes its size is drawn at once."""

    def __init__(self, picture: Picture) -> None:
        from rich.live import Live

        self._picture = picture
        self._drawing = self._again = False
        self._terminal = console(sys.stdout, cursor=True)
        self._live = Live(
            console=self._terminal,
            get_renderable=self._rendered,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGWINCH, lambda *_: self.draw())
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGWINCH, self._before)
        self._live.stop()

    def draw(self) -> None:
        """Draw the picture as it is now. A signal may call this while it is drawn: then it is drawn once more."""
        self._again = True
        if self._drawing:
            return
        self._drawing = True
        try:
            while self._again:
                self._again = False
                self._live.refresh()
        finally:
            self._drawing = False

    def _rendered(self) -> Text:
        from rich.text import Text

        size = self._terminal.size
        look = Look(size.width, colour=self._terminal.color_system is not None)
        return Text.from_ansi("\n".join(self._picture(look, size.height)))
