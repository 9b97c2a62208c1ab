"""Agents are started, watched and ended, whatever they do, and found again whoever was killed."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil
import pytest

from git_fleet.app import agents, outputs
from git_fleet.core.ids import TaskId
from git_fleet.core.launch import File
from git_fleet.errors import Busy, GitFailed, InvalidInput, UnknownFormat
from tests.support.clock import START
from tests.support.dying import killed_at_every_step
from tests.support.minded import TASK, Crew, carriers, crew, ended, is_gone, python
from tests.support.race import race, until

MIB = 1024 * 1024
LINGER = "import os, signal, sys; {} ; os.write(1, b'ready\\n'); signal.alarm(1000); signal.pause()"


@pytest.fixture
def staff(tmp_path: Path) -> Iterator[Crew]:
    with crew(tmp_path) as made:
        yield made


def minder_of(agent: agents.Agent) -> int:
    """The minder's process id, once it has said so."""
    until(lambda: agent.pid != 0)
    found = json.loads((agent.folder / "started.json").read_bytes())["minder"]
    assert isinstance(found, int)
    return found


# --- how it ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", -9), ("kill $$", -15)]
)
def test_its_exit_code_is_known(staff: Crew, command: str, code: int) -> None:
    agent, found = staff.run(command)
    assert (found.code, found.why) == (code, "")
    assert found.at is not None
    assert abs((datetime.now(UTC) - found.at).total_seconds()) < 60
    assert agent.exit() == found


def test_it_is_on_record_as_it_was_started(staff: Crew) -> None:
    agent = staff.start("exec sleep 1000")
    until(lambda: agent.pid != 0)
    other = agents.find(staff.folder)
    assert other is not None
    seen = (
        other.task,
        other.fence,
        other.worker,
        other.number,
        other.began,
        other.log,
        other.pid,
        other.mode,
    )
    assert seen == (TASK, "f" * 40, "w1", 1, START, agent.log, agent.pid, "process")
    assert other.exit() is None
    until(lambda: psutil.Process(agent.pid).cwd() == str(staff.place))
    assert [each.task for each in agents.all_in(staff.root)] == [TASK]


def test_a_list_is_executed_as_it_is_with_its_whole_environment(staff: Crew) -> None:
    env = {"PATH": os.environ["PATH"], "ODD": "a=b\nc \udcff", "EMPTY": ""}
    code = (
        "import os, sys; print(sorted(set(os.environb) - {b'LC_CTYPE'}), os.environb[b'ODD'], sys.argv[1:])"
    )
    agent = staff.start(python(code, "$HOME", "*", "", "é\udcfe"), env=env)
    assert ended(agent).code == 0
    names = "[b'EMPTY', b'FLEET_AGENT', b'ODD', b'PATH']"
    assert agent.tail() == f"{names} b'a=b\\nc \\xff' ['$HOME', '*', '', 'é\\udcfe']"


def test_it_has_a_session_of_its_own_nothing_to_read_and_the_usual_signals(staff: Crew) -> None:
    code = (
        "import os, signal; print(os.getsid(0) == os.getpid(), os.read(0, 1), os.listdir('/dev/fd').__len__() - 1,"
        "[signal.getsignal(n) is signal.SIG_DFL for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)],"
        "signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    )
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        agent, _ = staff.run(python(code))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    assert agent.tail() == "True b'' 3 [True, True, True] set()"


def test_a_program_that_is_missing_and_a_worktree_that_is_gone_are_said(staff: Crew) -> None:
    _, found = staff.run(("no-such-program",))
    assert (found.code, found.why) == (None, "cannot be started: no-such-program: No such file or directory")
    script = staff.place / "script"
    script.write_text("echo")
    assert staff.run((str(script),))[1].why == f"cannot be started: {script}: Permission denied"
    found = ended(staff.start("exit 0", cwd=staff.place / "gone"))
    assert (found.code, found.why) == (None, "its worktree is gone")
    assert "its worktree: Not" not in found.why


def test_a_command_that_no_program_can_be_given_is_refused(staff: Crew) -> None:
    with pytest.raises(InvalidInput, match="NUL"):
        staff.start(("echo", "a\0b"))
    found = agents.find(staff.folder)
    assert found is not None
    assert ended(found) == agents.Exit(None, None, "it never began")


def test_its_files_are_written_first_for_its_owner_alone(staff: Crew) -> None:
    claim = staff.place / "claim.json"
    agent = staff.start(("cat", str(claim)), files=(File(str(claim), "the claim"),))
    ended(agent)
    assert agent.tail() == "the claim"
    private = [claim, *staff.folder.iterdir(), *staff.root.glob("output/*/*/*")]
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in private if path.suffix != ".json"} == {0}


