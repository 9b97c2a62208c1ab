"""What history shows changing together, kept between commands under `<common dir>/fleet/cache`.

One document, replaced as a whole: `{"v":1,"tip":…,"commits":N,"most":N,"paths":[…],"changed":{commit:[number of a path,
…],…}}`, the newest commit first. A commit never changes, so what is known of one stays true; what is not of these
commits any more is dropped, which bounds it. One that is broken, or of another version, is as good as none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from git_fleet.core.coupling import MAX_COMMIT_PATHS
from git_fleet.core.ids import Oid
from git_fleet.git import past
from git_fleet.git.past import Past
from git_fleet.store.base import Store

COMMITS = 5000
_VERSION = 1
_KIND, _KEY = "history", "changed"


def recent(store: Store, tip: Oid, *, keep: bool = False) -> Past:
    """The last 5,000 commits of `tip` without merges, and the paths that each changed (none where these are too
    many to say anything). `keep`: the next one finds what was new; else nothing is written.

    Raises GitFailed for a missing commit.
    """
    document = store.cache.load(_KIND, _KEY)
    known, of = _parsed(document) if document else ({}, "")
    if of == tip:
        return known
    found = past.changed_paths(store.repo.git(), tip, commits=COMMITS, most=MAX_COMMIT_PATHS, known=known)
    if keep:
        store.cache.save(_KIND, _KEY, _document(tip, found))
    return found


def _document(tip: Oid, found: Past) -> dict[str, Any]:
    numbers: dict[str, int] = {}
    changed = {
        oid: [numbers.setdefault(path, len(numbers)) for path in paths] for oid, paths in found.items()
    }
    limits = {"commits": COMMITS, "most": MAX_COMMIT_PATHS}
    return {"v": _VERSION, "tip": tip, **limits, "paths": list(numbers), "changed": changed}


def _parsed(document: Mapping[str, Any]) -> tuple[Past, str]:
    """What is kept, and of which tip; nothing when it is not what this version writes."""
    try:
        if (document["v"], document["commits"], document["most"]) != (_VERSION, COMMITS, MAX_COMMIT_PATHS):
            return {}, ""
        paths: list[str] = document["paths"]
        if not all(isinstance(path, str) for path in paths):
            return {}, ""
        changed = {
            Oid(oid): tuple([paths[number] for number in numbers])
            for oid, numbers in document["changed"].items()
        }
        return changed, document["tip"]
    except (KeyError, IndexError, TypeError, AttributeError):
        return {}, ""
