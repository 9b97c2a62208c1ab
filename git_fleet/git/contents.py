"""What is in one worktree: changes, ignored files, a snapshot of it all, commits it has seen, processes.

Nothing here changes the worktree, its index or a ref. `markers` are the files that fleet.toml's
`touch` left behind: as long as they are empty and untracked they are ours, not the worker's, and
count neither as a change nor as content.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from git_fleet.core.guardrail import quoted
from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git.process import Git

STATUS = ("status", "--porcelain=v2", "-z", "--no-renames", "--ignore-submodules=none")
_FIELDS = {b"1": 8, b"2": 9, b"u": 10}
"""Fields before the path in a line of `status --porcelain=v2`, by its first character."""

_UNFINISHED = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase or am",
    "BISECT_LOG": "bisect",
}
_HOLD_COMMITS = (
    "ORIG_HEAD",
    "MERGE_HEAD",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "REBASE_HEAD",
    "MERGE_AUTOSTASH",
    "rebase-merge/autostash",
    "rebase-merge/orig-head",
    "rebase-apply/autostash",
    "rebase-apply/orig-head",
)
_SHOWN = 5  # names in a message
_TRIES = 3  # at a work tree in which files come and go
_OIDS = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{40})\b")

# Neither the user's line-end worries nor a shared index may stand in the way of saving work.
_SNAPSHOT_CONFIG = (
    ("core.safecrlf", "false"),
    ("core.splitIndex", "false"),
    ("core.fsmonitor", "false"),
    ("advice.addEmbeddedRepo", "false"),
)


def git_dir_of(worktree: Path) -> Path:
    """The worktree's own git dir, absolute. Raises GitFailed when `worktree` is none."""
    git_dir = worktree.absolute() / ".git"  # no process for what is asked often
    with suppress(OSError):  # a linked worktree names its own there
        named = os.fsdecode(git_dir.read_bytes())
        if named.startswith("gitdir: "):
            git_dir = worktree.absolute() / named.removeprefix("gitdir: ").removesuffix("\n")
    if (git_dir / "HEAD").is_file():
        return Path(os.path.realpath(git_dir))
    out = Git(worktree).run("rev-parse", "--path-format=absolute", "--git-dir").out
    return Path(os.fsdecode(out).removesuffix("\n"))


def dirty_files(worktree: Path, *, untracked: bool = True, markers: Iterable[str] = ()) -> list[str]:
    """Paths that differ from HEAD, in the index or in the work tree, conflicts included; sorted.

    Untracked files (not ignored ones) are listed one by one, an embedded repository as `folder/`.
    """
    mode = "--untracked-files=all" if untracked else "--untracked-files=no"
    ours = set(markers)
    found = _status(Git(worktree), mode)
    return sorted(
        {
            one.path
            for one in found
            if not (one.untracked and one.path in ours and is_marker(worktree, one.path))
        }
    )


class Listed(NamedTuple):
    """A path that `git status` lists; `unstaged` says that the work tree has not what the index has."""

    path: str
    untracked: bool
    unstaged: bool


def _status(git: Git, mode: str, env: Mapping[str, str] | None = None) -> Iterator[Listed]:
    return listed(git.run(*STATUS, mode, env=env).out)


def listed(out: bytes) -> Iterator[Listed]:
    """What `git status` lists (see STATUS); a rename gives both names."""
    fields = iter(out.split(b"\0"))
    for field in fields:
        kind = field[:1]
        if kind == b"?":
            yield Listed(os.fsdecode(field[2:]), untracked=True, unstaged=True)
        elif kind in _FIELDS:
            unstaged = field[3:4] != b"."
            yield Listed(os.fsdecode(field.split(b" ", _FIELDS[kind])[-1]), False, unstaged)
            if kind == b"2":
                yield Listed(os.fsdecode(next(fields)), False, unstaged)


def listing(names: Iterable[str]) -> str:
    """A few names for a message, escaped where they hold anything odd, and how many more there are."""
    every = list(names)
    shown = ", ".join(
        name if name.isprintable() and " " not in name else quoted(name) for name in every[:_SHOWN]
    )
    return shown + (f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else "")


def is_marker(worktree: Path, path: str) -> bool:
    """Whether `path` is an empty plain file, as `touch` leaves it."""
    place = worktree / path
    return place.is_file() and not place.is_symlink() and place.stat().st_size == 0


def ignored_files(worktree: Path) -> list[str]:
    """Files that git ignores, one by one (an embedded repository as `folder/`), sorted."""
    git = Git(worktree)
    return sorted(git.paths("ls-files", "--others", "--ignored", "--exclude-standard", "-z"))


def unfinished(git_dir: Path) -> str:
    """What git is in the middle of in that worktree (`merge`, `rebase`, …), or ""."""
    return next((what for name, what in _UNFINISHED.items() if (git_dir / name).exists()), "")


