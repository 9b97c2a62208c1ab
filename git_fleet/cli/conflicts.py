"""Who will collide with whom. Nothing here writes (invariant I8)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from git_fleet.cli.call import Call, command, examples, look, write, write_json

if TYPE_CHECKING:
    from git_fleet.core.collisions import Conflicts

_HOME_AND_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


@click.command(
    epilog=examples(
        "git fleet conflicts               all work in flight, pairwise, and with main",
        "git fleet conflicts 42            what task 42 collides with",
        "git fleet conflicts --watch       again whenever something changes",
        "git fleet conflicts --strict      exit 1 when there is a conflict, for scripts",
    )
)
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.option(
    "--watch", is_flag=True, help="Go on until interrupted (Ctrl-C); show it again when it changes."
)
@click.option("--strict", is_flag=True, help="Exit with 1 when git could not merge some of it.")
@command
def conflicts(call: Call, tasks: tuple[str, ...], watch: bool, strict: bool) -> int:
    """Which work in flight collides, in which lines.

    What is not committed yet counts, untracked files too. Everything is merged in memory; nothing is written.
    """
    from git_fleet.app import conflicts as comparing
    from git_fleet.core.collisions import Kind
    from git_fleet.views import conflicts as views

    if watch and strict:
        raise click.UsageError("--strict is the answer of one look, --watch goes on: leave one of them out")
    if watch:
        _watch(call, tasks)
        return 0
    with call.session() as session:
        found = comparing.conflicts(session, tasks)
    call.show(lambda: views.document(found), lambda how: views.conflicts(found, how))
    return 1 if strict and any(each.kind is Kind.TEXTUAL for each in found.collisions) else 0


def _watch(call: Call, tasks: tuple[str, ...]) -> None:
    """A terminal shows the last look; into a pipe goes one after the other, with --json a document a line."""
    from git_fleet.app import conflicts as comparing

    with call.session(long_lived=True, bulk=False) as session:
        for number, found in enumerate(comparing.watching(session, tasks)):
            _show_again(call, found, number)


def _show_again(call: Call, found: Conflicts, number: int) -> None:
    from git_fleet.views import conflicts as views

    if call.as_json:
        write_json(views.document(found))
        return
    how = look(sys.stdout)
    text = f"{found.at:%H:%M:%S} UTC  {views.conflicts(found, how)}"
    if how.width:
        text = _HOME_AND_CLEAR + text
    elif number:
        text = "\n" + text
    write(text)
