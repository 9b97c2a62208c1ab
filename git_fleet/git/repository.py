"""Where a repository is and what kind it is: found once, then passed around as a frozen value."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Literal, cast

from msgspec import Struct

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed, InvalidInput
from git_fleet.git.process import Git

ObjectFormat = Literal["sha1", "sha256"]

_EMPTY_TREE = {
    "sha1": Oid("4b825dc642cb6eb9a060e54bf8d69288fbee4904"),
    "sha256": Oid("6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"),
}
_NOT_FOUND = "not a git repository"


class Repository(Struct, frozen=True):
    """One repository, seen from one of its worktrees (or from none, when bare or inside `.git`).

    `git_dir` is this worktree's own, `common_dir` the one all worktrees share (the same in the main
    worktree). `worktree` is the root of the worktree we are in, or None. `bare` says that we are
    directly in a bare repository; a worktree of a bare repository is not bare. All paths are absolute.
    """

    git_dir: Path
    common_dir: Path
    worktree: Path | None
    object_format: ObjectFormat
    bare: bool

    @property
    def is_linked(self) -> bool:
        """Whether this is a linked worktree (made by `git worktree add`)."""
        return self.git_dir != self.common_dir

    @property
    def fleet_dir(self) -> Path:
        """What is local to this machine and can be rebuilt; made by whoever writes there first."""
        return self.common_dir / "fleet"

    @property
    def empty_tree(self) -> Oid:
        """The id of the tree without entries, which git knows without storing it."""
        return _EMPTY_TREE[self.object_format]

    @property
    def zero(self) -> str:
        """How git's plumbing spells "no object" in this repository."""
        return "0" * len(self.empty_tree)

    @property
    def uses_reftable(self) -> bool:
        """Whether refs are kept in tables, not in files (then there are no per-ref lock files)."""
        return (self.common_dir / "reftable").is_dir()

    @property
    def is_shallow(self) -> bool:
        """Whether history ends early (a shallow clone): ancestry questions may be answered wrongly."""
        return (self.common_dir / "shallow").is_file()

    def git(self, directory: Path | None = None, *, hooks: bool = False, durable: bool = False) -> Git:
        """git for this repository.

        Without `directory` it works on the shared repository whatever the current folder is: refs,
        objects, history; HEAD then is the main worktree's. With one, it works in that worktree.
        """
        if directory is None:
            return Git(self.common_dir, hooks=hooks, durable=durable, git_dir=self.common_dir)
        return Git(directory, hooks=hooks, durable=durable)

    def settings(self, *names: str) -> dict[str, str]:
        """What git's configuration says of these (`section.name`, lower case), one process for all; those
        that are not set are not in it."""
        pattern = f"^({'|'.join(re.escape(name) for name in names)})$"
        out = self.git().run("config", "-z", "--get-regexp", pattern, ok=(0, 1)).out
        entries = (entry.partition("\n") for entry in os.fsdecode(out).split("\0") if entry)
        return {name: value.strip() for name, _, value in entries}  # the last of several counts

    def head_branch(self) -> str | None:
        """The full name of the branch checked out here (`refs/heads/…`, maybe unborn); None if detached."""
        git = Git(self.git_dir, git_dir=self.git_dir)
        done = git.run("symbolic-ref", "-q", "HEAD", ok=(0, 1))
        return os.fsdecode(done.out).rstrip("\n") or None

    def main_worktree(self) -> Path | None:
        """The root of the main worktree; None when the shared repository is bare."""
        if not self.is_linked and self.worktree is not None:
            return self.worktree
        git = self.git()
        configured = git.run("config", "--type=path", "core.worktree", ok=(0, 1)).out  # a submodule
        if configured:
            return (self.common_dir / os.fsdecode(configured).removesuffix("\n")).resolve()
        if git.text("config", "--type=bool", "core.bare", ok=(0, 1)) == "true":
            return None
        # Like git itself: of a separate git dir it cannot be known from elsewhere where its worktree is.
        return self.common_dir.parent if self.common_dir.name == ".git" else None


class PackedRefs:
    """Tells a long-lived git's owner when `packed-refs` has been replaced, so that it starts another git.

    git keeps a small packed-refs in memory and recognises a new one by size, inode and time in whole
    seconds. Replaced twice within a second, the file can have all three again; then git takes old values for
    the present ones, even under its own lock, and a compare-and-swap by it loses what others wrote (seen here:
    7 of 320 swaps, with `git pack-refs` running in a loop). While the old file is kept open, as it is here,
    its inode cannot come back. A git that lives for one transaction only is not safe either (2 of 500): it
    looks at packed-refs before it has its locks, too. So one asks before a git starts and again when it has
    its locks, or has answered.
    """

    def __init__(self, repo: Repository) -> None:
        self._path = repo.common_dir / "packed-refs"
        self._fd = -1
        self._seen: tuple[int, int] | None = None

    def replaced(self) -> bool:
        """Whether the file is another one than at the last call. To be called *before* a git is started."""
        try:
            now = self._path.stat()
        except FileNotFoundError:
            same = self._seen is None
            self.close()
            return not same
        if (now.st_dev, now.st_ino) == self._seen:
            return False
        self.close()
        with contextlib.suppress(FileNotFoundError):
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            held = os.fstat(self._fd)
            self._seen = (held.st_dev, held.st_ino)
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._seen = -1, None


def discover(start: Path) -> Repository:
    """The repository that `start` (a folder) is in, found by one git process.

    Raises InvalidInput when there is none, or when git refuses to use it (another user's).
    """
    git = Git(start)
    facts = ["--show-object-format", "--is-bare-repository"]
    places = ["--git-dir", "--git-common-dir", "--show-toplevel"]
    try:
        # Without a worktree, --show-toplevel fails after the other answers are out.
        done = git.run("rev-parse", *facts, "--path-format=absolute", *places, ok=(0, 128))
        lines = os.fsdecode(done.out).split("\n")[:-1]
        if done.code and len(lines) < len(facts) + 2:
            git.run("rev-parse", "--git-dir")  # for its own words
        if len(lines) != len(facts) + (2 if done.code else 3):
            lines[2:] = _one_by_one(git, places)
    except GitFailed as error:
        raise _unusable(start, error) from error
    return Repository(
        git_dir=Path(lines[2]),
        common_dir=Path(lines[3]),
        worktree=Path(lines[4]) if len(lines) > 4 else None,
        object_format=cast(ObjectFormat, lines[0]),
        bare=lines[1] == "true",
    )


def _one_by_one(git: Git, places: list[str]) -> list[str]:
    """The same answers, one process each: a path that holds a newline looks like two lines."""
    answers = (git.run("rev-parse", "--path-format=absolute", place, ok=(0, 128)).out for place in places)
    return [os.fsdecode(answer).removesuffix("\n") for answer in answers if answer]


def _unusable(start: Path, error: GitFailed) -> InvalidInput:
    if _NOT_FOUND in error.message:
        return InvalidInput(f"{start} is not in a git repository", hint="git init")
    return InvalidInput(error.message, hint=error.hint)
