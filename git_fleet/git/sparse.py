"""A worktree in which only a part is checked out, as git's sparse-checkout keeps it: in its own git dir."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from git_fleet.core.sparse import Sparse
from git_fleet.git.process import Argument, Git


def steps(what: Sparse) -> Iterator[tuple[tuple[Argument, ...], bytes]]:
    """What git is run with in a worktree added without its files, and what it gets on standard input. The index, by
    which a finished worktree is known, comes with the files in the last of them.

    The first one sets `extensions.worktreeConfig` where it is not set yet: the patterns are this worktree's alone.
    """
    mode = "--cone" if what.cone else "--no-cone"
    yield (
        ("sparse-checkout", "set", mode, "--stdin"),
        b"".join(os.fsencode(each) + b"\n" for each in what.lines),
    )
    yield ("reset", "--hard", "--quiet", "--no-recurse-submodules"), b""


def is_sparse(git_dir: Path) -> bool:
    """Whether the worktree with this git dir is sparse by its own configuration."""
    own = git_dir / "config.worktree"
    if not own.exists():  # no process for all others
        return False
    git = Git(git_dir, git_dir=git_dir)
    return git.text("config", "-f", own, "--type=bool", "core.sparseCheckout", ok=(0, 1)) == "true"