def test_what_it_is_started_from_does_not_stay(staff: Crew) -> None:
    """It holds the environment, and with that the secrets there are."""
    agent = staff.start("exec sleep 1000", env={**os.environ, "SECRET": "hush"})
    until(lambda: agent.pid != 0)
    assert not [path for path in staff.root.rglob("*") if path.is_file() and b"hush" in path.read_bytes()]


# --- waiting -------------------------------------------------------------------------------------


def test_waiting_ends_at_its_time_and_as_soon_as_somebody_wakes(staff: Crew) -> None:
    agent = staff.start("exec sleep 1000")
    assert agent.wait(0.05) is None
    woken, waking = os.pipe()
    found: list[object] = []
    waiter = threading.Thread(target=lambda: found.append(agent.wait(60, woken)))
    waiter.start()
    os.write(waking, b"x")
    waiter.join(30)
    assert found == [None]
    agent.end()
    os.close(waking)
    os.close(woken)


@pytest.mark.parametrize("kind", ["own", "found", "without descriptors"])
def test_waiting_ends_with_the_agent(staff: Crew, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(staff.place / "go")
    agent = staff.start("read line <go; exit 3")
    other = agent if kind == "own" else agents.find(staff.folder)
    if kind == "without descriptors":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert other is not None
    found: list[agents.Exit | None] = []
    waiter = threading.Thread(target=lambda: found.append(other.wait(60)))
    waiter.start()
    (staff.place / "go").write_text("\n")
    waiter.join(30)
    assert [each and each.code for each in found] == [3]


def test_waiting_takes_no_time_of_the_processor(staff: Crew) -> None:
    agent = staff.start("exec sleep 1000")
    minder = psutil.Process(minder_of(agent))
    before = os.times(), minder.cpu_times()
    assert agent.wait(1.0) is None
    after = os.times(), minder.cpu_times()
    assert after[0].user + after[0].system - before[0].user - before[0].system < 0.1
    assert after[1] == before[1]


# --- what it prints ------------------------------------------------------------------------------


def test_both_streams_are_kept_in_order(staff: Crew) -> None:
    agent, _ = staff.run("for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf last")
    assert agent.tail() == "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\nlast"
    assert agent.tail(2) == "err 3\nlast"
    assert agent.words() == "last"
    assert "".join(outputs.read(agent.log)) == agent.tail()


def test_what_was_printed_can_be_seen_while_it_runs(staff: Crew) -> None:
    os.mkfifo(staff.place / "go")
    agent = staff.start("echo begun; read line <go; echo more; exec sleep 1000")
    until(lambda: agent.words() == "begun")
    first = agent.last_output()
    (staff.place / "go").write_text("\n")
    until(lambda: agent.words() == "more")
    second = agent.last_output()
    assert first is not None
    assert second is not None
    assert second >= first
    assert abs(second - staff.place.stat().st_ctime) < 60


def test_what_is_no_text_and_what_drives_a_terminal_is_made_harmless(staff: Crew) -> None:
    agent, _ = staff.run(python(r"import os; os.write(1, b'a\xff\x00b\r\n\x1b[31mred\x1b[0m 50%\r100%\n\n')"))
    assert agent.tail() == "a�b\nred 50%\n100%"
    assert agent.words() == "100%"
    assert "".join(outputs.read(agent.log)) == "a�\0b\r\n\x1b[31mred\x1b[0m 50%\r100%\n\n"


def test_a_gigabyte_blocks_nobody_and_leaves_its_beginning_and_its_end(staff: Crew) -> None:
    code = """
import os
os.write(1, b"first\\n")
block = b"x" * 1023 + b"\\n"
block *= 1024
for _ in range(1024):
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(1, rest):]
os.write(1, b"last\\n")
"""
    agent, found = staff.run(python(code), log_bytes=MIB)
    assert found.code == 0
    sizes = [part.path.stat().st_size for part in outputs.parts(agent.log)]
    assert len(sizes) == 3
    assert MIB * 3 // 4 <= sum(sizes) <= MIB
    text = "".join(outputs.read(agent.log))
    assert text.startswith("first\nxxx")
    assert text.endswith("x\nlast\n")
    said = f"\n[git-fleet left out {1024 * MIB + 11 - sum(sizes)} bytes here]\n"
    assert text.count(said) == 1
    assert len(text) == sum(sizes) + len(said)
    assert agent.words() == "last"


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 749, 750, 751, 1000, 1001, 2600])
def test_nothing_is_missing_that_is_not_said_to_be(staff: Crew, count: int) -> None:
    agent, _ = staff.run(
        python(f"import os\nfor i in range({count}): os.write(1, b'%d' % (i % 10))"), log_bytes=1000
    )
    whole = "".join(str(i % 10) for i in range(count))
    sizes = [part.path.stat().st_size for part in outputs.parts(agent.log)]
    assert sum(sizes) <= 1000
    head, gap, end = "".join(outputs.read(agent.log)).partition("\n[git-fleet left out ")
    number, _, rest = end.partition(" bytes here]\n")
    assert whole.startswith(head)
    if gap:
        assert len(head) == 500
        assert len(head) + int(number) + len(rest) == count
        assert whole.endswith(rest)
        assert len(rest) >= 250
    else:
        assert (head, count <= 1000) == (whole, True)


