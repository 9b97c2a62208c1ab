from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from git_fleet.app import commands
from git_fleet.app.commands import LOG_BYTES, End, Ran
from git_fleet.core import allowlist
from git_fleet.core.config import Command
from git_fleet.errors import GitFailed

LINGER = "import os, signal, sys; {} ; os.write(1, b'ready\\n'); signal.alarm(1000); signal.pause()"


def run(
    command: Command,
    folder: Path,
    *,
    timeout: float = 30.0,
    grace: float = 2.0,
    stdin: bytes = b"",
    keep_out: bool = False,
    stop: threading.Event | None = None,
) -> Ran:
    return commands.run(
        command,
        folder,
        env=allowlist.environment(os.environ),
        log=folder / "log",
        timeout_seconds=timeout,
        grace_seconds=grace,
        stdin=stdin,
        keep_out=keep_out,
        stop=stop,
    )


def python(code: str, *args: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code, *args)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def no_survivors() -> Iterator[list[int]]:
    """Process ids to end after the test, should the code under test have failed to."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_string_goes_to_sh_and_a_list_is_executed_as_it_is(tmp_path: Path) -> None:
    as_string = run("echo $HOME | wc -l && echo '*'; exit 0", tmp_path)
    assert (as_string.end, as_string.code, as_string.tail.split()) == (End.EXITED, 0, ["1", "*"])
    as_list = run(("echo", "$HOME", "|", "wc"), tmp_path)
    assert (as_list.code, as_list.tail) == (0, "$HOME | wc")


def test_it_runs_in_its_folder_with_nothing_on_standard_input(tmp_path: Path) -> None:
    found = run("pwd -P; cat; read answer || echo end", tmp_path)
    assert found.tail == f"{tmp_path.resolve()}\nend"


def test_what_runs_out_of_time_gets_a_last_word(tmp_path: Path) -> None:
    code = LINGER.format("signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended politely'))")
    found = run(python(code), tmp_path, timeout=2.0)
    assert (found.end, found.code) == (End.OUT_OF_TIME, None)
    assert found.tail == "ready\nended politely"


def test_what_ignores_term_is_killed_with_all_its_children(tmp_path: Path, no_survivors: list[int]) -> None:
    fork = "signal.signal(signal.SIGTERM, signal.SIG_IGN); [os.fork() for _ in range(2)]; print(os.getpid(), flush=True)"
    found = run(python(LINGER.format(fork)), tmp_path, timeout=2.0, grace=0.1)
    pids = [int(line) for line in found.tail.split("\n") if line != "ready"]
    no_survivors += pids
    assert found.end is End.OUT_OF_TIME
    assert len(pids) == 4
    assert all(map(is_gone, pids))
    assert found.seconds < 10


@pytest.mark.parametrize(
    "way", ["pass", "os.setpgid(0, 0)", "os.setsid()", "os.setsid() ; os.fork() and os._exit(0)"]
)
def test_what_a_command_leaves_running_is_ended_and_not_waited_for(
    way: str, tmp_path: Path, no_survivors: list[int]
) -> None:
    """It holds the command's output open, in the group, in another one, in another session, as a daemon."""
    linger = f"{way} ; open('pid', 'w').write(str(os.getpid())); os.rename('pid', 'there')"
    code = f"import subprocess, sys, os\nsubprocess.Popen([sys.executable, '-S', '-c', {LINGER.format(linger)!r}])\n"
    code += "while not os.path.exists('there'): pass\nprint('done')"
    found = run(python(code), tmp_path)
    pid = int((tmp_path / "there").read_text())
    no_survivors.append(pid)
    assert (found.end, found.code) == (End.EXITED, 0)
    assert "done" in found.tail
    assert is_gone(pid)
    assert found.seconds < 20


def test_a_background_process_without_environment_is_ended_with_its_group(
    tmp_path: Path, no_survivors: list[int]
) -> None:
    found = run("env -i sleep 1000 & echo $!", tmp_path)
    no_survivors.append(int(found.tail))
    assert found.code == 0
    assert is_gone(int(found.tail))


