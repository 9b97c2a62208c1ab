"""A repository cloned for one worker: nothing checked out, all branches, as little of the history and contents as asked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from git_fleet.core.ids import Oid
from git_fleet.errors import InvalidInput
from git_fleet.git.process import Git

_SILENT = {"SSH_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never"}


def clone(url: str, path: Path, *, depth: int = 0, contents: str = "") -> None:
    """Clone `url` (what git takes for one; a path is seen from here) into `path`, its remote `origin`.

    `depth` is how many commits of each branch are fetched, 0: all. `contents` is what `--filter` of git takes, such as
    blob:none: what is left out is fetched when it is needed. Raises GitFailed, InvalidInput.
    """
    if not url or url.startswith("-"):
        raise InvalidInput(f"{url!r} is no address of a git repository", hint="--remote URL")
    if Path(url).exists():
        full = Path(url).resolve()
        url = full.as_uri() if depth or contents else str(full)  # git copies a path whole
    some = [f"--depth={depth}", "--no-single-branch"] if depth else []
    some += [f"--filter={contents}"] if contents else []
    plain = ("--quiet", "--no-checkout", "--no-tags", "--origin=origin")
    Git(path.parent).run("clone", *plain, *some, "--", url, str(path), env=_SILENT)


def rename_remote(path: Path, name: str) -> None:
    """Call the remote of a fresh clone `name`. Raises GitFailed."""
    Git(path).run("remote", "rename", "--no-progress", "origin", "--", name)


def is_shallow(path: Path) -> bool:
    """Whether history is missing."""
    return Git(path).text("rev-parse", "--is-shallow-repository") == "true"


def complete(path: Path, remote: str) -> None:
    """Fetch the history that is missing. Raises GitFailed."""
    Git(path).run("fetch", "--quiet", "--no-tags", "--unshallow", remote, env=_SILENT)


def only_here(
    path: Path, heads: Iterable[Oid], ours: Iterable[str], theirs: Iterable[str], *, aside: Iterable[str] = ()
) -> Oid | None:
    """A commit that `heads` or refs reach (stashes too; of those below the prefixes `aside` only what is below `ours`),
    and refs below `theirs` do not; None when there is no such commit: all of it is elsewhere, too. Raises GitFailed."""
    wanted = "".join(f"{oid}\n" for oid in heads)
    left_out = [f"--exclude={prefix}*" for prefix in aside]
    local = (*left_out, "--all", *(f"--glob={prefix}" for prefix in ours))
    known = [f"--glob={prefix}" for prefix in theirs]
    said = Git(path).text(
        "rev-list", "--max-count=1", "--stdin", *local, "--not", *known, input=wanted.encode()
    )
    return Oid(said) if said else None
