"""`git fleet`, also as `python -m git_fleet`: hooks go to their own programs, all else to the command line.

A hook is waited for, often, and a line in a prompt, too: they start neither click nor a second interpreter.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys


def main() -> None:
    """The console script `git-fleet`."""
    words = sys.argv[1:]
    if words[:2] == ["hook", "agent"]:
        from git_fleet import agenthook

        sys.exit(agenthook.main(words[2:], sys.stdin.buffer, os.environ))
    if words[:1] == ["hook"] and not "".join(words[1:2]).startswith("-") and words[1:]:
        from git_fleet import hook

        sys.exit(hook.main(words[1:]))
    if words == ["status", "--line"] and _said_in_one_line():
        return
    # Modules and what a command reads live to its end. Looking through them for circles, a hundred times while they
    # come, is a twentieth of its time.
    gc.set_threshold(100_000)
    # Ctrl-C while modules come has nothing to put in order, and is to leave no traceback. A command has handlers of its own.
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from git_fleet.cli.main import main as command_line

    # Else what goes with the process anyway is looked through at its end.
    atexit.register(gc.freeze)
    command_line()


def _said_in_one_line() -> bool:
    """Whether it was that easy. What went wrong the rest of the program knows how to say."""
    from git_fleet import oneline
    from git_fleet.errors import FleetError

    try:
        return oneline.main(sys.stdout.write)
    except FleetError:
        return False


if __name__ == "__main__":
    main()
