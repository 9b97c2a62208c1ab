"""Kept work: what was saved of a task's worktree, as one commit.

`refs/fleet/salvage/<plan>/<task>/<n>` is the n-th salvage of a task; it stays. `refs/fleet/snapshot/<plan>/<task>`
is the last snapshot of a task that is worked on; the next one replaces it. Both have one shape. The *first
parent* is where work can go on from, and the tree is that parent's. Other parents hold what else would become
unreachable, so many of them that a commit with that many parents would be unwieldy gathered in commits in
between; a snapshot's last ones are the first parents of snapshots before it, newest first.

The author is who worked there. The message is a subject, a blank line, and one line of canonical JSON, format
version 1: `{"v":1,"task":"plan/task","worktree":"/path","branch":"feature/x","fence":"<oid>","earlier":n}`.
`worktree` and `branch` are "" where that is not known, `fence` names the claim of a snapshot, and `earlier` is how
many of the parents are of snapshots before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct

from git_fleet.core import codec
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event
from git_fleet.errors import UnknownFormat
from git_fleet.git.objects import Commit, parse_commit
from git_fleet.store import log, names
from git_fleet.store.base import Store

MAX_PARENTS = 64
SNAPSHOT = 0
"""The number of what is no salvage."""


class Origin(Struct, frozen=True):
    """Where kept work comes from: a worktree's path, the short name of its branch, and the claim's fence."""

    worktree: str = ""
    branch: str = ""
    fence: str = ""


class Kept(Struct, frozen=True):
    """A salvage, or (`number` 0) a snapshot. Work goes on from `start`; `others` holds what else it keeps,
    `earlier` where snapshots before it would have gone on from."""

    task: TaskId
    number: int
    ref: str
    oid: Oid
    start: Oid
    others: tuple[Oid, ...]
    earlier: tuple[Oid, ...]
    worker: str
    at: datetime
    origin: Origin

    @property
    def rest(self) -> tuple[Oid, ...]:
        """All that it keeps beside `start`."""
        return (*self.others, *self.earlier)


def write(
    store: Store,
    task: TaskId,
    *,
    subject: str,
    start: Oid,
    others: Sequence[Oid] = (),
    earlier: Sequence[Oid] = (),
    origin: Origin,
    actor: str,
    at: datetime,
) -> Oid:
    """Store the commit of kept work; no ref names it yet."""
    who = log.signature(Event("salvage", at, actor))

    def commit(tree: Oid, parents: Sequence[Oid], message: str) -> Oid:
        return store.objects.write_commit(
            tree=tree, parents=parents, author=who, committer=who, message=message
        )

    rest = list(others)
    while len(rest) + len(earlier) >= MAX_PARENTS:
        groups = [rest[at : at + MAX_PARENTS] for at in range(0, len(rest), MAX_PARENTS)]
        empty = store.objects.write_empty_tree()
        rest = [commit(empty, group, f"Commits seen while working on {task}\n") for group in groups]
    document = {
        "v": codec.VERSION,
        "task": str(task),
        "worktree": origin.worktree,
        "branch": origin.branch,
        "fence": origin.fence,
        "earlier": len(earlier),
    }
    tree = store.objects.read_commit(start).tree
    return commit(tree, (start, *rest, *earlier), f"{subject}\n\n{codec.canonical(document)}\n")


def salvages(store: Store, *tasks: TaskId) -> list[Kept]:
    """All salvages of these tasks (of all, without any), by task and number. Raises UnknownFormat."""
    return _listing(store, [f"{names.SALVAGE}{task}/" for task in tasks] or [names.SALVAGE])


def snapshots(store: Store, *plans: str) -> list[Kept]:
    """The snapshots of these plans' tasks (of all, without any), by task. Raises UnknownFormat."""
    return _listing(store, [f"{names.SNAPSHOTS}{plan}/" for plan in plans] or [names.SNAPSHOTS])


def snapshot(store: Store, task: TaskId, *, fence: str | None = None) -> Kept | None:
    """The task's snapshot, if there is one (and it was taken under that fence). Raises UnknownFormat."""
    found = store.objects.read_ref(names.snapshot(task))
    if found is None:
        return None
    kept = _parse(names.snapshot(task), parse_commit(*found))
    return kept if fence is None or kept.origin.fence == fence else None


def _listing(store: Store, prefixes: Sequence[str]) -> list[Kept]:
    refs = [(ref, oid) for ref, oid in store.refs.read(*prefixes).items() if _place(ref) is not None]
    found = []
    for (ref, oid), stored in zip(refs, store.objects.read_many(oid for _, oid in refs), strict=True):
        if stored is None or stored.kind != "commit":
            raise UnknownFormat(f"{ref} is no commit", hint="git fleet doctor")
        found.append(_parse(ref, parse_commit(oid, stored.data)))
    return sorted(found, key=lambda kept: (kept.task, kept.number))


def task_of(ref: str) -> TaskId:
    """The task that a snapshot's ref names."""
    plan, _, task = ref.removeprefix(names.SNAPSHOTS).partition("/")
    return TaskId(plan, task)


def _place(ref: str) -> tuple[TaskId, int] | None:
    """Whose kept work a ref is, and its number; None for a ref that is none of ours."""
    salvaged = ref.startswith(names.SALVAGE)
    parts = ref.removeprefix(names.SALVAGE if salvaged else names.SNAPSHOTS).split("/")
    if len(parts) != 2 + salvaged or (salvaged and not parts[2].isdecimal()):
        return None
    return TaskId(parts[0], parts[1]), int(parts[2]) if salvaged else SNAPSHOT


def _parse(ref: str, commit: Commit) -> Kept:
    place = _place(ref)
    document = codec.parse_document(commit.message.rstrip("\n").rpartition("\n")[2], ref)
    try:
        if place is None or document["task"] != str(place[0]):
            raise ValueError(f"it names the task {document['task']}")
        start, *rest = commit.parents
        cut = len(rest) - int(document["earlier"])
        origin = Origin(*(str(document[name]) for name in ("worktree", "branch", "fence")))
    except (KeyError, TypeError, ValueError) as error:
        raise UnknownFormat(f"{ref} is damaged: {error!r}", hint="git fleet doctor") from error
    return Kept(
        *place,
        ref,
        commit.oid,
        start,
        tuple(rest[:cut]),
        tuple(rest[cut:]),
        commit.author.name,
        datetime.fromtimestamp(commit.committer.seconds, UTC),
        origin,
    )
