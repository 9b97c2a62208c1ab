"""Agents in panes of tmux behave as all others do, and can be looked at."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app import agents, outputs, panes
from git_fleet.app.agents import Agent
from git_fleet.core.config import Command
from git_fleet.core.ids import TaskId
from git_fleet.core.launch import Launch
from git_fleet.errors import GitFailed, InvalidInput
from tests.support.clock import START
from tests.support.dying import killed_at_every_step
from tests.support.minded import TASK, Crew, carriers, crew, ended, is_gone, python
from tests.support.race import race, until

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


@dataclasses.dataclass
class Paned(Crew):
    """A crew whose agents work in panes."""

    socket: Path = Path()

    def open(self, command: Command, *, task: TaskId = TASK) -> Agent:
        self.number += 1
        return panes.start(
            agents.folder_of(self.root, task),
            Launch(command, str(self.place), (), (), "a test"),
            socket=self.socket,
            env=dict(os.environ),
            task=task,
            fence="f" * 40,
            worker="w1",
            number=self.number,
            log=agents.log_of(self.root, task, 1, self.number),
            now=START,
        )

    def tmux(self, *words: str) -> list[str]:
        command = ["tmux", "-S", str(self.socket), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()

    def windows(self) -> list[str]:
        shown = "#{session_name} #{window_name}"
        return sorted(self.tmux("list-panes", "-a", "-F", shown))


@pytest.fixture
def staff(tmp_path: Path) -> Iterator[Paned]:
    """The repository's path is one that a shell, and tmux, would make something of."""
    folder = tmp_path / "it's #{pid} #(touch x) %H; $HOME"
    folder.mkdir()
    with crew(folder) as made:
        staff = Paned(made.root, made.place, socket=panes.socket_for(made.root, os.environ))
        try:
            yield staff
        finally:
            for each in agents.all_in(made.root):
                each.end(0.0)
            staff.tmux("kill-server")


@needs_tmux
def test_it_has_a_terminal_and_what_it_prints_is_kept(staff: Paned) -> None:
    agent = staff.open("test -t 0 && test -t 1 && test -t 2 && echo all; stty size; echo $TERM; pwd; exit 3")
    assert ended(agent).code == 3
    found = agent.tail().split("\n")
    assert found[:2] == ["all", "50 200"]
    assert found[2] not in ("", "dumb")
    assert found[3] == str(staff.place)
    assert agent.mode == "pane"


@needs_tmux
def test_its_pane_is_named_after_plan_and_task_and_stays_until_it_is_forgotten(staff: Paned) -> None:
    one, two = (
        staff.open("exit 3", task=TaskId("p.1", "a.b")),
        staff.open("exec sleep 1000", task=TaskId("q", "c")),
    )
    assert ended(one).code == 3
    assert staff.windows() == ["p_1 a.b", "q c"]
    agents.forget(one.folder)
    assert staff.windows() == ["q c"]
    two.end()
    assert staff.windows() == []


@needs_tmux
def test_an_argument_list_reaches_it_as_it_is(staff: Paned) -> None:
    words = ["$HOME", "#{pid}", "#(touch x)", "%H", ";", "a;", "'", '"', "", "x" * 100_000]
    code = "import json, os, sys; json.dump(sys.argv[1:], open('seen', 'w'))"
    agent = staff.open(python(code, *words))
    assert ended(agent).code == 0
    assert json.loads((staff.place / "seen").read_text()) == words
    assert sorted(path.name for path in staff.place.iterdir()) == ["seen"]


@needs_tmux
def test_what_is_typed_reaches_it_and_ctrl_c_too(staff: Paned) -> None:
    agent = staff.open("echo ready; read line; echo got $line; exec sleep 1000")
    until(lambda: agent.words() == "ready")
    staff.tmux("send-keys", "-t", agent.pane, "hello", "Enter")
    until(lambda: agent.words() == "got hello")
    staff.tmux("send-keys", "-t", agent.pane, "C-c")
    assert ended(agent).code == -signal.SIGINT


@needs_tmux
def test_its_terminal_is_as_large_as_the_pane(staff: Paned) -> None:
    code = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
while True:
    print(*os.get_terminal_size(), flush=True)
    signal.sigwait({signal.SIGWINCH})
