"""`git fleet demo`: the whole story on a scratch repository, in seconds, with real processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from git_fleet.cli.call import examples
from git_fleet.errors import AnswerIsNo, InvalidInput

CLUSTERS = (
    "dev-eu-west-1", "dev-us-east-1", "prod-ap-south-1", "prod-eu-west-1",
    "prod-us-east-1", "prod-us-west-2", "staging-eu-west-1", "staging-us-east-1",
)  # fmt: skip
WORKERS = ("ann", "bob", "cyd", "dee")
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

CONFIG = """\
version = 1

[[gate]]
name = "pinned"                       # a version must be a number, never "latest"
run = "! grep -rn 'version: latest' live"
"""

VALUES = """\
cluster: {cluster}
operator:
  version: "1.23"
resources:
  memory: 512Mi
"""


@dataclass
class Stage:
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
        out = self._run([sys.executable, "-m", "git_fleet", *args], ok=ok)
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

    def crew(self, names: Sequence[str]) -> None:
        """Let workers run at the same time, until none of them finds anything ready."""
        click.secho(f"\n# {len(names)} workers, {len(names)} processes", fg="cyan")
        program = [sys.executable, "-m", "git_fleet.cli.demo_worker"]
        with ExitStack() as crew:
            for name in names:
                command = [*program, name, SPOILED]
                crew.enter_context(_ended(subprocess.Popen(command, cwd=self.repo, env=self.env)))


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
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR", help="Leave the repository in DIR.")
def demo(keep: Path | None) -> None:
    """The whole story on a scratch repository: plan, collisions, claims, hooks, gates, main.

    Nine tasks, four workers as separate processes. Nothing outside the scratch folder is touched.
    """
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise InvalidInput(f"--keep {keep}: the folder is not empty", hint="name one that does not exist yet")
    folder = (keep or Path(tempfile.mkdtemp(prefix="git-fleet-demo-"))).resolve()
    try:
        began = time.monotonic()
        play(set_stage(folder))
        click.secho(f"\nThat took {time.monotonic() - began:.1f} seconds.", bold=True)
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
    (repo / "fleet.toml").write_text(CONFIG)
    stage.git("add", "--all")
    stage.git("commit", "--quiet", "-m", "Eight clusters on cnpg 1.23")
    return stage


def play(stage: Stage) -> None:
    """The story, from the plan to nine commits on main."""
    clusters = ", ".join(f'"{cluster}"' for cluster in CLUSTERS)
    (stage.home / "bump.toml").write_text(PLAN.replace("CLUSTERS", clusters))
    stage.fleet("init", show=False)
    stage.fleet("plan", "import", str(stage.home / "bump.toml"), show=False)
    click.secho("# A plan of nine tasks; two of them want the same file", fg="cyan")
    checked = stage.fleet("plan", "check", "bump", lines=6)
    click.echo("\n".join(f"  {line}" for line in checked.splitlines() if line.startswith("Verdict")))
    stage.fleet("plan", "approve", "bump", "--yes", show=False)
    stage.crew(WORKERS)
    click.secho("\n# Proposals, not facts: each is replayed onto main and gated there", fg="cyan")
    stage.fleet("integrate", "bump", ok=(0, 1))
    stage.crew(WORKERS[:2])
    stage.fleet("accept", f"bump-{SPOILED}")
    stage.fleet("integrate", "bump")
    click.secho("\n# Main: one commit a task, each with its evidence", fg="cyan")
    show_main(stage)
    stage.fleet("cleanup", lines=3)
    stage.fleet("doctor", ok=(0, 1))


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
