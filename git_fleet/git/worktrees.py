"""Linked worktrees: listed, added, removed, one at a time.

git's own bookkeeping of worktrees is not made for many at once (measured: 1 to 6 % of concurrent adds fail
in every version), so every change here holds an exclusive flock on `<common dir>/fleet/worktrees.lock`.
git inherits it: when Python is killed, the next one waits until that git has ended, too.

A worktree is *half-made* while it has no index: git writes the index last, after all files.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from git_fleet.core.ids import Oid
from git_fleet.core.sparse import Sparse
from git_fleet.errors import Busy, FleetError, GitFailed, Held, InvalidInput, NeedsPerson, Stale
from git_fleet.git import contents, flocks, sparse, torn
from git_fleet.git.locks import Writers
from git_fleet.git.process import Argument, Git, failure
from git_fleet.git.refs import ABSENT, Refs, Update
from git_fleet.git.repository import Repository

LOCK_TIMEOUT_SECONDS = 120.0


class Worktree(NamedTuple):
    """One worktree as git has it on record. `branch` is a full ref name; `head` None while unborn."""

    path: Path
    head: Oid | None
    branch: str | None
    locked: bool
    lock_reason: str
    prunable: bool
    detached: bool
    bare: bool


def list_worktrees(repo: Repository) -> tuple[Worktree, ...]:
    """Every worktree of the repository, the main one (or the bare repository) first."""
    out = repo.git().run("worktree", "list", "--porcelain", "-z").out
    return tuple(_parse(record, repo) for record in out.split(b"\0\0") if record)


def _parse(record: bytes, repo: Repository) -> Worktree:
    lines = (os.fsdecode(line).partition(" ") for line in record.split(b"\0") if line)
    facts = {key: value for key, _, value in lines}
    head = facts.get("HEAD", repo.zero)
    return Worktree(
        path=Path(facts["worktree"]),
        head=None if head == repo.zero else Oid(head),
        branch=facts.get("branch"),
        locked="locked" in facts,
        lock_reason=facts.get("locked", ""),
        prunable="prunable" in facts,
        detached="detached" in facts,
        bare="bare" in facts,
    )


def find(repo: Repository, path: Path) -> Worktree | None:
    """The worktree on record at `path`, whether its folder still exists or not."""
    place = os.path.realpath(path)
    return next((tree for tree in list_worktrees(repo) if os.path.realpath(tree.path) == place), None)


def git_dir_for(repo: Repository, path: Path) -> Path | None:
    """The git dir of the linked worktree on record at `path`, even if its folder is gone."""
    place, folders = os.path.realpath(path), dict[str, str]()
    for git_dir, worktree in _linked(repo):
        if _resolved(worktree, folders) == place:
            return Path(git_dir)
    return None


def git_dirs(repo: Repository) -> dict[str, Path]:
    """The git dir of every linked worktree on record, by the real path of its folder, which may be gone."""
    folders = dict[str, str]()
    return {_resolved(worktree, folders): Path(git_dir) for git_dir, worktree in _linked(repo)}


def _resolved(path: str, folders: dict[str, str]) -> str:
    """The real path. Those of folders are kept in `folders`: the worktrees of a fleet stand side by side."""
    folder, name = os.path.split(path)
    if os.path.islink(path):  # noqa: PTH114 - hundreds of times for each claim
        return os.path.realpath(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return os.path.join(folders[folder], name)  # noqa: PTH118


def _linked(repo: Repository) -> Iterator[tuple[str, str]]:
    """Git dir and folder of every linked worktree, as text: there are hundreds, and it is looked for one."""
    records = repo.common_dir / "worktrees"
    names = sorted(os.listdir(records)) if records.is_dir() else ()
    for name in names:
        git_dir = f"{records}/{name}"
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # removed meanwhile
            with open(f"{git_dir}/gitdir", "rb") as file:  # noqa: PTH123
                target = os.fsdecode(file.read()).removesuffix("\n")
            # git ≥ 2.48 may write a relative path
            yield git_dir, os.path.dirname(os.path.join(git_dir, target))  # noqa: PTH118, PTH120


def is_intact(git_dir: Path, path: Path) -> bool:
    """Whether the folder's `.git` names that git dir. Without it git would look for another repository
    further up, or find none."""
    try:
        named = os.fsdecode((path / ".git").read_bytes())
    except OSError:
        return False
    place = path / named.removeprefix("gitdir: ").removesuffix("\n")
    return os.path.realpath(place) == os.path.realpath(git_dir)


def occupied(repo: Repository, branch: str) -> tuple[Path, ...]:
    """The worktrees in which `branch` (full ref name) is checked out, being rebased or bisected. git allows
    one, unless it is forced; the folder of one may be gone."""
    found = [tree.path for tree in list_worktrees(repo) if tree.branch == branch]
    main = repo.main_worktree()
    places = [(repo.common_dir, main)] if main else []
    places += [(Path(git_dir), Path(folder)) for git_dir, folder in _linked(repo)]
    found += [path for git_dir, path in places if branch in _set_aside(git_dir)]
    return tuple(dict.fromkeys(found))


def _set_aside(git_dir: Path) -> Iterator[str]:
    """Branches that an unfinished rebase or bisect there will come back to."""
    for name in ("rebase-merge/head-name", "rebase-apply/head-name"):
        with contextlib.suppress(OSError):
            yield os.fsdecode((git_dir / name).read_bytes()).strip()
    with contextlib.suppress(OSError):
        yield "refs/heads/" + os.fsdecode((git_dir / "BISECT_START").read_bytes()).strip()


# --- adding --------------------------------------------------------------------------------------


def ensure(
    repo: Repository,
    path: Path,
    *,
    branch: str,
    start: Oid,
    reason: str,
    part: Sparse | None = None,
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
) -> bool:
    """Make the new branch `branch` (full ref name) at `start` and a locked worktree for it at `path`.

    Either both exist afterwards or neither. What an earlier call with the same arguments has made is kept or
    finished: a half-made worktree with the same lock reason is taken down (see git/torn.py) and made again,
    a finished one whose folder was deleted is forgotten first (what hung on it alone must be pinned by then).
    A branch that is there already is used as it is, provided that it contains `start`. True when the
    worktree was made now, False when it was there; only when it is made counts `part`, which says what is checked
    out (None: as git has it for new ones). `path` must not exist else, or be an empty folder.
    Raises Held when branch or folder is taken, Busy when other adds take too long, GitFailed.
    """
    with one_at_a_time(repo, lock_timeout_seconds) as lock, Refs(repo) as refs:
        if _keep_or_take_down(repo, path, branch, reason):
            return False
        _require_room(path)
        undo = None
        if refs.get(branch) is ABSENT:
            _make_branch(refs, branch, start)
            undo = Update(branch, start, ABSENT)
        else:
            _require_continuation(repo, branch, start)
        _checkout_new(repo, path, branch, reason, lock, part, undo=undo)
        return True


def _keep_or_take_down(repo: Repository, path: Path, branch: str, reason: str) -> bool:
    """True when the finished worktree is there; a half-made one of ours is gone afterwards."""
    torn.sweep_beginnings(repo, reason)
    git_dir = git_dir_for(repo, path)
    if git_dir is None:
        return False
    lock = torn.lock_reason(git_dir)
    if (git_dir / "index").exists():
        tree = find(repo, path)
        gone = not os.path.lexists(path) and lock == reason
        if lock not in (reason, None):  # a person may have unlocked it
            raise Held(f"{path} is somebody else's worktree ({lock})", hint="git worktree list")
        if (tree is None or branch != tree.branch) and not gone:
            where = (tree and tree.branch) or "no branch"
            raise Held(
                f"{path} is a worktree on {where}, not on {branch}",
                hint=f"git -C {path} switch {_short(branch)}",
            )
        return path.is_dir() or _forget(repo, path)
    if lock != reason:
        raise Held(f"{path} is a half-made worktree of somebody else", hint="git worktree list")
    torn.take_down(git_dir, path)
    return False


def _require_room(path: Path) -> None:
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise Held(f"{path} exists already", hint="move it away, or choose another worktree name")


def _require_free(repo: Repository, branch: str) -> None:
    for where in occupied(repo, branch):
        raise Held(f"{branch} is checked out in {where}", hint=f"git -C {where} status")


def _require_continuation(repo: Repository, branch: str, start: Oid) -> None:
    _require_free(repo, branch)
    if repo.git().run("merge-base", "--is-ancestor", start, branch, ok=(0, 1)).code:
        raise Held(f"{branch} exists already and does not contain {start}", hint=f"git log {branch}")


def _make_branch(refs: Refs, branch: str, start: Oid) -> None:
    """By exact value, and so that nothing is written to git's configuration (as `worktree add -b` may)."""
    refs.transact([Update(branch, ABSENT, start)], message="git-fleet: branch of a task")


