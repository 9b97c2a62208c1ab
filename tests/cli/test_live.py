"""The screen of a run, as it stands on terminals of several sizes and kinds."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app.running.desk import Seat
from git_fleet.cli.live import fitting
from tests.support.fleet import task
from tests.support.repo import Repo
from tests.support.runs import ACTS, FLEET, Crew
from tests.support.terminal import Terminal

SAYS = r"printf '\033]0;title\007reading\t\033[31m%s\033[0m\n' the-brief; "
BELL = "\a"


@pytest.fixture
def crew(repo: Repo, tmp_path: Path) -> Iterator[Crew]:
    made = Crew(repo, tmp_path, worker="retries = 0", config="max_active = 20")
    yield made
    made.end_agents()


def run(crew: Crew, *args: str, columns: int = 80, rows: int = 24, **env: str) -> Terminal:
    return Terminal(
        [*FLEET, "run", *args], cwd=crew.repo.path, env=crew.env | env, columns=columns, rows=rows
    )


def picture(terminal: Terminal, *words: str) -> list[str]:
    """The lines of the newest picture that has all these words: of the very last one a part may be on its way."""
    found = [each for each in terminal.text.split("WORKER") if all(word in each for word in words)]
    return found[-1].replace("\r", "").split("\n")


def test_it_shows_who_is_at_what_and_the_last_line_made_harmless(crew: Crew) -> None:
    crew.plan(task("a"), task("b"), agents={"a": SAYS + ACTS["wait"], "b": "work"})
    with run(crew, "--workers", "2") as terminal:
        terminal.until("reading the-brief")
        terminal.until("1/2 done")
        heading, row, *_ = picture(terminal, "reading the-brief", "1/2 done")
        assert heading.split() == ["TASK", "IS", "FOR", "LAST", "LINE"]
        assert row.startswith(("crew-1  a     at work", "crew-2  a     at work"))
        assert "title" not in terminal.text
        crew.go("a")
        assert terminal.end() == 0
    assert "\x1b[31mthe-brief" not in terminal.shown
    assert "\x1b[?25l" not in terminal.shown  # a run that is killed could not show the cursor again


def test_cost_has_a_column_once_there_is_any(crew: Crew) -> None:
    reports = "git fleet progress --cost-usd 0.25 half >/dev/null; git fleet renew >/dev/null; "
    crew.plan(task("a"), agents={"a": ACTS["wait"] + "; " + reports + ACTS["work"]})
    with run(crew) as terminal:
        crew.begun("a")
        terminal.until("at work")
        assert "COST" not in terminal.text
        crew.go("a")
        assert terminal.end() == 0
    assert "0.25 US dollars" in " ".join(terminal.text.split())


def test_more_workers_than_rows_are_counted(crew: Crew) -> None:
    names = [f"t{number}" for number in range(12)]
    crew.plan(*map(task, names), agents=dict.fromkeys(names, "wait"))
    with run(crew, "--workers", "12", rows=14) as terminal:
        for name in names:
            crew.begun(name)
        terminal.until("12 at work")
        terminal.until("… and 7 more at work")
        shown = [line for line in picture(terminal, "… and 7 more", "12 at work") if line.strip()]
        assert sum(line.startswith("crew-") for line in shown) == 5
        assert len(shown) <= 14
        for name in names:
            crew.go(name)
        assert terminal.end() == 0


@pytest.mark.parametrize(("busy", "height", "shown", "more"), [
    (3, 24, 3, 0), (16, 24, 16, 0), (17, 24, 15, 2), (40, 30, 21, 19), (5, 4, 1, 4), (0, 24, 0, 0),
])  # fmt: skip
def test_what_fits(busy: int, height: int, shown: int, more: int) -> None:
    seats = [Seat(f"w{number}") for number in range(busy)]
    found = fitting(seats, height)
    assert (found[0], found[1]) == (seats[:shown], more)
    for seat in seats:
        seat.bell.close()


def test_the_bell_rings_when_a_task_is_blocked_and_at_the_end(crew: Crew) -> None:
    crew.plan(task("a"), task("b"), agents={"a": "crash", "b": "wait"})
    with run(crew, "--workers", "2") as terminal:
        terminal.until("p/a: blocked")
        terminal.until("1 at work")
        crew.until(lambda: _more(terminal, BELL))
        crew.go("b")
        assert terminal.end() == 1
    assert terminal.shown.count(BELL) == 2


def test_the_bell_rings_when_a_person_has_to_accept_something(repo: Repo, tmp_path: Path) -> None:
    crew = Crew(repo, tmp_path, config='park = ["a/**"]')
    crew.plan(task("a"), task("b"), agents={"b": "wait"})
    with run(crew, "--workers", "2") as terminal:
        terminal.until("git fleet accept p/a")
        crew.until(lambda: _more(terminal, BELL))
        crew.go("b")
        assert terminal.end() == 1
    assert terminal.shown.count(BELL) == 2


def _more(terminal: Terminal, text: str) -> bool:
    terminal.until("at work")
    terminal.read_some()
    return text in terminal.shown


def test_ctrl_c_says_what_the_next_one_does(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": "wait"})
    with run(crew) as terminal:
        crew.begun("a")
        terminal.until("Ctrl-C: claim nothing more")
        terminal.type("\x03")
        terminal.until("ending; Ctrl-C: end the agents now")
        crew.a_moment()  # nobody is faster
        terminal.type("\x03")
        assert terminal.end() == 130
    assert not crew.alive()
    assert crew.states() == {"a": "rework"}


def test_one_ctrl_c_is_one_although_git_hands_it_on(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": "wait"})
    command = ["git", "fleet", "run"]
    with Terminal(command, cwd=crew.repo.path, env=crew.env, columns=80, rows=24) as terminal:
        crew.begun("a")
        terminal.until("Ctrl-C: claim nothing more")
        terminal.type("\x03")
        terminal.until("ending; Ctrl-C: end the agents now")
        crew.go("a")
        crew.until(lambda: crew.states() == {"a": "integrated"})
        assert terminal.end() == -signal.SIGINT, "git waits for the run, and then ends as it was told to"
    assert crew.states() == {"a": "integrated"}


def test_without_colour_there_is_none(crew: Crew) -> None:
    crew.plan(task("a"))
    with run(crew, NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert "LAST LINE" in terminal.text or "at work" in terminal.text
    assert "\x1b[3" not in terminal.shown


def test_a_dumb_terminal_gets_plain_lines(crew: Crew) -> None:
    crew.plan(task("a"))
    with run(crew, TERM="dumb") as terminal:
        assert terminal.end() == 0
    assert "\x1b" not in terminal.shown
    assert "WORKER" not in terminal.shown
    said = [line for line in terminal.shown.splitlines() if "p/a" in line]
    assert all(time.strptime(line[:8], "%H:%M:%S") for line in said)
    assert [line.split()[2:4] for line in said][-1] == ["integrated", said[-1].split()[-1]]


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_nothing_of_it_is_left_at_the_end(crew: Crew) -> None:
    """On the screen of a real terminal emulator."""
    crew.plan(task("a"), task("b"), agents={"a": SAYS + ACTS["wait"]})
    tmux = ["tmux", "-f", "/dev/null", "-S", str(crew.folder / "s")]

    def shown() -> str:
        return subprocess.run(
            [*tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True
        ).stdout

    command = f"{FLEET[0]} -m git_fleet run --workers 2; echo the end; cat"
    subprocess.run(
        [*tmux, "new-session", "-d", "-x", "80", "-y", "24", command],
        cwd=crew.repo.path,
        env=crew.env | {"TERM": "xterm-256color", "COLUMNS": "132"},  # which is not so
        check=True,
    )
    try:
        crew.until(lambda: "reading the-brief" in shown() and "1/2 done" in shown())
        crew.go("a")
        crew.until(lambda: "the end" in shown())
        last = shown().rstrip().splitlines()
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
    assert last[-1] == "the end"
    assert last[-2] == "it ended because every task has ended"
    assert not [line for line in last if "WORKER" in line or "Ctrl-C" in line or "the-brief" in line]
