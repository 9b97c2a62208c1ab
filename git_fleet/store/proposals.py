"""Proposals: what workers hand in.

`refs/fleet/proposal/<plan>/<task>/<n>` is a commit whose parent is the worker's commit (a report has
none) and whose tree holds the artifacts. Its message is a subject, a blank line and one line of
canonical JSON, format version 1: `{"v":1,"task":"plan/task","number":n,"worker":…,"result":…,"message":…}`,
`message` being the whole of what the task's state has only the beginning of.
The ref is made first, the `done` event that names it after: a number that no event names is the
trace of a hand-in that did not get there, and the next one takes the next number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from git_fleet.core import codec
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import CUT, Event
from git_fleet.core.model import Proposal
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import Busy, Held
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import log, names
from git_fleet.store.base import Store

_TRIES = 50


def add(
    store: Store,
    task: TaskId,
    *,
    commit: Oid | None,
    worker: str,
    result: str,
    message: str = "",
    artifacts: Mapping[str, bytes],
    at: datetime,
) -> tuple[int, Oid]:
    """Store a proposal under the task's next free number; the number and the proposal's commit."""
    tree = store.objects.write_files(artifacts) if artifacts else store.objects.write_empty_tree()
    for _ in range(_TRIES):
        number = max(numbers(store, task), default=0) + 1
        oid = write(
            store,
            task,
            number,
            commit=commit,
            worker=worker,
            result=result,
            message=message,
            tree=tree,
            at=at,
        )
        try:
            store.transact([Update(names.proposal(task, number), ABSENT, oid)])
            return number, oid
        except Held:
            continue  # a second hand-in of the same task at this moment took the number
    raise Busy(f"others keep handing in {task}", hint="git fleet done")


def write(
    store: Store,
    task: TaskId,
    number: int,
    *,
    commit: Oid | None,
    worker: str,
    result: str,
    message: str,
    tree: Oid,
    at: datetime,
) -> Oid:
    """Store the commit of the task's `number`-th proposal, `tree` being its artifacts; no ref names it yet."""
    who = log.signature(Event("proposal", at, worker))
    document = {
        "v": codec.VERSION,
        "task": str(task),
        "number": number,
        "worker": worker,
        "result": result,
        "message": message,
    }
    return store.objects.write_commit(
        tree=tree,
        parents=(commit,) if commit else (),
        author=who,
        committer=who,
        message=f"proposal {number} of {task}\n\n{codec.canonical(document)}\n",
    )


def numbers(store: Store, task: TaskId) -> list[int]:
    """The numbers of the task's proposals, lowest first."""
    refs = store.refs.read(f"{names.PROPOSALS}{task}")
    return sorted(int(number) for ref in refs if (number := ref.rpartition("/")[2]).isdecimal())


def commits(store: Store, task: TaskId) -> frozenset[Oid]:
    """The workers' commits of all the task's proposals."""
    found = store.refs.read(f"{names.PROPOSALS}{task}")
    store.refs.want(found)
    kept = (oid for ref, oid in found.items() if not ref.endswith(names.GATES))
    return frozenset(parent for oid in kept for parent in store.objects.read_commit(oid).parents)


def have(store: Store, records: Iterable[TaskRecord]) -> None:
    """Have here what was handed in last of these tasks: a remote is only asked for work that somebody looks at."""
    found = [(record.id, record.state.proposal) for record in records]
    store.refs.want([names.proposal(task, proposal.number) for task, proposal in found if proposal])


def result(store: Store, oid: Oid) -> str:
    """What the worker said of the proposal whose commit is `oid`."""
    return str(_document(store, oid)["result"])


def whole(store: Store, proposal: Proposal) -> Proposal:
    """The proposal as a task's state has it, with the whole of its message."""
    if not proposal.message.endswith(CUT):
        return proposal
    return replace(proposal, message=str(_document(store, proposal.oid).get("message", "")))


def _document(store: Store, oid: Oid) -> dict[str, Any]:
    line = store.objects.read_commit(oid).message.rstrip("\n").rpartition("\n")[2]
    return codec.parse_document(line, f"proposal {oid}")
