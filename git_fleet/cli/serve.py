"""`mcp`: the server that agents start, and how they are told of it."""

from __future__ import annotations

import os
import sys

import click

from git_fleet.cli.across import found, workspace_option
from git_fleet.cli.call import Call, command, examples, needing, say, surroundings
from git_fleet.cli.interrupts import InputThatEnds
from git_fleet.errors import InvalidInput
from git_fleet.views import snippets


@click.command(
    epilog=examples(
        "git fleet mcp --config claude   what to put where, for Claude Code",
        "git fleet mcp                   the server itself; an agent starts it",
    )
)
@click.option(
    "--config",
    "client",
    metavar="CLIENT",
    help=f"Print how to tell an agent of it: {', '.join(snippets.CLIENTS)}.",
)
@workspace_option("Serve all repositories of the workspace: a claim takes the most important task anywhere")
@command
def mcp(call: Call, client: str | None, workspace: str | None) -> None:
    """Serve agents that speak MCP, on standard input and output.

    One server is one worker, unless the calls of its tools name others. It needs git-fleet[mcp].
    """
    if client is not None and workspace is not None:
        raise click.UsageError("--config prints how to start a server: add --workspace DIR to what it prints")
    if client is not None:
        found = snippets.snippet(client, call.worker or "")
        call.show(
            lambda: {"client": found.client, "file": found.file, "text": found.text}, lambda _: found.text
        )
        if not call.as_json:
            say(f"this belongs into {found.file}")
        return
    with needing("mcp", "the MCP server needs the MCP SDK"):
        from git_fleet import mcp as face
    from git_fleet.app.serving import Serving

    if sys.stdin is None:  # it is closed
        raise InvalidInput("there is no standard input to serve", hint="git fleet mcp --config CLIENT")
    if sys.stdin.isatty():
        say("serving MCP on standard input; agents start this by themselves: git fleet mcp --config CLIENT")
    if workspace is not None:
        _everywhere(call, workspace)
        return
    with call.session() as session:  # where this is no repository, or the name no worker's, it is said now
        worker = session.actor
    with InputThatEnds(), Serving(call.directory, surroundings(), worker) as serving:
        face.serve(serving)


def _everywhere(call: Call, given: str) -> None:
    """Serve a workspace."""
    from git_fleet import mcp as face
    from git_fleet.app.surroundings import check_worker, generated_worker
    from git_fleet.app.wide.serving import WideServing, readable

    space, around = found(call, given), surroundings()
    readable(space, around)
    worker = check_worker(call.worker or os.environ.get("FLEET_WORKER") or generated_worker(around))
    with InputThatEnds(), WideServing(space, around, worker) as serving:
        face.serve(serving)