def _checkout_new(
    repo: Repository,
    path: Path,
    branch: str,
    reason: str,
    lock: int,
    part: Sparse | None,
    *,
    undo: Update | None,
) -> None:
    """Add the worktree; when that fails, what it left and the branch (by `undo`) go away again."""
    created = not path.exists()
    try:
        _run_add(repo, path, branch, reason, lock, part)
    except FleetError:
        git_dir = git_dir_for(repo, path)
        if git_dir is not None and not (git_dir / "index").exists():
            torn.take_down(git_dir, path)
        if created:
            with contextlib.suppress(OSError):  # it is gone, or not empty and then not ours
                path.rmdir()
        if undo is not None:
            # If somebody has moved it in the meantime it is theirs now, and stays.
            with contextlib.suppress(Stale), Refs(repo) as refs:
                refs.transact([undo])
        raise


def _run_add(repo: Repository, path: Path, branch: str, reason: str, lock: int, part: Sparse | None) -> None:
    files = () if part is None else ("--no-checkout",)
    add = ("worktree", "add", "--quiet", "--lock", "--reason", reason, *files, "--", path, _short(branch))
    _run_step(repo, repo.git(), lock, add)
    for args, given in sparse.steps(part) if part else ():
        _run_step(repo, repo.git(path), lock, args, given)


