"""`git fleet board`: a plan live in a browser."""

from __future__ import annotations

import secrets
import socket
from functools import partial

import click

from git_fleet.cli.across import found, workspace_option
from git_fleet.cli.call import Call, command, examples, needing, say, surroundings
from git_fleet.errors import InvalidInput


@click.command(
    epilog=examples(
        "git fleet board --open",
        "git fleet board --port 8765     and from elsewhere: ssh -L 8765:127.0.0.1:8765 HOST",
        "git fleet board --workspace     all repositories of a workspace, and the board of each",
    )
)
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Listen there (0: on any free port).")
@click.option("--open", "opening", is_flag=True, help="Open it in your browser.")
@workspace_option("All repositories of the workspace side by side, each with its board")
@command
def board(call: Call, port: int, opening: bool, workspace: str | None) -> None:
    """The plans live in a browser: the report's parts, who collides, each task's log and diff.

    For looking only: what can be done is shown as the command to copy. It listens on this machine's loopback alone, and
    answers who has the address that it prints. It ends with Ctrl-C, and needs git-fleet[board].
    """
    with needing("board", "the board needs a small web server"):
        from git_fleet import board as one
        from git_fleet import wideboard as all_of_them
        from git_fleet.admission import HOST
    space = None if workspace is None else found(call, workspace)
    if space is None:
        with call.session(reading=True):  # where this is no repository it is said now
            pass
    token, once = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    with _listening(HOST, port) as sock:
        place = f"{HOST}:{sock.getsockname()[1]}"
        url = f"http://{place}/?token={token}"
        call.show(lambda: {"url": url, "port": sock.getsockname()[1]}, lambda _: url)
        if not call.as_json:
            say("the address is for you alone; Ctrl-C ends the board")
        if opening:
            import webbrowser

            webbrowser.open(f"http://{place}/?token={once}")
        if space is None:
            opened = partial(call.session, long_lived=True, reading=True)
            one.serve(opened, sock, token, once if opening else "")
        else:
            all_of_them.serve(space, surroundings(), sock, token, once if opening else "")


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises InvalidInput when somebody else does."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise InvalidInput(
            f"cannot listen on {host}:{port}: {error.strerror}",
            hint="git fleet board --port 0 takes a free port",
        ) from None
