"""Setting a repository up for coding agents (`init --agents`), and taking that out again.

What would change is worked out first, by reading alone; then each file is replaced by one rename. A file that cannot
be understood, or whose folder leads out of the work tree, is left alone and named.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from git_fleet.app import agentfiles, hookfiles
from git_fleet.app.agentfiles import GUARD, LINK, Left, Part
from git_fleet.app.hookfiles import AGENT
from git_fleet.core import blocks
from git_fleet.errors import GitFailed
from git_fleet.git.repository import Repository

_ALTERNATIVES = {"opencode.json": "opencode.jsonc"}


class Change(NamedTuple):
    """One file that changes: as `listed`, where it really is, its new bytes (None: it goes) or where it links to."""

    listed: str
    place: Path
    data: bytes | None
    said: str
    link: str = ""
    mode: int = 0o644


class Setup(Struct, frozen=True):
    """What changes (or has changed), and notes about what was left. `files` are all that are ours in the work tree."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    files: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each file that changes."""
        return tuple(f"{change.listed}: {change.said}" for change in self.changes)


def plan(repo: Repository, root: Path) -> Setup:
    """What `apply` would do to set up the work tree `root`."""
    changes: list[Change] = []
    notes: list[str] = []
    files: list[str] = []
    for part in _parts(root):
        try:
            place, old = _read(root, part.path)
            new, said = part.put(old)
        except Left as left:
            notes.append(f"{part.path} is left alone: {left}")
            continue
        notes += said
        files += [part.path] if new is not None and new != old else []
        if new is not None and new != old:
            how = (
                "written" if old is None else "brought up to date" if _has(part, old) else "our part is added"
            )
            changes.append(Change(part.path, place, new, how))
        elif old is not None and _has(part, old):
            files.append(part.path)
    changes += _link(root, notes, files)
    changes += _shim(repo)
    return Setup(tuple(changes), tuple(notes), tuple(files))


def plan_out(repo: Repository, root: Path) -> Setup:
    """What `apply` would do to take everything out of the work tree `root` again."""
    changes: list[Change] = []
    notes: list[str] = []
    link = root / LINK[0]
    if _inside(root, link) and link.is_symlink() and link.readlink() == Path(LINK[1]):
        changes.append(Change(LINK[0], link, None, "removed"))
    for part in _parts(root):
        try:
            place, old = _read(root, part.path)
            if old is None:
                continue
            new, said = part.take(old)
        except Left as left:
            if _mentions_us(root / part.path):
                notes.append(f"{part.path} is left alone: {left}")
            continue
        notes += said
        if new != old:
            changes.append(
                Change(part.path, place, new, "removed" if new is None else "our part is taken out")
            )
        elif isinstance(part, agentfiles.Whole) and blocks.was_sealed(old):
            notes.append(f"{part.path} stays: somebody changed it")
    files = tuple(change.listed for change in changes)
    shim = repo.fleet_dir / "hooks" / AGENT
    if shim.exists():
        changes.append(Change(str(shim), shim, None, "removed"))
    return Setup(tuple(changes), tuple(notes), files)


def in_use(root: Path) -> bool:
    """Whether the work tree's settings call our shim: then `init` keeps it up to date, `--agents` or not."""
    hooked = (part for part in agentfiles.parts() if isinstance(part, agentfiles.Settings) and part.hooks)
    return any(_mentions_us(root / part.path) for part in hooked)


def shim_only(repo: Repository) -> Setup:
    """The shim that settings call which came with the repository."""
    return Setup(tuple(_shim(repo)), ())


def apply(root: Path, setup: Setup) -> None:
    """Do it. Raises GitFailed where a file cannot be written; what is done until then stays, and can be done again."""
    for change in setup.changes:
        try:
            _apply(root, change)
        except OSError as error:
            raise GitFailed(
                f"cannot write {change.place}: {error.strerror}",
                hint="make it writable for you, or free some space; then run the command again",
            ) from error


