"""Lock files of refs that a killed git left behind, and when they may be removed.

git locks a ref with `<ref>.lock`. A git that is killed (-9, power, out of memory) leaves such files, and
from then on everybody is refused. Age proves nothing, neither do open files: an `update-ref` that has
prepared a transaction has closed its lock files again. So:

- Our writers hold a *shared* flock on `fleet/writers` while they write. Their git inherits the
  descriptor, so the flock outlives a killed Python for as long as its git lives. Whoever gets the
  *exclusive* flock knows that no writer of ours owns a lock.
- Any other git may own one too, below refs/fleet as well (`git pack-refs` locks each ref it packs), so
  besides no git that may write refs may run in this repository. What cannot be inspected counts as one.

Repositories with reftable have no such files.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from git_fleet.errors import GitFailed
from git_fleet.git import flocks
from git_fleet.git.process import command_name, no_space
from git_fleet.git.repository import Repository

if TYPE_CHECKING:
    import psutil

# These own no ref lock: they only read (`cat-file` is our own long-lived reader), or they leave the work on
# refs to children that are seen themselves, or (the daemon) they watch files for ever.
_READING = {"blame", "cat-file", "diff", "diff-tree", "for-each-ref", "grep", "log", "ls-files", "ls-tree"}
_READING |= {"rev-list", "rev-parse", "show", "show-ref", "status"}
_DELEGATING = {"gc", "maintenance", "pack-objects", "repack"}
_HARMLESS = _READING | _DELEGATING | {"fsmonitor--daemon"}
_PLACES = ("GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE")
_PATIENCE = 0.25  # seconds that all writers are kept waiting at most; a transaction takes a few ms
Identity = tuple[int, int, int]
_TOP = ("HEAD.lock", "packed-refs.lock", "packed-refs.new")


class Writers:
    """The flock of those who write refs: many share it, `clear` takes it alone.

    A flock belongs to the open file, which a child process shares: between transactions the parent lets
    go for both; when the parent is killed inside one, the child goes on holding it.

    Writers that keep trying would leave no moment in which nobody holds it. So they pass a gate first,
    and whoever wants it alone closes the gate for an instant and lets them run dry.
    """

    def __init__(self, repo: Repository) -> None:
        self._path = repo.fleet_dir / "writers"
        self._fd = self._gate = -1

    @property
    def fd(self) -> int:
        """The descriptor that a child must inherit; valid after `share`."""
        return self._fd

    def share(self) -> bool:
        """Hold the flock with other writers; waits while locks are being cleared.

        True when the file had to be opened anew (so a child that inherited the old one holds nothing).
        Raises GitFailed when the repository cannot be written.
        """
        opened = self._fd < 0 or os.fstat(self._fd).st_nlink == 0  # fleet/ may be deleted at any time
        if opened:
            self._open()
        fcntl.flock(self._gate, fcntl.LOCK_SH)
        fcntl.flock(self._fd, fcntl.LOCK_SH)
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        return opened

    def exclude(self) -> bool:
        """Take the flock alone; False when a writer does not end within a moment. Raises as `share`."""
        self._open()
        end = time.monotonic() + _PATIENCE
        if all(flocks.take(fd, seconds=end - time.monotonic(), every=0.002) for fd in (self._gate, self._fd)):
            return True
        self.close()
        return False

    def leave(self) -> None:
        """Let go of the flock, for a child that shares it too."""
        if self._fd >= 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files. A child that shares the flock keeps what it holds."""
        for fd in (self._fd, self._gate):
            if fd >= 0:
                os.close(fd)
        self._fd = self._gate = -1

    def _open(self) -> None:
        self.close()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = flocks.opened(self._path)
            self._gate = flocks.opened(self._path.with_name("writers.gate"))
        except OSError as error:
            raise GitFailed(
                f"cannot write {self._path}: {error.strerror}",
                hint="make the repository writable for you, or free some space; then run the command again",
            ) from error


def left_behind(repo: Repository) -> list[Path]:
    """The lock files of refs that exist right now, sorted. Some may belong to a git that is at work."""
    if repo.uses_reftable:
        return []
    found: list[Path] = []
    for root in (repo.common_dir, *_linked_git_dirs(repo)):
        found += (root / name for name in _TOP if (root / name).exists())
        for folder, _, names in os.walk(root / "refs"):
            found += (Path(folder, name) for name in names if name.endswith(".lock"))
    return sorted(found)


