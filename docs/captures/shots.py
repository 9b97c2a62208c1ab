"""One capture: a command on a terminal, and what it shows as SVG."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.support.terminal import Terminal

COLUMNS, ROWS = 100, 40
SHOTS: dict[str, tuple[str, ...]] = {
    "status": ("status",),
    "plan-check": ("plan", "check", "shop"),
    "explain": ("explain", "docs"),
    "conflicts": ("conflicts",),
}
"""By name, the words after `git fleet`."""

THEME = TerminalTheme(
    (250, 250, 248), (36, 41, 47),
    [(36, 41, 47), (207, 34, 46), (17, 99, 41), (154, 103, 0), (9, 105, 218), (130, 80, 223), (27, 124, 131), (110, 119, 129)],
)  # fmt: skip
"""Dark on light, with contrast enough for print."""

_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""What rich would have the reader's browser load from elsewhere."""


def take(name: str, repo: Path) -> str:
    """The capture as SVG. It is drawn with fonts of the reader's machine: nothing is loaded from elsewhere."""
    words = SHOTS[name]
    env = {**os.environ, "TERM": "xterm-256color"}
    with Terminal(
        [sys.executable, "-m", "git_fleet", *words], cwd=repo, env=env, columns=COLUMNS, rows=ROWS
    ) as terminal:
        terminal.end()
    shown = terminal.shown.replace("\r\n", "\n").rstrip("\n")
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
    )
    console.print(Text(f"$ git fleet {' '.join(words)}", style="bold"))
    console.print(Text.from_ansi(shown), soft_wrap=True)
    drawn = console.export_svg(title="git fleet", theme=THEME, unique_id=name)
    return _FONTS.sub("", drawn)
