"""Work trees as a killed git leaves them: files missing, or with only their beginning written.

git writes files in place and the index last. So after a kill the files say more than the index does, and
what may be overwritten is decided by content alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from git_fleet.core.ids import Oid
from git_fleet.errors import NeedsPerson
from git_fleet.git import contents
from git_fleet.git.process import Git
from git_fleet.git.repository import Repository


def differing(git_dir: Path, worktree: Path, tree: Oid) -> set[str]:
    """Paths of `tree` that the work tree has not, or has with another content or mode. Writes nothing there.

    `git_dir` is the worktree's own; its folder's `.git` need not be written yet. Filters are applied.
    """
    git = Git(worktree, git_dir=git_dir)
    with contents.index_copy(git_dir) as env:  # the index knows which files have not changed
        git.run("read-tree", "--reset", tree, env=env)
        git.run("update-index", "-q", "--really-refresh", env=env, ok=(0, 1))
        return set(git.paths("diff-files", "-z", "--name-only", env=env))


def is_beginning(git_dir: Path, worktree: Path, tree: Oid, path: str) -> bool:
    """Whether the file at `path` holds nothing that `tree` has not there: it is missing, whole or cut short."""
    if not real_folders(worktree, path):
        return False
    try:
        kind = (worktree / path).lstat().st_mode
    except FileNotFoundError:
        return True
    if not stat.S_ISREG(kind):  # a link is made at once, and a folder is no file's beginning
        return False
    data = (worktree / path).read_bytes()
    git = Git(worktree, git_dir=git_dir)
    for as_written in ("--filters", "blob"):  # the filters' settings may be among what is missing
        done = git.run("cat-file", as_written, f"{tree}:{path}", ok=(0, 128))
        if done.code == 0 and done.out.startswith(data):
            return True
    return False


def real_folders(worktree: Path, path: str) -> bool:
    """Whether no file and no link stands where `path` has a folder; missing folders are fine."""
    above = [worktree / folder for folder in Path(path).parents][:-1]
    return not any(place.is_symlink() or place.is_file() for place in above)


def foreign_files(git_dir: Path, worktree: Path, tree: Oid | None, paths: Iterable[str]) -> list[str]:
    """Those of `paths` (existing files) that a checkout of `tree`, finished or killed, has not written."""
    if tree is None:
        return list(paths)
    listed = Git(worktree, git_dir=git_dir).paths("ls-tree", "-r", "-z", "--name-only", "--full-tree", tree)
    known, changed = set(listed), differing(git_dir, worktree, tree)
    return [
        path
        for path in paths
        if path not in known or (path in changed and not is_beginning(git_dir, worktree, tree, path))
    ]


def files_below(folder: Path) -> list[str]:
    """Every file and link below `folder`, relative to it, its `.git` excepted; links are not followed."""
    found = []
    for above, folders, names in os.walk(folder):
        links = [name for name in folders if Path(above, name).is_symlink()]
        found += [os.path.relpath(Path(above, name), folder) for name in (*names, *links)]
    return sorted(path for path in found if path != ".git")


def take_down(git_dir: Path, path: Path) -> None:
    """Remove a half-made worktree: the files git wrote there, then git's record of it.

    By hand, since git refuses to touch what it has not finished. Raises NeedsPerson, before anything is
    removed, when there is a file that git did not write.
    """
    import shutil

    found = files_below(path)
    head = Git(git_dir, git_dir=git_dir).text(
        "rev-parse", "--verify", "--quiet", "HEAD^{commit}", ok=(0, 1, 128)
    )
    foreign = foreign_files(git_dir, path, Oid(head) if head else None, found) if found else []
    if foreign:
        raise NeedsPerson(
            f"{path} is a half-made worktree with files that git did not write: {contents.listing(foreign)}",
            hint="move them away and run the command again",
        )
    for name in found:
        (path / name).unlink()
    (path / ".git").unlink(missing_ok=True)
    for folder, _, _ in os.walk(path, topdown=False):
        Path(folder).rmdir()
    shutil.rmtree(git_dir)


def sweep_beginnings(repo: Repository, reason: str) -> None:
    """Remove what a killed add of ours left before it had written where its folder is."""
    import shutil

    for lock in (repo.common_dir / "worktrees").glob("*/locked"):
        git_dir = lock.parent
        if not (git_dir / "gitdir").exists() and lock_reason(git_dir) == reason:
            shutil.rmtree(git_dir)


def lock_reason(git_dir: Path) -> str | None:
    """Why that worktree is locked; None when it is not."""
    try:
        return os.fsdecode((git_dir / "locked").read_bytes()).strip()
    except FileNotFoundError:
        return None
