"""Any other engine: a script for one worker, and the command that submits it, filled in like a worker's."""

from __future__ import annotations

from pathlib import Path

from git_fleet.app.jobs import engine
from git_fleet.app.jobs.engine import Asked
from git_fleet.app.session import Session
from git_fleet.core import launch
from git_fleet.core.jobs import Rendered, Submitted

_TEMPLATE = "command.sh"
_SOURCE = "the command behind --"


def command(session: Session, asked: Asked, given: tuple[str, ...], *, submit: bool) -> Rendered:
    """The script; with `submit` the `given` command is run, its placeholders filled in: {script}, {name}, {plan},
    {workers}, {last} (the last index, from 0) and {index}. With {index} in it, it is run once for each worker.

    Raises InvalidInput, AnswerIsNo for a plan that is not open, NeedsPerson when the command fails.
    """
    job = engine.job(session, asked)
    remote = engine.address(session, asked.remote) if asked.remote else ""
    root: Path | None = None if remote else session.repo.worktree
    values = {
        "name": job.name,
        "plan": asked.plan,
        "title": job.title,
        "root": str(root or ""),
        "program": engine.shell(engine.program(remote)),
        "worker": engine.shell(engine.worker_words(asked, remote)),
        "command": f" -- {engine.shell(asked.command)}" if asked.command else "",
    }
    text = engine.render(_TEMPLATE, asked.template, values)
    path = session.repo.fleet_dir / "jobs" / f"{job.name}.sh"
    known = {
        "script": str(path), "name": job.name, "plan": asked.plan,
        "workers": str(job.workers), "last": str(job.workers - 1),
    }  # fmt: skip
    each = any("{index}" in word for word in given)
    indices = range(job.workers) if each else range(1)
    commands = tuple(launch.fill(given, known | {"index": str(index)}, _SOURCE) for index in indices)
    made: list[Submitted] = []
    notes: list[str] = []
    if submit:
        engine.keep(session, path.name, text)
        for index, words in enumerate(commands):
            said = engine.hand_over(session, words).strip()
            made.append(Submitted(said.splitlines()[-1][:200] if said else "", "work", 1, (), ""))
            notes += [f"worker {index}: {said}" if each else said] if said else []
    return Rendered(
        "command", asked.plan, job.name, job.workers, text, submit, commands, tuple(made), tuple(notes)
    )
