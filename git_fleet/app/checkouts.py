"""Clean checkouts for gates: a small pool of integration worktrees that are reset, not made anew.

Checkout n of a repository is `<cache_dir>/<key>/checkout-<n>/<name>`: outside of `.git`, because linters
skip paths with such a component, and named like the repository, because some tools go by that. It is a
linked worktree on a detached HEAD (so gates may ask git about history, and the objects they are looking
at are safe from `git gc`), locked against pruning.

`<cache_dir>/<key>/checkout-<n>.lock` is flocked while checkout n is in use. Gates, and git
itself, inherit the descriptor: when we are killed, the checkout stays taken for as long as one still works in it.

What a gate leaves behind is never trusted: a checkout that does not look right is made again. Nothing of
value is ever in one, so that may delete its folder, the one place where git-fleet does that.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from git_fleet.core.ids import Oid
from git_fleet.errors import FleetError, GitFailed
from git_fleet.git import flocks
from git_fleet.git.process import Git, failure
from git_fleet.git.repository import Repository
from git_fleet.git.worktrees import git_dir_for, list_worktrees, one_at_a_time

REASON = "git-fleet: checkout for gates"
"""The lock reason of every integration worktree: how others tell them from worktrees of tasks."""

NAME = "checkout-"
"""What the folder of a checkout, or of several that stand side by side, begins with."""

WHOLE = (
    *("-c", "core.sparseCheckout=false", "-c", "submodule.recurse=false"),
    *("-c", "core.fsmonitor=false"),
)
"""For git in a checkout: a sparse main worktree passes its patterns on; gates see the whole tree all the same. And it
starts nobody who watches the files from then on: that would hold the lock for as long, and gates are not believed."""


class Checkout:
    """One clean checkout of `commit` at `path`, ours until the `with` block of `checkout` ends.

    `lock` is the descriptor of its lock, for gates to inherit.
    """

    def __init__(self, repo: Repository, path: Path, lock: int, commit: Oid) -> None:
        self.path = path
        self.lock = lock
        self.commit = commit
        self._repo = repo

    def reset(self) -> None:
        """Exactly `commit` again: no changes, nothing untracked or ignored. Made anew if it is broken.

        Raises GitFailed when it cannot be made at all (full disk), Busy (see git/worktrees.py).
        """
        with contextlib.suppress(FleetError, OSError):
            git = self._git()
            if git is not None and not _hides_changes(git):
                git.run(*WHOLE, "clean", "-ffdxq")
                self._fill(git)
                return
        self._make()

    def changed(self) -> tuple[str, ...]:
        """The tracked paths whose content is not `commit`'s; `(".",)` when the checkout itself is gone or broken."""
        with contextlib.suppress(FleetError, OSError):
            git = self._git()
            if git is not None:
                how = ("--name-only", "-z", "--no-renames", "--no-ext-diff")
                return tuple(git.paths(*WHOLE, "diff", *how, self.commit))
        return (".",)

    def git_dir(self) -> Path | None:
        """The git dir of this worktree; None when the folder is no longer ours, whatever a gate made of it.

        It is to be named, not looked for: without its `.git` file, git would find the repository that the
        cache folder happens to be in, and clean that one.
        """
        git_dir = git_dir_for(self._repo, self.path)
        link = self.path / ".git"
        if git_dir is None or self.path.is_symlink() or self.path.parent.is_symlink() or not link.is_file():
            return None
        target = os.fsdecode(link.read_bytes()).removeprefix("gitdir: ").removesuffix("\n")
        if (self.path / target).resolve() != git_dir.resolve():
            return None
        return git_dir

    def _git(self) -> Git | None:
        """git at work here and nowhere else; None when this is no longer our worktree."""
        git_dir = self.git_dir()
        return None if git_dir is None else Git(self.path, git_dir=git_dir, holding=[self.lock])

    def _fill(self, git: Git) -> None:
        git.run(*WHOLE, "checkout", "--quiet", "--detach", "--force", "--no-recurse-submodules", self.commit)

    def _make(self) -> None:
        """Delete what is there and add the worktree anew, the slow part (its files) outside of the lock."""
        with one_at_a_time(self._repo) as lock:
            _delete(self.path)
            common_dir = self._repo.common_dir
            here = Git(common_dir, git_dir=common_dir, holding=[self.lock])
            if git_dir_for(self._repo, self.path) is not None:
                here.run("worktree", "remove", "--force", "--force", "--", self.path)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            options = ("--quiet", "--detach", "--no-checkout", "--lock", "--reason", REASON)
            args = ("worktree", "add", *options, "--", self.path, self.commit)
            process = here.spawn(*args, pass_fds=(lock,))  # see git/worktrees.py for why it inherits that
            _, said = process.communicate()
            if process.returncode:
                raise failure(args, process.returncode, said)
        git = self._git()
        if git is None:
            raise GitFailed(f"{self.path} does not stay as it was made", hint="git fleet doctor")
        self._fill(git)


