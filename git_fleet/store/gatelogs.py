"""What gates printed about a proposal, kept whole beside it; the task's event has only the end.

`refs/fleet/proposal/<plan>/<task>/<n>.gates` is a commit without parents whose tree has one file for each
gate that ran, named as it ran (`1-tests.log`); its last line is canonical JSON, format version 1:
`{"v":1,"task":"plan/task","number":n}`. Gated again, the proposal gets a new commit in the place of the
old one. The ref is moved before the event that tells of the outcome: logs that no event tells of are of a
run that did not get there, and the next one replaces them.

`git show <ref>:<file>` shows one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from git_fleet.core import codec
from git_fleet.core.ids import TaskId
from git_fleet.core.lifecycle import Event
from git_fleet.errors import Busy, Held, Stale
from git_fleet.git.objects import Objects
from git_fleet.git.refs import Update, Value
from git_fleet.store import log, names
from git_fleet.store.base import Store

MAX_LOG_BYTES = 1024 * 1024

_TRIES = 20


def keep(
    store: Store, task: TaskId, number: int, logs: Mapping[str, bytes], *, actor: str, at: datetime
) -> str:
    """Put the logs, by file name, beside the task's n-th proposal, and return their ref.

    Raises Busy when others keep doing the same.
    """
    ref = names.gate_logs(task, number)
    for _ in range(_TRIES):
        old = store.refs.get(ref)
        try:
            store.transact([prepare(store.objects, task, number, logs, old=old, actor=actor, at=at)])
            return ref
        except (Held, Stale):
            continue  # the same proposal was gated by somebody else just now
    raise Busy(f"others keep running the gates of {task}", hint="git fleet status")


def prepare(
    objects: Objects,
    task: TaskId,
    number: int,
    logs: Mapping[str, bytes],
    *,
    old: Value,
    actor: str,
    at: datetime,
) -> Update:
    """The same as objects only, and the move of the ref from `old` that is left to do."""
    who = log.signature(Event("gates", at, actor))
    document = {"v": codec.VERSION, "task": str(task), "number": number}
    oid = objects.write_commit(
        tree=objects.write_files({name: cut(data) for name, data in logs.items()}),
        parents=(),
        author=who,
        committer=who,
        message=f"gates of proposal {number} of {task}\n\n{codec.canonical(document)}\n",
    )
    return Update(names.gate_logs(task, number), old, oid)


def listing(store: Store, task: TaskId) -> tuple[str, ...]:
    """Every log that is kept beside the task's proposals, oldest proposal first, as `git show` takes it:
    `<ref>:<file>`."""
    refs = store.refs.read(f"{names.PROPOSALS}{task}")
    store.refs.want(refs)
    numbered = {int(number): ref for ref in refs if (number := _number(ref)).isdecimal()}
    return tuple(
        f"{ref}:{entry.name}"
        for _, ref in sorted(numbered.items())
        for entry in store.objects.read_tree(store.objects.read_commit(refs[ref]).tree)
    )


def cut(data: bytes) -> bytes:
    """At most MAX_LOG_BYTES of a log: the beginning and the end, and between them how much is missing."""
    if len(data) <= MAX_LOG_BYTES:
        return data
    half = (MAX_LOG_BYTES - 100) // 2  # the rest is for what is said in between
    missing = len(data) - 2 * half
    return b"%b\n[git-fleet left out %d bytes here]\n%b" % (data[:half], missing, data[-half:])


def _number(ref: str) -> str:
    name = ref.rpartition("/")[2]
    return name.removesuffix(names.GATES) if name.endswith(names.GATES) else ""
