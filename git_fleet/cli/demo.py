"""`git fleet demo`: the whole story on a scratch repository, in seconds, with real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from git_fleet.cli.call import examples
from git_fleet.errors import AnswerIsNo, InvalidInput

CLUSTERS = (
    "dev-eu-west-1", "dev-us-east-1", "prod-ap-south-1", "prod-eu-west-1",
    "prod-us-east-1", "prod-us-west-2", "staging-eu-west-1", "staging-us-east-1",
)  # fmt: skip
WORKERS = 4
SPOILED = "dev-us-east-1"

PLAN = """\
version = 1
plan = "bump"
title = "cnpg 1.24 on eight clusters"
base = "main"

[[task]]
id = "bump-{cluster}"
slug = "cnpg"
title = "Bump cnpg to 1.24 on {cluster}"
files = ["live/{cluster}/cnpg/**"]
accept = ["grep -q 1.24 live/{cluster}/cnpg/values.yaml"]
matrix.cluster = [CLUSTERS]

[[task]]
id = "memory"
slug = "cnpg"
title = "More memory for cnpg on prod-us-east-1"
files = ["live/prod-us-east-1/cnpg/**"]
"""

CONFIG = '''\
version = 1

[[gate]]
name = "pinned"                       # a version must be a number, never "latest"
run = "! grep -rn 'version: latest' live"

[[verifier]]                          # told to refute: does it change anything else than it should?
name = "skeptic"
lens = "correctness"
run = """
if git show --format= | grep '^[-+] ' | grep -Ev 'version:|memory:'
then echo '{"verdict":"refuted","findings":[{"text":"it changes more than a version or the memory"}]}'
else echo '{"verdict":"upheld"}'
fi </dev/null"""

[worker]                              # the agent: of a real fleet it would be claude, codex, or whatever you use
run = [AGENT]
'''

VALUES = """\
cluster: {cluster}
operator:
  version: "1.23"
resources:
  memory: 512Mi