def test_closing_the_output_is_no_end(staff: Crew) -> None:
    _, found = staff.run("exec >&- 2>&-; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 7")
    assert found.code == 7


def test_what_stands_in_the_pipe_is_taken_at_the_end_though_a_survivor_holds_it_open(staff: Crew) -> None:
    agent, found = staff.run("sleep 1000 & head -c 60000 /dev/zero | tr '\\0' x; echo; echo end")
    assert found.code == 0
    assert agent.words() == "end"
    assert agent.log.stat().st_size == 60_005
    assert agent.sweep() == 1


# --- disks ---------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Leave nothing free: the file that takes it."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


def test_a_full_disk_costs_output_and_nothing_else(disk: Path, tmp_path: Path) -> None:
    with crew(disk) as staff:
        go, on = tmp_path / "go", tmp_path / "on"
        os.mkfifo(go)
        os.mkfifo(on)
        lines = "i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done"
        agent = staff.start(f"echo first; read l <{go}; {lines}; read l <{on}; echo last; exit 5")
        until(lambda: agent.words() == "first")
        filler = fill(disk)
        go.write_text("\n")
        with on.open("w") as pipe:  # opened once it has printed all its lines
            filler.unlink()
            pipe.write("\n")
        assert ended(agent).code == 5
        text = "".join(outputs.read(agent.log))
        assert text.startswith("first\n")
        assert text.endswith("\nlast\n")
        kept, _, rest = text.partition("\n[git-fleet left out ")
        number, _, rest = rest.partition(" bytes here]\n")
        assert len(kept) + int(number) + len(rest) == len("first\n") + 220_000 + len("last\n")


