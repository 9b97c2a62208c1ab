"""`git fleet status --watch`: on a terminal, in a pipe; that it reads only what has changed; how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Fleet
from tests.support.terminal import Terminal

FLEET = [sys.executable, "-m", "git_fleet"]
ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
HIDDEN, BACK = "\x1b[?25l", "\x1b[?25h"
PATIENCE_SECONDS = 60.0


def watching(fleet: Fleet, *, columns: int = 80, rows: int = 24, **env: str) -> Terminal:
    command = [*FLEET, "status", "--watch"]
    return Terminal(command, cwd=fleet.path, env={**os.environ, **env}, columns=columns, rows=rows)


def last_picture(terminal: Terminal) -> list[str]:
    """The lines of the newest whole picture."""
    return terminal.shown.split("\x1b[H")[-1].replace("\r", "").split("\n")


def test_it_follows_what_happens_and_ends_well(approved: Fleet) -> None:
    with watching(approved) as terminal:
        terminal.until("Ctrl-C ends")
        assert terminal.shown.startswith(ENTERED)
        assert "app/42  pending" in terminal.text
        approved.ok("claim", "42", "--worker", "ann", "--no-worktree")
        terminal.until("1 claimed")
        terminal.until("app/42  claimed  ann")
        terminal.type("\x03")
        assert terminal.end() == 0
    drawn, _, after = terminal.shown.rpartition(LEFT)
    assert "\x1b[2J" not in drawn.removeprefix(ENTERED)  # what is cleared flickers
    assert drawn.count(HIDDEN) == 1
    assert BACK in terminal.shown
    assert "app/42  claimed  ann" in Terminal.plain(after)
    assert "Traceback" not in terminal.shown


def test_it_fits_a_screen_that_changes(approved: Fleet) -> None:
    with watching(approved, columns=100, rows=24) as terminal:
        terminal.until("Ctrl-C ends")
        terminal.until_so(lambda: len(last_picture(terminal)) == 24, "a whole picture")
        terminal.resize(columns=44, rows=6)
        terminal.until_so(lambda: len(last_picture(terminal)) == 6, "a smaller one")
        terminal.until("… and 2 more")
        for row in last_picture(terminal):
            assert len(Terminal.plain(row)) <= 44
        terminal.type("\x03")
        assert terminal.end() == 0


def test_terminated_it_leaves_the_screen(approved: Fleet) -> None:
    with watching(approved) as terminal:
        terminal.until("Ctrl-C ends")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 0
    assert LEFT in terminal.shown
    assert terminal.shown.rindex(BACK) > terminal.shown.rindex(HIDDEN)


def test_without_colour_there_is_none(approved: Fleet) -> None:
    with watching(approved, NO_COLOR="1") as terminal:
        terminal.until("Ctrl-C ends")
        terminal.type("\x03")
        assert terminal.end() == 0
    assert "\x1b[3" not in terminal.shown
    assert "pending" in terminal.shown


def test_a_dumb_terminal_gets_the_text_again_after_each_change(approved: Fleet) -> None:
    with watching(approved, TERM="dumb") as terminal:
        terminal.until("next: git fleet claim")
        approved.ok("claim", "42", "--worker", "ann", "--no-worktree")
        terminal.until("1 claimed")
        terminal.type("\x03")
        assert terminal.end() == 0
    assert "\x1b" not in terminal.shown


@contextmanager
def piped(fleet: Fleet, *arguments: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*FLEET, "status", "--watch", *arguments],
        cwd=fleet.path,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_in_a_pipe_json_comes_as_a_document_for_each_change(approved: Fleet) -> None:
    with piped(approved, "--json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        approved.ok("claim", "42", "--worker", "ann", "--no-worktree")
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    states = [document["plans"][0]["tasks"][0]["state"] for document in (first, second)]
    assert states == ["pending", "claimed"]
    assert (first["v"], second["v"]) == (1, 1)


def test_a_reader_that_goes_ends_it(approved: Fleet) -> None:
    with piped(approved) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("app → main")
        process.stdout.close()
        approved.ok("claim", "42", "--worker", "ann", "--no-worktree")
        assert process.wait(PATIENCE_SECONDS) == 141


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere refs are looked at every second")
def test_while_nothing_changes_no_git_is_started(approved: Fleet, tmp_path: Path) -> None:
    """The clock goes on: pictures come, and each git would be in the trace."""
    approved.ok("claim", "42", "--worker", "ann", "--no-worktree")
    trace = tmp_path / "trace"
    with watching(approved, GIT_TRACE=str(trace)) as terminal:
        terminal.until("Ctrl-C ends")
        _pictures(terminal, 1)  # what is read at the beginning
        before = trace.read_text().count("trace: built-in")
        _pictures(terminal, 3)
        assert before > 0
        assert trace.read_text().count("trace: built-in") <= before + 1  # refs are looked at every 15 seconds


def _pictures(terminal: Terminal, more: int) -> None:
    seen = terminal.shown.count("\x1b[H")
    terminal.until_so(lambda: terminal.shown.count("\x1b[H") >= seen + more, "a picture")