"""


class Stage(Struct):
    """Where the demo plays: a scratch repository, a home of its own, an environment without agents."""

    home: Path
    repo: Path
    env: Mapping[str, str]

    def git(self, *args: str) -> str:
        """Run git in the repository; its output. Raises AnswerIsNo when it fails."""
        return self._run(["git", *args])

    def fleet(self, *args: str, show: bool = True, lines: int = 0, ok: Sequence[int] = (0,)) -> str:
        """Run `git fleet` as a person would, and show what it prints (at most `lines`)."""
        if show:
            click.secho(f"\n$ git fleet {' '.join(args)}", bold=True)
        out = self._run([sys.executable, "-P", "-m", "git_fleet", *args], ok=ok)
        if show:
            shown = out.rstrip().splitlines()
            for line in shown[: lines or None]:
                click.echo(f"  {line}" if line else "")
            if lines and len(shown) > lines:
                click.echo(f"  … ({len(shown) - lines} more lines)")
        return out

    def _run(self, args: Sequence[str], *, ok: Sequence[int] = (0,)) -> str:
        pipe = subprocess.PIPE
        with _ended(
            subprocess.Popen(args, cwd=self.repo, env=self.env, stdout=pipe, stderr=pipe, text=True)
        ) as process:
            out, err = map(str, process.communicate())
        if process.returncode not in ok:
            raise AnswerIsNo(f"the demo stopped at `{' '.join(args[-3:])}`: {(err or out).strip()}")
        return out

    def run(self, *args: str, killed_after: int = 0) -> Told:
        """`git fleet run`, its lines shown as they come, with seconds for the time of day. With `killed_after` it is
        killed (kill -9) once so many agents are at work."""
        click.secho(f"\n$ git fleet run {' '.join(args)}", bold=True)
        told, began, at_work, pipe = Told(), time.monotonic(), 0, subprocess.PIPE
        command = [sys.executable, "-P", "-m", "git_fleet", "run", *args]
        with _ended(
            subprocess.Popen(command, cwd=self.repo, env=self.env, stdout=pipe, stderr=pipe, text=True)
        ) as process:
            for line in process.stderr or ():
                text = line.partition("  ")[2].rstrip() or line.rstrip()
                click.echo(f"  {time.monotonic() - began:4.1f} s  {text}")
                told.note(text)
                at_work += " is at work" in text
                if killed_after and at_work == killed_after:
                    process.kill()
                    killed_after = 0
            for line in process.stdout or ():
                click.echo(f"  {line.rstrip()}")
        if process.returncode not in (0, -signal.SIGKILL):
            raise AnswerIsNo(f"the demo stopped: git fleet run ended with exit code {process.returncode}")
        return told


class Told(Struct):
    """What a run has told, counted."""

    back: int = 0
    recovered: int = 0

    def note(self, text: str) -> None:
        """One line of it."""
        self.back += ": back to rework" in text or ": rework by" in text
        self.recovered += ": goes on" in text


@contextmanager
def _ended(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    """A process that has ended when the block does: waited for, or told to when the demo is interrupted."""
    try:
        yield process
        process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise


@click.command(
    epilog=examples("git fleet demo", "git fleet demo --keep /tmp/fleet-demo   look around afterwards")
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Leave the repository in DIR.",
)
def demo(keep: Path | None) -> None:
    """The whole story on a scratch repository: plan, collisions, a run with agents, hooks, gates, main.

    Nine tasks, four agents at a time as separate processes, and a run that is killed and goes on. Nothing outside
    the scratch folder is touched.
    """
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise InvalidInput(f"--keep {keep}: the folder is not empty", hint="name one that does not exist yet")
    folder = (keep or Path(tempfile.mkdtemp(prefix="git-fleet-demo-"))).resolve()
    try:
        play(set_stage(folder))
        if keep is not None:
            click.echo(
                f"The repository is in {folder / 'clusters'}: git fleet status, git log, git notes --ref=fleet/evidence show"
            )
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def set_stage(folder: Path) -> Stage:
    """A repository with eight clusters, under a home of its own.

    What says that an agent is acting is taken out of the environment: approving is a person's, and
    here it is the person who started the demo.
    """
    home, repo = folder / "home", folder / "clusters"
    home.mkdir(parents=True)
    repo.mkdir()
    kept = (
        "PATH",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TERM",
        "NO_COLOR",
        "TMPDIR",
        "USER",
        "VIRTUAL_ENV",
        "PYTHONPATH",
    )
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env |= {"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "XDG_STATE_HOME": str(home / "state")}
    env |= {"XDG_CACHE_HOME": str(home / "cache"), "GIT_EDITOR": "false"}
    stage = Stage(home, repo, env)
    stage.git("init", "--quiet", "--initial-branch=main")
    (home / ".gitconfig").write_text("[user]\n\tname = You\n\temail = you@example.org\n")
    for cluster in CLUSTERS:
        place = repo / "live" / cluster / "cnpg"
        place.mkdir(parents=True)
        (place / "values.yaml").write_text(VALUES.format(cluster=cluster))
    (repo / "README.md").write_text("# Clusters\n")
    agent = (sys.executable, "-P", "-m", "git_fleet.cli.demo_worker", SPOILED)
    (repo / "fleet.toml").write_text(CONFIG.replace("AGENT", ", ".join(map(json.dumps, agent))))
    stage.git("add", "--all")
    stage.git("commit", "--quiet", "-m", "Eight clusters on cnpg 1.23")
    return stage


def play(stage: Stage) -> None:
    """The story, from the plan to nine commits on main."""
    began = time.monotonic()
    clusters = ", ".join(f'"{cluster}"' for cluster in CLUSTERS)
    (stage.home / "bump.toml").write_text(PLAN.replace("CLUSTERS", clusters))
    stage.fleet("init", show=False)
    stage.fleet("plan", "import", str(stage.home / "bump.toml"), show=False)
    click.secho("# A plan of nine tasks; two of them want the same file", fg="cyan")
    checked = stage.fleet("plan", "check", "bump", lines=6)
    click.echo("\n".join(f"  {line}" for line in checked.splitlines() if line.startswith("Verdict")))
    stage.fleet("plan", "approve", "bump", "--yes", show=False)
    click.secho(
        f"\n# {WORKERS} agents at a time, each a process of its own. Then the run is killed", fg="cyan"
    )
    asked = ("bump", "--workers", str(WORKERS), "--worker", "crew")
    first = stage.run(*asked, killed_after=WORKERS)
    click.secho("\n# kill -9. The agents did not notice; the same command goes on with them", fg="cyan")
    then = stage.run(*asked)
    click.secho("\n# One agent wandered, and its first proposal was red: what it printed", fg="cyan")
    stage.fleet("log", f"bump-{SPOILED}", "--output")
    click.secho("\n# Main: one commit a task, each with its evidence", fg="cyan")
    show_main(stage)
    stage.fleet("cleanup", lines=3)
    stage.fleet("doctor", ok=(0, 1))
    summary(stage, first, then, time.monotonic() - began)


def summary(stage: Stage, first: Told, then: Told, seconds: float) -> None:
    """The demo in one sentence."""
    status = json.loads(stage.fleet("status", "--json", show=False))
    tasks = [task for plan in status["plans"] for task in plan["tasks"]]
    commits = int(stage.git("rev-list", "--count", "main")) - 1
    cost = sum(task["usage"]["cost_usd"] for task in tasks)
    click.secho(
        f"\n{len(tasks)} tasks, {commits} commits on main, {first.back + then.back} sent back and done better, "
        f"{then.recovered} recovered after kill -9, {seconds:.1f} seconds, {cost:.2f} US dollars (what the agents said).",
        bold=True,
    )


def show_main(stage: Stage) -> None:
    """main's log, and one evidence note in full."""
    for line in stage.git("log", "--reverse", "--format=%h %s").splitlines():
        click.echo(f"  {line}")
    notes = stage.git("notes", "--ref=fleet/evidence", "list").splitlines()
    status = json.loads(stage.fleet("status", "--json", show=False))
    counts = {state: n for plan in status["plans"] for state, n in plan["counts"].items() if n}
    said = ", ".join(f"{n} {state}" for state, n in counts.items())
    click.echo(f"  {len(notes)} evidence notes; tasks: {said}. The last one says:")
    for line in stage.git("notes", "--ref=fleet/evidence", "show", "main").splitlines():
        click.echo(f"    {line}")
