"""What can go wrong between a clone and its server, by programs of git's own that stand in between.

git starts `git-upload-pack` and `git-receive-pack` on the server's side; a clone may name others.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.repo import Repo

LOSES_THE_ANSWER = """\
[ -e "$0.once" ] || exec git-receive-pack "$1"
rm "$0.once"
size=$(git receive-pack --http-backend-info-refs "$1" | wc -c)
git-receive-pack "$1" | head -c "$size"
"""
"""Lets a push through, and breaks the line before the answer: once, after `once`."""

UNREACHABLE = "echo 'nobody there' >&2; exit 1\n"
HANGS = "exec sleep 1000\n"


def stand_in(clone: Repo, side: str, script: str) -> Path:
    """Have `clone` start `script` in place of the server's `side` (receivepack or uploadpack); the server's path is
    its $1."""
    place = clone.path.parent / f"{side}-of-{clone.path.parent.name}"
    place.write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
    place.chmod(0o755)
    clone.run_git("config", f"remote.origin.{side}", str(place))
    return place


def cut_off(clone: Repo) -> None:
    """From now on the clone cannot reach its server."""
    for side in ("receivepack", "uploadpack"):
        stand_in(clone, side, UNREACHABLE)


def reconnect(clone: Repo) -> None:
    """It can again."""
    for side in ("receivepack", "uploadpack"):
        clone.run_git("config", "--unset", f"remote.origin.{side}")


def refuse(server: Path, words: str, refs: str = "*") -> None:
    """From now on the server refuses pushes to refs that match (a shell pattern), as a host does for a protected
    branch."""
    hook = server / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        f"#!/bin/sh\nwhile read -r old new ref; do case $ref in {refs}) echo '{words}' >&2; exit 1;; esac; done\n",
        encoding="utf-8",
    )
    hook.chmod(0o755)


def reconnect_side(clone: Repo, side: str) -> None:
    """One of both directions is as it was."""
    clone.run_git("config", "--unset", f"remote.origin.{side}")