class Checkouts:
    """The pool of one repository, below `cache_dir`; as large as there were ever uses at one time."""

    def __init__(self, repo: Repository, cache_dir: Path) -> None:
        self._repo = repo
        home = repo.main_worktree() or repo.common_dir
        self._name = home.name.removesuffix(".git") or "repository"
        key = hashlib.sha256(os.fsencode(repo.common_dir)).hexdigest()[:12]
        self._folder = cache_dir.absolute() / f"{self._name}-{key}"

    @contextlib.contextmanager
    def checkout(self, commit: Oid) -> Iterator[Checkout]:
        """A clean checkout of exactly `commit` that nobody else uses meanwhile. Raises GitFailed, Busy."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            number, lock = take(self._folder)
        except OSError as error:
            raise GitFailed(
                f"cannot write {self._folder}: {error.strerror}",
                hint="make the cache folder writable, or free some space",
            ) from error
        try:
            found = Checkout(self._repo, self._folder / f"{NAME}{number}" / self._name, lock, commit)
            found.reset()
            yield found
        finally:
            # Closing would not do: whatever a gate left running has inherited the same lock.
            fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)

    def take_down(self, *, dry_run: bool = False) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """Remove every checkout of this repository that is on record, wherever the cache was then: those
        that are gone (or would be), and those that stay because a gate works in them.

        Their lock files stay: somebody may be about to lock one. Raises GitFailed, Busy.
        """
        gone: list[Path] = []
        used: list[Path] = []
        for tree in list_worktrees(self._repo):
            if tree.lock_reason != REASON or not tree.path.parent.name.startswith(NAME):
                continue
            with _alone(tree.path.parent) as alone:
                (gone if alone else used).append(tree.path)
                if alone and not dry_run:
                    _take_down(self._repo, tree.path)
        return tuple(gone), tuple(used)


def take(folder: Path) -> tuple[int, int]:
    """The first checkout below `folder` that is free: its number, and the descriptor that holds its lock."""
    number = 1
    while True:
        place = folder / f"{NAME}{number}.lock"
        lock = flocks.opened(place)
        if flocks.take(lock):
            return number, lock
        os.close(lock)
        number += 1


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[bool]:
    """Whether nobody uses the checkout in `place`; nobody can, until the `with` block ends."""
    try:
        lock = os.open(f"{place}.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # the cache was cleared
        yield True
        return
    try:
        yield flocks.take(lock)
    finally:
        os.close(lock)


def _take_down(repo: Repository, path: Path) -> None:
    with one_at_a_time(repo):
        try:
            _delete(path)
        except OSError as error:
            raise GitFailed(
                f"cannot remove {path}: {error.strerror}", hint="make it writable, then run it again"
            ) from error
        repo.git().run("worktree", "remove", "--force", "--force", "--", path)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def _hides_changes(git: Git) -> bool:
    """Whether a gate told this index not to look at some files (assume-unchanged, skip-worktree)."""
    return any(entry[0] == "S" or entry[0].islower() for entry in git.paths(*WHOLE, "ls-files", "-v", "-z"))


def _delete(path: Path) -> None:
    """Remove a checkout's folder, whatever a gate made of it; links are not followed."""
    import shutil

    for place in (path.parent, path):
        if place.is_symlink() or place.is_file():
            place.unlink()
    if path.exists():
        try:
            shutil.rmtree(path)
        except PermissionError:
            _unprotect(path)
            shutil.rmtree(path)


def _unprotect(path: Path) -> None:
    """Make all folders ours to change: some tools (Go's module cache) write-protect theirs."""
    path.chmod(stat.S_IRWXU)
    for folder, names, _ in os.walk(path):
        for name in names:
            below = Path(folder, name)
            if not below.is_symlink():
                below.chmod(stat.S_IRWXU)
