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


MOMENTS = ("asked", "locked", "half", "moved", "answering")
"""When a server can die of a push: before anything is looked at; when all refs are locked; when one has moved and the
others are locked still; when all have moved; when the answer is on its way."""

_DIES = """\
#!/bin/sh
# $GIT_DIR/deaths has a moment for each push to come; that of this one is put into now.
hook=${0##*/} moment=$1
die() {
    cat now >>died
    : >now
    [ ! -e victim ] || kill -9 "-$(cat victim)"
    kill -9 $PPID
    exit 1
}
case $hook in
pre-receive)
    read -r now rest <deaths || exit 0
    echo "$rest" >deaths
    echo "$now" >now
    [ "$now" != asked ] || die
    ;;
reference-transaction)
    case $moment:$(cat now 2>/dev/null) in
    prepared:locked) die ;;
    prepared:half) read -r _ _ ref && mv "$ref.lock" "$ref" && die ;;
    committed:moved) die ;;
    esac
    ;;
post-receive) [ "$(cat now)" != answering ] || die ;;
esac
"""


def die_at(server: Path, *moments: str) -> None:
    """Of each of the next pushes the server dies at that moment (kill -9); any other word, and it lives. What dies is
    the session of processes whose leader is named in the file `victim`, else git-receive-pack alone."""
    for name in ("pre-receive", "reference-transaction", "post-receive"):
        hook = server / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_DIES, encoding="utf-8")
        hook.chmod(0o755)
    (server / "now").write_text("")
    (server / "deaths").write_text(" ".join(moments) + "\n", encoding="utf-8")


def deaths(server: Path) -> list[str]:
    """At which moments it has died so far."""
    died = server / "died"
    return died.read_text(encoding="utf-8").split() if died.exists() else []


def clear_locks(server: Path) -> list[str]:
    """Remove the lock files that a killed git has left, as whoever keeps the server does once nothing runs there:
    the refs that were locked."""
    left = [*(server / "refs").rglob("*.lock"), *server.glob("*.lock")]
    for lock in left:
        lock.unlink()
    return sorted(str(lock.relative_to(server).with_suffix("")) for lock in left)


def reconnect_side(clone: Repo, side: str) -> None:
    """One of both directions is as it was."""
    clone.run_git("config", "--unset", f"remote.origin.{side}")
