"""A run that is killed at any moment, stopped for longer than its leases, on a full disk, under a clock that jumps:
started again it ends as it would have, and nothing that was written is lost.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from git_fleet.app.running import run as running
from git_fleet.app.running.desk import Options
from git_fleet.app.session import open_session
from git_fleet.core.running import RunResult
from tests.support.clock import FakeClock
from tests.support.fleet import surroundings, task
from tests.support.repo import Repo, make_repo
from tests.support.runs import FLEET, Crew, lines, writes
from tests.support.worlds import assert_reachable

pytestmark = pytest.mark.slow
COMMITS = f'{writes("new")}; git add -A; git diff --cached --quiet || git commit -qm "Do $T"'
GATE = '\n[[gate]]\nname = "seen"\nrun = "touch {folder}/gated"\n'


def the_whole(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The run with all that it started: git, verify and integrate, minders and agents."""
    run = psutil.Process(process.pid)
    return [run, *run.children(recursive=True)]


def as_soon_as(condition: Callable[[], object]) -> None:
    """Wait for a moment that is short."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "this does not come about"


def signal_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    for each in processes:
        with suppress(psutil.Error):
            each.send_signal(number)


# --- killed --------------------------------------------------------------------------------------


def _ref(name: str) -> Callable[[Crew], object]:
    return lambda crew: (crew.repo.path / ".git/refs" / name).exists()


def _there(pattern: str) -> Callable[[Crew], object]:
    return lambda crew: next(crew.repo.path.glob(pattern), None)


MOMENTS: dict[str, Callable[[Crew], object]] = {
    "claimed": _ref("fleet/task/p/a"),
    "branch": _ref("heads/feature/a-do-a"),
    "worktree": _there(".git/worktrees/*a-do-a"),
    "placed": _there(".git/worktrees/*a-do-a/fleet.json"),
    "on record": _there(".git/fleet/run/p/a/agent.json"),
    "started": _there(".git/fleet/run/p/a/started.json"),
    "at work": lambda crew: crew.starts(),
    "ended": _there(".git/fleet/run/p/a/exit.json"),
    "proposal": _ref("fleet/proposal/p/a/1"),
    "lead": _ref("fleet/lead"),
    "gated": lambda crew: (crew.folder / "gated").exists(),
    "evidence": _ref("notes/fleet/evidence"),
}


@pytest.mark.parametrize("whole", [False, True], ids=["alone", "with all it started"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_killed_ends_as_it_would_have_when_it_is_run_again(
    repo: Repo, tmp_path: Path, moment: str, whole: bool
) -> None:
    crew = Crew(repo, tmp_path, worker="retries = 0" + GATE.format(folder=tmp_path))
    crew.plan(task("a"), task("b"), task("c", needs=["a"]), agents={"a": COMMITS, "b": writes("all")})
    with crew.running("--workers", "2") as process:
        as_soon_as(lambda: MOMENTS[moment](crew) or process.poll() is not None)
        signal_all(the_whole(process) if whole else [psutil.Process(process.pid)], signal.SIGKILL)
        process.wait()
        found = crew.run("--workers", "2")
    assert found["ended"] == "complete"
    assert crew.states() == dict.fromkeys("abc", "integrated")
    assert repo.run_git("show", "main:b/new") == "all of b"
    assert_reachable(repo, b"new of a\n", b"all of b\n")
    assert len(repo.run_git("log", "--format=%s", "--grep=Do", "main").splitlines()) == 3
    assert not crew.alive()
    crew.sound()


def test_a_run_that_is_killed_again_and_again_comes_to_its_end(repo: Repo, tmp_path: Path) -> None:
    crew = Crew(repo, tmp_path, worker="retries = 1", config="max_attempts = 20")
    names = ["a", "b", "c", "d"]
    crew.plan(*(task(name) for name in names), agents=dict.fromkeys(names, writes("all")))
    for number in range(1, 5):
        with crew.running("--workers", "2") as process:
            as_soon_as(partial(_has_started, crew, number, process))
            signal_all(the_whole(process) if number % 2 else [psutil.Process(process.pid)], signal.SIGKILL)
            process.wait()
    crew.run("--workers", "2")
    assert set(crew.states().values()) == {"integrated"}
    assert_reachable(repo, *(f"all of {name}\n".encode() for name in names))
    crew.sound()


def _has_started(crew: Crew, number: int, process: subprocess.Popen[str]) -> bool:
    return len(crew.starts()) >= number or process.poll() is not None


def test_an_integration_that_is_killed_is_done_again(repo: Repo, tmp_path: Path) -> None:
    gate = f'\n[[gate]]\nname = "slow"\nrun = "touch {tmp_path}/gated; until [ -e {tmp_path}/go ]; do sleep 0.05; done"\n'
    crew = Crew(repo, tmp_path, worker="retries = 0" + gate)
    crew.plan(task("a"))
    with crew.running("--json") as process:
        as_soon_as((tmp_path / "gated").exists)
        run = psutil.Process(process.pid)
        signal_all([child for child in run.children() if _is_integrating(child)], signal.SIGKILL)
        (tmp_path / "go").touch()
        out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert not json.loads(out)["troubles"]
    assert crew.states() == {"a": "integrated"}
    crew.sound()


def _is_integrating(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "integrate" in process.cmdline()
    return False


def test_a_run_whose_gits_are_killed_goes_on(repo: Repo, tmp_path: Path) -> None:
    """Out of memory, say: the readers and writers that its threads keep are all gone at once."""
    crew = Crew(repo, tmp_path, config="breaker = 100")
    crew.plan(task("a"), task("b"), task("c", needs=["a"]), agents={"a": "wait", "b": "wait"})
    with crew.running("--workers", "2", "--json") as process:
        crew.begun("a")
        crew.begun("b")
        gits = [child for child in psutil.Process(process.pid).children() if child.name() == "git"]
        assert gits
        signal_all(gits, signal.SIGKILL)
        crew.go("a")
        crew.go("b")
        out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert json.loads(out)["ended"] == "complete"
    assert_reachable(repo, b"begun\n")
    crew.sound()


def test_only_one_run_works_on_a_plan(repo: Repo, tmp_path: Path) -> None:
    crew = Crew(repo, tmp_path)
    crew.plan(task("a"), agents={"a": "wait"})
    with crew.running() as process:
        crew.begun("a")
        crew.fleet("run", code=3)
        crew.go("a")
        lines(process)
    assert process.returncode == 0


# --- asleep --------------------------------------------------------------------------------------

HALF = f'{writes("half")}; touch "$BOX/$T.begun"; while [ ! -e "$BOX/$T.go" ]; do sleep 0.05; done'


@pytest.fixture
def sleepy(repo: Repo, tmp_path: Path) -> Crew:
    """A lease that is short, and an agent that is at work when the machine falls asleep."""
    crew = Crew(repo, tmp_path, config="lease_seconds = 4")
    crew.plan(task("a"), agents={"a": HALF})
    return crew


def claimable(crew: Crew) -> bool:
    """Whether anybody may claim a task now."""
    done = subprocess.run(
        [*FLEET, "ready"], cwd=crew.repo.path, env=crew.env, capture_output=True, check=False
    )
    return b"p/a" in done.stdout


def test_a_run_that_slept_for_longer_than_its_leases_goes_on(sleepy: Crew) -> None:
    with sleepy.running() as process:
        sleepy.begun("a")
        asleep = the_whole(process)
        signal_all(asleep, signal.SIGSTOP)
        sleepy.until(lambda: claimable(sleepy))
        signal_all(asleep, signal.SIGCONT)
        sleepy.until(lambda: not claimable(sleepy))  # the lease is renewed
        sleepy.go("a")
        lines(process)
    assert process.returncode == 0
    assert sleepy.states() == {"a": "integrated"}
    assert len(sleepy.starts()) == 1
    assert sleepy.repo.run_git("show", "main:a/new") == "half of a"


def test_a_run_that_slept_while_another_took_over_ends_its_agent_and_says_so(sleepy: Crew) -> None:
    with sleepy.running() as process:
        sleepy.begun("a")
        asleep = the_whole(process)
        signal_all(asleep, signal.SIGSTOP)
        sleepy.until(lambda: claimable(sleepy))
        sleepy.fleet("claim", "a", "--worker", "other")
        other = Path(sleepy.fleet("path", "a").strip())
        assert (other / "a/new").read_text() == "half of a\n"
        signal_all(asleep, signal.SIGCONT)
        sleepy.until(lambda: not sleepy.alive())
        (other / "a/new").write_text("all of a\n")
        subprocess.run([*FLEET, "done", "--all"], cwd=other, env=sleepy.env, check=True, capture_output=True)
        said = lines(process)
    assert process.returncode == 0
    assert any("p/a: lost" in line for line in said), said
    assert sleepy.states() == {"a": "integrated"}
    assert sleepy.repo.run_git("show", "main:a/new") == "all of a"
    assert_reachable(sleepy.repo, b"half of a\n")


# --- clocks --------------------------------------------------------------------------------------


def run_inside(crew: Crew, now: Callable[[], datetime], said: list[str]) -> RunResult:
    """A run in this process, by a clock of ours."""
    around = replace(surroundings(FakeClock()), now=now, env=crew.env)
    with open_session(crew.repo.path, around, worker=None, long_lived=True, bulk=False) as session:
        ready = running.prepare(session, Options(plan="p", workers=1, program=FLEET))
        return running.run(session, ready, said.append, lambda _: "{}")


@pytest.mark.parametrize("hours", [-1, -48, 48])
def test_a_clock_that_jumps(repo: Repo, tmp_path: Path, hours: int) -> None:
    crew = Crew(repo, tmp_path, config="lease_seconds = 6\nsession_minutes = 10\nidle_minutes = 5")
    crew.plan(
        task("a"), task("b"), agents={"a": f"{writes('half')}; sleep 4; {writes('all')}", "b": writes("all")}
    )

    def now() -> datetime:
        jumps = bool(crew.starts())
        return datetime.now(UTC) + (timedelta(hours=hours) if jumps else timedelta())

    said: list[str] = []
    found = run_inside(crew, now, said)
    assert found.complete, said
    assert not found.troubles
    assert len(crew.starts()) == 2
    assert repo.run_git("show", "main:a/new") == "all of a"


# --- full ----------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB for a repository and its worktrees."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_an_agent_that_fills_the_disk_stops_nobody_for_good(small: Path, tmp_path: Path) -> None:
    crew = Crew(make_repo(small / "repo"), tmp_path, worker="retries = 0", config="lease_seconds = 6")
    fills = (
        f'{writes("half")}; head -c 100000000 /dev/zero > "$BOX/../disk/filler"; touch "$BOX/full"; exit 1'
    )
    crew.plan(task("fills"), task("good"), agents={"good": "wait"})
    waits = f'while [ ! -e "$BOX/good.begun" ]; do sleep 0.05; done; {fills}'
    crew.act("fills", waits)
    with crew.running("--workers", "2") as process:
        err = process.stderr
        assert err is not None
        crew.until(lambda: "fills: in trouble" in err.readline())
        (small / "filler").unlink()
        crew.until(lambda: crew.states()["fills"] == "blocked")
        crew.go("good")
        lines(process)
    assert crew.states() == {"fills": "blocked", "good": "integrated"}
    assert_reachable(crew.repo, b"half of fills\n", b"begun\n")
    assert len(crew.starts()) == 2
    assert not crew.alive()
    crew.sound()


def test_work_that_is_done_on_a_full_disk_is_handed_in_when_there_is_room(
    small: Path, tmp_path: Path
) -> None:
    crew = Crew(make_repo(small / "repo"), tmp_path, worker="retries = 0")
    fills = f'{writes("all")}; head -c 100000000 /dev/zero > "$BOX/../disk/filler"; true'
    crew.plan(task("fills"), agents={"fills": fills})
    with crew.running() as process:
        err = process.stderr
        assert err is not None
        crew.until(lambda: "fills: not handed in yet: " in err.readline())
        (small / "filler").unlink()
        lines(process)
    assert process.returncode == 0
    assert len(crew.starts()) == 1
    assert crew.repo.run_git("show", "main:fills/new") == "all of fills"
    crew.sound()
