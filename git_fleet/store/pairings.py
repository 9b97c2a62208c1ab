"""Which tasks own common paths, kept in the cache beside the plans it follows from: every claim asks, and finding it
out takes 30 ms for 1,000 tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import msgspec

from git_fleet import __version__
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Overlap
from git_fleet.core.overlaps import Pair, Recall
from git_fleet.store.cache import Cache

_KIND, _KEY = "overlaps", "fleet"
_MOST = 50_000  # pairs; reading more takes longer than anything that is done with them

_Row = tuple[str, str, str, str, Overlap, str, str]


def remembering(cache: Cache, plans: object, *, keep: bool) -> Recall:
    """What recalls the pairs of these `plans`, and of whatever else they follow from: a value that JSON can hold. With
    `keep` it puts into the cache what it had to find out."""

    def recall(compute: Callable[[], Sequence[Pair]]) -> Sequence[Pair]:
        # Another version of this program may find others.
        of = json.dumps([__version__, plans])
        document = cache.load(_KIND, _KEY) or {}
        if document.get("of") == of:
            try:
                return [_read(row) for row in msgspec.convert(document["pairs"], list[_Row])]
            except (KeyError, msgspec.ValidationError):
                pass  # broken: made again
        found = compute()
        if keep and len(found) <= _MOST:
            rows = [(*pair.a, *pair.b, pair.policy, *pair.patterns) for pair in found]
            cache.save(_KIND, _KEY, {"of": of, "pairs": rows})
        return found

    return recall


def _read(row: _Row) -> Pair:
    plan, task, other_plan, other, policy, ours, theirs = row
    return Pair(TaskId(plan, task), TaskId(other_plan, other), policy, (ours, theirs))