def _apply(root: Path, change: Change) -> None:
    if change.link:
        change.place.parent.mkdir(parents=True, exist_ok=True)
        change.place.symlink_to(change.link)
    elif change.data is None:
        change.place.unlink(missing_ok=True)
        for folder in change.place.parents:
            if folder == root or not folder.is_relative_to(root):
                break
            with contextlib.suppress(OSError):  # others have something there
                folder.rmdir()
    else:
        mode = (
            change.place.stat().st_mode & 0o777
            if change.place.exists() and not change.mode & 0o111
            else change.mode
        )
        hookfiles.write_beside(change.place, change.data, mode).replace(change.place)


def _parts(root: Path) -> Iterator[Part]:
    """Every part but a CLAUDE.md that is another name of AGENTS.md."""
    for part in agentfiles.parts():
        place = root / part.path
        if part.path != "CLAUDE.md" or place.resolve() != (root / "AGENTS.md").resolve():
            yield part


def _read(root: Path, path: str) -> tuple[Path, bytes | None]:
    """Where the file really is, and its bytes; None when there is none. Raises Left for what is not ours to write."""
    other = _ALTERNATIVES.get(path)
    if other and (root / other).exists() and not (root / path).exists():
        raise Left(
            f"there is a {other}, which may hold comments; git fleet mcp --config opencode prints what to add"
        )
    place = root / path
    if not _inside(root, place):
        raise Left("it, or its folder, is a link that leads out of the work tree")
    if place.is_symlink():
        place = place.resolve()
    try:
        return place, place.read_bytes()
    except FileNotFoundError:
        return place, None
    except OSError as error:
        raise Left(error.strerror or str(error)) from error


def _inside(root: Path, place: Path) -> bool:
    """Whether a path stays in the work tree, links followed: its folder, and a file's own link too."""
    real = root.resolve()
    ends = [place.parent.resolve()] + ([place.resolve()] if place.is_symlink() else [])
    return all(end.is_relative_to(real) and not end.is_relative_to(real / ".git") for end in ends)


def _has(part: Part, old: bytes) -> bool:
    """Whether our part is in the file already."""
    try:
        return part.take(old)[0] != old
    except Left:
        return False


def _mentions_us(path: Path) -> bool:
    try:
        text = path.read_bytes()
    except OSError:
        return False
    return GUARD.encode() in text or b"git fleet init --agents" in text or b'"git-fleet"' in text


def _link(root: Path, notes: list[str], files: list[str]) -> Iterator[Change]:
    link = root / LINK[0]
    if not _inside(root, link.parent / "x"):
        notes.append(f"{LINK[0]} is left alone: its folder leads out of the work tree")
    elif link.is_symlink() and link.readlink() == Path(LINK[1]):
        files.append(LINK[0])
    elif os.path.lexists(link):
        notes.append(f"{LINK[0]} stays as it is: it is another's")
    elif (
        link.parent.resolve() != (root / ".agents/skills").resolve()
    ):  # some link the one folder to the other
        files.append(LINK[0])
        yield Change(LINK[0], link, None, f"links to {LINK[1]}", link=LINK[1])


def _shim(repo: Repository) -> Iterator[Change]:
    place = repo.fleet_dir / "hooks" / AGENT
    text = hookfiles.shim(AGENT)
    if not place.is_file() or place.read_bytes() != text or not os.access(place, os.X_OK):
        said = "brought up to date" if place.exists() else "written"
        yield Change(str(place), place, text, said, mode=0o755)


def to_commit(repo: Repository, root: Path, setup: Setup, notes: list[str]) -> list[str]:
    """Those of our files that HEAD does not have as they are. What git ignores is noted: no worktree gets it."""
    files = setup.files
    if not files:
        return []
    git = repo.git(root)
    listed = "".join(f"{file}\0" for file in files).encode()
    ignored = os.fsdecode(git.run("check-ignore", "-z", "--stdin", input=listed, ok=(0, 1, 128)).out).split(
        "\0"
    )[:-1]
    if ignored:
        notes.append(
            f"git ignores {', '.join(ignored)}: list it in .worktreeinclude, for worktrees to have it"
        )
    kept = [file for file in files if file not in ignored]
    switches = ("--porcelain", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=all")
    status = os.fsdecode(git.run("--literal-pathspecs", "status", *switches, "--", *kept).out) if kept else ""
    dirty = {entry[3:] for entry in status.split("\0")} | {change.listed for change in setup.changes}
    return [file for file in kept if file in dirty]