def reflog_commits(git_dir: Path, ref: str = "HEAD") -> list[Oid]:
    """Every commit that `ref`'s reflog in that worktree names and that still exists, newest first.

    `git_dir` is the worktree's own git dir: its folder may be gone, its HEAD unborn.
    """
    log = _log_file(git_dir, ref)
    if log is not None:
        lines = log.read_bytes().splitlines()
        named = [os.fsdecode(word) for line in reversed(lines) for word in reversed(line.split(b" ", 2)[:2])]
    else:  # refs are in tables, or this one has no log
        done = Git(git_dir, git_dir=git_dir).run("rev-list", "--walk-reflogs", ref, "--", ok=(0, 128))
        named = os.fsdecode(done.out).split()
    return existing_commits(git_dir, named)


def _log_file(git_dir: Path, ref: str) -> Path | None:
    """The reflog as a file. It is read directly because git refuses to show the reflog of a ref that
    no longer resolves, and because only the file says where a ref moved *from*."""
    common = git_dir
    if (git_dir / "commondir").is_file():
        common = git_dir / (git_dir / "commondir").read_text().strip()
    log = (git_dir if ref == "HEAD" else common) / "logs" / ref
    return log if log.is_file() else None


def named_in(place: Path) -> Oid | None:
    """The first object that a file such as MERGE_HEAD names; None without the file."""
    with suppress(OSError):
        found = _OIDS.search(place.read_text(errors="replace"))
        return Oid(found[0]) if found else None
    return None


def commits_in_hand(git_dir: Path) -> list[Oid]:
    """Commits that only an unfinished operation or a per-worktree ref of that worktree names."""
    git = Git(git_dir, git_dir=git_dir)
    listed = git.text(
        "for-each-ref", "--format=%(objectname)", "refs/worktree", "refs/bisect", "refs/rewritten"
    )
    named = listed.split()
    for name in _HOLD_COMMITS:
        place = git_dir / name
        if place.is_file():
            named += _OIDS.findall(place.read_text(errors="replace"))
    return existing_commits(git_dir, named)


def existing_commits(git_dir: Path, named: Sequence[str]) -> list[Oid]:
    """Those of `named` that are commits in the repository, each once, in order."""
    if not named:
        return []
    asked = "\n".join(dict.fromkeys(named)).encode() + b"\n"
    git = Git(git_dir, git_dir=git_dir)
    answer = git.run("cat-file", "--batch-check=%(objecttype) %(objectname)", input=asked).out
    lines = answer.decode().splitlines()
    return [Oid(line.removeprefix("commit ")) for line in lines if line.startswith("commit ")]


def embedded_repositories(worktree: Path) -> list[str]:
    """Untracked folders (relative, without `/`) that are repositories of their own.

    A snapshot leaves them out: git would store the bare name of a commit that this repository does not have.
    """
    return [path.rstrip("/") for path in _untracked(Git(worktree)) if path.endswith("/")]


def _untracked(git: Git, env: Mapping[str, str] | None = None) -> list[str]:
    return git.paths("ls-files", "--others", "--exclude-standard", "-z", env=env)


class Saved(NamedTuple):
    """A work tree as a tree object, and what is not in it: files as paths, embedded repositories as `folder/`."""

    tree: Oid
    left_out: tuple[str, ...]


def snapshot_tree(worktree: Path, *, markers: Iterable[str] = (), git_dir: Path | None = None) -> Oid:
    """Write the whole work tree as a tree: untracked files included, ignored ones not. The tree's id.

    `git_dir` is the worktree's own, where the caller knows it; else git looks for it from the folder.
    The index is left alone. Conflicted files are taken as they are, with their markers. Embedded
    repositories are left out (see `embedded_repositories`); a submodule is the commit it has checked out.
    Raises GitFailed when a file cannot be read or an object not written.
    """
    git = Git(worktree, git_dir=git_dir)
    with index_copy(git_dir or git_dir_of(worktree)) as env:
        _unhide(git, env)
        untracked = _untracked(git, env)
        ours = {path for path in markers if is_marker(worktree, path)}
        _add_all(git, env, [path for path in untracked if path.endswith("/") or path in ours])
        return Oid(git.text("write-tree", env=env))


def save_tree(
    worktree: Path, *, markers: Iterable[str] = (), git_dir: Path | None = None, largest: int
) -> Saved:
    """The same of a work tree that somebody works in, as far as it can be had: changed files of more than
    `largest` bytes, and those that cannot be read, stay as the index has them, and are named.

    A file that comes, goes or changes meanwhile is in it or is not. Only what `git status` lists is read: several
    times as fast as `git add --all` on ten thousand files. Raises GitFailed.
    """
    git = Git(worktree, git_dir=git_dir)
    ours = {path for path in markers if is_marker(worktree, path)}
    for tries_left in reversed(range(_TRIES)):
        with index_copy(git_dir or git_dir_of(worktree)) as env:
            _unhide(git, env)
            changed = [one for one in _status(git, "--untracked-files=all", env) if one.unstaged]
            marks = {one.path for one in changed if one.untracked and one.path in ours}
            skipped = {one.path for one in changed if stays_out(worktree, one.path, largest)}
            without = marks | skipped
            wanted = [one.path for one in changed if one.path not in without]
            try:
                update_index(git, env, wanted, without)
                return Saved(Oid(git.text("write-tree", env=env)), tuple(sorted(skipped)))
            except GitFailed:
                if not tries_left:
                    raise
    raise AssertionError("unreachable: the last try returns or raises")


