"""`git fleet run --tmux`: the same story in panes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app import panes
from tests.support.fleet import task
from tests.support.repo import Repo
from tests.support.runs import ACTS, FLEET, Crew, lines

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


@pytest.fixture
def crew(repo: Repo, tmp_path: Path) -> Iterator[Crew]:
    made = Crew(repo, tmp_path)
    yield made
    made.end_agents()
    tmux(made, "kill-server")


def tmux(crew: Crew, *words: str) -> list[str]:
    socket = panes.socket_for(crew.repo.path / ".git/fleet", crew.env)
    done = subprocess.run(["tmux", "-S", str(socket), *words], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def test_each_agent_has_a_window_of_its_name_and_nothing_is_left_at_the_end(crew: Crew) -> None:
    crew.plan(
        task("a"),
        task("b"),
        task("c"),
        agents={"a": f"echo hello; {ACTS['wait']}", "b": "crash", "c": "wait"},
    )
    with crew.running("--tmux", "--workers", "3") as process:
        crew.begun("a")
        crew.begun("c")
        windows = tmux(crew, "list-windows", "-a", "-F", "#{session_name} #{window_name}")
        assert {"p a", "p c"} <= set(windows)
        crew.fleet("kill", "c")
        crew.go("a")
        lines(process)
    assert process.returncode == 1
    assert crew.states() == {"a": "integrated", "b": "blocked", "c": "rework"}
    assert "hello" in crew.fleet("log", "a", "--output")
    assert tmux(crew, "list-sessions") == []
    assert not list((crew.repo.path / ".git/fleet/run/p").glob("*/agent.json"))


def test_attach_without_a_terminal_shows_what_is_printed(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": f"echo hello; {ACTS['wait']}"})
    with crew.running("--tmux") as process:
        crew.begun("a")
        attached = subprocess.Popen(
            [*FLEET, "attach", "a"], cwd=crew.repo.path, env=crew.env, stdout=subprocess.PIPE, text=True
        )
        assert attached.stdout is not None
        assert "hello" in attached.stdout.readline()
        crew.go("a")  # it is watched until it ends
        attached.communicate(timeout=60)
        assert attached.returncode == 0
        lines(process)
    assert process.returncode == 0
