"""The few things that are asked of tmux, always of a server of our own on a socket that is named.

Nothing that others wrote gets into a command for tmux or a shell: it is given identifiers, numbers, and an argument
list of more than one item, which it executes as it is.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

from git_fleet.errors import GitFailed, InvalidInput

_KEPT = ("PATH", "HOME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_TRIES = 3
_SECONDS = 30.0
_OPTIONS = (
    ("-g", "status-left", "[#S] "),
    ("-g", "history-limit", "20000"),
    ("-g", "destroy-unattached", "off"),
    ("-wg", "remain-on-exit", "on"),
    ("-wg", "automatic-rename", "off"),
    ("-wg", "allow-rename", "off"),
)
_SETUP = tuple(word for option in _OPTIONS for word in ("set-option", *option, ";"))


def open_window(
    socket: str, session: str, window: str, command: Sequence[str], env: Mapping[str, str]
) -> None:
    """Run a command of more than one word in a new window; the session and the server come with the first.

    `session` and `window` are ids. The server's own environment is a few names of `env`. Raises GitFailed, and
    InvalidInput without tmux.
    """
    session = session.replace(".", "_")  # as tmux itself would
    few = {name: env[name] for name in _KEPT if name in env}
    failed = ""
    for _ in range(_TRIES):  # somebody else may open the session, or close its last window, at the same time
        at = ("-d", "-c", "/", "-n", window)
        if not run(socket, "new-window", *at, "-t", f"={session}:", *command, env=few):
            return
        failed = run(
            socket, "start-server", ";", *_SETUP, "new-session", *at, "-s", session, "-x", "200", "-y", "50",
            *command, env=few,
        )  # fmt: skip
        if not failed:
            return
    raise GitFailed(f"tmux cannot open a window: {failed}", hint="git fleet run, without --tmux")


def kill_pane(socket: str, pane: str, pid: int) -> None:
    """Close a pane, if it still is the one that this process works in: a new server numbers from the beginning."""
    with suppress(InvalidInput):
        run(
            socket,
            "if-shell",
            "-F",
            "-t",
            pane,
            f"#{{==:#{{pane_pid}},{pid}}}",
            f"kill-pane -t {pane}",
            env={},
        )


def run(socket: str, *arguments: str, env: Mapping[str, str]) -> str:
    """Ask the server: what it complains of, "" when it does not. Raises InvalidInput without tmux."""
    command = ["tmux", "-u", "-f", "/dev/null", "-S", socket, *arguments]
    try:
        done = subprocess.run(
            command,
            env=dict(env) or None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except FileNotFoundError as error:
        raise InvalidInput("tmux is not installed", hint="install tmux, or leave --tmux away") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.decode("utf-8", "replace").strip() or ("no answer" if done.returncode else "")
