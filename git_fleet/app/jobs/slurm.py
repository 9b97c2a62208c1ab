"""Array jobs of Slurm: the tasks of a wave are the indices of an array, and waves follow each other.

    work[i] ──aftercorr──► verify[i] ──afterok──► integrate ──afterok──► work of the next wave
             (where fleet.toml has verifiers)

A wave is what can be worked at once (`git fleet plan check`). An index that could not do its task, or whose proposal was
refuted, says so in the task's log and ends well, so that it holds up nobody: only what went wrong with the machine
(DESIGN section 15, codes above 1) stops what comes after it, and Slurm then takes that out of its queue.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.app import plan
from git_fleet.app.jobs import engine
from git_fleet.app.jobs.engine import Asked, Job
from git_fleet.app.session import Session
from git_fleet.core.jobs import Rendered, Submitted
from git_fleet.core.model import State
from git_fleet.errors import AnswerIsNo, FleetError, NeedsPerson
from git_fleet.git import whole

_TEMPLATE = "slurm.sh"
_FOR_A_PERSON = (State.BLOCKED, State.PARKED)
_PLAIN = r"[A-Za-z0-9_.:,/@%+=\[\]-]+"
_JOB_ID = re.compile(r"([0-9]+)(;.*)?")


class Array(Struct, frozen=True):
    """How the jobs are: `options` are more of sbatch's for those that work, such as --time=60. `logs` is a folder for
    what they print. At most `asked.workers` of a wave run at once."""

    options: tuple[str, ...] = ()
    grace_seconds: int = 60
    verify: bool = True
    integrate: bool = True
    logs: Path | None = None


def slurm(session: Session, asked: Asked, array: Array, *, submit: bool) -> Rendered:
    """The script; with `submit` it is handed to sbatch, once for every step of every wave.

    Raises InvalidInput, AnswerIsNo when the plan is not open or nothing is left that a worker could do, NeedsPerson
    when sbatch refuses: then what it took is cancelled.
    """
    for option in array.options:
        engine.plain(option, "option for sbatch", rf"--[a-z][a-z-]*(={_PLAIN})?", "--partition=long")
    job = engine.job(session, asked)
    waves = _waves(session, job)
    remote = engine.address(session, asked.remote) if asked.remote else ""
    text = engine.render(_TEMPLATE, asked.template, _values(asked, array, job, waves, remote))
    path = session.repo.fleet_dir / "jobs" / f"{job.name}.sbatch"
    logs = array.logs or (None if remote else path.with_suffix(""))
    if not session.config(session.base_of(job.left[0].id)).verifiers:
        array = replace(array, verify=False)  # nobody could be asked; integrating has gates of its own
    steps = _steps(array, job, waves, path, logs, session.repo.worktree, cloned=bool(remote))
    if submit:
        if logs is not None:
            whole.make_folder(logs)
        engine.keep(session, path.name, text)
        submitted, commands = _submit(session, steps)
    else:
        submitted, commands = (), tuple(step.command("$previous") for step in steps)
    return Rendered("slurm", asked.plan, job.name, job.workers, text, submit, commands, submitted, ())


def _waves(session: Session, job: Job) -> list[list[str]]:
    """The tasks that workers are to do, by wave. Raises AnswerIsNo when there are none."""
    wanted = {each.id for each in job.left if each.state.state not in _FOR_A_PERSON}
    waves = [
        [task.task for task in wave if task in wanted] for wave in plan.check(session, job.plan.id).waves
    ]
    found = [wave for wave in waves if wave]
    if not found:
        raise AnswerIsNo(
            f"plan {job.plan.id} has no task left for a worker", hint=f"git fleet review {job.plan.id}"
        )
    return found


def _values(asked: Asked, array: Array, job: Job, waves: list[list[str]], remote: str) -> dict[str, object]:
    return {
        "name": job.name,
        "plan": asked.plan,
        "title": job.title,
        "grace_seconds": array.grace_seconds,
        "directives": list(array.options),
        "waves": waves,
        "program": engine.shell(engine.program(remote)),
        "worker": engine.shell(engine.worker_words(asked, remote)),
        "verify": "verify",
        "command": f" -- {engine.shell(asked.command)}" if asked.command else "",
    }


class _Step(Struct, frozen=True):
    """One call of sbatch. `after` is the kind of dependency on the step before it, "" for none."""

    step: str
    wave: int
    tasks: tuple[str, ...]
    after: str
    options: tuple[str, ...]
    script: Path

    def command(self, previous: str) -> tuple[str, ...]:
        after = (f"--dependency={self.after}:{previous}", "--kill-on-invalid-dep=yes") if self.after else ()
        return ("sbatch", "--parsable", *self.options, *after, str(self.script), self.step, str(self.wave))


def _steps(
    array: Array,
    job: Job,
    waves: list[list[str]],
    script: Path,
    logs: Path | None,
    root: Path | None,
    *,
    cloned: bool,
) -> list[_Step]:
    """All calls of sbatch, in order. What does not make a clone of its own runs in the work tree `root`."""
    found: list[_Step] = []
    for number, tasks in enumerate(waves, 1):
        indices = f"--array=0-{len(tasks) - 1}%{job.workers}"
        for step, after, own in (
            ("work", "afterok", (indices,)),
            *([("verify", "aftercorr", (indices,))] if array.verify else []),
            *([("integrate", "afterok", ())] if array.integrate else []),
        ):
            where = () if root is None or (cloned and step == "work") else (f"--chdir={root}",)
            named = f"--job-name={job.name}-{step}-{number}"
            pattern = "%x-%A_%a.log" if own else "%x-%j.log"
            log = (f"--output={str(logs).replace('%', '%%')}/{pattern}",) if logs else ()
            kind = after if found else ""
            found.append(
                _Step(step, number, tuple(tasks) if own else (), kind, (named, *own, *where, *log), script)
            )
    return found


def _submit(
    session: Session, steps: Sequence[_Step]
) -> tuple[tuple[Submitted, ...], tuple[tuple[str, ...], ...]]:
    made: list[Submitted] = []
    commands: list[tuple[str, ...]] = []
    for step in steps:
        command = step.command(made[-1].id if made else "")
        try:
            said = engine.hand_over(session, command)
            match = _JOB_ID.fullmatch(said.strip().splitlines()[-1] if said.strip() else "")
            if match is None:
                raise NeedsPerson(f"sbatch did not say which job it made: {said.strip()[:200]!r}")
        except FleetError as error:
            if made:
                with suppress(FleetError):
                    engine.hand_over(session, ("scancel", *(each.id for each in made)))
            raise NeedsPerson(
                f"{error.message}; the jobs made before it are cancelled", hint="squeue"
            ) from error
        made.append(Submitted(match[1], step.step, step.wave, step.tasks, step.after))
        commands.append(command)
    return tuple(made), tuple(commands)
