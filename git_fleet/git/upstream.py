"""Branches on another repository: what is there, pushed there, fetched from there. No hook runs, nothing is asked.

A push states for every branch what it finds (a lease), so nobody's push is lost under ours. What came of it is read
again, never taken from what git prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from git_fleet.core.ids import Oid, oid
from git_fleet.errors import GitFailed
from git_fleet.git.process import Git, last_words
from git_fleet.git.refs import ABSENT, Value
from git_fleet.git.repository import Repository

_HEADS = "refs/heads/"
_AT_ONCE = 200  # branches in one command line
_ENDS = (0, 1, 128)  # of a push; what it did is looked at afterwards


class Push(NamedTuple):
    """`branch` is to go from `old`, as it was found there, to `new`."""

    branch: str
    old: Value
    new: Oid


def remote_for(repo: Repository, base: str) -> str:
    """The remote that a branch is pushed to, else the only one, or the one called origin; "" where there is none."""
    git = repo.git()
    remotes = git.text("remote").splitlines()
    if not remotes:
        return ""
    asked = ("%(push:remotename)", "%(upstream:remotename)")
    found = git.text("for-each-ref", f"--format={' '.join(asked)}", f"{_HEADS}{base}").split()
    usual = remotes if len(remotes) == 1 else ["origin"]
    return next((name for name in (*found, *usual) if name in remotes), "")


def tips(repo: Repository, remote: str, branches: Iterable[str]) -> dict[str, Oid]:
    """Where these branches are there; those that are not are not in it. Raises GitFailed when it cannot be reached."""
    refs = [f"{_HEADS}{branch}" for branch in branches]
    found: dict[str, Oid] = {}
    for start in range(0, len(refs), _AT_ONCE):
        printed = _git(repo).text("ls-remote", "--", remote, *refs[start : start + _AT_ONCE])
        rows = (line.split("\t", 1) for line in printed.splitlines())
        found |= {
            ref.removeprefix(_HEADS): oid(at) for at, ref in rows if ref in refs
        }  # else only its end is the same
    return found


def push(repo: Repository, remote: str, pushes: Sequence[Push]) -> dict[str, str]:
    """Push branches, each by its own lease: why not, for those that are not there now. Raises GitFailed when the
    remote cannot be asked."""
    said = ""
    for start in range(0, len(pushes), _AT_ONCE):
        some = pushes[start : start + _AT_ONCE]
        leases = [
            f"--force-with-lease={_HEADS}{it.branch}:{'' if it.old is ABSENT else it.old}" for it in some
        ]
        options = ("--quiet", "--no-follow-tags", "--no-signed", "--recurse-submodules=no")
        done = _git(repo).run(
            "push",
            *options,
            *leases,
            "--",
            remote,
            *(f"{it.new}:{_HEADS}{it.branch}" for it in some),
            ok=_ENDS,
        )
        said = said if not done.code else last_words(done.err.decode("utf-8", "replace"))
    if not said:
        return {}
    now = tips(repo, remote, [it.branch for it in pushes])
    return {it.branch: said for it in pushes if now.get(it.branch) != it.new}


def fetch(repo: Repository, remote: str, ref: str) -> bool:
    """Have the objects of a ref there, and git's own tracking branch of it where one is configured. False when it is not
    there."""
    try:
        _git(repo).run(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--",
            remote,
            ref,
        )
    except GitFailed:
        return False
    return True


def _git(repo: Repository) -> Git:
    """git where a remote's address that is a relative path is seen from, if there is such a place."""
    return repo.git(repo.main_worktree())
