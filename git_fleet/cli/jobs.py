"""`jobs`: workers started by an engine that is there already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from git_fleet.cli.call import Amount, Call, Group, command, dry_run_option, examples, say
from git_fleet.cli.run import COMMAND, RunCommand

if TYPE_CHECKING:
    from git_fleet.app.jobs.engine import Asked
    from git_fleet.core.jobs import Rendered

_MOST_WORKERS = 10_000


@click.group(
    cls=Group,
    epilog=examples(
        "git fleet jobs kubernetes tasks-app --image agents:1 --apply",
        "git fleet jobs slurm tasks-app --workers 16",
        "git fleet jobs command tasks-app --workers 4 -- qsub -J 0-{last} {script}",
    ),
)
def jobs() -> None:
    """Have Kubernetes, Slurm or any other engine start the workers of a plan."""


def _asked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that all engines share."""
    for option in reversed(
        (
            click.argument("plan"),
            click.option(
                "--workers", type=click.IntRange(1, _MOST_WORKERS), metavar="N", help="So many at once."
            ),
            click.option(
                "--name", default="", metavar="NAME", help="Call the job so, and its workers with a number."
            ),
            click.option(
                "--remote", "url", default="", metavar="URL", help="Workers clone from this git server."
            ),
            click.option(
                "--depth", type=click.IntRange(min=1), metavar="N", help="So many commits of each branch."
            ),
            click.option(
                "--filter",
                "contents",
                default="",
                metavar="SPEC",
                help="Clones without some contents: blob:none.",
            ),
            click.option(
                "--wait-minutes",
                type=Amount(min=0),
                metavar="N",
                help="A worker waits so long for a task to become ready.",
            ),
            click.option(
                "--template",
                type=click.Path(path_type=Path, dir_okay=False, exists=True),
                metavar="FILE",
                help='A jinja2 template of your own; {% extends "git-fleet" %} begins with ours.',
            ),
        )
    ):
        function = option(function)
    return function


def _of(options: dict[str, Any], given: tuple[str, ...] = ()) -> Asked:
    from git_fleet.app.jobs.engine import Asked

    return Asked(
        plan=options["plan"],
        workers=options["workers"] or 0,
        name=options["name"],
        remote=options["url"],
        depth=options["depth"] or 0,
        filter=options["contents"],
        wait_minutes=options["wait_minutes"],
        command=given,
        template=options["template"],
    )


def _given() -> tuple[str, ...]:
    found: tuple[str, ...] = click.get_current_context().meta[COMMAND]
    return found


@jobs.command(
    cls=RunCommand,
    options_metavar="[OPTIONS]",
    epilog=examples(
        "git fleet jobs kubernetes tasks-app --image agents:1 --git-secret git-key --secret keys",
        "git fleet jobs kubernetes tasks-app --image agents:1 --apply   hand it to kubectl",
    ),
)
@_asked
@click.option("--image", required=True, metavar="IMAGE", help="With git, git-fleet and the agent in it.")
@click.option("--namespace", default="", metavar="NAME", help="The namespace of all of it.")
@click.option(
    "--secret", "secrets", multiple=True, metavar="NAME", help="A Secret whose keys become variables."
)
@click.option(
    "--git-secret", default="", metavar="NAME", help="The Secret for the git server: ssh-auth or basic-auth."
)
@click.option("--cpu", default="1", metavar="QUANTITY", help="Processors of a worker (default 1).")
@click.option("--memory", default="2Gi", metavar="QUANTITY", help="Memory of a worker (default 2Gi).")
@click.option("--disk", default="10Gi", metavar="QUANTITY", help="Disk of a worker (default 10Gi).")
@click.option(
    "--grace-seconds",
    type=click.IntRange(min=1),
    default=120,
    metavar="N",
    help="A worker that is ended has so long to save its work (default 120).",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=3,
    metavar="N",
    help="A worker that failed is started again so often (default 3).",
)
@click.option(
    "--max-minutes",
    type=Amount(min=0, min_open=True),
    metavar="N",
    help="End all of it after so many minutes.",
)
@click.option(
    "--keep-minutes",
    type=Amount(min=0, min_open=True),
    metavar="N",
    help="Remove the job so many minutes after its end.",
)
@click.option("--apply", is_flag=True, help="Hand it to kubectl apply --server-side.")
@click.option("--context", default="", metavar="NAME", help="The context of kubectl.")
@command
def kubernetes(
    call: Call,
    /,
    image: str,
    namespace: str,
    secrets: tuple[str, ...],
    git_secret: str,
    cpu: str,
    memory: str,
    disk: str,
    grace_seconds: int,
    retries: int,
    max_minutes: float | None,
    keep_minutes: float | None,
    apply: bool,
    context: str,
    **options: Any,
) -> None:
    """Print an Indexed Job whose pods are workers, and a ConfigMap.

    Each pod clones, claims, works and hands in until there is nothing left. One that is drained saves its work; one
    that failed is started again as the same worker.
    """
    from git_fleet.app.jobs.kubernetes import Pod
    from git_fleet.app.jobs.kubernetes import kubernetes as render

    pod = Pod(
        image, namespace, secrets, git_secret, cpu, memory, disk, grace_seconds, retries,
        max_minutes or 0.0, keep_minutes or 0.0, context,
    )  # fmt: skip
    with call.session() as session:
        found = render(session, _of(options, _given()), pod, apply=apply)
    _show(call, found, () if apply else found.notes)


