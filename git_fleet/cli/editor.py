"""The user's editor on a text that is not in a file yet."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from git_fleet.cli.call import Call
from git_fleet.errors import FleetError, InvalidInput

_VARIABLES = ("GIT_EDITOR", "VISUAL", "EDITOR")


def edit(text: str, *, name: str, stores: str = "git fleet plan import") -> tuple[str, Path]:
    """What the editor leaves of `text`, and the file it is in, which stays until `forget`. `stores` is the command that
    stores what is in a file.

    Raises InvalidInput when there is no editor, or when it fails.
    """
    chosen = next((value for variable in _VARIABLES if (value := os.environ.get(variable))), "vi")
    folder = Path(tempfile.mkdtemp(prefix="git-fleet-"))
    path = folder / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    try:
        done = subprocess.run([*shlex.split(chosen), os.fspath(path)], check=False)
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"the editor {chosen!r} cannot be started: {error}",
            hint=f"export GIT_EDITOR=…, or write a file, and then: {stores} FILE",
        ) from error
    if done.returncode:
        raise InvalidInput(
            f"the editor {chosen!r} ended with {done.returncode}; nothing is stored",
            hint=f"the text is in {path}; {stores} {shlex.quote(str(path))} stores it",
        )
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape"), path
    except OSError as error:
        raise InvalidInput(
            f"the editor {chosen!r} left no text: {path}: {error.strerror}; nothing is stored",
            hint=f"write a file, and then: {stores} FILE",
        ) from error


def kept(error: FleetError, path: Path, stores: str = "git fleet plan import") -> FleetError:
    """`error` about a text that was just edited, saying where the text is: nobody types a plan twice."""
    also = f"your text is kept in {path}; correct it there, then: {stores} {shlex.quote(str(path))}"
    error.hint = f"{error.hint}; {also}" if error.hint else also
    return error


def forget(path: Path) -> None:
    """The text is stored: its file may go (an editor may have left a backup beside it, which goes too)."""
    shutil.rmtree(path.parent, ignore_errors=True)


def on_terminal(call: Call) -> bool:
    """Whether a person sits there to be asked."""
    import sys

    return not call.as_json and sys.stdin.isatty() and sys.stderr.isatty()
