"""`verify` and `verdict`: what is handed in, judged by others than its workers."""

from __future__ import annotations

import click

from git_fleet.app import verdicts
from git_fleet.app.verify import Asked, outcome
from git_fleet.app.verify import verify as ask
from git_fleet.cli.call import Call, command, examples
from git_fleet.cli.named import TASK, TASK_OR_PLAN
from git_fleet.cli.progress import progress
from git_fleet.core.model import Ruling
from git_fleet.core.results import Verification
from git_fleet.views import verification
from git_fleet.views.look import line


def _show(call: Call, found: Verification) -> int:
    call.show(lambda: verification.document(found), lambda how: verification.verification(found, how))
    return 1 if any(task.refuted for task in found.tasks) else 0


@click.command(
    epilog=examples(
        "git fleet verify                     everything that waits for verdicts",
        "git fleet verify 42 --lens security  one task, one verifier",
        "git fleet verify 42 --again          though all have answered, or it is verified already",
    )
)
@click.argument("targets", type=TASK_OR_PLAN, nargs=-1, metavar="[PLAN|TASK]…")
@click.option("--lens", "lenses", multiple=True, metavar="LENS", help="Ask only the verifier with this lens.")
@click.option("--again", is_flag=True, help="Ask those too that have answered.")
@command
def verify(call: Call, targets: tuple[str, ...], lenses: tuple[str, ...], again: bool) -> int:
    """Run the configured verifiers on what is handed in.

    Scope and gates come first. Then each verifier is asked, all at the same time, in a clean checkout of
    the proposal. What is refuted goes back to rework with what was found; the exit code is 1 then. Whoever
    made a proposal cannot verify it.
    """
    with call.session(long_lived=True) as session, progress(call) as bar:
        found = ask(session, Asked(targets, lenses, again), lambda text: bar.say(line(text)), bar)
    return _show(call, found)


@click.command(
    epilog=examples(
        "git fleet verdict 42 --lens security --upheld",
        'git fleet verdict 42 --lens docs --refuted --finding "the flag is not in the manual"',
    )
)
@click.argument("task", type=TASK)
@click.option("--upheld", is_flag=True, help="It holds.")
@click.option("--refuted", is_flag=True, help="It does not; say why.")
@click.option("--lens", required=True, metavar="LENS", help="What you looked at.")
@click.option("--finding", "findings", multiple=True, metavar="TEXT", help="What you found.")
@click.option("-m", "--message", "summary", default="", metavar="TEXT", help="What you think of it.")
@command
def verdict(
    call: Call,
    task: str,
    upheld: bool,
    refuted: bool,
    lens: str,
    findings: tuple[str, ...],
    summary: str,
) -> int:
    """Give a verdict yourself: a person's answer under one lens counts like a verifier's."""
    if upheld == refuted:
        raise click.UsageError("say --upheld or --refuted, one of them")
    ruling = Ruling.UPHELD if upheld else Ruling.REFUTED
    with call.session() as session:
        record = verdicts.give(session, task, ruling, lens, findings, summary)
        found = Verification((outcome(session, record),), ())
    return _show(call, found)