def update_index(git: Git, env: Mapping[str, str], wanted: Sequence[str], left_out: Iterable[str]) -> None:
    """Put these paths into the copied index, and nothing of what is left out."""
    if not wanted:
        return
    listed = b"\0".join(map(os.fsencode, wanted))
    try:
        git.run("update-index", "--add", "--remove", "--replace", "-z", "--stdin", input=listed, env=env)
    except GitFailed:  # so it is where a file became a folder, or lies behind a link now
        _add_all(git, env, left_out)


def stays_out(worktree: Path, path: str, largest: int) -> bool:
    """Whether a changed path is not read: a repository, a file of more bytes, one that may not be read."""
    if path.endswith("/"):
        return True
    place = worktree / path
    try:
        found = place.lstat()
    except OSError:  # deleted, which is a change like others
        return False
    return stat.S_ISREG(found.st_mode) and (found.st_size > largest or not os.access(place, os.R_OK))


def _add_all(git: Git, env: Mapping[str, str], left_out: Iterable[str]) -> None:
    """Put everything but these paths into the copied index."""
    specs = [":(top)", *(f":(top,exclude,literal){path.rstrip('/')}" for path in left_out)]
    git.run(
        "add",
        "--all",
        "--sparse",
        "--pathspec-from-file=-",
        "--pathspec-file-nul",
        input=b"\0".join(map(os.fsencode, specs)),
        env=env,
    )


def is_kept_in(
    worktree: Path, trees: Collection[Oid], *, markers: Iterable[str] = (), git_dir: Path | None = None
) -> bool:
    """Whether the whole work tree is one of `trees`. One with repositories in it, submodules too, never is:
    a tree does not hold what is in them."""
    git = Git(worktree, git_dir=git_dir)
    if not trees or any(path.endswith("/") for path in _untracked(git)):
        return False
    if any(line.startswith("160000 ") for line in git.paths("ls-files", "--stage", "-z")):
        return False
    return snapshot_tree(worktree, markers=markers, git_dir=git_dir) in trees


def index_tree(worktree: Path, *, git_dir: Path | None = None) -> Oid:
    """Write what is staged as a tree; paths in conflict are left out (their sides are in commits).

    `git_dir` as in `snapshot_tree`.
    """
    git = Git(worktree, git_dir=git_dir)
    with index_copy(git_dir or git_dir_of(worktree)) as env:
        lines = git.paths("ls-files", "--unmerged", "-z", env=env)
        conflicts = sorted({line.split("\t", 1)[1] for line in lines})
        if conflicts:
            names = b"\0".join(map(os.fsencode, conflicts)) + b"\0"
            git.run("update-index", "--force-remove", "-z", "--stdin", input=names, env=env)
        return Oid(git.text("write-tree", env=env))


@contextmanager
def index_copy(git_dir: Path) -> Iterator[dict[str, str]]:
    """An environment in which git works on a throw-away copy of the index in this git dir.

    It stands in the git dir, where a split index finds its other half, and keeps the time of the original:
    by it git knows which files may have changed after they were looked at, within the clock's last tick.
    """
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fleet-index-", dir=git_dir) as folder:
        copy = Path(folder) / "index"
        with suppress(FileNotFoundError), (git_dir / "index").open("rb") as index, copy.open("wb") as file:
            times = os.fstat(index.fileno())  # of the file that is open: git puts a new one in its place
            shutil.copyfileobj(index, file)
            file.flush()
            os.utime(file.fileno(), ns=(times.st_atime_ns, times.st_mtime_ns))
        yield {"GIT_INDEX_FILE": str(copy), **config_env(_SNAPSHOT_CONFIG)}


def config_env(pairs: Sequence[tuple[str, str]], *, after: int = 0) -> dict[str, str]:
    """git configuration as environment variables, behind `after` pairs that are there already."""
    variables = {"GIT_CONFIG_COUNT": str(after + len(pairs))}
    for number, (key, value) in enumerate(pairs, start=after):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables


def _unhide(git: Git, env: Mapping[str, str]) -> None:
    """Take the `assume-unchanged` flags out of the copied index: they hide changes from `git add`."""
    flagged = [line[2:] for line in git.paths("ls-files", "-v", "-z", env=env) if line[0].islower()]
    if flagged:
        names = b"\0".join(map(os.fsencode, flagged)) + b"\0"
        git.run("update-index", "--no-assume-unchanged", "-z", "--stdin", input=names, env=env)


class Resident(NamedTuple):
    """A process whose working directory is in a worktree."""

    pid: int
    name: str


def busy(path: Path) -> list[Resident]:
    """Processes that have their working directory in `path`, ourselves and our ancestors excepted.

    What may not be looked into (another user's process) is not counted.
    """
    import psutil  # slow to import, and rarely needed

    place = os.path.realpath(path)
    us = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter(["cwd", "name"]):
        cwd = process.info["cwd"]
        if cwd and process.pid not in us and (cwd == place or cwd.startswith(place + os.sep)):
            found.append(Resident(process.pid, process.info["name"] or ""))
    return found
