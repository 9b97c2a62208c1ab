"""`git fleet run`: from a claim to its agent, small tasks through four workers, and what it costs to wait."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime

import psutil

from benchmarks.box import FLEET, Box, Figure, box, each_ms
from benchmarks.claims import plan_text, worktree_adder

CONFIG = """\
version = 1
gates = "none"
max_active = 64
max_review = 1000

[worker]
run = {script}
"""
BEGIN = """\
date +%s%N >> "$BOX/begun"
mkdir -p "src/m$FLEET_TASK" && echo new > "src/m$FLEET_TASK/new"
"""
WRITE = 'mkdir -p "src/m$FLEET_TASK" && echo new > "src/m$FLEET_TASK/new"'
WAIT = 'touch "$BOX/begun"; exec sleep 600'
STARTS, TASKS, WORKERS = 30, 150, 4
IDLE_SECONDS = 20.0


@contextmanager
def stage(script: str, tasks: int) -> Iterator[tuple[Box, Mapping[str, str]]]:
    """A box with an approved plan, and the environment in which its agents do that."""
    with box({"a": "a\n"}, CONFIG.format(script=json.dumps(script))) as made:
        (made.folder / "p.toml").write_text(plan_text(tasks))
        made.fleet("init")
        made.fleet("plan", "import", str(made.folder / "p.toml"))
        made.fleet("plan", "approve", "p", "--yes")
        yield made, {"BOX": str(made.folder)}


def from_claim_to_agent() -> Iterator[Figure]:
    """One worker, one task after another: from the moment in a task's claim to that at which its agent begins."""
    with stage(BEGIN, STARTS) as (made, env):
        command = [*FLEET, "run", "--no-integrate", "--workers", "1"]
        subprocess.run(command, cwd=made.repo, env={**made.env, **env}, capture_output=True, check=False)
        begun = [int(line) / 1e6 for line in (made.folder / "begun").read_text().split()]
        ours = [at - claimed for claimed, at in zip(sorted(map(_claimed, _logs(made))), begun, strict=True)]
        baseline = each_ms(worktree_adder(made), STARTS)
        yield Figure(
            "run: claim to agent's start",
            statistics.median(ours),
            "git worktree add",
            statistics.median(baseline),
            "≤ 60 ms",
        )


def _logs(made: Box) -> list[str]:
    listed = made.git("for-each-ref", "--format=%(refname)", "refs/fleet/task")
    return [made.git("log", "--format=%B", name) for name in listed.split()]


def _claimed(log: str) -> float:
    """When the task was claimed, in milliseconds."""
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    (at,) = (event["at"] for event in events if event["event"] == "claim")
    return datetime.fromisoformat(at).timestamp() * 1000


def many_small_tasks() -> Iterator[Figure]:
    """150 tasks whose agents write one file, through four workers and without gates: a whole run, by the task,
    beside what git alone needs for one: a worktree, a commit, a squashed merge."""
    with stage(WRITE, TASKS) as (made, env):
        began = time.perf_counter()
        made.run(*FLEET, "run", "--workers", str(WORKERS), env=env)
        seconds = time.perf_counter() - began
        landed = int(made.git("rev-list", "--count", "main")) - 1
        if landed != TASKS:
            raise AssertionError(f"{landed} commits for {TASKS} tasks")
        add = worktree_adder(made)
        numbers = iter(range(STARTS))

        def by_hand() -> None:
            add()
            number = next(numbers)
            folder = made.folder / f"plain-{number}"
            (folder / f"by-hand-{number}").write_text("new\n")
            made.git("add", "--all", cwd=folder)
            made.git("commit", "--quiet", "--no-verify", "-m", "work", cwd=folder)
            made.git("merge", "--squash", "--quiet", f"b{number}")
            made.git("commit", "--quiet", "--no-verify", "-m", "work")

        made.git("config", "core.hooksPath", "/dev/null")
        made.git("checkout", "--quiet", "-b", "by-hand")
        baseline = statistics.median(each_ms(by_hand, STARTS))
        each = seconds * 1000 / TASKS
        yield Figure(
            f"run: a small task, {WORKERS} workers",
            each,
            "git alone, one by one",
            baseline,
            f"({1000 / each:.1f} tasks a second)",
        )


def waiting() -> Iterator[Figure]:
    """Processor time of a run and all that it has started, the agent left out, while that sleeps for 20 seconds;
    beside those 20 seconds."""
    with stage(WAIT, 1) as (made, env):
        run = subprocess.Popen(
            [*FLEET, "run"], cwd=made.repo, env={**made.env, **env}, stderr=subprocess.DEVNULL
        )
        try:
            while not (made.folder / "begun").exists():
                time.sleep(0.05)
            time.sleep(2.0)  # until what a start brings with it is over
            family = _family(run.pid, str(made.folder))
            before = _spent(family)
            time.sleep(IDLE_SECONDS)
            spent = (_spent(family) - before) * 1000
        finally:
            run.send_signal(signal.SIGTERM)
            run.wait()
        yield Figure("run: waiting for 20 s", spent, "the time itself", IDLE_SECONDS * 1000, "< 100 ms")


def _family(pid: int, folder: str) -> list[psutil.Process]:
    """The run, its children, and the minder of its agent."""
    head = psutil.Process(pid)
    found = {head.pid: head, **{child.pid: child for child in head.children(recursive=True)}}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(folder in word for word in process.cmdline()):
                found[process.pid] = process
    return list(found.values())


def _spent(family: list[psutil.Process]) -> float:
    """Processor seconds, those of children that have ended included."""
    total = 0.0
    for process in family:
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


MEASURES = (from_claim_to_agent, many_small_tasks, waiting)
