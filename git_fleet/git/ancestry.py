"""What many proposals bring to main, and where each left it, found in one walk through history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from git_fleet.core import trailers
from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git.formats import Commit, parse_commit
from git_fleet.git.objects import Objects
from git_fleet.git.process import Git

_MOST = 1000  # names that one git is given as arguments


class History(NamedTuple):
    """What a proposal brings to main.

    `own` are its commits that main lacks, oldest first. Left out are merges, and what the fleet committed
    of a worker that was taken over: nobody wrote these messages. `base` is the one merge base of the two;
    None when there is none, or when the walk does not prove that there is just one.
    """

    own: tuple[Commit, ...]
    base: Oid | None


class Walk(Struct, frozen=True):
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

    One process for all of them, one more when they left `onto` at different commits, and one more for each whose
    history branches. Raises GitFailed when a commit is missing.
    """
    if not proposals:
        return Walk({}, {}, frozenset())
    nodes, below = _listed(git, proposals, onto)
    for oid in _known(git, nodes, below, onto):
        del nodes[oid]
    parents = {oid: node.parents for oid, node in nodes.items()}
    lines: dict[Oid, tuple[tuple[Oid, ...], Oid | None]] = {}
    for proposal in dict.fromkeys(proposals):
        line = _line(parents, proposal)
        if line is None:  # how side branches are put in a line depends on where else the walk goes
            line = tuple(oid for oid in _listed(git, [proposal], onto)[0] if oid in nodes), None
        lines[proposal] = line
    merges = frozenset(oid for oid, above in parents.items() if len(above) > 1)
    return Walk(lines, {oid: node.tree for oid, node in nodes.items()}, merges)


class _Node(NamedTuple):
    tree: Oid
    parents: tuple[Oid, ...]


def _listed(git: Git, proposals: Sequence[Oid], onto: Oid) -> tuple[dict[Oid, _Node], list[Oid]]:
    """The commits that any of these has and `onto` lacks, newest first, and those of `onto` right below them,
    oldest first. Where dates go backwards, commits that `onto` has may be among the former (see `_known`)."""
    asked = "".join(f"{oid}\n" for oid in (*proposals, f"^{onto}")).encode()
    # Not %ct, for which git would read whole commits: twice the time.
    how = (
        "--topo-order",
        "--boundary",
        "--timestamp",
        "--no-commit-header",
        "--format=%m %H %T %P",
        "--stdin",
    )
    nodes: dict[Oid, _Node] = {}
    dates: dict[Oid, int] = {}
    for line in git.text("rev-list", *how, input=asked).splitlines():
        date, mark, oid, tree, *above = line.split()
        if mark == "-":
            dates[Oid(oid)] = int(date)
        else:
            nodes[Oid(oid)] = _Node(Oid(tree), tuple(map(Oid, above)))
    return nodes, sorted(dates, key=dates.__getitem__)


def _known(git: Git, nodes: Mapping[Oid, _Node], below: Sequence[Oid], onto: Oid) -> set[Oid]:
    """Which of the listed commits `onto` has nevertheless. `below` is what `onto` has right below them.

    Git takes a commit for older than its children, and ends its walk when all that is left of `onto` is older
    than what it has come to. So it goes past a part of `onto` that was made by a clock far behind, and lists what
    is under that. What it does not list, `onto` has. (With a commit-graph git is right, but not all have one.)

    With a listed commit `onto` has those listed below it, so it has one right above `below`. It cannot if `below`
    is `onto` alone: nothing is its own ancestor. Nor has any `first` one, that all of `below` is or descends from:
    the commit would be above `first` and below it. So what `onto` has and `first` lacks is enough to look at, and
    this list, though it may be too long for the same reason, proves that `first` was well chosen, too.

    It is the oldest as a rule. Where several are of the same second it may not be, and where a proposal left a
    branch that was merged there is none among them; then git finds one. With an unrelated history, or dates that
    mislead twice, all of `onto` is listed.
    """
    rests = all(node.parents for node in nodes.values())
    if not nodes or (rests and below == [onto]):
        return set()
    first = below[0] if rests else None
    for _ in range(2):
        if first is None:
            break
        since, above = _since(git, onto, first)
        missing = [oid for oid in below if oid not in above]
        if not missing:
            return since & nodes.keys()
        common = git.text("merge-base", "--octopus", first, *missing[:_MOST], ok=(0, 1))
        first = Oid(common) if common else None
    return {Oid(oid) for oid in git.text("rev-list", onto).splitlines()} & nodes.keys()


def _since(git: Git, onto: Oid, first: Oid) -> tuple[set[Oid], set[Oid]]:
    """What `onto` has and `first` lacks, and what is known to descend from `first`, itself too."""
    since: set[Oid] = set()
    above = {first}
    for line in git.text(
        "rev-list", "--topo-order", "--reverse", "--parents", onto, f"^{first}"
    ).splitlines():
        oid, *parents = map(Oid, line.split())
        since.add(oid)
        if not above.isdisjoint(parents):
            above.add(oid)
    return since, above


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
