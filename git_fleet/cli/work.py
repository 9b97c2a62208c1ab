"""What happens to a task after the claim: the worker's words, and what a person decides about it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from git_fleet.app import work
from git_fleet.app.session import Session
from git_fleet.cli.call import Amount, Call, command, examples
from git_fleet.cli.named import TASK
from git_fleet.core.model import Usage
from git_fleet.errors import InvalidInput
from git_fleet.views import machine, text

_message = click.option("-m", "--message", "reason", default="", metavar="TEXT", help="Why; kept in the log.")


def show_acted(call: Call, session: Session, acted: work.Acted) -> None:
    """The task after an event."""
    call.show(
        lambda: machine.task(acted.record, acted.notes),
        lambda look: text.acted(acted.record, acted.notes, session.now(), look),
    )


def usage_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What the work cost, as the agent counts it."""
    for name, kind, what in (
        ("--cost-usd", Amount(0, 1e9), "Money spent since the last report."),
        ("--output-tokens", click.IntRange(0, 10**15), "Tokens written since the last report."),
        ("--input-tokens", click.IntRange(0, 10**15), "Tokens read since the last report."),
    ):
        function = click.option(name, type=kind, default=0, metavar="N", help=what)(function)
    return function


def _usage(input_tokens: int, output_tokens: int, cost_usd: float) -> Usage | None:
    found = Usage(input_tokens, output_tokens, cost_usd)
    return None if found == Usage() else found


def _task_and_text(words: tuple[str, ...], what: str) -> tuple[str | None, str]:
    """`[TASK] TEXT`: one word is the text, and the task is the worktree's."""
    if len(words) == 1:
        return None, words[0]
    if len(words) == 2:
        return words[0], words[1]
    raise click.UsageError(f"expected [TASK] {what}, found {len(words)} words; quote the {what.lower()}")


def _read(call: Call, source: str) -> bytes:
    """The bytes of a file, or of standard input for `-`. Raises InvalidInput."""
    if source == "-":
        return sys.stdin.buffer.read()
    try:
        return (call.directory / source).read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"cannot read {source}: {error.strerror}", hint="name a file, or - for standard input"
        ) from error


@click.command(
    epilog=examples(
        "git fleet progress 'parser done, tests next'       inside the task's worktree",
        "git fleet progress 42 'red: 3 tests' --log out.txt  from elsewhere, with the end of a log",
    )
)
@click.argument("words", type=TASK, nargs=-1, required=True, metavar="[TASK] STATUS")
@click.option(
    "--log", metavar="FILE", help="Keep the last 64 KiB of this file (- for standard input) with it."
)
@usage_options
@command
def progress(
    call: Call,
    words: tuple[str, ...],
    log: str | None,
    input_tokens: int,
    output_tokens: int,
    cost_usd: float,
) -> None:
    """Say how it goes. Renews the lease; the others see it in siblings and status."""
    task, status = _task_and_text(words, "STATUS")
    chunk = _read(call, log) if log else b""
    used = _usage(input_tokens, output_tokens, cost_usd)
    with call.session() as session:
        show_acted(call, session, work.progress(session, task, status, log_chunk=chunk, usage=used))


