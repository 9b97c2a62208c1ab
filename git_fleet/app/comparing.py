"""Work on one base branch, compared: which pieces have something in common, and how these merge.

A conflict that a piece of work has with the base branch alone is no other piece's: where a pair left the branch at
different commits, git would tell it of the pair as well, in files that one of them has never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from msgspec import Struct, field

from git_fleet.app.inflight import Side
from git_fleet.app.session import Session
from git_fleet.core.collisions import Collision, Hunk, InFlight, Kind, SharedFile, Unseen
from git_fleet.core.ids import Oid, TaskId
from git_fleet.git import ancestry, pairs, splice
from git_fleet.git.drafts import Drafts
from git_fleet.git.formats import Change
from git_fleet.git.pairs import Conflict, Verdict
from git_fleet.git.process import Git

MOST_HUNKS = 20
"""Of one file; more are counted."""

Pair = tuple[int, int | None]
"""Two pieces of work by their places; None stands for the base branch."""


class Known(Struct):
    """What git has answered before, for whoever looks again and again: by commits, so it cannot be out of date.
    What a look did not need is forgotten at its end."""

    merged: dict[tuple[Oid, Oid], Verdict] = field(default_factory=dict)
    _used: dict[tuple[Oid, Oid], Verdict] = field(default_factory=dict)

    def merge_all(self, git: Git, wanted: Sequence[tuple[Oid, Oid]]) -> dict[tuple[Oid, Oid], Verdict]:
        """What merging each pair of commits gives. Raises GitFailed."""
        new = [pair for pair in dict.fromkeys(wanted) if pair not in self.merged]
        self.merged.update(zip(new, pairs.merge_all(git, new), strict=True))
        found = {pair: self.merged[pair] for pair in wanted}
        self._used |= found
        return found

    def forget(self) -> None:
        """The look is over."""
        self.merged, self._used = self._used, {}


class _Work(Struct, frozen=True, dict=True):
    """A piece of work, what it has changed since it left the base branch, and what that has changed since."""

    side: Side
    changes: tuple[Change, ...]
    meanwhile: tuple[Change, ...]

    @cached_property
    def by_path(self) -> dict[str, Change]:
        return {change.path: change for change in self.changes}


class Comparison:
    """Work on the branch `base` whose tip is `main`, compared: all pairs, or (`chosen`) those with one of these tasks.

    `unseen` is work that has no history in common with the branch. Raises GitFailed.
    """

    def __init__(
        self,
        session: Session,
        drafts: Drafts,
        base: str,
        main: Oid,
        sides: Sequence[Side],
        chosen: frozenset[TaskId] | None,
    ) -> None:
        self._session, self._drafts, self._base, self._main = session, drafts, base, main
        self._chosen = chosen
        self.unseen: list[Unseen] = []
        self._work = self._changed(sides)
        self._verdicts: dict[Pair, Verdict] = {}

    # --- what each has changed --------------------------------------------------------------------

    def _changed(self, sides: Sequence[Side]) -> list[_Work]:
        drafts, main = self._drafts, self._main
        walk = ancestry.walk(drafts.git(), [side.commit for side in sides], main)
        left: list[tuple[Side, list[Oid]]] = []
        for side in sides:
            base = walk.lines[side.commit][1]
            bases = [base] if base else drafts.merge_bases(main, side.commit)
            if bases:
                left.append((side, bases))
            else:
                self.unseen.append(Unseen(side.record.id, f"it has no history in common with {self._base}"))
        named = dict.fromkeys(oid for side, bases in left for oid in (side.commit, *bases))
        trees = {oid: walk.trees.get(oid) or drafts.read_commit(oid).tree for oid in (*named, main)}
        mine = {(trees[base], trees[side.commit]) for side, bases in left for base in bases}
        theirs = {(trees[base], trees[main]) for _, bases in left for base in bases}
        asked = sorted(pair for pair in mine | theirs if pair[0] != pair[1])
        with splice.Comparing(drafts.git(), asked) as comparing:
            found = dict(zip(asked, comparing.changes(), strict=True))
        return [
            _Work(
                side,
                _union(found.get((trees[base], trees[side.commit]), ()) for base in bases),
                _union(found.get((trees[base], trees[main]), ()) for base in bases),
            )
            for side, bases in left
        ]

    def in_flight(self) -> list[InFlight]:
        """Every piece of work, in the order given; only the chosen ones' where some are."""
        return [
            InFlight(
                id=work.side.record.id,
                state=work.side.record.state.state,
                holder=claim.holder if (claim := work.side.record.state.claim) else "",
                source=work.side.source,
                commit=work.side.commit,
                changed=len(work.changes),
                left_out=work.side.left_out,
                note=work.side.note,
            )
            for number, work in enumerate(self._work)
            if self._is_chosen(number)
        ]

    # --- merging ----------------------------------------------------------------------------------

    @property
    def checked(self) -> int:
        """How many pairs there are to look at, with the base branch as one more side."""
        inside = sum(1 for number in range(len(self._work)) if self._is_chosen(number))
        outside = len(self._work) - inside
        return inside + inside * (inside - 1) // 2 + inside * outside

    def merge(self, known: Known) -> int:
        """Merge the pairs that have something in common; how many these are."""
        common = pairs.with_something_in_common([work.changes for work in self._work])
        wanted: list[Pair] = [pair for pair in common if self._is_chosen(pair[0]) or self._is_chosen(pair[1])]
        involved = {number for pair in wanted for number in pair if number is not None}
        involved |= {number for number in range(len(self._work)) if self._is_chosen(number)}
        wanted += [(number, None) for number in sorted(involved) if self._meets_main(number)]
        commits = {pair: (self._commit(pair[0]), self._commit(pair[1])) for pair in wanted}
        found = known.merge_all(self._git(), list(commits.values())) if commits else {}
        self._verdicts = {pair: found[commits[pair]] for pair in wanted}
        return sum(1 for pair in wanted if self._counts(pair))

    def _meets_main(self, number: int) -> bool:
        work = self._work[number]
        return bool(pairs.with_something_in_common([work.changes, work.meanwhile]))

    def _git(self) -> Git:
        """git that merges by the attributes of the main worktree, where there is one."""
        repo = self._session.repo
        place = repo.worktree if repo.worktree and not repo.is_linked else repo.main_worktree()
        return self._drafts.git(place if place is not None and place.is_dir() else None)

    def _commit(self, number: int | None) -> Oid:
        return self._main if number is None else self._work[number].side.commit

    def _is_chosen(self, number: int) -> bool:
        return self._chosen is None or self._work[number].side.record.id in self._chosen

    def _counts(self, pair: Pair) -> bool:
        return self._is_chosen(pair[0]) or (pair[1] is not None and self._is_chosen(pair[1]))

    # --- what came of it --------------------------------------------------------------------------

    def collisions(self) -> list[Collision]:
        """Those of the pairs merged that have changed the same files differently, with hunks; policies are for the
        caller to say. Raises GitFailed."""
        conflicting = {pair: self._own(pair) for pair in self._verdicts if self._counts(pair)}
        every = [each for found in conflicting.values() for each in found]
        hunks = iter(pairs.hunks(self._drafts, every))
        found = []
        for pair, own in conflicting.items():
            files = [_textual(each, next(hunks)) for each in own]
            files += _same_paths(self._shared(pair), {each.path for each in own})
            if files:
                a, b = pair
                tasks = self._work[a].side.record.id, self._work[b].side.record.id if b is not None else None
                found.append(Collision(*tasks, self._base, tuple(sorted(files, key=lambda file: file.path))))
        return found

    def _own(self, pair: Pair) -> list[Conflict]:
        """The conflicts of a pair that are not one side's with the base branch alone."""
        a, b = pair
        if b is None:
            return list(self._verdicts[pair])
        with_main = {each.path for one in (a, b) for each in self._verdicts.get((one, None), ())}
        both = self._work[a].by_path.keys() & self._work[b].by_path.keys()
        return [each for each in self._verdicts[pair] if each.path in both or each.path not in with_main]

    def _shared(self, pair: Pair) -> Iterator[str]:
        """The paths that both sides have changed, and not to the same."""
        a, b = pair
        mine = self._work[a]
        others = mine.meanwhile if b is None else self._work[b].changes
        for change in others:
            own = mine.by_path.get(change.path)
            if own is not None and (own.new_oid, own.new_mode) != (change.new_oid, change.new_mode):
                yield change.path


def _union(found: Iterable[Sequence[Change]]) -> tuple[Change, ...]:
    """Changes since several merge bases: what differs from any of them."""
    every: dict[str, Change] = {}
    for changes in found:
        for change in changes:
            every.setdefault(change.path, change)
    return tuple(every.values())


def _textual(conflict: Conflict, hunks: tuple[Hunk, ...]) -> SharedFile:
    more = max(0, len(hunks) - MOST_HUNKS)
    return SharedFile(conflict.path, Kind.TEXTUAL, conflict.what, hunks[:MOST_HUNKS], more)


def _same_paths(shared: Iterable[str], textual: set[str]) -> list[SharedFile]:
    return [SharedFile(path, Kind.SAME_PATH) for path in shared if path not in textual]
