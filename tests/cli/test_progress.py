"""The line that says how far a long run is: there while a person waits, and gone without a trace."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping

BEGIN = """
import sys, threading
from pathlib import Path
from git_fleet.cli.call import Call
from git_fleet.cli.progress import progress
from git_fleet.core.progress import Progress

call = Call(Path(), as_json="--json" in sys.argv)

def wait_for_the_line():
    for each in threading.enumerate():
        if isinstance(each, threading.Timer):
            each.join()
"""
RUN = """
with progress(call, delay_seconds=0) as bar:
    bar(Progress("gates", 3, 8))
    wait_for_the_line()
    bar.say("a line")
print("the answer", "with rich" if "rich" in sys.modules else "")
"""
ERASED = "\r\x1b[2K"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def on_a_terminal(script: str, *args: str, env: Mapping[str, str] | None = None) -> str:
    """What the script writes to a terminal, standard output included."""
    master, terminal = pty.openpty()
    settings = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "", **(env or {})}
    command = [sys.executable, "-c", BEGIN + script, *args]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=settings):
        os.close(terminal)
        shown = b""
        try:
            while data := os.read(master, 4096):
                shown += data
        except OSError:  # how Linux says that the other side of a terminal is closed
            pass
    os.close(master)
    return shown.decode()


def test_it_is_drawn_below_what_is_said_and_removed_at_the_end() -> None:
    shown = on_a_terminal(RUN)
    before, said, after = COLOURS.sub("", shown).partition(f"{ERASED}a line\r\n")
    assert said, shown
    assert before.startswith("gates ━")
    assert "━ 3/8 0:00" in before
    assert after.startswith("gates ━")
    assert after.endswith(f"\x1b[1A{ERASED.strip()}the answer with rich\r\n")


def test_a_short_run_draws_nothing_and_loads_nothing() -> None:
    quick = RUN.replace(", delay_seconds=0", "").replace("    wait_for_the_line()\n", "")
    assert on_a_terminal(quick) == "a line\r\nthe answer \r\n"


def test_it_waits_for_the_first_step() -> None:
    script = """
with progress(call, delay_seconds=0) as bar:
    wait_for_the_line()
    bar.say("nothing yet")
    bar(Progress("replaying", 1, 2))
"""
    quiet, _, drawn = on_a_terminal(script).partition("nothing yet\r\n")
    assert quiet == ""
    assert "replaying" in drawn


def test_what_cannot_be_counted_says_that_it_goes_on() -> None:
    script = """
from git_fleet.cli.progress import working
with working(call, "asking the planner", delay_seconds=0) as bar:
    wait_for_the_line()
    bar.say("a line")
"""
    shown = COLOURS.sub("", on_a_terminal(script))
    assert shown.startswith("asking the planner ━")
    assert "0:00" in shown
    assert shown.endswith(f"\x1b[1A{ERASED.strip()}")


def test_it_is_removed_when_the_run_fails() -> None:
    script = """
try:
    with progress(call, delay_seconds=0) as bar:
        bar(Progress("gates", 1, 2))
        wait_for_the_line()
        raise ValueError("broken")
except ValueError as error:
    print(error)
bar(Progress("gates", 2, 2))
bar.say("later")
"""
    assert on_a_terminal(script).endswith("\x1b[2Kbroken\r\nlater\r\n")


def test_steps_and_lines_may_come_from_many_threads() -> None:
    script = """
with progress(call, delay_seconds=0) as bar:
    def work(name):
        for number in range(100):
            bar(Progress("gates", number, 100))
            bar.say(f"{name}-{number}-end")
    crew = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for each in crew:
        each.start()
    for each in crew:
        each.join()
"""
    shown = on_a_terminal(script).split("\r\n")
    said = {line.rpartition("\x1b[2K")[2] for line in shown}
    assert {f"{name}-{number}-end" for name in "abcd" for number in range(100)} <= said


def test_nothing_is_drawn_where_nobody_looks() -> None:
    assert on_a_terminal(RUN, "--json") == "a line\r\nthe answer \r\n"
    assert on_a_terminal(RUN, env={"TERM": "dumb"}) == "a line\r\nthe answer \r\n"
    piped = subprocess.run([sys.executable, "-c", BEGIN + RUN], capture_output=True, text=True, check=True)
    assert (piped.stdout, piped.stderr) == ("the answer \n", "a line\n")


def test_no_colour_is_used_where_none_is_wanted() -> None:
    colourless = on_a_terminal(RUN, env={"NO_COLOR": "1", "TERM": "xterm-256color"})
    assert "gates ━" in colourless
    assert "\x1b[3" not in colourless
    assert "\x1b[3" in on_a_terminal(RUN, env={"TERM": "xterm-256color"})
