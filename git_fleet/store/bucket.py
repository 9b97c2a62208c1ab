"""The claim token bucket: a fleet-wide rate limit on claims (DESIGN section 6, Limits).

Format version 1: `refs/fleet/bucket` is a commit whose message ends in one line of canonical JSON
`{"at":…,"tokens":…,"v":1}`: how many tokens there were at that moment.
"""

from __future__ import annotations

import math
from datetime import datetime

from git_fleet.core import codec
from git_fleet.core.config import Bucket
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.errors import LostRace
from git_fleet.git.refs import Update
from git_fleet.store import log, names
from git_fleet.store.base import Store, value

_TRIES = 20


def take(store: Store, limits: Bucket | None, actor: str, at: datetime) -> int:
    """Take one token; 0 when there was one (or no limit), else after how many seconds there will be."""
    return _take(store, limits, actor, at, all_of_them=False)


def missing(store: Store, limits: Bucket | None, at: datetime) -> int:
    """After how many seconds there will be a token; 0 when there is one (or no limit). Takes none."""
    return _wait_seconds(_level(store, limits, at)[1], limits) if limits else 0


def drain(store: Store, limits: Bucket | None, actor: str, at: datetime) -> None:
    """Take what there is: somebody was told to come later, and all are to slow down."""
    _take(store, limits, actor, at, all_of_them=True)


def _take(store: Store, limits: Bucket | None, actor: str, at: datetime, *, all_of_them: bool) -> int:
    if limits is None:
        return 0
    for _ in range(_TRIES):
        before, tokens = _level(store, limits, at)
        if tokens < 1:
            return _wait_seconds(tokens, limits)
        left = 0.0 if all_of_them else tokens - 1
        try:
            store.transact([Update(names.BUCKET, value(before), _write(store, before, left, actor, at))])
            return 0
        except LostRace:
            continue
    return 1


def _wait_seconds(tokens: float, limits: Bucket) -> int:
    return max(1, math.ceil((1 - tokens) / limits.refill_per_minute * 60)) if tokens < 1 else 0


def _level(store: Store, limits: Bucket, at: datetime) -> tuple[Oid | None, float]:
    found = store.objects.read_ref(names.BUCKET)
    if found is None:
        return None, float(limits.capacity)
    oid, data = found
    document = codec.parse_document(data.rstrip(b"\n").rpartition(b"\n")[2], names.BUCKET)
    minutes = max(0.0, (at - codec.parse_time(document["at"])).total_seconds() / 60)
    return oid, min(limits.capacity, document["tokens"] + minutes * limits.refill_per_minute)


def _write(store: Store, before: Oid | None, tokens: float, actor: str, at: datetime) -> Oid:
    event = Event("token", at, actor)
    document = {"v": codec.VERSION, "at": codec.format_time(at), "tokens": round(tokens, 4)}
    who = log.signature(event)
    return store.objects.write_commit(
        tree=store.objects.write_empty_tree(),
        parents=(before,) if before else (),
        author=who,
        committer=who,
        message=f"token taken by {log.one_line(actor)}\n\n{codec.canonical(document)}\n",
    )
