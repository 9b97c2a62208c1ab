from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from git_fleet.app.checkouts import Checkouts
from git_fleet.app.gates import (
    LOG_BYTES,
    GateResult,
    Outcome,
    environment_digest,
    gate_environment,
    gates_of,
    run_gate,
    run_gates,
)
from git_fleet.core.config import Command, Config, Gate
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Task
from git_fleet.errors import GitFailed
from git_fleet.git.repository import discover
from tests.support.repo import Repo

LINGER = "import os, signal, sys, time; {} ; os.write(1, b'ready\\n'); time.sleep(1000)"


def run(
    command: Command,
    folder: Path,
    *,
    timeout: float = 30.0,
    grace: float = 2.0,
    env: dict[str, str] | None = None,
) -> GateResult:
    gate = Gate("tests", command, timeout)
    environment = gate_environment(os.environ, env)
    return run_gate(gate, folder, env=environment, log=folder / "log", grace_seconds=grace)


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
    assert (as_string.outcome, as_string.code, as_string.tail.split()) == (Outcome.PASS, 0, ["1", "*"])
    as_list = run(("echo", "$HOME", "|", "wc"), tmp_path)
    assert (as_list.outcome, as_list.tail) == (Outcome.PASS, "$HOME | wc")


def test_it_runs_in_its_folder_with_nothing_on_standard_input(tmp_path: Path) -> None:
    found = run("pwd -P; cat; read answer || echo end", tmp_path)
    assert found.tail == f"{tmp_path.resolve()}\nend"


def test_an_exit_code_is_a_failure_with_its_output_kept(tmp_path: Path) -> None:
    found = run("echo out; echo err >&2; exit 3", tmp_path)
    assert (found.outcome, found.code, found.reason) == (Outcome.FAIL, 3, "exit code 3")
    assert found.log.read_text() == "out\nerr\n"
    assert found.tail == "out\nerr"
    assert 0 < found.seconds < 30


def test_a_crash_is_a_failure(tmp_path: Path) -> None:
    found = run("kill -SEGV $$", tmp_path)
    assert (found.outcome, found.code) == (Outcome.FAIL, -signal.SIGSEGV)
    assert "Segmentation fault" in found.reason


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("no-such-command-anywhere", "not found or cannot be executed (exit code 127)"),
        ("./plain", "not found or cannot be executed (exit code 126)"),
        (("no-such-command-anywhere",), "cannot be started: No such file or directory"),
        (("./plain",), "cannot be started: Permission denied"),
        (("./headless",), "cannot be started: Exec format error"),
        (("a\0b",), "cannot be started: embedded null byte"),
        ((), "cannot be started: its command is empty"),
    ],
)
def test_what_cannot_run_is_an_error_and_no_failure(command: Command, reason: str, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "headless").write_text("no program\n")
    (tmp_path / "headless").chmod(0o755)
    found = run(command, tmp_path)
    assert found.outcome is Outcome.ERROR
    assert found.reason.endswith(reason)


def test_a_list_is_not_judged_by_the_codes_of_shells(tmp_path: Path) -> None:
    assert run(python("raise SystemExit(127)"), tmp_path).outcome is Outcome.FAIL


def test_a_checkout_that_is_gone_is_an_error(tmp_path: Path) -> None:
    gate = Gate("tests", "true")
    found = run_gate(gate, tmp_path / "gone", env=dict(os.environ), log=tmp_path / "log")
    assert (found.outcome, found.reason) == (Outcome.ERROR, "its checkout is gone")


def test_out_of_time_is_a_failure_that_keeps_the_last_words(tmp_path: Path) -> None:
    code = LINGER.format("signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended politely'))")
    found = run(python(code), tmp_path, timeout=0.4)
    assert (found.outcome, found.code, found.reason) == (Outcome.FAIL, None, "ran out of time (0.4 s)")
    assert found.tail == "ready\nended politely"


def test_what_ignores_term_is_killed_with_all_its_children(tmp_path: Path, no_survivors: list[int]) -> None:
    fork = "signal.signal(signal.SIGTERM, signal.SIG_IGN); [os.fork() for _ in range(2)]; print(os.getpid(), flush=True)"
    found = run(python(LINGER.format(fork)), tmp_path, timeout=0.4, grace=0.1)
    pids = [int(line) for line in found.tail.split("\n") if line != "ready"]
    no_survivors += pids
    assert found.reason == "ran out of time (0.4 s)"
    assert len(pids) == 4
    assert all(map(is_gone, pids))
    assert found.seconds < 10


@pytest.mark.parametrize(
    "way", ["pass", "os.setpgid(0, 0)", "os.setsid()", "os.setsid() ; os.fork() and os._exit(0)"]
)
def test_what_a_passing_gate_leaves_running_is_ended_and_not_waited_for(
    way: str, tmp_path: Path, no_survivors: list[int]
) -> None:
    """It holds the gate's output open, in the group, in another one, in another session, as a daemon."""
    linger = f"{way} ; open('pid', 'w').write(str(os.getpid())); os.rename('pid', 'there')"
    code = f"import subprocess, sys, os\nsubprocess.Popen([sys.executable, '-S', '-c', {LINGER.format(linger)!r}])\n"
    code += "while not os.path.exists('there'): pass\nprint('done')"
    found = run(python(code), tmp_path)
    pid = int((tmp_path / "there").read_text())
    no_survivors.append(pid)
    assert (found.outcome, found.code) == (Outcome.PASS, 0)
    assert "done" in found.tail
    assert is_gone(pid)
    assert found.seconds < 20


def test_a_background_process_without_environment_is_ended_with_its_group(
    tmp_path: Path, no_survivors: list[int]
) -> None:
    found = run("env -i sleep 1000 & echo $!", tmp_path)
    no_survivors.append(int(found.tail))
    assert found.outcome is Outcome.PASS
    assert is_gone(int(found.tail))