def clear(repo: Repository, locks: Iterable[Path] | None = None) -> list[Path]:
    """Remove the locks (all that are left behind, or only `locks`) if nobody can own them.

    Returns those removed: all or none of them, see the top of this module. Never removes by age.
    Raises GitFailed when the repository cannot be written.
    """
    # First look at the files, then at the processes: a git that starts later cannot own a file seen now.
    paths = left_behind(repo) if locks is None else locks
    seen = [(path, known) for path in paths if (known := identity(path))]
    if not seen:
        return []
    writers = Writers(repo)
    if not writers.exclude():
        return []
    try:
        if obstacles(repo):
            return []
        return [path for path, known in seen if _remove(path, known)]
    finally:
        writers.close()


def begin_flush(paths: Sequence[Path]) -> bool:
    """Set these files on their way to the disk, where the system can be asked to. False when one is missing."""
    try:
        for path in paths:
            if sys.platform == "linux":  # there it begins to write what it is not to keep in memory
                _with_open(path, lambda fd: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED))
            else:
                path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unwritten(path, error) from error
    return True


def flush(paths: Sequence[Path]) -> bool:
    """Get these files to the disk. False when one is missing. Raises GitFailed when the disk refuses.

    git flushes each as it writes it, and waits as often: 125 ms for 512 refs here, against 33 where all were set on
    their way before.
    """
    try:
        for path in paths:
            _with_open(path, os.fsync)
        if sys.platform == "darwin" and paths:  # out of the disk's own cache, too
            _with_open(path, lambda fd: fcntl.fcntl(fd, fcntl.F_FULLFSYNC))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unwritten(path, error) from error
    return True


def _unwritten(path: Path, error: OSError) -> GitFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_space("update-ref")
    return GitFailed(f"cannot write {path}: {error.strerror}", hint="git fleet doctor")


def _with_open(path: Path, use: Callable[[int], object]) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        use(fd)
    finally:
        os.close(fd)


class Obstacle(NamedTuple):
    """A git process that may own a ref lock of this repository, and what is known of it."""

    pid: int
    what: str


def obstacles(repo: Repository) -> list[Obstacle]:
    """The processes because of which no lock may be removed now, apart from our own writers."""
    import psutil  # slow to import, and rarely needed

    places = _places(repo)
    writers = os.path.realpath(repo.fleet_dir / "writers")
    found: list[Obstacle] = []
    for process in psutil.process_iter(["name"]):
        name = process.info["name"] or ""
        if name != "git" and (not name.startswith("git-") or name == "git-fleet"):
            continue
        try:
            command = _command(process.cmdline())
            if (
                command not in _HARMLESS
                and _works_in(process, places)
                and not _idle(process, command, writers)
            ):
                found.append(Obstacle(process.pid, f"git {command}"))
        except psutil.NoSuchProcess:
            continue
        except (psutil.Error, OSError):
            found.append(Obstacle(process.pid, "a git that cannot be inspected"))
    return found


def _idle(process: psutil.Process, command: str, writers: str) -> bool:
    """Whether this is an `update-ref` of our own: under the exclusive flock these are idle."""
    return command == "update-ref" and any(file.path == writers for file in process.open_files())


def _works_in(process: psutil.Process, places: Sequence[str]) -> bool:
    cwd = process.cwd()
    environment = process.environ()
    words = [word.split("=", 1)[-1] for word in process.cmdline()[1:]]
    words += [environment[name] for name in _PLACES if name in environment]
    spots = [Path(cwd), *(Path(cwd, word) for word in words)]
    if any(_inside(os.path.realpath(spot), places) for spot in spots):
        return True
    return any(_inside(file.path, places) for file in process.open_files())


def _inside(spot: str, places: Sequence[str]) -> bool:
    return any(spot == place or spot.startswith(place + os.sep) for place in places)


def _command(words: Sequence[str]) -> str:
    """The git command of a whole command line, `git …` or `git-…`."""
    if not words:
        return ""
    program = Path(words[0]).name
    return program.removeprefix("git-") if program.startswith("git-") else command_name(words[1:])


def _places(repo: Repository) -> list[str]:
    """Every folder that belongs to this repository: the shared git dir and all worktrees."""
    places = [repo.common_dir]
    main = repo.main_worktree()
    if main is not None:
        places.append(main)
    for git_dir in _linked_git_dirs(repo):
        with contextlib.suppress(OSError):
            target = os.fsdecode((git_dir / "gitdir").read_bytes()).removesuffix("\n")
            places.append((git_dir / target).parent)
    return sorted({os.path.realpath(place) for place in places})


def _linked_git_dirs(repo: Repository) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        yield from (path for path in (repo.common_dir / "worktrees").iterdir() if path.is_dir())


def identity(path: Path) -> Identity | None:
    """Which file stands at `path` right now, for telling whether it is the same one later; None without one."""
    try:
        stat = path.lstat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns


def _remove(path: Path, known: Identity) -> bool:
    """Remove the very file that was looked at, not one that has taken its name since."""
    if identity(path) != known:
        return False
    path.unlink(missing_ok=True)
    return True