@click.command(
    epilog=examples(
        "git fleet done                                    what is committed on the task's branch",
        "git fleet done --all -m 'Add a count command'     commit the rest of the task's files first",
        "git fleet done --result 'no leak found' --artifact report.md   a report",
        "git fleet done 42 --commit my-branch              a claim without a worktree",
    )
)
@click.argument("task", type=TASK, required=False)
@click.option("-m", "--message", default="", metavar="TEXT", help="The message of the commit on main.")
@click.option(
    "--result", default="", metavar="TEXT", help="What came out, for people (- reads standard input)."
)
@click.option("--all", "all_changes", is_flag=True, help="Commit changes inside the task's files first.")
@click.option(
    "--artifact", "artifacts", multiple=True, metavar="PATH", help="A file to keep with the proposal."
)
@click.option("--commit", default="", metavar="REV", help="Hand in this commit.")
@click.option(
    "--follow-up", "follow_ups", multiple=True, metavar="TITLE", help="Draft a task for what you left alone."
)
@usage_options
@command
def done(
    call: Call,
    task: str | None,
    message: str,
    result: str,
    all_changes: bool,
    artifacts: tuple[str, ...],
    commit: str,
    follow_ups: tuple[str, ...],
    input_tokens: int,
    output_tokens: int,
    cost_usd: float,
) -> None:
    """Hand in a task: its commit becomes a proposal.

    Inside the task's worktree no argument is needed. Uncommitted changes are refused and named.
    """
    from git_fleet.app import handin

    if result == "-":
        result = _read(call, "-").decode("utf-8", "replace")
    given = handin.Handin(
        message=message,
        result=result,
        all_changes=all_changes,
        artifacts=artifacts,
        commit=commit,
        follow_ups=follow_ups,
        usage=_usage(input_tokens, output_tokens, cost_usd),
    )
    with call.session() as session:
        made = handin.done(session, task, given)
    about = {"outside": made.outside, "follow_ups": made.follow_ups, "notes": made.notes}
    call.show(
        lambda: machine.done(made.record, made.proposal, **about),
        lambda look: text.handed_in(made.record, made.proposal, look, **about),
    )


@click.command(epilog=examples('git fleet withdraw 42 -m "the tests are missing"'))
@click.argument("task", type=TASK, required=False)
@_message
@command
def withdraw(call: Call, task: str | None, reason: str) -> None:
    """Take your own proposal back; the task goes to rework."""
    with call.session() as session:
        show_acted(call, session, work.withdraw(session, task, reason))


@click.command(epilog=examples("git fleet block --code missing-api 'no endpoint lists the clusters'"))
@click.argument("words", type=TASK, nargs=-1, required=True, metavar="[TASK] REASON")
@click.option(
    "--code", required=True, metavar="CODE", help="One word that siblings with the same trouble share."
)
@command
def block(call: Call, words: tuple[str, ...], code: str) -> None:
    """Say that a task cannot go on. Enough siblings with the same code pause the plan."""
    task, reason = _task_and_text(words, "REASON")
    with call.session() as session:
        show_acted(call, session, work.block(session, task, code, reason))


@click.command(epilog=examples('git fleet unblock 42 -m "the key is in the vault now"'))
@click.argument("task", type=TASK)
@_message
@command
def unblock(call: Call, task: str, reason: str) -> None:
    """Let a blocked task go on; its attempts start anew."""
    with call.session() as session:
        show_acted(call, session, work.unblock(session, task, reason))


@click.command(
    epilog=examples(
        "git fleet shelve 42     others may have its files; a later claim goes on from what is kept"
    )
)
@click.argument("task", type=TASK)
@command
def shelve(call: Call, task: str) -> None:
    """Free the files of a blocked or rework task; its work is kept."""
    with call.session() as session:
        show_acted(call, session, work.shelve(session, task))


@click.command(epilog=examples('git fleet cancel 42 -m "not needed any more"'))
@click.argument("task", type=TASK)
@_message
@command
def cancel(call: Call, task: str, reason: str) -> None:
    """End a task for good; its work is kept."""
    with call.session() as session:
        show_acted(call, session, work.cancel(session, task, reason))


@click.command(epilog=examples("git fleet reopen 42"))
@click.argument("task", type=TASK)
@command
def reopen(call: Call, task: str) -> None:
    """Bring a cancelled or reverted task back."""
    with call.session() as session:
        show_acted(call, session, work.reopen(session, task))


@click.command(
    epilog=examples("git fleet accept 42", 'git fleet accept 42 -m "looked at it, ci.yml may change"')
)
@click.argument("task", type=TASK)
@_message
@command
def accept(call: Call, task: str, reason: str) -> None:
    """A person's word: lift a hold, or take a proposal as it is."""
    with call.session() as session:
        show_acted(call, session, work.accept(session, task, reason))


@click.command(epilog=examples('git fleet reject 42 --finding "the help text is missing"'))
@click.argument("task", type=TASK)
@click.option(
    "--finding", "findings", multiple=True, metavar="TEXT", help="What is wrong; the next attempt gets it."
)
@command
def reject(call: Call, task: str, findings: tuple[str, ...]) -> None:
    """A person's word: send a proposal back to rework."""
    with call.session() as session:
        show_acted(call, session, work.reject(session, task, findings))
