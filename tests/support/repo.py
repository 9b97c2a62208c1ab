"""Real repositories for tests: `make_repo` in about ten milliseconds, and `Repo` to work in one.

Nothing here uses git_fleet's own git layer: what is under test must not check itself.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from git_fleet.core.ids import Oid, oid

Content = str | bytes
DEFAULT_FILES: Mapping[str, Content] = {"README.md": "# scratch\n"}


class GitError(AssertionError):
    """git said no where the test expected yes."""


class Entry(NamedTuple):
    """A file in a tree: git's mode (`100644`, `100755`, `120000`) and its bytes (a link's target)."""

    mode: str
    content: bytes


@dataclass(frozen=True)
class Repo:
    """A repository, or one linked worktree of it, at `path`. Paths in it are relative, as git shows them."""

    path: Path

    def try_git(
        self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs git here, hooks included, and returns what happened. `env` is added to the environment."""
        return subprocess.run(
            ["git", *args],
            cwd=self.path,
            input=stdin,
            capture_output=True,
            env={**os.environ, **(env or {})},
            check=False,
        )

    def run_git(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """git's output without the last newline; names that are not UTF-8 as `os.fsdecode` gives them.

        Raises GitError with git's own words when it fails.
        """
        done = self.try_git(*args, stdin=stdin, env=env)
        if done.returncode:
            words = os.fsdecode(done.stderr or done.stdout).strip()
            raise GitError(f"git {' '.join(args)} ended with {done.returncode}: {words}")
        return os.fsdecode(done.stdout).removesuffix("\n")

    def write(self, path: str, content: Content, *, executable: bool = False) -> Path:
        """Writes a file of the work tree, its folders too, and returns where it is."""
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        if executable:
            target.chmod(0o755)
        return target

    def commit(self, message: str, files: Mapping[str, Content | None] | None = None) -> Oid:
        """Writes `files` (None deletes), stages exactly these beside what is staged, and commits: the new commit.

        Hooks run. An empty commit is allowed.
        """
        for path, content in (files or {}).items():
            if content is None:
                (self.path / path).unlink()
            else:
                self.write(path, content)
        if files:
            listed = b"\0".join(os.fsencode(path) for path in files)
            self.run_git(
                "--literal-pathspecs",
                "add",
                "--all",
                "--pathspec-from-file=-",
                "--pathspec-file-nul",
                stdin=listed,
            )
        self.run_git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.rev("HEAD")

    def branch(self, name: str, at: str = "HEAD") -> Oid:
        """Creates a branch without switching to it: where it points."""
        self.run_git("branch", "--no-track", name, at)
        return self.rev(name)

    def worktree(self, path: Path, branch: str, at: str = "HEAD") -> Repo:
        """Adds a linked worktree at `path` with the new branch `branch`."""
        self.run_git("worktree", "add", "--quiet", "--no-track", "-b", branch, str(path), at)
        return Repo(path)

    def rev(self, name: str) -> Oid:
        """The commit `name` means. Raises GitError when there is none."""
        return oid(self.run_git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"))

    def files(self, rev: str = "HEAD") -> dict[str, Entry]:
        """Every file of a commit's tree, by path."""
        found: dict[str, Entry] = {}
        listing = self.try_git("ls-tree", "-r", "-z", "--full-tree", rev)
        if listing.returncode:
            raise GitError(os.fsdecode(listing.stderr))
        for line in filter(None, listing.stdout.split(b"\0")):
            about, path = line.split(b"\t", 1)
            mode, kind, name = about.decode().split(" ")
            content = self.try_git("cat-file", kind, name).stdout if kind == "blob" else name.encode()
            found[os.fsdecode(path)] = Entry(mode, content)
        return found

    def refs(self, *patterns: str) -> dict[str, Oid]:
        """Every ref (or those under `patterns`, as for-each-ref takes them) and the object it points at."""
        listing = self.run_git("for-each-ref", "--format=%(objectname) %(refname)", *patterns)
        pairs = (line.split(" ", 1) for line in listing.splitlines())
        return {name: oid(value) for value, name in pairs}

    def status(self) -> list[str]:
        """What `git status --porcelain` lists, untracked files one by one; empty when clean."""
        listing = self.run_git("status", "--porcelain", "-z", "--untracked-files=all")
        return [entry for entry in listing.split("\0") if entry]


def make_repo(
    path: Path, files: Mapping[str, Content] = DEFAULT_FILES, *, object_format: str = "sha1"
) -> Repo:
    """A new repository at `path` on main, with one commit of `files`; without files main is unborn.

    Copied from a template made once for these files. The copy's index is refreshed, since it remembers
    the inodes of the template.
    """
    template = _template(tuple(sorted(files.items())), object_format)
    shutil.copytree(template, path, symlinks=True, dirs_exist_ok=True)
    repo = Repo(path)
    if files:
        repo.run_git("update-index", "-q", "--refresh")
    return repo


@functools.cache
def _template(files: tuple[tuple[str, Content], ...], object_format: str) -> Path:
    """A repository to copy. Without git's sample hooks, the larger half of an empty one."""
    path = Path(tempfile.mkdtemp(prefix="git-fleet-template-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    repo = Repo(path)
    repo.run_git("init", "--quiet", "--initial-branch=main", f"--object-format={object_format}")
    for sample in (path / ".git" / "hooks").glob("*.sample"):
        sample.unlink()
    if files:
        repo.commit("Start", dict(files))
    return path