def test_a_command_has_a_session_of_its_own(tmp_path: Path) -> None:
    """So it has no terminal to ask at, and Ctrl-C does not reach a part of it only."""
    found = run(python("import os; print(os.getsid(0) == os.getpid() == os.getpgrp())"), tmp_path)
    assert found.tail == "True"


def test_a_command_that_closes_its_output_and_goes_on_is_waited_for(tmp_path: Path) -> None:
    found = run("exec >&- 2>&-; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 7", tmp_path)
    assert found.code == 7


def test_an_interrupted_run_ends_its_command(tmp_path: Path, no_survivors: list[int]) -> None:
    """Ctrl-C in a terminal does not reach the command, which has a session of its own."""

    def interrupt() -> None:
        while not (tmp_path / "there").exists():
            pass
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    code = LINGER.format("open('pid', 'w').write(str(os.getpid())); os.rename('pid', 'there')")
    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        run(python(code), tmp_path)
    watcher.join()
    pid = int((tmp_path / "there").read_text())
    no_survivors.append(pid)
    assert is_gone(pid)


def test_a_command_that_is_interrupted_in_the_moment_it_begins_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_survivors: list[int]
) -> None:
    start = commands._start

    def interrupted(*args: Any) -> subprocess.Popen[bytes]:
        started.append(start(*args))
        raise KeyboardInterrupt

    started: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(commands, "_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("exec sleep 300", tmp_path)
    (process,) = started
    no_survivors.append(process.pid)
    with process:
        assert process.wait(timeout=60) == -signal.SIGTERM


def test_a_log_has_a_limit_and_says_what_was_cut(tmp_path: Path) -> None:
    lines = 3 * LOG_BYTES // 64
    code = f"import sys\nfor n in range({lines}): sys.stdout.write('%063d\\n' % n)"
    found = run(python(code), tmp_path)
    log = found.log.read_bytes()
    assert found.code == 0
    assert LOG_BYTES < len(log) < LOG_BYTES + 100
    cut = lines * 64 - LOG_BYTES
    assert f"\n[git-fleet left out {cut} bytes here]\n".encode() in log
    assert log.startswith(b"%063d\n" % 0)
    assert log.endswith(b"%063d\n" % (lines - 1))
    assert found.tail.endswith(f"{lines - 1:063}")
    assert len(found.tail) < 8192


def test_an_endless_printer_in_the_background_does_not_hold_the_command(tmp_path: Path) -> None:
    found = run("yes & exit 0", tmp_path)
    assert found.code == 0
    assert found.seconds < 20


def test_the_tail_is_safe_to_show(tmp_path: Path) -> None:
    found = run(r"printf '\033[31mred\033[0m\r\n10%%\r20%%\n\377\000end\n'", tmp_path)
    assert found.tail == "red\n10%\n20%\n\ufffdend"
    assert b"\033[31m" in found.log.read_bytes()


def test_secrets_agents_and_git_are_not_visible(tmp_path: Path) -> None:
    base = {
        "PATH": os.environ["PATH"], "HOME": "/h", "LC_ALL": "C", "JAVA_HOME": "/j", "https_proxy": "http://p:1",
        "AWS_SECRET_ACCESS_KEY": "s", "GITHUB_TOKEN": "s", "ANTHROPIC_API_KEY": "s", "SSH_AUTH_SOCK": "s",
        "HTTP_PROXY": "http://me:s@p:1", "GIT_DIR": "s", "FLEET_TASK": "s", "CLAUDECODE": "s", "PYTHONPATH": "s",
    }  # fmt: skip
    env = allowlist.environment(base, {"DATABASE_URL": "d", "FLEET_SLOT": "3"})
    assert set(env) == {"PATH", "HOME", "LC_ALL", "JAVA_HOME", "https_proxy", "DATABASE_URL", "FLEET_SLOT"}
    found = commands.run(("env",), tmp_path, env=env, log=tmp_path / "log", timeout_seconds=30)
    seen = {line.partition("=")[0] for line in found.tail.split("\n")}
    assert seen == set(env) | {"FLEET_GATE"}


def test_a_log_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GitFailed, match="cannot write the log"):
        commands.run("true", tmp_path, env={}, log=tmp_path / "file" / "log", timeout_seconds=30)