@jobs.command(
    cls=RunCommand,
    options_metavar="[OPTIONS]",
    epilog=examples(
        "git fleet jobs slurm tasks-app        submit work, verifying and integrating, wave by wave",
        "git fleet jobs slurm tasks-app -n     print the script and the commands",
        "git fleet jobs slurm tasks-app --option=--partition=long --option=--time=120",
    ),
)
@_asked
@click.option(
    "--option", "more", multiple=True, metavar="OPTION", help="One more option for sbatch, such as --time=60."
)
@click.option(
    "--grace-seconds",
    type=click.IntRange(min=1, max=65535),
    default=60,
    metavar="N",
    help="Before its time is over a worker has so long to save its work (default 60).",
)
@click.option("--no-verify", is_flag=True, help="Do not verify what is handed in.")
@click.option("--no-integrate", is_flag=True, help="Stop at proposals; main stays as it is.")
@click.option("--logs", type=click.Path(path_type=Path), metavar="DIR", help="Where what jobs print goes.")
@dry_run_option
@command
def slurm(
    call: Call,
    /,
    more: tuple[str, ...],
    grace_seconds: int,
    no_verify: bool,
    no_integrate: bool,
    logs: Path | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Submit array jobs to Slurm, wave by wave: work, verify, integrate.

    The tasks of a wave are the indices of an array. Each is verified after it, all are integrated after that.

    Without --remote the nodes share this repository's folder. A job that is requeued takes its claim over.
    """
    from git_fleet.app.jobs.slurm import Array
    from git_fleet.app.jobs.slurm import slurm as render

    folder = call.directory / logs if logs else None
    array = Array(more, grace_seconds, not no_verify, not no_integrate, folder)
    with call.session() as session:
        found = render(session, _of(options, _given()), array, submit=not dry_run)
    _show(call, found)


@jobs.command(
    name="command",
    cls=RunCommand,
    options_metavar="[OPTIONS]",
    epilog=examples(
        "git fleet jobs command tasks-app --workers 4 -- qsub -N {name} -J 0-{last} {script}",
        "git fleet jobs command tasks-app --workers 4 -- ssh node{index} sh {script} {index}",
    ),
)
@_asked
@dry_run_option
@command
def other(call: Call, /, dry_run: bool, **options: Any) -> None:
    """Hand a script for workers to any other engine, by a command of yours.

    What is behind -- may hold {script}, {name}, {plan}, {workers} and {last} (the last index, from 0). With {index} in it the command is run once for each worker. The script takes its number as an argument, or from
    what common engines put into the environment.
    """
    from git_fleet.app.jobs.command import command as render

    given = _given()
    if not given:
        raise click.UsageError("say which command submits the script: -- COMMAND… {script}")
    with call.session() as session:
        found = render(session, _of(options), given, submit=not dry_run)
    _show(call, found)


def _show(call: Call, found: Rendered, notes: tuple[str, ...] = ()) -> None:
    from git_fleet.views import jobs as views
    from git_fleet.views.look import line

    call.show(lambda: views.document(found), lambda how: views.rendered(found, how))
    if not call.as_json and not found.submitted:
        for text in (*views.commands(found).splitlines(), *map(line, notes)):
            say(text)
