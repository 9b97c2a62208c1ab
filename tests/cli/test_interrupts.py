"""Signals that end a command early: what it has started ends, and nobody leads, however impatient the sender is."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from git_fleet.cli.interrupts import Interrupts
from git_fleet.git.process import Git
from git_fleet.store import lead
from tests.support.fleet import approved, claimed, open_fleet, proposed, task
from tests.support.repo import Repo

PATIENCE_SECONDS = 60
CONTROLLED = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # from now on its end is a hang-up for us
os.execv(sys.argv[1], sys.argv[1:])
"""
DEAF = """
import os, sys
from pathlib import Path
from git_fleet.app import commands
from git_fleet.cli.interrupts import Interrupts
gate, log = "exec 2>&-; trap 'echo $$ >told' TERM; echo $$ >told; while :; do sleep 1; done", Path("log")
with Interrupts():
    try:
        commands.run(gate, Path(), env=os.environ, log=log, timeout_seconds=300, grace_seconds=300)
    except KeyboardInterrupt:
        print("in order")
"""
INTEGRATE = (sys.executable, "-m", "git_fleet", "integrate")


class Gates:
    """The processes that say their ids in the pipe `told`."""

    def __init__(self, told: Path) -> None:
        os.mkfifo(told)
        self._told = os.open(told, os.O_RDWR)
        self.known: list[psutil.Process] = []

    def next(self) -> psutil.Process:
        """One more, as soon as it runs."""
        assert select.select([self._told], [], [], PATIENCE_SECONDS)[0], "no gate has begun"
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self._told, 1)  # the next line may be another's
        self.known.append(psutil.Process(int(line)))
        return self.known[-1]

    def close(self) -> None:
        for gate in filter(alive, self.known):
            gate.kill()
        os.close(self._told)


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Gates]:
    made = Gates(tmp_path / "told")
    yield made
    made.close()


@pytest.fixture
def hanging(repo: Repo, tmp_path: Path) -> Repo:
    """Two tasks are handed in; the gate says its id and hangs."""
    run = f"echo $$ >{tmp_path / 'told'}; exec sleep 300"
    repo.commit("Set up", {"fleet.toml": f'version = 1\n[[gate]]\nname = "hangs"\nrun = "{run}"\n'})
    with open_fleet(repo) as session:
        approved(session, task("a"), task("b"))
        for name in ("a", "b"):
            claimed(session, name)
            proposed(session, name)
    return repo


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def nobody_leads(repo: Repo) -> bool:
    with open_fleet(repo) as session:
        return lead.read(session.store).state.fence is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_gates_and_gives_the_lead_up(
    hanging: Repo, gates: Gates, number: signal.Signals
) -> None:
    before = hanging.rev("main")
    with subprocess.Popen([*INTEGRATE, "--jobs", "2"], cwd=hanging.path, stderr=subprocess.PIPE) as process:
        assert all(alive(gates.next()) for _ in range(2))
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 128 + number
    assert said.splitlines()[-1] == b"git-fleet: interrupted; git fleet integrate goes on"
    assert b"Traceback" not in said
    assert not any(map(alive, gates.known))
    assert nobody_leads(hanging)
    assert hanging.rev("main") == before


def test_an_interrupted_run_says_how_much_has_landed(hanging: Repo, gates: Gates, tmp_path: Path) -> None:
    run = f"[ ! -e b ] || {{ echo $$ >{tmp_path / 'told'}; exec sleep 300; }}"
    hanging.commit("Hang at b", {"fleet.toml": f"version = 1\n[[gate]]\nname = 'hangs'\nrun = '{run}'\n"})
    with subprocess.Popen(INTEGRATE, cwd=hanging.path, stderr=subprocess.PIPE) as process:
        gates.next()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    last = said.splitlines()[-1]
    assert last == b"git-fleet: interrupted; 1 task landed before that; git fleet integrate goes on"


def test_signals_after_the_first_do_not_cut_the_end_of_a_deaf_gate_short(
    tmp_path: Path, gates: Gates
) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", DEAF], cwd=tmp_path, stdout=pipe, stderr=pipe) as process:
        gate = gates.next()
        assert process.stderr is not None
        process.send_signal(signal.SIGTERM)
        assert (
            gates.next() == gate
        )  # it has been asked to end, so the first signal has arrived before the second is sent
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
            assert b"SIGQUIT" in process.stderr.readline() + process.stderr.readline()
        assert alive(gate)  # which is waited for all the while
        gate.kill()
        assert process.communicate(timeout=PATIENCE_SECONDS)[0] == b"in order\n"
    assert not alive(gate)


def test_a_terminal_that_is_closed_ends_the_run_that_was_started_there(hanging: Repo, gates: Gates) -> None:
    master, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", CONTROLLED, *INTEGRATE],
        cwd=hanging.path,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        gates.next()
        os.close(master)
        assert process.wait(timeout=PATIENCE_SECONDS) == 128 + signal.SIGHUP
    assert not any(map(alive, gates.known))
    assert nobody_leads(hanging)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_git_that_is_being_started_is_ended(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """The signal comes when the process is there, and Python knows nothing of it yet."""
    started: list[int] = []

    def fork(*args: Any) -> int:
        started.append(real(*args))
        signal.raise_signal(number)
        return started[0]

    real = subprocess._fork_exec  # type: ignore[attr-defined]
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "_fork_exec", fork)
        with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
            Git(repo.path).run("-c", "alias.sleeps=!exec sleep 1000", "sleeps")
    assert interrupts.exit_code == 128 + number
    with pytest.raises(ChildProcessError):  # it has ended, and was waited for
        os.waitpid(started[0], os.WNOHANG)
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)  # at once, as ever
    assert Git(repo.path).run("version").code == 0


def test_what_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_who_has_waited_long_may_interrupt_again() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts(patience_seconds=0.0) as interrupts:
        for number in (signal.SIGTERM, signal.SIGINT):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
    assert interrupts.exit_code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_echo_of_a_signal_is_not_a_second_one(capfd: pytest.CaptureFixture[str]) -> None:
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # as git hands it on
        assert capfd.readouterr().err == ""
        signal.raise_signal(signal.SIGTERM)
        assert "SIGQUIT" in capfd.readouterr().err
    assert interrupts.exit_code == 128 + signal.SIGINT


def test_a_command_may_run_in_any_thread() -> None:
    codes: list[int] = []

    def work() -> None:
        with Interrupts() as interrupts:
            codes.append(interrupts.exit_code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert codes == [128 + signal.SIGINT]


def test_ctrl_c_while_modules_come_ends_it_without_a_word() -> None:
    pressed = """
import signal, sys
class Pressed:
    def find_spec(self, name, *_):
        if name == "git_fleet.cli.main":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Pressed())
from git_fleet.__main__ import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", pressed, "status"], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")
