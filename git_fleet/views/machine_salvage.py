"""Kept work as JSON documents (schemas/salvage-*.schema.json, schemas/snapshot.schema.json); see
views/machine.py for what holds for all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from git_fleet.views.machine import Document, time

if TYPE_CHECKING:
    from git_fleet.core.keeping import Applied, KeptCommit, KeptShown, KeptWork, SnapshotTaken


def listing(works: Iterable[KeptWork]) -> Document:
    """`salvage list`."""
    return {"kept": [_work(work) for work in works]}


def show(value: KeptShown) -> Document:
    """`salvage show`."""
    return {
        **_work(value.work),
        "own_commits": [_commit(one) for one in value.commits],
        "paths": [
            {"path": path.path, "added": path.added, "removed": path.removed, "binary": path.binary}
            for path in value.paths
        ],
        "others": [_commit(one) for one in value.others],
        "patch": value.patch,
        "cut": value.cut,
    }


def applied(value: Applied) -> Document:
    """`salvage apply`."""
    return {
        **_work(value.work),
        "new_branch": value.branch or None,
        "paths": list(value.paths),
        "conflicts": list(value.conflicts),
    }


def snapshot(value: SnapshotTaken) -> Document:
    """`snapshot`."""
    return {
        "task_id": str(value.id),
        "written": value.written,
        "snapshot": _work(value.work) if value.work else None,
        "left_out": list(value.left_out),
    }


def _work(work: KeptWork) -> Document:
    return {
        "task_id": str(work.id),
        "kind": "salvage" if work.number else "snapshot",
        "number": work.number or None,
        "ref": work.ref,
        "commit": work.start,
        "base": work.base,
        "worker": work.worker,
        "at": time(work.at),
        "worktree": work.worktree or None,
        "branch": work.branch or None,
        "commits": work.commits,
        "uncommitted": work.uncommitted,
        "files": work.files,
    }


def _commit(one: KeptCommit) -> Document:
    return {
        "commit": one.oid,
        "subject": one.subject,
        "author": one.author,
        "at": time(one.at),
        "made": one.made,
    }
