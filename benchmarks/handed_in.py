"""Fleets whose tasks are all handed in, built in bulk: what `git fleet integrate` finds in the morning.

Workers' commits come from one `git fast-import`. The tasks' events are those that `claim` and `done` write,
through the package's own rules and codecs, their refs moved by one transaction; so 2,048 proposals stand
after seconds. `git fleet doctor` must find nothing wrong with such a fleet; benchmarks/integrate.py asks it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

from benchmarks.box import Box
from git_fleet.app import approve, plan
from git_fleet.app.session import Session
from git_fleet.core import lease
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event, after
from git_fleet.core.model import Claim, Proposal
from git_fleet.core.snapshot import TaskRecord
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import log, names, proposals, tasks

PLAN = "p"
LEASE_SECONDS = 3600
_COPIES = count()
_BEGAN = 1_800_000_000  # when the workers committed: their own times are kept on main


@dataclass(frozen=True)
class Change:
    """A task and what its worker made of it: path → whole new content, one mapping for each commit."""

    name: str
    worker: str
    commits: tuple[Mapping[str, str], ...]
    shared: bool = False  # whether it owns files together with other tasks, which agreed to that

    @property
    def files(self) -> list[str]:
        """Every path it changes."""
        return sorted({path for commit in self.commits for path in commit})

    @property
    def branch(self) -> str:
        """Where its commits are."""
        return f"feature/{self.name}-change"


def hand_in(made: Box, changes: Sequence[Change], *, packed: bool = True) -> None:
    """Plan, approve, claim and hand in all of them in the box's repository, from main as it is.

    `packed` as `git gc` leaves it, which git runs by itself at such numbers (without looking for deltas,
    to save minutes); else every object and every ref is a file of its own, as workers leave them.
    """
    base = Oid(made.git("rev-parse", "main").strip())
    _commit(made, changes, base, packed=packed)
    with made.session("lead", long_lived=True) as session:
        plan.import_plan(
            session, _plan(changes).encode(), name=f"{PLAN}.toml", format_name=None, plan_id=None
        )
        approve.approve(session, PLAN)
        _tell(session, changes, base)
    if packed:
        made.git("-c", "core.hooksPath=/dev/null", "-c", "pack.window=0", "gc", "--quiet")


def _plan(changes: Sequence[Change]) -> str:
    head = f'version = 1\nplan = "{PLAN}"\nbase = "main"\n'
    return head + "".join(
        f'\n[[task]]\nid = "{each.name}"\ntitle = "Change {each.name}"\n'
        f"files = {json.dumps(['/' + path for path in each.files])}\n"
        + ('overlap = "accept"\n' if each.shared else "")
        for each in changes
    )


def _commit(made: Box, changes: Sequence[Change], base: Oid, *, packed: bool) -> None:
    """The workers' commits, each branch from `base`, in one go."""
    seconds = count(_BEGAN, 7)
    stream = b"".join(part for each in changes for part in _stream(each, base, seconds))
    limit = "fastimport.unpackLimit=" + ("1" if packed else "10000000")
    importing = ["git", "-c", limit, "fast-import", "--quiet"]
    subprocess.run(importing, cwd=made.repo, env=dict(made.env), input=stream, check=True)


def _stream(change: Change, base: Oid, seconds: Iterator[int]) -> Iterator[bytes]:
    """One branch as `git fast-import` reads it."""
    for number, files in enumerate(change.commits):
        who = f"{change.worker} <{change.worker}@example.org> {next(seconds)} +0100"
        said = f"Change {change.name}, step {number + 1}\n\nBecause the plan says so.\n".encode()
        yield f"commit refs/heads/{change.branch}\nauthor {who}\ncommitter {who}\n".encode()
        yield b"data %d\n%s" % (len(said), said)
        yield f"from {base}\n".encode() if number == 0 else b""
        for path, text in files.items():
            data = text.encode()
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data)


def _tell(session: Session, changes: Sequence[Change], base: Oid) -> None:
    """The events of all claims and hand-ins, and their proposals; one transaction names them."""
    store, now = session.store, session.now()
    tips = store.refs.read("refs/heads/feature")
    records = session.snapshot().of_plan(PLAN)
    updates: list[Update] = []
    for change, record in zip(changes, records, strict=True):
        claimed = _claimed(session, change, record, base, now)
        commit = tips[names.branch(change.branch)]
        oid = proposals.write(
            store, record.id, 1, commit=commit, worker=change.worker, result="", message="",
            tree=store.objects.write_empty_tree(), at=now,
        )  # fmt: skip
        tree = store.objects.read_commit(commit).tree
        proposal = Proposal(1, oid, change.worker, commit, tree, base)
        fence = claimed.state.claim.fence if claimed.state.claim else None
        fields = {"proposal": proposal, "summary": "", "fence": fence}
        done = _event(session, claimed, Event("done", now, change.worker, fields))
        updates += [Update(names.proposal(record.id, 1), ABSENT, oid)]
        updates += [Update(names.task_log(record.id), ABSENT, done.tip or ABSENT)]
    store.refs.transact(updates)


def _claimed(session: Session, change: Change, record: TaskRecord, base: Oid, now: datetime) -> TaskRecord:
    """The task as its claim leaves it; like a job elsewhere it has a branch, and no worktree here."""
    claim = Claim(
        holder=change.worker,
        fence=None,
        acquired_at=now,
        expires_at=lease.expiry(now, LEASE_SECONDS),
        attempt=1,
        branch=change.branch,
        host=session.around.host,
        base=base,
        start=base,
    )
    return _event(session, record, Event("claim", now, change.worker, {"claim": claim}))


def _event(session: Session, record: TaskRecord, event: Event) -> TaskRecord:
    """The task after one more event, which is stored; no ref names it yet."""
    state = after(record.state, event)
    subject = tasks.subject(record.id, event)
    tip = log.write(session.store.objects, event, state, parent=record.tip, subject=subject)
    return TaskRecord(record.task, tip, state.fenced(tip))


def fresh_copy(made: Box) -> Path:
    """The repository copied, so that it can be integrated once more. Its index knows the copied files, and
    the disk has written everything: neither is a cost of what comes.

    Each copy has a name of its own: nothing is deleted before or between what is measured (see `box`).
    """
    copy = made.disk / f"copy-{next(_COPIES)}"
    made.run("cp", "-a", str(made.repo), str(copy))
    made.git("update-index", "-q", "--refresh", cwd=copy)
    made.run("sync")
    return copy