"""
    agent = staff.open(python(code))
    until(lambda: agent.words() == "200 50")
    staff.tmux("resize-window", "-t", agent.pane, "-x", "90", "-y", "20")
    until(lambda: agent.words() == "90 20")
    agent.end()
    assert agent.tail().splitlines() == ["200 50", "90 20"]


@needs_tmux
def test_the_command_to_attach_names_its_pane(staff: Paned) -> None:
    agent = staff.open("exec sleep 1000")
    command = panes.attach_command(agent)
    assert command[:4] == ["tmux", "-u", "-S", str(staff.socket)]
    assert command[-2:] == ["-t", agent.pane]
    shown = subprocess.run(
        [*command[:-3], "display-message", "-p", "#{window_name}"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "a\n"
    agent.end()
    ordinary = staff.start("exit 0")
    ended(ordinary)
    with pytest.raises(InvalidInput, match="pane"):
        panes.attach_command(ordinary)


@needs_tmux
def test_it_outlives_tmux_and_what_it_prints_is_kept(staff: Paned) -> None:
    agent = staff.open("while [ ! -e on ]; do sleep 0.01; done; echo went on; exit 4")
    staff.tmux("kill-server")
    (staff.place / "on").touch()
    assert ended(agent).code == 4
    assert agent.tail() == "went on"


@needs_tmux
@pytest.mark.parametrize("first", ["nobody", "agent", "minder", "tmux"])
def test_nothing_survives_its_end(staff: Paned, first: str) -> None:
    agent = staff.open("trap '' HUP; setsid sleep 1000 & sleep 1000")
    until(lambda: len(carriers(agent.mark)) == 3)
    minder = agent._minder()
    if first == "tmux":
        staff.tmux("kill-server")
    elif first != "nobody":
        os.kill({"agent": agent.pid, "minder": minder}[first], signal.SIGKILL)
        assert ended(agent).code == (-9 if first == "agent" else None)
    found = agents.find(staff.folder)
    assert found is not None
    found.end(1.0)
    assert carriers(agent.mark) == []
    until(lambda: is_gone(minder))
    assert is_gone(agent.pid)
    assert staff.windows() == []


def _open_and_die(_: int, staff: Paned) -> None:
    staff.open("while [ ! -e on ]; do sleep 0.01; done; exit 3")
    os.kill(os.getpid(), signal.SIGKILL)


@needs_tmux
def test_it_outlives_its_starter(staff: Paned) -> None:
    race(1, _open_and_die, staff)
    agent = agents.find(staff.folder)
    assert agent is not None
    assert (agent.mode, agent.exit()) == ("pane", None)
    assert agent.pane.startswith("%")
    (staff.place / "on").touch()
    assert ended(agent).code == 3


@needs_tmux
def test_it_is_found_whenever_its_starter_is_killed(staff: Paned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("git_fleet.app.agent._MINDER_SECONDS", 0.5)
    ran = staff.place / "ran"
    for _ in killed_at_every_step(lambda: staff.open(python("open('ran', 'a').write('x')"))):
        agent = agents.find(staff.folder)
        count = 0
        if agent is not None:
            outcome = ended(agent)
            assert outcome.why in ("", "it never began")
            count = 1 if outcome.code == 0 else 0
            agents.forget(staff.folder)
        assert (ran.read_text() if ran.exists() else "") == "x" * count
        ran.unlink(missing_ok=True)
    found = agents.find(staff.folder)
    assert found is not None
    assert ended(found).code == 0


@needs_tmux
def test_many_windows_open_at_once(staff: Paned) -> None:
    outcomes = race(6, _open_one, staff)
    assert len(outcomes) == 6
    found = agents.all_in(staff.root)
    assert [ended(agent).code for agent in found] == list(range(6))
    assert staff.windows() == [f"p t{number}" for number in range(6)]


def _open_one(index: int, staff: Paned) -> None:
    staff.open(f"exit {index}", task=TaskId("p", f"t{index}"))


@needs_tmux
def test_starting_again_takes_the_place_of_the_pane_before(staff: Paned) -> None:
    assert ended(staff.open("echo one; exit 1")).code == 1
    second = staff.open("echo two; exit 2")
    assert ended(second).code == 2
    assert staff.windows() == ["p a"]
    assert ["".join(outputs.read(log)) for log in agents.output(staff.root, TASK)] == ["one\r\n", "two\r\n"]


@needs_tmux
def test_an_agent_that_cannot_be_started_is_said(staff: Paned) -> None:
    assert ended(staff.open(("no-such-program",))).why == (
        "cannot be started: no-such-program: No such file or directory"
    )


def test_without_tmux_it_is_said_what_to_do(staff: Paned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(staff.place))
    with pytest.raises(InvalidInput) as refused:
        staff.open("exit 0")
    assert refused.value.hint == "install tmux, or leave --tmux away"
    agent = agents.find(staff.folder)
    assert agent is not None
    assert ended(agent).why == "it never began"
    monkeypatch.undo()


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A folder with a short name."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_the_socket_is_short_and_in_a_folder_of_ones_own(tmp_path: Path, runtime: Path) -> None:
    env = {"XDG_RUNTIME_DIR": str(runtime)}
    root = tmp_path / "repo" / ".git" / "fleet"
    assert panes.socket_for(root, env).parent == runtime / "git-fleet"
    assert panes.socket_for(root, env) == panes.socket_for(root, env) != panes.socket_for(tmp_path, env)
    (runtime / "git-fleet").chmod(0o755)
    elsewhere = Path(f"/tmp/git-fleet-{os.getuid()}")
    assert panes.socket_for(root, env).parent == elsewhere
    long = runtime / ("x" * 100)
    long.mkdir()
    assert panes.socket_for(root, {"XDG_RUNTIME_DIR": str(long)}).parent == elsewhere
    assert panes.socket_for(root, {}).parent == elsewhere
    assert elsewhere.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_enter_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panes, "_is_private", lambda _: False)
    with pytest.raises(GitFailed, match="yours alone"):
        panes.socket_for(tmp_path, {})