# --- standard input and output --------------------------------------------------------------------

PLENTY = json.dumps(["x" * 1000] * 8000).encode()  # far more than a pipe holds


def test_it_can_be_given_much_to_read_and_answer_much(tmp_path: Path) -> None:
    found = run("cat; echo done >&2", tmp_path, stdin=PLENTY, keep_out=True)
    assert found.code == 0
    assert found.out == PLENTY
    assert found.tail.endswith("done")


@pytest.mark.parametrize("reader", ["exec <&-; echo {}", "head -c 1 >/dev/null; echo {}", "echo {}"])
def test_nobody_has_to_read_what_is_there(reader: str, tmp_path: Path) -> None:
    found = run(reader, tmp_path, stdin=PLENTY, keep_out=True)
    assert (found.end, found.code, found.out) == (End.EXITED, 0, b"{}\n")


def test_what_does_not_read_still_has_its_time_limit(tmp_path: Path) -> None:
    assert run("sleep 1000", tmp_path, stdin=PLENTY, timeout=0.2).end is End.OUT_OF_TIME


def test_output_and_errors_are_told_apart_and_the_log_has_both(tmp_path: Path) -> None:
    found = run("echo out; echo err >&2", tmp_path, keep_out=True)
    assert found.out == b"out\n"
    assert sorted(found.log.read_text().splitlines()) == ["err", "out"]
    assert run("echo out", tmp_path).out == b""


def test_kept_output_has_a_limit_and_says_what_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "OUT_BYTES", 100_000)
    found = run(python("print('x' * 250_000, end='')"), tmp_path, keep_out=True)
    assert (len(found.out), found.out_cut) == (100_000, 150_000)
    assert found.log.stat().st_size == 250_000


# --- told to stop ---------------------------------------------------------------------------------


def test_a_command_that_is_told_to_stop_ends_at_once_with_all_it_started(
    tmp_path: Path, no_survivors: list[int]
) -> None:
    stop = threading.Event()
    code = LINGER.format("os.fork(); open(f'pid{os.getpid()}', 'w')")

    def tell() -> None:
        while len(list(tmp_path.glob("pid*"))) < 2:
            pass
        stop.set()

    teller = threading.Thread(target=tell)
    teller.start()
    found = run(python(code), tmp_path, stop=stop, timeout=600)
    teller.join()
    pids = [int(place.name.removeprefix("pid")) for place in tmp_path.glob("pid*")]
    no_survivors += pids
    assert (found.end, found.code) == (End.STOPPED, None)
    assert all(map(is_gone, pids))
    assert found.seconds < 60


def test_a_command_told_to_stop_before_it_began_does_not_begin(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    assert run("touch began", tmp_path, stop=stop).end is End.STOPPED
    assert not (tmp_path / "began").exists()


def test_several_run_at_once_and_each_ends_only_its_own(tmp_path: Path) -> None:
    """Each leaves a process behind, and goes on until the one before it is ended and cleared away."""

    def one(number: int) -> Ran:
        folder = tmp_path / str(number)
        folder.mkdir()
        wait = f"while ! test -e ../ended{number - 1}; do :; done" if number else "true"
        found = run(f"sleep 1000 & {wait}; cat", folder, stdin=b"%d" % number * 100_000, keep_out=True)
        (tmp_path / f"ended{number}").touch()
        return found

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, range(4)))
    assert [(each.end, each.code) for each in found] == [(End.EXITED, 0)] * 4
    assert [each.out for each in found] == [b"%d" % number * 100_000 for number in range(4)]


def test_a_run_that_is_still_ending_keeps_out_of_the_log_of_the_next(tmp_path: Path) -> None:
    wait = "echo old; touch began; until test -e over; do :; done; echo older"
    with ThreadPoolExecutor(1) as pool:
        old = pool.submit(run, wait, tmp_path)
        while not (tmp_path / "began").exists():
            pass
        new = run("echo new", tmp_path)
        (tmp_path / "over").touch()
    assert old.result().tail == "old\nolder"
    assert (new.tail, new.log.read_text()) == ("new", "new\n")
