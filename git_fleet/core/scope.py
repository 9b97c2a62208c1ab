"""The scope gate: which changed paths a task may not change (DESIGN section 9).

A rename is a path that went and one that came; a task needs to own both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from git_fleet.core.patterns import Matcher, parse


def outside(
    paths: Iterable[str],
    files: Sequence[str],
    *,
    generated: Sequence[str] = (),
    protected: Sequence[str] = (),
) -> tuple[str, ...]:
    """Those of the changed `paths` that a task owning `files` may not change, in their order.

    Everything else is patterns. `generated` paths are everybody's, since main's are regenerated
    anyway. `protected` ones (configuration, hooks, CI) are nobody's unless the task owns them by its
    `files`, be it by a pattern as broad as `**`: its owner then stands in the plan that a person
    approved. So what is both protected and generated still needs an owner.
    """
    owned, shared, guarded = (_matcher(tuple(patterns)) for patterns in (files, generated, protected))
    return tuple(
        path for path in paths if not owned.match(path) and (guarded.match(path) or not shared.match(path))
    )


@lru_cache(maxsize=64)  # of many tasks of one repository all but the first are the same
def _matcher(patterns: tuple[str, ...]) -> Matcher:
    return Matcher(parse(text) for text in patterns)
