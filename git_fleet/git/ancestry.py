"""What many proposals bring to main, and where each left it, found in one walk through history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from git_fleet.core import trailers
from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git.formats import Commit, parse_commit
from git_fleet.git.objects import Objects
from git_fleet.git.process import Git

_Parents = Mapping[Oid, tuple[Oid, ...]]


class History(NamedTuple):
    """What a proposal brings to main.

    `own` are its commits that main lacks, oldest first. Left out are merges, and what the fleet committed
    of a worker that was taken over: nobody wrote these messages. `base` is the one merge base of the two;
    None when there is none, or when the walk does not prove that there is just one.
    """

    own: tuple[Commit, ...]
    base: Oid | None


def histories(git: Git, objects: Objects, proposals: Sequence[Oid], onto: Oid) -> dict[Oid, History]:
    """What each of these commits brings to `onto`.

    One process for all of them, and one more for each whose history branches. Raises GitFailed when a
    commit is missing.
    """
    if not proposals:
        return {}
    parents = _walk(git, proposals, onto)
    found = {proposal: _line(parents, proposal) for proposal in proposals}
    for proposal, line in found.items():
        if line is None:  # how side branches are put in a line depends on where else the walk goes
            found[proposal] = (tuple(_walk(git, [proposal], onto)), None)
    lines = {proposal: line for proposal, line in found.items() if line is not None}
    wanted = {oid for walked, _ in lines.values() for oid in walked if len(parents[oid]) < 2}
    commits = _read(objects, wanted)
    return {
        proposal: History(tuple(commits[oid] for oid in reversed(walked) if oid in commits), base)
        for proposal, (walked, base) in lines.items()
    }


def _walk(git: Git, proposals: Sequence[Oid], onto: Oid) -> dict[Oid, tuple[Oid, ...]]:
    """The commits that any of these has and `onto` lacks, newest first, with their parents."""
    asked = "".join(f"{oid}\n" for oid in (*proposals, f"^{onto}")).encode()
    listed = git.text("rev-list", "--topo-order", "--parents", "--stdin", input=asked)
    lines = (list(map(Oid, line.split())) for line in listed.splitlines())
    return {oid: tuple(parents) for oid, *parents in lines}


def _line(parents: _Parents, tip: Oid) -> tuple[tuple[Oid, ...], Oid | None] | None:
    """The commits from `tip` down to what main has, newest first, and the merge base; None when they branch.

    If each has one parent, every common ancestor is the last one's parent or one of its ancestors: the
    base. A merge (as a rule of main) has two, which main has both, and which of them is the base is open.
    """
    walked: list[Oid] = []
    proven = True
    at: Oid | None = tip
    while at is not None and at in parents:
        walked.append(at)
        listed = [parent for parent in parents[at] if parent in parents]
        if len(listed) > 1:
            return None
        proven = proven and len(parents[at]) == 1
        at = listed[0] if listed else next(iter(parents[at]), None)
    return tuple(walked), at if proven else None


def _read(objects: Objects, wanted: Iterable[Oid]) -> dict[Oid, Commit]:
    """These commits, less those that keep what a worker left behind."""
    names = sorted(wanted)
    found: dict[Oid, Commit] = {}
    for oid, stored in zip(names, objects.read_many(names), strict=True):
        if stored is None:
            raise GitFailed(f"the commit {oid} is missing", hint="git fsck")
        commit = parse_commit(oid, stored.data)
        if not trailers.is_kept(commit.message):
            found[oid] = commit
    return found
