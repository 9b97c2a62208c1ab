"""`claim`, `renew`, `release`: a worker takes a task, keeps it, gives it back."""

from __future__ import annotations

import click
from msgspec.structs import replace

from git_fleet.app import claim as claiming
from git_fleet.app import knowledge, sharing, work
from git_fleet.app.placing import Placed
from git_fleet.app.session import Session
from git_fleet.cli.call import Call, command, examples
from git_fleet.cli.named import TASK
from git_fleet.cli.progress import working
from git_fleet.errors import FleetError, Held, StaleClaim
from git_fleet.views import machine
from git_fleet.views.look import Look


@click.command(
    epilog=examples(
        "git fleet claim                      any task that is ready, in a worktree of its own",
        "git fleet claim 42                   this one",
        "git fleet claim --label docs --json  one of these, for a script",
        "git fleet claim 42 --sparse          with the files that it needs, in a large repository",
        "git fleet claim --resume             the task I hold, its worktree made again if need be",
    )
)
@click.argument("task", type=TASK, required=False)
@click.option(
    "--label", "labels", multiple=True, metavar="LABEL", help="Only tasks with one of these labels."
)
@click.option("--no-worktree", is_flag=True, help="Claim only: no branch, no worktree.")
@click.option(
    "--sparse", is_flag=True, help="Check out only what the task owns and reads, and what is beside it."
)
@click.option("--resume", is_flag=True, help="The task I hold already.")
@click.option(
    "--offline", is_flag=True, help="Without asking the remote that decides; `git fleet sync` settles it."
)
@command
def claim(
    call: Call,
    task: str | None,
    labels: tuple[str, ...],
    no_worktree: bool,
    sparse: bool,
    resume: bool,
    offline: bool,
) -> int:
    """Take a task, and with it the exclusive right to its files.

    Makes the branch and a worktree beside the repository. Never waits (`git fleet wait` does): with
    nothing ready it says why and ends with exit code 1. --sparse counts where the worktree is made now; `sparse = true` of [worker] in
    fleet.toml does the same for all.
    """
    if sparse and no_worktree:
        raise click.UsageError("--sparse is about the worktree: leave out --no-worktree")
    if resume and (labels or no_worktree):
        raise click.UsageError(
            "--resume goes on with the task I hold: it takes no --label and no --no-worktree"
        )
    with call.session() as session, working(call, "claiming, and making the worktree"):
        if offline:
            sharing.go_offline(session.store)
        if resume:
            placed = claiming.resume(session, task, sparse=sparse)
        else:
            session.keep_config(session.main)  # a changed one is validated once, not by every worker
            got = claiming.claim(session, claiming.Request(task, labels, worktree=not no_worktree))
            if isinstance(got, claiming.NothingReady):
                _show_nothing(call, got)
                return 1
            placed = _place(session, got, sparse=sparse)
        placed = replace(placed, learnings=knowledge.for_task(session, placed.record))
        lead_commits = session.config_of(placed.record.id).lead_commits
    _show(call, placed, lead_commits=lead_commits)
    return 0


def _place(session: Session, got: claiming.Claimed, *, sparse: bool) -> Placed:
    """The worktree of a claim just made. A claim whose worktree fails is kept, and said to be."""
    try:
        return claiming.place(session, got, sparse=sparse)
    except (Held, StaleClaim):  # it is not ours any more
        raise
    except FleetError as error:
        name, worker = got.record.id, session.actor
        then = f"then git fleet claim --resume {name} --worker {worker} goes on; git fleet release {name} --worker {worker} gives it back"
        error.message = f"{name} is claimed, but its worktree cannot be made: {error.message}"
        error.hint = f"{error.hint}; {then}" if error.hint else then
        raise


def _show(call: Call, placed: Placed, *, lead_commits: bool) -> None:
    call.show(
        lambda: machine.claim(
            placed.record, placed.path, placed.env, placed.notes, placed.conflicts, placed.learnings
        ),
        lambda look: _as_text(placed, look, lead_commits=lead_commits),
    )


def _as_text(placed: Placed, look: Look, *, lead_commits: bool) -> str:
    """Imported only for people: the view's values cost a script's claim a tenth of its time."""
    from git_fleet.views import text

    return text.claimed(
        placed.record,
        placed.path,
        placed.env,
        placed.notes,
        look,
        lead_commits=lead_commits,
        learnings=placed.learnings,
    )


def _show_nothing(call: Call, got: claiming.NothingReady) -> None:
    call.show(
        lambda: machine.nothing_ready(got.reason, got.text, got.retry_after_seconds),
        lambda _: f"nothing to claim ({got.reason}): {got.text}",
    )


@click.command(epilog=examples("git fleet renew       in the task's worktree", "git fleet renew 42"))
@click.argument("task", type=TASK, required=False)
@command
def renew(call: Call, task: str | None) -> None:
    """Keep a claim: its lease starts anew.

    Inside the task's worktree no argument is needed. `progress` renews too.
    """
    from git_fleet.cli.work import show_acted

    with call.session() as session:
        show_acted(call, session, work.renew(session, task))


@click.command(epilog=examples("git fleet release     in the task's worktree", "git fleet release 42"))
@click.argument("task", type=TASK, required=False)
@command
def release(call: Call, task: str | None) -> None:
    """Give a claimed task back. What was done is kept, and the next claim starts from it."""
    from git_fleet.cli.work import show_acted

    with call.session() as session:
        show_acted(call, session, work.release(session, task))
