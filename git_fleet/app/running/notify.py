"""`[notify]` of fleet.toml: a person is told that they are needed, wherever they are."""

from __future__ import annotations

import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from git_fleet.app.running.desk import Desk
from git_fleet.core import launch, trailers
from git_fleet.core.config import Command
from git_fleet.errors import InvalidInput

_SECONDS = 30.0
_MOST = 500


def notify(desk: Desk, command: Command, message: str, *, wait: bool = False) -> None:
    """Run the command, and `wait` for it or not. `{message}` stands in a list for what there is to say; a text for sh
    finds it in FLEET_MESSAGE. A failure is told and stops nothing."""
    if not command:
        return
    said = " ".join(trailers.clean(message).split())[:_MOST]
    try:
        if isinstance(command, str):
            launch.require_plain(command, "[notify]", ("message",))
            argv: list[str] = ["/bin/sh", "-c", command]
        else:
            argv = list(launch.fill(command, {"message": said}, "[notify]"))
    except InvalidInput as error:
        desk.report(f"nobody was notified: {error.message}")
        return
    thread = threading.Thread(target=_run, args=(desk, argv, desk.root, said), name="notify", daemon=True)
    thread.start()
    if wait:
        thread.join(_SECONDS)


def _run(desk: Desk, argv: list[str], folder: Path, said: str) -> None:
    env = {**desk.around.env, "FLEET_MESSAGE": said}
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        trouble = f"exit code {done.returncode}" if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        trouble = str(error)
    if trouble:
        with suppress(OSError, ValueError):
            desk.report(f"nobody was notified: {argv[0]}: {trouble}")
