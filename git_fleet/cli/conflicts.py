"""Who will collide with whom. Nothing here writes (invariant I8)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from git_fleet.cli.across import show_all, workspace_option
from git_fleet.cli.call import Call, command, examples, look, write, write_json

if TYPE_CHECKING:
    from git_fleet.core.collisions import Conflicts
    from git_fleet.views.look import Look


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
@workspace_option("In each repository of the workspace")
@command
def conflicts(call: Call, tasks: tuple[str, ...], watch: bool, strict: bool, workspace: str | None) -> int:
    """Which work in flight collides, in which lines.

    What is not committed yet counts, untracked files too. Everything is merged in memory; nothing is written.
    """
    from git_fleet.app import conflicts as comparing
    from git_fleet.core.collisions import Kind
    from git_fleet.views import conflicts as views

    if watch and strict:
        raise click.UsageError("--strict is the answer of one look, --watch goes on: leave one of them out")
    if workspace is not None:
        if watch or strict or tasks:
            raise click.UsageError("--workspace looks at everything once: it goes without tasks and options")
        return show_all(call, workspace, comparing.conflicts, views.document, views.conflicts)
    if watch:
        _watch(call, tasks)
        return 0
    with call.session(reading=True) as session:
        found = comparing.conflicts(session, tasks)
    call.show(lambda: views.document(found), lambda how: views.conflicts(found, how))
    return 1 if strict and any(each.kind is Kind.TEXTUAL for each in found.collisions) else 0


def _watch(call: Call, tasks: tuple[str, ...]) -> None:
    """A terminal shows what was found last; into a pipe goes one after the other, with --json a document a line. Ctrl-C
    is how it ends well."""
    from git_fleet.app import conflicts as comparing
    from git_fleet.cli.screen import drawn
    from git_fleet.views import conflicts as views

    found: list[Conflicts] = []
    try:
        with call.session(long_lived=True, bulk=False, reading=True) as session:
            looks = comparing.watching(session, tasks)
            if drawn(call):
                session.around = replace(session.around, warn=str)  # a line would tear the screen
                _draw(looks, found)
            else:
                _print(call, looks)
    except KeyboardInterrupt:
        for each in found:
            write(views.conflicts(each, look(sys.stdout)))


def _draw(looks: Iterator[Conflicts], found: list[Conflicts]) -> None:
    """Draw what is found; the last of it is left in `found`."""
    from git_fleet.cli.screen import Screen

    with Screen(lambda shown, height: fitting(found[-1], shown, height) if found else ()) as screen:
        for each in looks:
            found[:] = [each]
            screen.draw()


def fitting(value: Conflicts, shown: Look, height: int) -> list[str]:
    """The lines of what was found for a screen of this height, of many the first; then how it ends."""
    from git_fleet.cli.screen import KEYS
    from git_fleet.views import conflicts as views

    text = views.conflicts(value, shown).split("\n")
    room = max(0, height - 1)
    if len(text) > room:
        text = [*text[: max(0, room - 1)], f"… and {len(text) - room + 1} more lines"][:room]
    return [*text, shown.paint(f"as of {value.at.astimezone():%H:%M:%S}  {KEYS}", "dim")]


def _print(call: Call, looks: Iterator[Conflicts]) -> None:
    from git_fleet.views import conflicts as views

    for number, found in enumerate(looks):
        if call.as_json:
            write_json(views.document(found))
        else:
            text = f"{found.at:%H:%M:%S} UTC  {views.conflicts(found, look(sys.stdout))}"
            write(f"\n{text}" if number else text)
