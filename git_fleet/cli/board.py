"""`git fleet board`: a plan live in a browser."""

from __future__ import annotations

import secrets
import socket

import click

from git_fleet.cli.call import Call, command, examples, say
from git_fleet.errors import InvalidInput


@click.command(
    epilog=examples(
        "git fleet board --open",
        "git fleet board --port 8765     and from elsewhere: ssh -L 8765:127.0.0.1:8765 HOST",
    )
)
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Listen there (0: on any free port).")
@click.option("--open", "opening", is_flag=True, help="Open it in your browser.")
@command
def board(call: Call, port: int, opening: bool) -> None:
    """The plans live in a browser: the report's parts, who collides, each task's log and diff.

    For looking only: what can be done is shown as the command to copy. It listens on this machine's loopback alone, and
    answers who has the address that it prints. It ends with Ctrl-C, and needs git-fleet[board].
    """
    try:
        from git_fleet import board as face
        from git_fleet.admission import HOST
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "git_fleet":
            raise
        raise InvalidInput(
            f"the board needs a small web server, and {missing} is not installed",
            hint="pip install 'git-fleet[board]'",
        ) from error
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
        face.serve(lambda: call.session(long_lived=True, reading=True), sock, token, once if opening else "")


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises InvalidInput when somebody else does."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise InvalidInput(
            f"cannot listen on {host}:{port}: {error.strerror}",
            hint="git fleet board --port 0 takes a free port",
        ) from None