def test_how_it_ended_is_known_though_the_disk_is_full(disk: Path, tmp_path: Path) -> None:
    with crew(disk) as staff:
        go = tmp_path / "go"
        os.mkfifo(go)
        agent = staff.start(f"echo begun; read l <{go}; head -c 100000 /dev/zero; exit 5")
        until(lambda: agent.words() == "begun")
        filler = fill(disk)
        go.write_text("\n")
        assert ended(agent).code == 5
        assert "[git-fleet left out " in "".join(outputs.read(agent.log))
        with pytest.raises(GitFailed, match="No space left") as refused:
            staff.start("exit 0")
        assert "free some space" in refused.value.hint
        filler.unlink()


def test_a_limit_on_the_size_of_files_is_like_a_full_disk(staff: Crew) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        agent, found = staff.run("head -c 100000 /dev/zero; exit 5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert found.code == 5
    assert all(part.path.stat().st_size <= 5000 for part in outputs.parts(agent.log))


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "fleet").write_text("in the way")
    with crew(tmp_path) as staff, pytest.raises(GitFailed, match="cannot start an agent"):
        staff.start("exit 0")


# --- its end -------------------------------------------------------------------------------------


def test_it_is_asked_to_end_first(staff: Crew) -> None:
    agent = staff.start(python(LINGER.format("signal.signal(signal.SIGTERM, lambda *_: sys.exit('bye'))")))
    until(lambda: agent.words() == "ready")
    agent.end()
    assert agent.tail() == "ready\nbye"
    assert agent.exit() == ended(agent)
    assert ended(agent).code == 1
    agent.end()
    assert ended(agent).code == 1


def test_what_ignores_that_is_killed(staff: Crew) -> None:
    agent = staff.start(python(LINGER.format("signal.signal(signal.SIGTERM, signal.SIG_IGN)")))
    until(lambda: agent.words() == "ready")
    agent.end(0.1)
    assert ended(agent).code == -9


def test_it_can_be_ended_while_it_is_being_started(staff: Crew) -> None:
    for _ in range(5):
        agent = staff.start("exec sleep 1000")
        agent.end()
        assert ended(agent).code == -15
        assert carriers(agent.mark) == []


