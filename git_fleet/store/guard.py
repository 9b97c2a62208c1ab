"""The guard: the ref through which claims of overlapping tasks go, one after another.

Format version 1: a chain of commits with two parents, the previous guard (none for the first) and
the claim event it names; the message is a subject and one line of canonical JSON
`{"claim":…,"task":"plan/task","v":1}`. The value of the ref decides between claims of overlapping
tasks (DESIGN section 6, step 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from git_fleet.core import codec
from git_fleet.core.ids import Oid, TaskId, parse_task_id
from git_fleet.core.lifecycle import Event
from git_fleet.git.objects import parse_commit
from git_fleet.git.refs import Update
from git_fleet.store import log, names
from git_fleet.store.base import Store, value


class Guard(NamedTuple):
    """What the guard names: a task and the claim event that is to be in its log."""

    task: TaskId
    claim: Oid


class Untold(NamedTuple):
    """A claim of which is not known whether it is in its task's log, which ended at `parent`; `salvaged_from` is what
    its work goes on from."""

    claim: Oid
    parent: Oid | None
    salvaged_from: str


def move(
    store: Store,
    *,
    before: Oid | None,
    task: TaskId,
    claim: Oid,
    event: Event,
    beside: Sequence[Update] = (),
) -> Oid:
    """Move the guard from exactly `before` to name `claim`, if the refs `beside` are as they say. Raises Stale or Held:
    another claim was decided meanwhile, and this one must be computed again."""
    who = log.signature(event)
    document = {"v": codec.VERSION, "task": str(task), "claim": claim}
    commit = store.objects.write_commit(
        tree=store.objects.write_empty_tree(),
        parents=(before, claim) if before else (claim,),
        author=who,
        committer=who,
        message=f"guard: {task}\n\n{codec.canonical(document)}\n",
    )
    store.transact([Update(names.GUARD, value(before), commit), *beside])
    return commit


def read(store: Store, guard: Oid) -> Guard:
    """What guard commit `guard` names. Raises UnknownFormat."""
    commit = parse_commit(guard, store.objects.read(guard)[1])
    line = commit.message.rstrip("\n").rpartition("\n")[2]
    document = codec.parse_document(line, f"guard {guard}")
    return Guard(parse_task_id(document["task"]), Oid(document["claim"]))