def _run_step(repo: Repository, git: Git, lock: int, args: tuple[Argument, ...], given: bytes = b"") -> None:
    code, said = run_holding(repo, git, lock, *args, input=given)
    if code:
        raise failure(args, code, said)


def run_holding(
    repo: Repository,
    git: Git,
    lock: int,
    *args: Argument,
    env: Mapping[str, str] | None = None,
    input: bytes = b"",  # noqa: A002 - as subprocess calls it
) -> tuple[int, bytes]:
    """Run a git that inherits the `lock` of `one_at_a_time` and counts as a writer of refs (see
    git/locks.py): its exit code and what it said on standard error."""
    writers = Writers(repo)
    writers.share()
    try:
        process = git.spawn(*args, env=env, pass_fds=(lock, writers.fd))
        _, said = process.communicate(input)
    finally:
        writers.close()
    return process.returncode, said


def _short(branch: str) -> str:
    return branch.removeprefix("refs/heads/")


@contextlib.contextmanager
def one_at_a_time(repo: Repository, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> Iterator[int]:
    """Hold the lock for changes of worktrees; gives its descriptor, for a child to inherit.

    Raises Busy after `timeout_seconds`, GitFailed when the repository cannot be written.
    """
    place = repo.fleet_dir / "worktrees.lock"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        fd = flocks.opened(place)
    except OSError as error:
        raise GitFailed(
            f"cannot write {place}: {error.strerror}", hint="make the repository writable, or free some space"
        ) from error
    try:
        _wait_for(fd, place, timeout_seconds)
        yield fd
    finally:
        os.close(fd)  # which lets go, unless a git that outlives us inherited it


def _wait_for(fd: int, place: Path, timeout_seconds: float) -> None:
    import random

    every = random.uniform(0.005, 0.03)  # noqa: S311 - not all at the same moments
    if not flocks.take(fd, seconds=timeout_seconds, every=every):
        raise Busy(
            f"others have been changing worktrees for {timeout_seconds:g} s ({place})",
            hint="try again; `git worktree list` shows what is there",
        )


# --- taking away ---------------------------------------------------------------------------------


def remove(repo: Repository, path: Path, *, markers: Iterable[str] = (), saved: Collection[Oid] = ()) -> None:
    """Remove a linked worktree, its ignored files too, but never one with changes (see `dirty_files`), unless
    the whole work tree is one of the trees `saved`.

    Empty untracked `markers` go with it. A half-made one is taken down (see git/torn.py). If git refuses,
    the worktree stays, locked as before. Raises NeedsPerson naming the changes, InvalidInput for what is no
    linked worktree, GitFailed.
    """
    markers = tuple(markers)
    with one_at_a_time(repo):
        tree = _require_linked(repo, path)
        git_dir = git_dir_for(repo, path)
        if git_dir is not None and not (git_dir / "index").exists():
            torn.take_down(git_dir, path)
            return
        changed = contents.dirty_files(path, markers=markers)
        if changed and not contents.is_kept_in(path, saved, markers=markers, git_dir=git_dir):
            raise NeedsPerson(
                f"{path} has uncommitted changes: {contents.listing(changed)}", hint=f"git -C {path} status"
            )
        for marker in markers:
            if contents.is_marker(path, marker) and not _is_tracked(path, marker):
                (path / marker).unlink()
        _unlocked(repo, tree, "remove", *(["--force"] if changed else []))


def _unlocked(repo: Repository, tree: Worktree, *command: str) -> None:
    git = repo.git()
    if tree.locked:
        git.run("worktree", "unlock", "--", tree.path)
    try:
        git.run("worktree", *command, "--", tree.path)
    except GitFailed:
        if tree.locked and tree.path.exists():
            git.run("worktree", "lock", "--reason", tree.lock_reason, "--", tree.path)
        raise


def forget(repo: Repository, path: Path) -> None:
    """Take a worktree whose folder was deleted off git's record: that one alone, never a `prune` of all.

    Raises InvalidInput for what is no linked worktree, NeedsPerson when the folder exists.
    """
    with one_at_a_time(repo):
        _require_linked(repo, path)
        _forget(repo, path)


def _forget(repo: Repository, path: Path) -> bool:
    if os.path.lexists(path):
        raise NeedsPerson(f"{path} is not a folder, or exists again", hint=f"ls -ld {path}")
    _unlocked(repo, _require_linked(repo, path), "remove")
    return False


def _require_linked(repo: Repository, path: Path) -> Worktree:
    tree = find(repo, path)
    if tree is None or git_dir_for(repo, path) is None:
        raise InvalidInput(f"{path} is not a linked worktree of this repository", hint="git worktree list")
    return tree


def _is_tracked(worktree: Path, path: str) -> bool:
    return bool(Git(worktree).paths("--literal-pathspecs", "ls-files", "-z", "--", path))