WAYS = ["pass", "os.setpgid(0, 0)", "os.setsid()", "os.setsid() ; os.fork() and os._exit(0)"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("first", ["agent", "minder", "nobody"])
def test_nothing_survives_its_end(staff: Crew, way: str, first: str) -> None:
    """In its group, another one, another session, as a daemon; whoever was killed before."""
    linger = f"{way} ; open('pid', 'w').write(str(os.getpid())); os.rename('pid', 'there')"
    code = f"import signal, subprocess, sys\nsubprocess.Popen([sys.executable, '-S', '-c', {LINGER.format(linger)!r}])\n"
    agent = staff.start(python(code + "signal.alarm(1000)\nsignal.pause()"))
    until((staff.place / "there").exists)
    pid = int((staff.place / "there").read_text())
    minder = minder_of(agent)
    if first != "nobody":
        os.kill(agent.pid if first == "agent" else minder, signal.SIGKILL)
        found = ended(agent)
        assert found.code == (-9 if first == "agent" else None)
        assert found.why == ("" if first == "agent" else "its minder was killed")
        assert not is_gone(pid)
    other = agents.find(staff.folder)
    assert other is not None
    other.end()
    assert is_gone(pid)
    assert is_gone(agent.pid)
    assert is_gone(minder)
    assert carriers(agent.mark) == []


@pytest.mark.parametrize("way", WAYS)
def test_what_it_leaves_running_is_swept_up(staff: Crew, way: str) -> None:
    linger = f"{way} ; open('pid', 'w').write(str(os.getpid())); os.rename('pid', 'there')"
    code = f"import os, subprocess, sys\nsubprocess.Popen([sys.executable, '-S', '-c', {LINGER.format(linger)!r}])\n"
    agent = staff.start(python(code + "while not os.path.exists('there'): pass\nos._exit(0)"))
    assert agent.sweep() == 0 or agent.exit() is not None
    assert ended(agent).code == 0
    pid = int((staff.place / "there").read_text())
    assert not is_gone(pid)
    assert agent.sweep() >= 1
    assert is_gone(pid)
    assert agent.sweep() == 0


def test_a_survivor_without_environment_is_found_in_the_session(staff: Crew) -> None:
    """In a group of its own, as a shell at a terminal gives each job."""
    code = "import os\npid = os.fork()\nif pid == 0:\n os.setpgid(0, 0)\n os.execve('/bin/sleep', ['x', '1000'], {})\n"
    agent = staff.start(python(code + "print(pid, flush=True)\nwhile not os.path.exists('on'): pass"))
    until(lambda: agent.words().isdecimal())
    until(lambda: Path(f"/proc/{agent.words()}/cmdline").read_bytes() == b"x\0001000\0")
    (staff.place / "on").touch()
    ended(agent)
    pid = int(agent.tail())
    assert os.getpgid(pid) == pid
    assert agent.sweep() == 1
    assert is_gone(pid)


def test_children_that_keep_forking_come_to_an_end(staff: Crew) -> None:
    """Each goes on in its child, after milliseconds. (They would stop by themselves, should nobody stop them.)"""
    code = """
import fcntl, os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
living = open("living", "w")
fcntl.flock(living, fcntl.LOCK_EX)  # for as long as one of them lives
if os.fork():
    signal.alarm(1000)
    signal.pause()
for _ in range(2):
    os.fork()
os.setsid() if os.getpgrp() != os.getpid() else None
print("ready", flush=True)
for _ in range(2000):
    if os.fork():
        os._exit(0)
    time.sleep(0.005)
"""
    agent = staff.start(python(code))
    until(lambda: agent.tail().count("ready") == 4)
    agent.end(0.1)
    assert ended(agent).code == -9
    with (staff.place / "living").open() as living:
        fcntl.flock(living, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_minder_that_was_stopped_does_not_keep_it_alive(
    staff: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("git_fleet.app.agent._MINDER_SECONDS", 0.2)
    agent = staff.start("exec sleep 1000")
    os.kill(minder_of(agent), signal.SIGSTOP)
    agent.end()
    assert ended(agent).why == "its minder was killed"
    assert is_gone(agent.pid)


def test_a_number_given_again_is_not_taken_for_the_agent(staff: Crew) -> None:
    """Its record says a process that began at another moment; whoever has its number now is let be."""
    staff.run("exit 0")
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as other:
        path = staff.folder / "started.json"
        said = json.loads(path.read_bytes())
        path.write_text(json.dumps(said | {"pid": other.pid, "start": said["start"] - 100}))
        found = agents.find(staff.folder)
        assert found is not None
        assert found.pid == other.pid
        assert found.sweep() == 0
        assert other.poll() is None
        other.kill()


def test_signals_of_a_terminal_do_not_reach_the_minder(staff: Crew) -> None:
    agent = staff.start("exec sleep 1000")
    minder = minder_of(agent)
    assert os.getsid(minder) == minder
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        os.kill(minder, number)
    assert agent.wait(0.1) is None
    os.kill(agent.pid, signal.SIGTERM)
    assert ended(agent).code == -15


# --- found again ---------------------------------------------------------------------------------


def test_it_is_found_whenever_its_starter_is_killed(staff: Crew) -> None:
    """Before it began: then it never does. After: then it goes on to its end. Never twice, never unknown."""
    ran = staff.place / "ran"
    outcomes = set()
    files = (File(str(staff.place / "claim"), "c"), File(str(staff.place / "prompt"), "p"))
    command = python("open('ran', 'a').write('x')")
    for _ in killed_at_every_step(lambda: staff.start(command, files=files)):
        agent = agents.find(staff.folder)
        count = 0
        if agent is not None:
            outcome = ended(agent)
            assert outcome.why in ("", "it never began")
            count = 1 if outcome.code == 0 else 0
            outcomes.add(outcome.why)
            agents.forget(staff.folder)
        assert (ran.read_text() if ran.exists() else "") == "x" * count
        ran.unlink(missing_ok=True)
    assert outcomes == {"it never began"}  # the last step is the start itself
    found = agents.find(staff.folder)
    assert found is not None
    assert ended(found).code == 0


def test_an_earlier_agent_of_the_folder_is_not_taken_for_a_new_one(staff: Crew) -> None:
    for _ in killed_at_every_step(lambda: staff.run("exit 4")):
        found = agents.find(staff.folder)
        if found is not None:
            assert (ended(found).code, ended(found).why) in ((4, ""), (None, "it never began"))
    staff.run("exit 5")
    for _ in killed_at_every_step(lambda: staff.run("exit 6")):
        found = agents.find(staff.folder)
        assert found is not None
        assert ended(found).code in (5, 6, None)
        agents.forget(staff.folder)
        staff.run("exit 5")


def _start_and_die(_: int, staff: Crew) -> None:
    staff.start("while [ ! -e on ]; do sleep 0.01; done; echo went on; exit 3")
    os.kill(os.getpid(), signal.SIGKILL)


def test_it_outlives_its_starter(staff: Crew) -> None:
    race(1, _start_and_die, staff)
    agent = agents.find(staff.folder)
    assert agent is not None
    assert agent.exit() is None
    (staff.place / "on").touch()
    assert ended(agent).code == 3
    assert agent.tail() == "went on"


def test_only_one_runs_in_a_folder(staff: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("git_fleet.app.minding._LOCK_SECONDS", 0.05)
    agent = staff.start("exec sleep 1000")
    with pytest.raises(Busy):
        staff.start("exit 0")
    with pytest.raises(Busy):
        agents.forget(staff.folder)
    agent.end()
    assert staff.run("exit 0")[1].code == 0
    agents.forget(staff.folder)
    agents.forget(staff.folder)
    assert agents.find(staff.folder) is None
    assert not staff.folder.exists()


def test_a_record_of_another_version_is_refused_and_a_broken_one_is_none(staff: Crew) -> None:
    staff.run("exit 0")
    path = staff.folder / "agent.json"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"v": 1', b'"v": 2'))
    with pytest.raises(UnknownFormat):
        agents.find(staff.folder)
    foreign = whole.replace(b'"p/a"', b'"p/b"')
    for broken in (b"", b"[]", b"{}", whole[:-5], foreign, whole.replace(b"+00:00", b"")):
        path.write_bytes(broken)
        assert (agents.find(staff.folder), agents.all_in(staff.root)) == (None, [])
    path.write_bytes(whole.replace(b"/1-1.log", b"/../../../../1-1.log"))
    found = agents.find(staff.folder)
    assert found is not None
    assert found.log == agents.log_of(staff.root, TASK, 1, 1)


def test_an_agent_is_over_once_another_is_on_record_in_its_folder(staff: Crew) -> None:
    first = staff.start("exec sleep 1000")
    until(lambda: first.pid != 0)
    ours = agents.find(staff.folder)
    assert ours is not None
    ours.end(0.0)
    second = staff.start("exec sleep 1000")
    assert first.exit() == agents.Exit(None, None, "its minder was killed")
    assert second.exit() is None


NUMBERS = ["-1", "0", "true", "4611686018427387904", "1e300", '"x"', "NaN"]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_that_are_none_harm_nobody(staff: Crew, number: str) -> None:
    agent = staff.start("exit 0")
    ended(agent)
    for name in ("started.json", "exit.json"):
        known = f'"pid":{number},"start":{number},"minder":{number},"pane":"%0;x","at":{number}'
        text = f'{{"v":1,"mark":"{agent.mark}",{known},"code":null,"step":"program","errno":{number}}}'
        (staff.folder / name).write_text(text)
    found = agents.find(staff.folder)
    assert found is not None
    assert (found.pid, found.pane) == (0, "")
    how = found.exit()
    assert how is not None
    assert how.why.startswith("cannot be started")
    assert found.sweep() == 0
    found.end(0.0)


def test_a_number_of_somebody_else_is_not_taken_for_the_minder(
    staff: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("git_fleet.app.agent._MINDER_SECONDS", 0.2)
    agent = staff.start("exec sleep 1000")
    until(lambda: agent.pid != 0)
    os.kill(minder_of(agent), signal.SIGSTOP)
    with subprocess.Popen(["sleep", "1000"]) as bystander:
        path = staff.folder / "started.json"
        document = json.loads(path.read_bytes()) | {"minder": bystander.pid}
        path.write_text(json.dumps(document))
        subprocess.run([sys.executable, "-c", ENDS, str(staff.folder)], check=True)
        assert bystander.poll() is None
        bystander.kill()


ENDS = """
import sys; from pathlib import Path; from git_fleet.app import agent, agents
agent._MINDER_SECONDS = 0.2
agents.find(Path(sys.argv[1])).end(0.0)
"""


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_keeps_nobody_waiting(staff: Crew, make: Callable[[Path], None]) -> None:
    agent = staff.start("exit 0")
    ended(agent)
    log = agent.log
    for path in (staff.folder / "order", staff.folder / "exit.json", Path(f"{log}.1"), Path(f"{log}.2")):
        path.unlink(missing_ok=True)
        make(path)
    found = agents.find(staff.folder)
    assert found is not None
    assert (found.order(), found.tail(), "".join(outputs.read(log))) == (None, "", "")
    assert found.exit() is not None


def test_a_log_is_written_nowhere_else(staff: Crew, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    log = agents.log_of(staff.root, TASK, 1, 1)
    log.parent.mkdir(parents=True)
    log.symlink_to(victim)
    os.mkfifo(agents.log_of(staff.root, TASK, 1, 2))
    assert staff.run("echo theirs")[1].code == 0
    assert staff.run("echo theirs")[1].code == 0
    assert victim.read_text() == "mine\n"
    assert outputs.tail(log, 1) == "theirs"  # in a piece beside it


@pytest.mark.parametrize("junk", [b"", b"[]", b'{"mark":1}', b'{"v":1,"mark":"%b","code":"x"}', b"\xff" * 9])
def test_what_others_write_into_its_folder_changes_nothing(
    staff: Crew, junk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("git_fleet.app.agent._MINDER_SECONDS", 0.2)
    agent = staff.start("exec sleep 1000")
    until(lambda: agent.pid != 0)
    (staff.folder / "order").write_bytes(junk)
    (staff.folder / "started.json").write_bytes(junk.replace(b"%b", b"another"))
    found = agents.find(staff.folder)
    assert found is not None
    assert (found.pid, found.order(), found.exit()) == (0, None, None)
    agent.end()


# --- orders --------------------------------------------------------------------------------------


def test_an_order_is_there_until_it_is_cleared(staff: Crew) -> None:
    agent = staff.start("exit 0")
    assert agent.order() is None
    agents.leave_order(staff.folder, "kill", by="ann", at=START, fence="of another claim")
    assert agent.order() is None
    agents.leave_order(staff.folder, "fresh", by="bob", at=START, fence=agent.fence)
    found = agent.order()
    assert found is not None
    assert (found.order, found.by, found.at) == ("fresh", "bob", START)
    agents.clear_order(staff.folder)
    agents.clear_order(staff.folder)
    assert agents.read_order(staff.folder, agent.fence) is None
    with pytest.raises(InvalidInput) as refused:
        agents.leave_order(staff.folder, "dance", by="ann", at=START, fence=agent.fence)
    assert "kill, restart, fresh" in refused.value.hint
    ended(agent)


def test_agents_of_many_tasks_run_at_once(staff: Crew) -> None:
    started = [staff.start(f"exit {number}", task=TaskId("p", f"t{number}")) for number in range(12)]
    assert [ended(agent).code for agent in started] == list(range(12))
    assert [agent.task.task for agent in agents.all_in(staff.root)] == sorted(f"t{n}" for n in range(12))
    check = partial(agents.output, staff.root)
    assert [len(check(agent.task)) for agent in started] == [1] * 12
