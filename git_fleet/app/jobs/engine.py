"""What all engines share: names that they take, the command of a worker, templates, handing over to a program."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from git_fleet import resources
from git_fleet.app import choosing, plan, templates
from git_fleet.app.running.desk import environment
from git_fleet.app.running.run import open_plan
from git_fleet.app.session import Session
from git_fleet.core.snapshot import PlanRecord, TaskRecord
from git_fleet.core.trailers import clean
from git_fleet.errors import InvalidInput, NeedsPerson
from git_fleet.store import worktree

_SECONDS = 120.0
_LABEL_CHARACTERS = 52
"""A pod is called as its job and its index, and has to be a label of DNS: at most 63 characters."""


class Asked(Struct, frozen=True):
    """What is asked of any engine. `workers` 0: as many as the plan's check recommends. `remote` is the server's
    address for workers with a clone of their own, "" for the repository here; `depth`, `filter` and `wait_minutes`
    are theirs. `command` starts an agent, () leaves it to fleet.toml. `template` is a file of one's own."""

    plan: str
    workers: int = 0
    name: str = ""
    remote: str = ""
    depth: int = 0
    filter: str = ""
    wait_minutes: float | None = None
    command: tuple[str, ...] = ()
    template: Path | None = None


class Job(Struct, frozen=True):
    """A plan that workers are to be started for. `name` is the job's, and theirs with a number; `left` tasks have not
    ended."""

    plan: PlanRecord
    name: str
    workers: int
    left: tuple[TaskRecord, ...]

    @property
    def title(self) -> str:
        """The plan's title."""
        return self.plan.approved.title if self.plan.approved else ""


def job(session: Session, asked: Asked) -> Job:
    """The plan, which has to be open and to have gates, and how many workers it gets.

    Raises AnswerIsNo, InvalidInput.
    """
    snapshot = session.snapshot()
    records = open_plan(snapshot, asked.plan)
    config = session.config(session.base_of(records[0].id) if records else None)
    left = tuple(each for each in records if not each.state.state.ended)
    choosing.require_gates(config, left)
    best = asked.workers or max(1, plan.check(session, asked.plan).fan_out.workers)
    name = _own_name(asked.name) if asked.name else label(f"fleet-{asked.plan}")
    return Job(snapshot.plans[asked.plan], name, min(best, config.max_active), left)


def label(text: str) -> str:
    """`text` as a label of DNS (RFC 1123) with room for an index; two different texts stay different."""
    found = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
    if found == text and len(found) <= _LABEL_CHARACTERS:
        return found
    mark = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{found[: _LABEL_CHARACTERS - len(mark) - 1].rstrip('-')}-{mark}"


def _own_name(name: str) -> str:
    if label(name) != name:
        raise InvalidInput(
            f"{name!r} cannot be a job's name: small letters, digits and -, at most {_LABEL_CHARACTERS} characters",
            hint=f"--name {label(name)}",
        )
    return name


def plain(value: str, what: str, pattern: str, example: str) -> str:
    """`value`, which is `what` and matches `pattern`. Raises InvalidInput."""
    if not re.fullmatch(pattern, value):
        raise InvalidInput(f"{value!r} is no {what}", hint=f"such as {example}")
    return value


def address(session: Session, given: str) -> str:
    """The server's address for workers that have nothing but it: `given`, else that of the remote which decides.

    Raises InvalidInput when there is none, when it is a path of this machine, or holds a password.
    """
    remote = session.config().remote
    if not remote:
        raise InvalidInput(
            "fleet.toml names no remote, so workers in clones would not see each other's claims",
            hint='remote = "origin" in fleet.toml on the base branch',
        )
    url = given or session.repo.settings(f"remote.{remote}.url").get(f"remote.{remote}.url", "")
    if not url or url.startswith("-"):
        raise InvalidInput(f"the remote {remote} has no address", hint="--remote URL")
    if not given and Path(url).is_absolute():
        raise InvalidInput(
            f"{url} is a path of this machine; workers elsewhere need an address", hint="--remote URL"
        )
    if "://" in url and urlsplit(url).password:
        raise InvalidInput(
            "the server's address holds a password, and would be written down with it",
            hint="give --remote URL without it, and the password as a secret of the engine",
        )
    return url


def program(remote: str) -> tuple[str, ...]:
    """How git-fleet is started: as here, where workers share this machine's files; else as PATH has it there."""
    return ("git-fleet",) if remote else (sys.executable, "-P", "-m", "git_fleet")


def worker_words(asked: Asked, remote: str) -> list[str]:
    """The arguments of `git fleet` for a worker, without those of the engine and without its agent's command."""
    words = ["worker", "--plan", asked.plan]
    words += ["--remote", remote] if remote else []
    words += ["--depth", str(asked.depth)] if asked.depth else []
    words += ["--filter", asked.filter] if asked.filter else []
    words += ["--wait-minutes", f"{asked.wait_minutes:g}"] if asked.wait_minutes is not None else []
    return words


def render(name: str, own: Path | None, values: Mapping[str, Any]) -> str:
    """The template `templates/jobs/NAME.j2` filled in, or one's `own`, which may extend it as "git-fleet".

    Raises InvalidInput.
    """
    built_in = resources.job_template(name)
    if own is None:
        return templates.render(templates.Template(templates.BUILT_IN, built_in, built_in), values)
    try:
        text = own.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{own} cannot be read: {error}", hint="--template FILE") from error
    return templates.render(templates.Template(str(own), text, built_in), values)


def shell(words: Sequence[str]) -> str:
    """Words as a shell reads them."""
    return shlex.join(words)


def keep(session: Session, name: str, text: str) -> Path:
    """What was rendered, as a file that its owner may run, in the fleet's folder. Raises OSError."""
    path = session.repo.fleet_dir / "jobs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    worktree.replace_file(path, text.encode("utf-8"), mode=0o700)
    return path


def hand_over(session: Session, words: Sequence[str], *, given: str = "", folder: Path | None = None) -> str:
    """What a program said that was found on PATH and handed this. It gets nothing of what git and agents put into the
    environment. Raises NeedsPerson when it is not there, fails, or takes too long."""
    env = environment(session.around.env, ())
    program = shutil.which(words[0], path=env.get("PATH", ""))
    if program is None:
        raise NeedsPerson(f"{words[0]} is not installed here, or not on PATH", hint="without it: --dry-run")
    try:
        done = subprocess.run(
            [program, *words[1:]],
            cwd=folder or session.repo.worktree or session.repo.common_dir,
            env=env,
            input=given.encode("utf-8"),
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise NeedsPerson(f"{words[0]} did not end within {_SECONDS:g} s") from error
    except OSError as error:
        raise NeedsPerson(f"{words[0]} cannot be started: {error.strerror}") from error
    said = [
        line.strip() for line in clean(done.stderr.decode("utf-8", "replace")).splitlines() if line.strip()
    ]
    if done.returncode:
        why = [line for line in said if not line.startswith("hint:")]
        raise NeedsPerson(f"{words[0]} refused: {why[-1] if why else f'exit code {done.returncode}'}")
    return clean(done.stdout.decode("utf-8", "replace"))