def test_a_gate_has_a_session_of_its_own(tmp_path: Path) -> None:
    """So it has no terminal to ask at, and Ctrl-C does not reach a part of it only."""
    found = run(python("import os; print(os.getsid(0) == os.getpid() == os.getpgrp())"), tmp_path)
    assert found.tail == "True"


def test_a_gate_that_closes_its_output_and_goes_on_is_waited_for(tmp_path: Path) -> None:
    found = run("exec >&- 2>&-; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 7", tmp_path)
    assert found.code == 7


def test_an_interrupted_run_ends_its_gate(tmp_path: Path, no_survivors: list[int]) -> None:
    """Ctrl-C in a terminal does not reach the gate, which has a session of its own."""

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


def test_a_log_has_a_limit_and_says_what_was_cut(tmp_path: Path) -> None:
    lines = 3 * LOG_BYTES // 64
    code = f"import sys\nfor n in range({lines}): sys.stdout.write('%063d\\n' % n)"
    found = run(python(code), tmp_path)
    log = found.log.read_bytes()
    assert found.outcome is Outcome.PASS
    assert LOG_BYTES < len(log) < LOG_BYTES + 100
    cut = lines * 64 - LOG_BYTES
    assert f"\n[git-fleet left out {cut} bytes here]\n".encode() in log
    assert log.startswith(b"%063d\n" % 0)
    assert log.endswith(b"%063d\n" % (lines - 1))
    assert found.tail.endswith(f"{lines - 1:063}")
    assert len(found.tail) < 8192


def test_an_endless_printer_in_the_background_does_not_hold_the_gate(tmp_path: Path) -> None:
    found = run("yes & exit 0", tmp_path)
    assert found.outcome is Outcome.PASS
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
    env = gate_environment(base, {"DATABASE_URL": "d", "FLEET_SLOT": "3"})
    assert set(env) == {"PATH", "HOME", "LC_ALL", "JAVA_HOME", "https_proxy", "DATABASE_URL", "FLEET_SLOT"}
    found = run_gate(Gate("env", ("env",)), tmp_path, env=env, log=tmp_path / "log")
    seen = {line.partition("=")[0] for line in found.tail.split("\n")}
    assert seen == set(env) | {"FLEET_GATE"}


def test_equal_environments_have_equal_digests() -> None:
    one = environment_digest({"A": "1", "B": "2"})
    assert one == environment_digest({"B": "2", "A": "1"})
    assert one != environment_digest({"A": "1", "B": "3"})
    assert environment_digest({"A": "1\0B=2"}) != ""


def test_a_log_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GitFailed, match="cannot write the gate's log"):
        run_gate(Gate("tests", "true"), tmp_path, env={}, log=tmp_path / "file" / "log")


def test_the_repositorys_gates_come_before_the_tasks_own() -> None:
    task = Task(id=TaskId("p", "t"), title="t", slug="t", accept=("./check", "true"))
    gates = gates_of(Config(gates=(Gate("lint", "ruff"),)), task)
    assert [(gate.name, gate.run) for gate in gates] == [
        ("lint", "ruff"),
        ("accept 1", "./check"),
        ("accept 2", "true"),
    ]


# --- several gates in a checkout ------------------------------------------------------------------


def run_all(repo: Repo, folder: Path, *commands: Command) -> tuple[GateResult, ...]:
    gates = [Gate(f"gate/{number}", command, 30.0) for number, command in enumerate(commands, 1)]
    env = gate_environment(os.environ)
    with Checkouts(discover(repo.path), folder / "cache").checkout(repo.rev("main")) as checkout:
        return run_gates(gates, checkout, env=env, log_dir=folder / "logs")


def test_gates_run_in_order_up_to_the_first_that_does_not_pass(repo: Repo, tmp_path: Path) -> None:
    results = run_all(repo, tmp_path, "cat README.md", "exit 1", "true")
    assert [(each.name, each.outcome) for each in results] == [
        ("gate/1", Outcome.PASS),
        ("gate/2", Outcome.FAIL),
    ]
    assert results[0].log == tmp_path / "logs" / "1-gate-1.log"
    assert results[0].log.read_text() == "# scratch\n"


def test_each_gate_finds_the_checkout_clean(repo: Repo, tmp_path: Path) -> None:
    spoil = "echo changed > README.md; echo x > new; git add new"
    look = 'test -z "$(git status --porcelain)" && grep -q scratch README.md'
    first, second = run_all(repo, tmp_path, spoil, look)
    assert (first.outcome, set(first.changed)) == (Outcome.PASS, {"README.md", "new"})
    assert (second.outcome, second.changed) == (Outcome.PASS, ())


def test_a_gate_that_removes_its_checkout_does_not_spoil_the_next(repo: Repo, tmp_path: Path) -> None:
    first, second = run_all(repo, tmp_path, 'rm -rf "$PWD"', "cat README.md")
    assert (first.outcome, first.changed) == (Outcome.PASS, (".",))
    assert (second.outcome, second.tail) == (Outcome.PASS, "# scratch")


def test_a_running_gate_keeps_its_checkout_taken(repo: Repo, tmp_path: Path) -> None:
    """It inherits the lock, so the checkout is nobody else's even when whoever runs the gate is killed."""
    code = (
        "import os, fcntl, sys\nfcntl.flock(int(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)\nprint('ours')"
    )
    with Checkouts(discover(repo.path), tmp_path / "cache").checkout(repo.rev("main")) as checkout:
        gate = Gate("tests", python(code, str(checkout.lock)))
        (found,) = run_gates([gate], checkout, env=gate_environment(os.environ), log_dir=tmp_path / "logs")
    assert found.tail == "ours"
