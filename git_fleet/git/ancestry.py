"""What many proposals bring to main, and where each left it, found in one walk through history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from git_fleet.core import trailers
from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git.formats import Commit, parse_commit
from git_fleet.git.objects import Objects
from git_fleet.git.process import Git


class History(NamedTuple):
    """What a proposal brings to main.

    `own` are its commits that main lacks, oldest first. Left out are merges, and what the fleet committed
    of a worker that was taken over: nobody wrote these messages. `base` is the one merge base of the two;
    None when there is none, or when the walk does not prove that there is just one.
    """

    own: tuple[Commit, ...]
    base: Oid | None


@dataclass(frozen=True, slots=True)
class Walk:
    """What of these proposals `onto` lacks. `lines` are the commits of each, newest first, and its base as in
    History; `trees` those of all commits walked."""

    lines: Mapping[Oid, tuple[tuple[Oid, ...], Oid | None]]
    trees: Mapping[Oid, Oid]
    _merges: frozenset[Oid]

    def histories(self, objects: Objects) -> dict[Oid, History]:
        """What each of them brings. Raises GitFailed when a commit is missing."""
        wanted = {oid for walked, _ in self.lines.values() for oid in walked} - self._merges
        commits = _read(objects, wanted)
        return {
            proposal: History(tuple(commits[oid] for oid in reversed(walked) if oid in commits), base)
            for proposal, (walked, base) in self.lines.items()
        }


def histories(git: Git, objects: Objects, proposals: Sequence[Oid], onto: Oid) -> dict[Oid, History]:
    """What each of these commits brings to `onto`. Raises GitFailed when a commit is missing."""
    return walk(git, proposals, onto).histories(objects)


def walk(git: Git, proposals: Sequence[Oid], onto: Oid) -> Walk:
    """Walk from each of these commits to what `onto` has.

    One process for all of them, and one more for each whose history branches. Raises GitFailed when a
    commit is missing.
    """
    if not proposals:
        return Walk({}, {}, frozenset())
    nodes = _listed(git, proposals, onto)
    parents = {oid: node.parents for oid, node in nodes.items()}
    lines: dict[Oid, tuple[tuple[Oid, ...], Oid | None]] = {}
    for proposal in dict.fromkeys(proposals):
        # How side branches are put in a line depends on where else the walk goes.
        lines[proposal] = _line(parents, proposal) or (tuple(_listed(git, [proposal], onto)), None)
    merges = frozenset(oid for oid, above in parents.items() if len(above) > 1)
    return Walk(lines, {oid: node.tree for oid, node in nodes.items()}, merges)


class _Node(NamedTuple):
    tree: Oid
    parents: tuple[Oid, ...]


def _listed(git: Git, proposals: Sequence[Oid], onto: Oid) -> dict[Oid, _Node]:
    """The commits that any of these has and `onto` lacks, newest first."""
    asked = "".join(f"{oid}\n" for oid in (*proposals, f"^{onto}")).encode()
    how = ("--topo-order", "--no-commit-header", "--format=%H %T %P", "--stdin")
    lines = (line.split() for line in git.text("rev-list", *how, input=asked).splitlines())
    return {Oid(oid): _Node(Oid(tree), tuple(map(Oid, above))) for oid, tree, *above in lines}


def _line(parents: Mapping[Oid, tuple[Oid, ...]], tip: Oid) -> tuple[tuple[Oid, ...], Oid | None] | None:
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
