"""`git fleet`, also as `python -m git_fleet`: hooks go to their own programs, all else to the command line.

A hook is waited for, often: it starts neither click nor a second interpreter.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """The console script `git-fleet`."""
    words = sys.argv[1:]
    if words[:2] == ["hook", "agent"]:
        from git_fleet import agenthook

        sys.exit(agenthook.main(words[2:], sys.stdin.buffer, os.environ))
    if words[:1] == ["hook"] and not "".join(words[1:2]).startswith("-") and words[1:]:
        from git_fleet import hook

        sys.exit(hook.main(words[1:]))
    from git_fleet.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
