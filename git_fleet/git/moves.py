"""Bringing a checked-out branch's worktree from one commit to the next, after (never before) its ref moved.

Two steps, so that nothing is half-done: `plan_move` refuses before the ref moves, and `Way.follow` goes after
it. Where that was killed, or is refused because of what happened in between, `finish_move` finds out what is
there. Refs are not touched here.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from git_fleet.core.ids import Oid
from git_fleet.errors import Busy, GitFailed, NeedsPerson
from git_fleet.git import contents, locks, torn
from git_fleet.git.contents import listing
from git_fleet.git.process import Git
from git_fleet.git.repository import Repository, discover
from git_fleet.git.running import Running

_INDEX_LOCKED = "index.lock': File exists"
_CHANGED = "not uptodate. Cannot merge."
_PATIENCE, _PAUSE = 40, 0.05  # tries, and seconds between them

_SUBMODULE = 0o160000
# What is in a submodule is never moved, whatever the user has configured: its commits may not even be here.
_READ_TREE = ("-c", "submodule.recurse=false", "read-tree", "-m", "-u")
# A line of `diff-index --raw` about a submodule whose checkout is not at the index's commit, or its tree's.
_LINK_ELSEWHERE = re.compile(":160000 160000 [0-9a-f]+ 0+ M$")


class _Change(NamedTuple):
    """A path that differs between two commits; a mode is 0 where it is absent."""

    path: str
    old_mode: int
    new_mode: int
    old_oid: str
    new_oid: str

    @property
    def is_link(self) -> bool:
        """Whether there is nothing but the commit of a submodule before, or after, or both: it moves by the index."""
        return {self.old_mode, self.new_mode} <= {0, _SUBMODULE}


class Way(NamedTuple):
    """A move that was found possible."""

    worktree: Path
    old: Oid
    new: Oid
    changes: tuple[_Change, ...]

    def follow(self, beside: Callable[[], None] = lambda: None) -> None:
        """Bring index and work tree along, right after the ref has moved: one process. `beside` is done while it works,
        and that is over whatever `beside` raises.

        What came in the way since is never overwritten. Raises as `finish_move`.
        """
        blocked = _blocking(self.worktree, self.changes)
        command = (*_READ_TREE, self.old, self.new)
        going = None if blocked else Running(Git(self.worktree), *command, input=b"")
        try:
            beside()
        finally:
            if going is None or not self._has_followed(going):
                finish_move(self.worktree, self.old, self.new)

    def _has_followed(self, going: Running) -> bool:
        """Whether git has done it; it is given time while somebody else's has the index. Why not, and whether it has
        begun, is seen from the files."""
        try:
            with going:
                going.answer()
        except GitFailed as error:
            if _INDEX_LOCKED not in error.message:
                return False
            try:
                _patiently(Git(self.worktree), *_READ_TREE, self.old, self.new)
            except (GitFailed, Busy):
                return False
        return True


def plan_move(worktree: Path, old: Oid, new: Oid) -> Way:
    """Check that a checkout of `old` could follow to `new` now. Only the index's time stamps may be renewed, and a lock
    that a killed git left on it may go.

    Raises NeedsPerson when tracked files are changed, when an operation (a merge, say) is unfinished, or
    when a file that git does not track (ignored or not) is in the way; it names them. Busy while another git may be
    using the index.
    """
    going_on = contents.unfinished(contents.git_dir_of(worktree))
    if going_on:
        raise NeedsPerson(f"{worktree} is in the middle of a {going_on}", hint=f"git -C {worktree} status")
    git = Git(worktree)
    changed = _changed(git, old)
    if changed:
        raise _dirty(worktree, changed)
    trial = (*_READ_TREE, "-n", old, new)
    with Running(
        git, *trial, input=b""
    ) as tried:  # meanwhile our own look: for the names, and at ignored files
        way = Way(worktree, old, new, tuple(_changes(git, old, new)))
        _refuse_untracked(worktree, _blocking(worktree, way.changes))
        try:
            tried.answer()
        except GitFailed as error:
            if _CHANGED in error.message:
                raise _hidden(git, way) or error from error
            if _INDEX_LOCKED not in error.message:
                raise
            _patiently(git, *trial)
    return way


def _hidden(git: Git, way: Way) -> NeedsPerson | None:
    """Why git takes a file for changed, where somebody has told it not to look at changes of it; it does look before
    it overwrites one."""
    paths = {change.path for change in way.changes if change.old_mode}
    tags = (each.partition(" ") for each in git.paths("ls-files", "-v", "-z"))
    found = {path: tag for tag, _, path in tags if path in paths and (tag.islower() or tag == "S")}
    found = {path: tag for path, tag in found.items() if _is_there(way.worktree, path)}
    if not found:
        return None
    told = sorted({"skip-worktree" if tag in "Ss" else "assume-unchanged" for tag in found.values()})
    return NeedsPerson(
        f"{way.worktree}: what comes changes files of which git was told to overlook changes"
        f" ({', '.join(told)}): {listing(sorted(found))}",
        hint=f"git -C {way.worktree} update-index --no-{told[0]} PATH shows them; then move your changes away",
    )


def left_behind(worktree: Path, old: Oid, new: Oid) -> list[str]:
    """The submodules that a move from `old` to `new` gives another commit, while the one they have checked out in
    `worktree` stays."""
    if not (worktree / ".gitmodules").exists():
        return []
    changes = _changes(Git(worktree), old, new)
    both = [change.path for change in changes if change.old_mode == change.new_mode == _SUBMODULE]
    return [path for path in both if (worktree / path / ".git").exists()]


def _patiently(git: Git, *args: str, ok: tuple[int, ...] = (0,)) -> None:
    """Run a git that locks the index, again while somebody else's has it: theirs takes a moment. A lock that stays is
    removed where nobody can own it. Raises Busy where somebody may."""
    for _ in range(_PATIENCE):
        try:
            git.run(*args, ok=ok)
            return
        except GitFailed as error:
            if _INDEX_LOCKED not in error.message:
                raise
            time.sleep(_PAUSE)
    _clear_index_lock(discover(git.directory))
    git.run(*args, ok=ok)


def finish_move(worktree: Path, old: Oid, new: Oid) -> None:
    """Bring index and work tree from `old` to `new`; other files stay as they are. Safe to call again and
    again, after one that was killed too.

    Every path that differs between `old` and `new` must have its old or its new content in the work tree,
    or, as a killed git leaves it, be missing or hold only a beginning of the new content. Raises NeedsPerson
    naming the others, with nothing changed, and Busy while another git may be using the index.
    """
    repo = discover(worktree)
    _clear_index_lock(repo)
    changed = {tree: torn.differing(repo.git_dir, worktree, tree) for tree in (old, new)}
    arrived, begun, foreign = [], [], []
    git = Git(worktree)
    changes = _changes(git, old, new)
    links = _staged(git, [change.path for change in changes if change.is_link])
    for change in changes:
        at = links.get(change.path, repo.zero) if change.is_link else ""
        if at == change.old_oid or (not at and _is_at(worktree, change.path, change.old_mode, changed[old])):
            continue  # read-tree will move it
        if at == change.new_oid or (not at and _is_at(worktree, change.path, change.new_mode, changed[new])):
            arrived.append(change)
        elif change.new_mode and torn.is_beginning(repo.git_dir, worktree, new, change.path):
            begun.append(change)
        else:
            foreign.append(change.path)
    if foreign:
        raise NeedsPerson(
            f"{worktree}: these have neither the content before nor after the move to {new}: {listing(foreign)}",
            hint=f"move them away, then run the same command again (git -C {worktree} status)",
        )
    there = _index_info([*arrived, *begun], repo.zero)
    git.run("update-index", "-z", "--index-info", input=there)
    _rewrite(git, [change.path for change in begun])
    _read_tree(worktree, _part_way(repo, old, there), new)


def _index_info(changes: Sequence[_Change], zero: str) -> bytes:
    """What `update-index --index-info` reads: these paths as they are after the move."""
    return b"".join(
        os.fsencode(f"{change.new_mode:o} {change.new_oid if change.new_mode else zero}\t{change.path}\0")
        for change in changes
    )


def _part_way(repo: Repository, old: Oid, there: bytes) -> Oid:
    """The tree between: `old` with what has arrived already.

    From here, not from `old`: read-tree would take a new file for an untracked one where it has replaced
    a folder.
    """
    import tempfile

    git = repo.git()
    with tempfile.TemporaryDirectory(prefix="fleet-index-", dir=repo.git_dir) as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.run("read-tree", old, env=env)
        git.run("update-index", "-z", "--index-info", input=there, env=env)
        return Oid(git.text("write-tree", env=env))


def _clear_index_lock(repo: Repository) -> None:
    lock = repo.git_dir / "index.lock"
    locks.clear(repo, [lock])
    if lock.exists():
        raise Busy(
            f"{lock} is there, and a git that may own it is running", hint="wait for it, then try again"
        )


def _read_tree(worktree: Path, old: Oid, new: Oid) -> None:
    """`read-tree -m -u`, which refuses to lose changes and untracked files. Before it our own look: for
    the names, and because git lets ignored files go."""
    git = Git(worktree)
    changes = _changes(git, old, new)
    tracked = set(git.paths("ls-files", "-z"))
    _refuse_untracked(worktree, _in_the_way(worktree, _added(changes), tracked, _submodules(changes)))
    touched = {change.path for change in changes}
    changed = [path for path in _changed(git, old) if path in touched]
    if changed:
        raise _dirty(worktree, changed)
    git.run(*_READ_TREE, old, new)


def _changed(git: Git, tree: Oid) -> list[str]:
    """What differs from a tree, in the index or in the work tree, conflicts included."""
    if not _differing(git, tree):
        return []
    # It takes a file whose time alone differs for a changed one. 1: something is changed, we are about to see what.
    # (With -q it would not say that the index is locked.)
    _patiently(git, "update-index", "--refresh", ok=(0, 1))
    return _differing(git, tree)


def _differing(git: Git, tree: Oid) -> list[str]:
    """The same by the index's time stamps. Of a submodule only what is staged: no move touches the commit that it has
    checked out, which may well be another, nor the files in it."""
    fields = git.paths("diff-index", "-z", "--raw", "--no-renames", "--ignore-submodules=dirty", tree)
    found = list(zip(fields[1::2], fields[::2], strict=True))
    checked_out = {path for path, meta in found if _LINK_ELSEWHERE.match(meta)}
    if checked_out:
        checked_out -= set(git.paths("diff-index", "-z", "--cached", "--name-only", "--no-renames", tree))
    return [path for path, _ in found if path not in checked_out]


def _staged(git: Git, paths: Sequence[str]) -> dict[str, str]:
    """The object ids that the index has for these paths; one in conflict has the last of its sides."""
    if not paths:
        return {}
    entries = git.paths("--literal-pathspecs", "ls-files", "-z", "--stage", "--", *paths)
    return {path: meta.split(" ")[1] for meta, _, path in (entry.partition("\t") for entry in entries)}


def _added(changes: Iterable[_Change]) -> list[str]:
    return [change.path for change in changes if not change.old_mode]


def _blocking(worktree: Path, changes: Sequence[_Change]) -> list[str]:
    """The files in the way of these changes to an index that holds just the old tree: what is tracked there
    and stands in the way of something new goes by the same changes."""
    tracked = {change.path for change in changes if change.old_mode}
    return _in_the_way(worktree, _added(changes), tracked, _submodules(changes))


def _submodules(changes: Iterable[_Change]) -> set[str]:
    return {change.path for change in changes if change.new_mode == _SUBMODULE}


def _refuse_untracked(worktree: Path, blocking: Sequence[str]) -> None:
    if blocking:
        raise NeedsPerson(
            f"{worktree}: files that git does not track are in the way: {listing(blocking)}",
            hint="move them away, then run the same command again",
        )


def _dirty(worktree: Path, changed: Sequence[str]) -> NeedsPerson:
    return NeedsPerson(
        f"{worktree} has uncommitted changes: {listing(changed)}",
        hint=f"commit them on another branch, or move them away (git -C {worktree} status)",
    )


def in_the_way(git: Git, worktree: Path, added: Iterable[str]) -> list[str]:
    """Untracked files where new files, or folders for them, are about to be made."""
    return _in_the_way(worktree, added, set(git.paths("ls-files", "-z")))


def _in_the_way(
    worktree: Path, added: Iterable[str], tracked: Set[str], submodules: Set[str] = frozenset()
) -> list[str]:
    """`submodules` are those of `added` that take over the folder that is there, as it is."""
    paths = set(added)
    folders = {above for path in paths for above in _above(path)}
    there = {path for path in folders | paths if _is_there(worktree, path)}
    files = {path for path in there if _is_file(worktree, path)}
    found = files - tracked
    for path in (there & paths) - files - submodules:
        found |= {f"{path}/{name}" for name in torn.files_below(worktree / path)} - tracked
    return sorted(found)


def _above(path: str) -> Iterator[str]:
    """The folders that a path is in."""
    while path := path.rpartition("/")[0]:
        yield path


def _is_file(worktree: Path, path: str) -> bool:
    """Whether there is anything at `path` but a folder."""
    if not _is_there(worktree, path):
        return False
    return (place := worktree / path).is_symlink() or not place.is_dir()


def _is_there(worktree: Path, path: str) -> bool:
    """Whether there is anything. Mostly nothing is, of thousands, so no Path is made to find out."""
    return os.path.lexists(f"{worktree}/{path}")


def _changes(git: Git, old: Oid, new: Oid) -> list[_Change]:
    fields = git.paths("diff-tree", "-r", "-z", "--raw", "--no-renames", "--ignore-submodules=none", old, new)
    changes = []
    for meta, path in zip(fields[::2], fields[1::2], strict=True):
        old_mode, new_mode, old_oid, new_oid, _ = meta.removeprefix(":").split(" ")
        changes.append(_Change(path, int(old_mode, 8), int(new_mode, 8), old_oid, new_oid))
    return changes


def _is_at(worktree: Path, path: str, mode: int, differing: Iterable[str]) -> bool:
    """Whether `path` is in the work tree what a commit says it is; mode 0: absent there."""
    if mode == 0:
        return not _exists(worktree, path)
    return path not in differing


def _exists(worktree: Path, path: str) -> bool:
    """Whether there is a file at exactly `path`. A folder there belongs to other paths."""
    return torn.real_folders(worktree, path) and _is_file(worktree, path)


def _rewrite(git: Git, paths: Sequence[str]) -> None:
    """Write these from the index, over the beginnings that are there."""
    if paths:
        stdin = b"".join(os.fsencode(path) + b"\0" for path in paths)
        git.run("checkout-index", "--force", "--index", "-z", "--stdin", input=stdin)
