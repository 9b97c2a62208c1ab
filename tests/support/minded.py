"""Agents for tests: started as a supervisor would, and ended after the test whatever became of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from git_fleet.app import agents
from git_fleet.app.agents import Agent, Exit
from git_fleet.core.config import Command
from git_fleet.core.ids import TaskId
from git_fleet.core.launch import File, Launch
from tests.support.clock import START

TASK = TaskId("p", "a")


@dataclass
class Crew:
    """Starts agents of one fleet, whose folder is `root`, in the worktree `place`."""

    root: Path
    place: Path
    marks: list[str] = field(default_factory=list)
    number: int = 0

    @property
    def folder(self) -> Path:
        return agents.folder_of(self.root, TASK)

    def start(
        self,
        command: Command,
        *,
        task: TaskId = TASK,
        cwd: Path | None = None,
        env: Mapping[str, str] = os.environ,
        files: tuple[File, ...] = (),
        log_bytes: int = agents.LOG_BYTES,
    ) -> Agent:
        self.number += 1
        started = agents.start(
            agents.folder_of(self.root, task),
            Launch(command, str(cwd or self.place), (), files, "a test"),
            env=dict(env),
            task=task,
            fence="f" * 40,
            worker="w1",
            number=self.number,
            log=agents.log_of(self.root, task, 1, self.number),
            now=START,
            log_bytes=log_bytes,
        )
        self.marks.append(started.mark)
        return started

    def run(self, command: Command, *, log_bytes: int = agents.LOG_BYTES) -> tuple[Agent, Exit]:
        started = self.start(command, log_bytes=log_bytes)
        return started, ended(started)


@contextmanager
def crew(folder: Path) -> Iterator[Crew]:
    """Agents in `folder`; none of them is left behind, nor what they started."""
    place = folder / "place"
    place.mkdir()
    made = Crew(folder / "fleet", place)
    try:
        yield made
    finally:
        for each in agents.all_in(made.root):
            each.end(0.0)


def ended(agent: Agent) -> Exit:
    """How it ended; fails when it does not."""
    found = agent.wait(60)
    assert found is not None, "it goes on and on"
    return found


def python(code: str, *args: str) -> tuple[str, ...]:
    """A command that runs `code`."""
    return (sys.executable, "-I", "-S", "-c", code, *args)


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def carriers(mark: str) -> list[int]:
    """Every process that carries an agent's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(agents.MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found
