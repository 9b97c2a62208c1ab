"""Main merged into a task's branch, in its worktree: begun, and what is left of it to do.

A conflict stays in the worktree as git leaves it (markers, an unmerged index, MERGE_HEAD), for whoever works
there. Of the user's configuration nothing decides about it: rerere would resolve and stage behind the worker's
back, other settings would sign, squash, stash or refuse.

A git that is killed amid a merge leaves files half-written and the index as it was. So `begin` undoes such a
beginning first, but only where every difference is of this merge's own making.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from git_fleet.core.ids import Oid
from git_fleet.errors import Busy, NeedsPerson
from git_fleet.git import contents, locks, replay, torn, worktrees
from git_fleet.git.moves import in_the_way
from git_fleet.git.process import Git, failure
from git_fleet.git.repository import Repository

_OPTIONS = (
    "--no-ff", "--commit", "--no-squash", "--no-edit", "--no-autostash", "--no-gpg-sign",
    "--no-verify-signatures", "--no-log", "--no-stat", "--quiet", "--strategy=ort",
)  # fmt: skip
_SQUASH = (
    "--squash", "--ff", "--no-autostash", "--no-verify-signatures", "--no-stat", "--quiet", "--strategy=ort",
)  # fmt: skip
_CONFIG = (("rerere.enabled", "false"), ("submodule.recurse", "false"))
_MARKER = re.compile(rb"^(?:<{7,}|>{7,}) ", re.MULTILINE)
_OUR_MARKER = "^>{7,} [0-9a-f]{40}([0-9a-f]{24})?$"
"""The last line of a conflict that `begin` made: its label is the whole id of the commit merged."""


class Standing(NamedTuple):
    """A merge that goes on in a worktree: the paths nobody has resolved yet, and git's own words on the
    conflicts, which hold file names and are untrusted."""

    unresolved: tuple[str, ...]
    said: tuple[str, ...]


def head(git: Git) -> Oid | None:
    """The commit that is being merged where `git` runs; None when none is."""
    found = git.text("rev-parse", "-q", "--verify", "MERGE_HEAD", ok=(0, 1, 128))
    return Oid(found) if found else None


def standing(worktree: Path) -> Standing | None:
    """What the merge that goes on in the worktree waits for; None when none does."""
    git = Git(worktree)
    theirs = head(git)
    if theirs is None:
        return None
    merged = replay.merge(git, Oid(git.text("rev-parse", "HEAD")), theirs)
    return Standing(unresolved(worktree), tuple(merged.said.splitlines()))


def unresolved(worktree: Path) -> tuple[str, ...]:
    """Paths in conflict that are not staged, and in which there are markers or nothing was done at all since.

    So a file without its markers is resolved, staged or not. Where there never were any (a binary file; one
    side deleted it) whoever keeps what the merge left says so by `git add`.
    """
    git = Git(worktree)
    lines = git.paths("ls-files", "--unmerged", "-z")  # unlike `git diff`, looks at no file
    unmerged = list(dict.fromkeys(line.split("\t", 1)[1] for line in lines))
    if not unmerged:
        return ()
    left = _left(git, head(git))
    untouched = left.keys() - torn.differing(contents.git_dir_of(worktree), worktree, left.tree)
    return tuple(path for path in unmerged if path in untouched or _has_markers(worktree / path))


def marked(git: Git, old: Oid, new: Oid) -> tuple[str, ...]:
    """Paths that have markers of a conflict which `begin` left in `new`, and more or fewer in `old`."""
    search = ("--pickaxe-regex", f"-S{_OUR_MARKER}")
    changed = git.paths("diff-tree", "-r", "-z", "--name-only", "--no-renames", *search, old, new)
    if not changed:
        return ()
    asked = ("grep", "-l", "-z", "-I", "--full-name", "-E", "-e", _OUR_MARKER, new, "--")
    found = git.run("--literal-pathspecs", *asked, *changed, ok=(0, 1)).out
    return tuple(os.fsdecode(line).partition(":")[2] for line in found.split(b"\0") if line)


def begin(
    repo: Repository, worktree: Path, theirs: Oid, *, message: str, identity: Mapping[str, str], lock: int
) -> bool:
    """Merge `theirs` into what the worktree has checked out; a conflict is left there, marked.

    Before anybody works there: it may be called again after it was killed at any point, and then finishes.
    `identity` are git's variables for who commits, `lock` the descriptor of `worktrees.one_at_a_time`, which
    git inherits. True when there was something to merge, and is no conflict. Raises NeedsPerson, before anything
    is changed, when files of somebody's are in the way; Busy while another git uses the index; GitFailed.
    """
    git, git_dir = Git(worktree), contents.git_dir_of(worktree)
    _clear_locks(repo, git, git_dir)
    merging = head(git)
    if git.run("merge-base", "--is-ancestor", theirs, "HEAD", ok=(0, 1)).code == 0:
        if merging == theirs:  # killed after the commit
            git.run("merge", "--quit")
        return False
    unmerged = bool(git.paths("ls-files", "--unmerged", "-z"))
    if merging == theirs and unmerged:
        return False  # git writes MERGE_HEAD last: all of it is there
    left = _left(git, theirs)
    dirty = contents.dirty_files(worktree)
    if merging or dirty:
        _undo(git, git_dir, worktree, left, theirs, dirty, going_on=unmerged or merging is not None)
    _require_way(git, worktree, left)
    args = ("merge", *_OPTIONS, "-m", message, theirs)
    env = {**identity, **contents.config_env(_CONFIG)}
    code, said = worktrees.run_holding(repo, git, lock, *args, env=env)
    if code and head(git) != theirs:  # it did not come to a merge
        raise failure(("merge",), code, said)
    return code == 0


class Squashed(NamedTuple):
    """What a squash has changed in a worktree: all paths, and those in conflict. Where one side renamed a folder
    to two places and the other added to it, the folder is in conflict, and no path is unmerged."""

    paths: tuple[str, ...]
    conflicts: tuple[str, ...]


def squash(repo: Repository, worktree: Path, theirs: Oid, *, lock: int) -> Squashed | None:
    """Bring what `theirs` has and HEAD lacks into a clean worktree, staged and not committed; a conflict is left
    there, marked, without a merge going on. None when HEAD contains all of it.

    `lock` as in `begin`. Raises NeedsPerson, before anything is changed, when files that git does not track are
    in the way; GitFailed, for instance without a common history. A git that is killed amid this leaves changes.
    """
    git, git_dir = Git(worktree), contents.git_dir_of(worktree)
    if git.run("merge-base", "--is-ancestor", theirs, "HEAD", ok=(0, 1)).code == 0:
        return None
    _require_way(git, worktree, _left(git, theirs))
    args = ("merge", *_SQUASH, theirs)
    message = git_dir / "SQUASH_MSG"
    message.unlink(missing_ok=True)
    code, said = worktrees.run_holding(repo, git, lock, *args, env=contents.config_env(_CONFIG))
    listed = git.paths("diff", "--name-only", "-z", "--no-relative", "--no-renames", "HEAD")
    conflicts = git.paths("diff", "--name-only", "-z", "--no-relative", "--diff-filter=U")
    if code and not conflicts:
        if not message.exists():  # it did not come to a merge
            raise failure(args, code, said)
        conflicts = list(replay.merge(git, Oid(git.text("rev-parse", "HEAD")), theirs).conflicts)
    message.unlink(missing_ok=True)  # the next commit here is not to be called a squash
    return Squashed(tuple(dict.fromkeys(listed)), tuple(dict.fromkeys(conflicts)))


class _Left(dict[str, str]):
    """Mode and object of every file that a merge leaves in a work tree, those with markers too, by path;
    `tree` is all of them."""

    tree: Oid


def _left(git: Git, theirs: Oid | None) -> _Left:
    """What merging `theirs` into HEAD leaves in the work tree; None: an index in conflict without a merge, of
    which nothing is known but HEAD.

    Both sides have the names here that they have in `begin`: markers and invented paths (`x~HEAD`) hold them.
    """
    if theirs is None:
        tree = git.text("rev-parse", "HEAD^{tree}")
    else:
        asked = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", "HEAD", theirs)
        tree = os.fsdecode(git.run(*asked, ok=(0, 1)).out.split(b"\0")[0])
    found = _Left(_files(git, tree))
    found.tree = Oid(tree)
    return found


def _files(git: Git, tree: str) -> Iterator[tuple[str, str]]:
    for line in git.paths("ls-tree", "-r", "-z", "--full-tree", tree):
        about, _, path = line.partition("\t")
        yield path, about


def _clear_locks(repo: Repository, git: Git, git_dir: Path) -> None:
    """Remove the lock files that a merge may have left which was killed."""
    branch = git.text("symbolic-ref", "--quiet", "HEAD", ok=(0, 1))
    places = [git_dir / "index.lock", git_dir / "HEAD.lock"]
    if branch and not repo.uses_reftable:
        places.append(repo.common_dir / f"{branch}.lock")
    if any(place.exists() for place in places):
        locks.clear(repo, places)
    for place in places:
        if place.exists():
            raise Busy(
                f"{place} is there, and a git that may own it is running",
                hint="wait for it, then try again",
            )


def _undo(
    git: Git, git_dir: Path, worktree: Path, left: _Left, theirs: Oid, dirty: Sequence[str], *, going_on: bool
) -> None:
    """Back to HEAD, where all that differs from it is a beginning of this merge.

    Else nothing is done, and git will see whether it can merge; with something `going_on` it cannot, and
    NeedsPerson is raised.
    """
    before = dict(_files(git, "HEAD"))
    added = [path for path in left if path not in before and _is_file(worktree / path)]
    changed = [path for path in dirty if path in before and _is_file(worktree / path)]
    foreign = {
        path
        for path in torn.foreign_files(git_dir, worktree, left.tree, {*added, *changed})
        if not _is_from(worktree / path, theirs)
    }
    ours = not foreign.intersection(dirty)
    if ours and not going_on:  # the index is as it was or, of a merge without conflicts, all of it is there
        ours = contents.index_tree(worktree, git_dir=git_dir) in (
            git.text("rev-parse", "HEAD^{tree}"),
            left.tree,
        )
    if going_on and not ours:
        raise NeedsPerson(
            f"{worktree} is amid something, with changes of somebody's: {contents.listing(sorted(foreign))}",
            hint=f"git -C {worktree} status; move them away, then run the same command again",
        )
    if ours:
        for path in added:
            if path not in foreign:
                (worktree / path).unlink()
        git.run("reset", "--quiet", "--hard", "HEAD")


def _require_way(git: Git, worktree: Path, left: _Left) -> None:
    """Refuse where files that git does not track, ignored ones too, are where the merge makes some: git
    itself lets ignored ones go."""
    before = dict(_files(git, "HEAD"))
    blocking = in_the_way(git, worktree, [path for path in left if path not in before])
    if blocking:
        raise NeedsPerson(
            f"{worktree}: files that git does not track are in the way of the merge: {contents.listing(blocking)}",
            hint="move them away, then run the same command again",
        )


def _is_file(place: Path) -> bool:
    return place.is_symlink() or place.is_file()


def _has_markers(place: Path) -> bool:
    return place.is_file() and not place.is_symlink() and bool(_MARKER.search(place.read_bytes()))


def _is_from(place: Path, theirs: Oid) -> bool:
    """Whether the markers of this merge are in the file, in whatever style they are configured."""
    with suppress(OSError):
        return f">>>>>>> {theirs}".encode() in place.read_bytes()
    return False
