"""What a proposal becomes on a new base: the merged tree, and the one commit of it (DESIGN section 10).

The merge is git's own: `git merge-tree --write-tree`, the ort engine, which gets the real commits, so
several merge bases, renames of directories, modes, links and submodules are its business. No work
tree and no index is touched, no ref is written; until a ref names them the new objects are garbage.

Attributes (merge drivers, `merge=union`, `binary`) are those of the work tree that git runs in. So
`git` should run in a clean checkout of the base; elsewhere only a `.gitattributes` at the root counts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from git_fleet.core.ids import Oid
from git_fleet.errors import InvalidInput
from git_fleet.git.formats import Signature
from git_fleet.git.objects import Objects
from git_fleet.git.process import Git, failure

_MERGE = ("merge-tree", "--write-tree", "-z", "--name-only", "--messages")
_NOBODY = Signature("git-fleet", "", 0)


class Merge(NamedTuple):
    """What merging two commits gives: a tree, or None and the paths that conflict, sorted by bytes.

    `said` are git's own words on the conflicts, one a line, with `ours` and `theirs` for the two commits;
    they hold file names, so they are untrusted.
    """

    tree: Oid | None
    conflicts: tuple[str, ...] = ()
    said: str = ""


class CommitSettings(NamedTuple):
    """How this repository wants commits made. git has no setting that makes `git commit` sign off;
    `format.signOff`, which does so for patches, is the wish nearest to it, and counts here."""

    sign: bool
    sign_off: bool


def commit_settings(git: Git) -> CommitSettings:
    """`commit.gpgSign` and `format.signOff` as configured where `git` runs."""
    names = r"^(commit\.gpgsign|format\.signoff)$"
    out = git.run("config", "-z", "--type=bool", "--get-regexp", names, ok=(0, 1)).out
    found = dict(entry.partition(b"\n")[::2] for entry in out.split(b"\0"))
    return CommitSettings(*(found.get(name) == b"true" for name in (b"commit.gpgsign", b"format.signoff")))


def merge(git: Git, ours: Oid, theirs: Oid) -> Merge:
    """The three-way merge of two commits, whose bases git finds.

    Raises InvalidInput when they have no common history (they are never merged), GitFailed.
    """
    args = (*_MERGE, ours, theirs)
    done = git.run(*args, ok=(0, 1, 128))
    if done.out and done.code <= 1:
        found = _conflict(done.out.split(b"\0"), ours.encode(), theirs.encode())
        # git calls a merge clean in which a renamed file has conflicts and meets another one: it stages the markers.
        return found if done.code or found.said else Merge(_tree_of(done.out.split(b"\0")))
    # An exit code of 1 without output is an object that is missing or no commit.
    if git.run("merge-base", ours, theirs, ok=(0, 1, 128)).code == 1:
        raise InvalidInput(
            f"{theirs[:12]} has no common history with {ours[:12]}",
            hint="start the task's branch from the base branch, and commit the work there",
        )
    raise failure(args, done.code, done.err)


def merge_from(git: Git, objects: Objects, *, base: Oid, ours: Oid, theirs: Oid) -> Merge:
    """The three-way merge of the trees of two commits, with `base` imposed: a revert of X is the merge
    of main and X's parent from X. Raises GitFailed.

    git 2.39 has no --merge-base: two throw-away commits, whose parent is the base, say the same. They
    name nobody and no time, so that the same question makes the same objects.
    """
    posed = [
        objects.write_commit(
            tree=objects.read_commit(side).tree,
            parents=[base],
            author=_NOBODY,
            committer=_NOBODY,
            message="merge with an imposed base\n",
        )
        for side in (ours, theirs)
    ]
    return merge(git, *posed)


def commit_tree(
    git: Git,
    objects: Objects,
    *,
    tree: Oid,
    onto: Oid,
    message: str,
    author: Signature,
    committer: Signature,
    sign: bool = False,
) -> Oid:
    """The commit of `tree` on top of `onto`, its message in UTF-8, `author` with its date. Only a signed one needs
    `git`. Whether objects are flushed to the disk is decided by how `git` and `objects` were opened.

    Raises GitFailed, also when it cannot be signed.
    """
    if sign:
        return _write_signed(git, tree, onto, author, committer, message)
    return objects.write_commit(
        tree=tree, parents=[onto], author=author, committer=committer, message=message
    )


def _write_signed(
    git: Git, tree: Oid, parent: Oid, author: Signature, committer: Signature, message: str
) -> Oid:
    """Through `git commit-tree -S`, which knows keys and formats (and trims odd punctuation off names)."""
    env = {**_identity("AUTHOR", author), **_identity("COMMITTER", committer)}
    args = ("commit-tree", "-S", "-p", parent, "-F", "-", tree)
    return Oid(git.text(*args, input=message.encode("utf-8", "surrogateescape"), env=env))


def _identity(role: str, who: Signature) -> Mapping[str, str]:
    hours, minutes = divmod(abs(who.offset_minutes), 60)
    zone = f"{'-' if who.offset_minutes < 0 else '+'}{hours:02}{minutes:02}"
    return {
        f"GIT_{role}_NAME": who.name or who.email,  # git takes an empty name everywhere but here
        f"GIT_{role}_EMAIL": who.email,
        f"GIT_{role}_DATE": f"@{who.seconds} {zone}",
    }


def _tree_of(fields: list[bytes]) -> Oid:
    return Oid(fields[0].decode("ascii"))


def _conflict(fields: list[bytes], ours: bytes, theirs: bytes) -> Merge:
    """Of tree, conflicting paths, an empty field, then messages: count, that many paths, kind, text."""
    end = fields.index(b"", 1)
    paths = set(fields[1:end])
    said: list[bytes] = []
    at = end + 1
    while at < len(fields) and fields[at].isdigit():  # advice on submodules follows the list, without an end
        after = at + 1 + int(fields[at])
        if fields[after].startswith(b"CONFLICT"):
            text = fields[after + 1].replace(ours, b"ours").replace(theirs, b"theirs")
            said.append(b" ".join(text.split()))
            # Some conflicts, a directory renamed to two places for one, leave no path unmerged.
            paths.update(fields[at + 1 : after] if end == 1 else ())
        at = after + 2
    # Where a file cannot stand (a folder is there, or a link) ort invents `<path>~<commit>` for it. The
    # path itself is what conflicts.
    invented = b"~(?:%b|%b)(?:_\\d+)?$" % (ours, theirs)
    real = {re.sub(invented, b"", path) for path in paths}
    return Merge(None, tuple(map(os.fsdecode, sorted(real))), os.fsdecode(b"\n".join(said)))
