"""What a new worktree gets beside the tracked files: `.worktreeinclude` and `touch`.

`.worktreeinclude` stands at the root of the main worktree and holds patterns as in a .gitignore. Files that
match, and that git ignores in both worktrees (such as `.env`), are copied; nothing is ever overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from git_fleet.errors import GitFailed, InvalidInput
from git_fleet.git.process import Git
from git_fleet.git.torn import real_folders

INCLUDE_FILE = ".worktreeinclude"
_PARTIAL = ".fleet-partial"


def include(main: Path | None, worktree: Path) -> list[str]:
    """Copy what `.worktreeinclude` in `main` (None: a bare repository) asks for: the paths copied, sorted.

    Links are copied as links, permissions kept. Killed and called again it goes on. Raises GitFailed.
    """
    if main is None or not (main / INCLUDE_FILE).is_file():
        return []
    pattern = f"--exclude-from={INCLUDE_FILE}"
    found = Git(main).paths("ls-files", "--others", "--ignored", "-z", pattern)
    found = [path for path in found if not path.endswith("/")]  # another repository, or a worktree
    found = [path for path in found if real_folders(worktree, path)]  # nothing lands behind a link
    wanted = _ignored(worktree, _ignored(main, found))
    return [path for path in sorted(wanted) if _copy(main, worktree, path)]


def _ignored(worktree: Path, paths: list[str]) -> list[str]:
    """Those of `paths` that git ignores in that worktree."""
    if not paths:
        return []
    asked = b"\0".join(map(os.fsencode, paths)) + b"\0"
    done = Git(worktree).run("check-ignore", "-z", "--stdin", input=asked, ok=(0, 1))
    return [os.fsdecode(path) for path in done.out.split(b"\0") if path]


def _copy(main: Path, worktree: Path, path: str) -> bool:
    """Copy one file or link; False when there is something already or it is neither."""
    import shutil

    source, target = main / path, worktree / path
    if os.path.lexists(target):
        return False
    partial = target.with_name(target.name + _PARTIAL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        if source.is_symlink():
            partial.symlink_to(source.readlink())
        elif source.is_file():
            shutil.copy2(source, partial)
        else:
            return False
        partial.rename(target)
    except OSError as error:
        raise GitFailed(
            f"cannot copy {path!r} into {worktree}: {error.strerror}",
            hint=f"look at {INCLUDE_FILE}, then run the same command again",
        ) from error
    return True


def check_markers(markers: Iterable[str]) -> tuple[str, ...]:
    """`touch` as plain paths in a worktree. Raises InvalidInput for one that leaves it."""
    checked = []
    for marker in markers:
        path = PurePosixPath(marker)
        bad = not path.parts or path.is_absolute() or {"..", ".git"} & {part.lower() for part in path.parts}
        if bad or not marker.isprintable():
            raise InvalidInput(
                f"touch: {marker!r} is not a path inside a worktree", hint="correct `touch` in fleet.toml"
            )
        checked.append(str(path))
    return tuple(checked)


def touch(worktree: Path, markers: Iterable[str]) -> list[str]:
    """Create the empty marker files that are missing. The ones that git would not ignore, sorted.

    These are no change of the worker's (see git/contents.py), but `git status` shows them: linked
    worktrees have no list of ignored files of their own. Raises InvalidInput, GitFailed.
    """
    checked = [marker for marker in check_markers(markers) if real_folders(worktree, marker)]
    for marker in checked:
        place = worktree / marker
        if os.path.lexists(place):
            continue
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch(exist_ok=True)
        except OSError as error:
            raise GitFailed(
                f"cannot create {place}: {error.strerror}", hint="look at `touch` in fleet.toml"
            ) from error
    empty = [marker for marker in checked if os.path.lexists(worktree / marker)]
    return sorted(set(empty) - set(_ignored(worktree, empty)))
