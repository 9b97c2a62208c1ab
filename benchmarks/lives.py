"""Tasks that have been through their whole lives, in bulk, and what a git server then has to say and to send.

    python -m benchmarks.lives 1000 10000 100000    bytes and seconds by how many tasks there are, as a table

A life is that of README: a claim, two words of progress, a hand-in with its proposal, what a gate printed, an integration.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.box import Box, box
from git_fleet.app.session import Session
from git_fleet.core import lease
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event, after
from git_fleet.core.model import PENDING, Claim, Proposal, Task
from git_fleet.core.snapshot import TaskRecord
from git_fleet.git.drafts import Drafts
from git_fleet.git.objects import Objects
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import archive, gatelogs, log, names, tasks

IN_A_PLAN = 1000
_PRINTED = {"1-tests.log": b"".join(b"tests/test_part.py::test_number_%d PASSED\n" % n for n in range(60))}
LOCAL = 'version = 1\ngates = "none"\n'
SHARED = f'{LOCAL}remote = "origin"\n'


def live(made: Box, count: int) -> None:
    """Have so many tasks live in the box's repository, in plans of 1,000, everything packed."""
    head = Oid(made.git("rev-parse", "HEAD").strip())
    with made.session("lead", long_lived=True) as session:
        for start in range(0, count, IN_A_PLAN):
            drafts = Drafts(session.store.objects)
            updates = [
                update
                for number in range(start, min(count, start + IN_A_PLAN))
                for update in _life(session, drafts, TaskId(f"p{start // IN_A_PLAN}", f"task-{number}"), head)
            ]
            drafts.save()
            session.store.refs.transact(updates)
    made.git("pack-refs", "--all")


def _life(session: Session, objects: Objects, task: TaskId, head: Oid) -> Iterator[Update]:
    now, worker = session.now(), f"w{hash(task) % 24}"
    branch = f"feature/{task.task}-change"
    claim = Claim(
        worker, None, now, lease.expiry(now, 3600), 1, branch, f"/srv/app-{branch}", "host", head, head
    )
    record = TaskRecord(Task(task, f"Change {task.task}", "change"), None, PENDING)
    record = _event(objects, record, "claim", session, worker, {"claim": claim})
    fence = {"fence": record.tip}
    for status in ("reading", "writing tests"):
        more = {**fence, "status": status, "expires_at": lease.expiry(now, 3600)}
        record = _event(objects, record, "progress", session, worker, more)
    empty = objects.write_empty_tree()
    who = log.signature(Event("done", now, worker))
    made = objects.write_commit(tree=empty, parents=(head,), author=who, committer=who, message=f"{task}\n")
    yield Update(names.proposal(task, 1), ABSENT, made)
    yield gatelogs.prepare(objects, task, 1, _PRINTED, old=ABSENT, actor="lead", at=now)
    proposal = Proposal(1, made, worker, head, empty, head)
    record = _event(objects, record, "done", session, worker, {**fence, "proposal": proposal, "summary": ""})
    passed = {"by": "gates", "reason": "", "number": 1}
    record = _event(objects, record, "accept", session, "ann", passed)
    record = _event(objects, record, "integrate", session, "ann", {"commit": head, "number": 1})
    yield Update(names.task_log(task), ABSENT, record.tip or ABSENT)


def _event(
    objects: Objects,
    record: TaskRecord,
    name: str,
    session: Session,
    actor: str,
    fields: Mapping[str, object],
) -> TaskRecord:
    event = Event(name, session.now(), actor, dict(fields))
    state = after(record.state, event)
    subject = tasks.subject(record.id, event)
    tip = log.write(objects, event, state, parent=record.tip, subject=subject)
    return TaskRecord(record.task, tip, state.fenced(tip))


def server_of(made: Box) -> Path:
    """The box's repository as a git server has it; a clone shares it from then on."""
    (made.repo / "fleet.toml").write_text(SHARED)
    made.git("commit", "--quiet", "-am", "Share it")
    server = made.folder / "server.git"
    made.git("clone", "--quiet", "--mirror", str(made.repo), str(server))
    return server


def clone_of(made: Box, server: Path, name: str) -> Path:
    """A clone by which a box can be made that looks at it."""
    path = made.folder / name
    made.git("clone", "--quiet", str(server), str(path))
    return path


def main() -> None:
    """The table."""
    print(
        f"{'TASKS':>8} {'REFS':>8} {'LISTING':>10} {'LISTED IN':>10} {'OBJECTS':>10} {'FETCHED IN':>11} {'FOLDED':>8}"
    )
    for count in map(int, sys.argv[1:]):
        with box({"a": "a\n"}, LOCAL, in_memory=True) as made:
            live(made, count)
            server = server_of(made)
            listing, listed = _timed(made, ["git", "ls-remote", "--refs", str(server), "refs/fleet/*"])
            clone = clone_of(made, server, "clone")
            wanted = "+refs/fleet/task/*:refs/got/*"
            _, fetched = _timed(made, ["git", "-C", str(clone), "fetch", "--quiet", "origin", wanted])
            size = sum(file.stat().st_size for file in (clone / ".git/objects/pack").glob("*.pack"))
            _fold(made, count)
            left = len(made.git("for-each-ref", "--format=%(refname)", "refs/fleet/").splitlines())
        print(
            f"{count:8,} {listing.count(10):8,} {len(listing) / 1e6:7.2f} MB {listed:8.2f} s"
            f" {size / 1e6:7.2f} MB {fetched:9.2f} s {left:8,}",
            flush=True,
        )


def _timed(made: Box, command: list[str]) -> tuple[bytes, float]:
    began = time.perf_counter()
    done = subprocess.run(command, cwd=made.repo, env=dict(made.env), capture_output=True, check=True)
    return done.stdout, time.perf_counter() - began


def _fold(made: Box, count: int) -> None:
    """As closing the plans does."""
    (made.repo / "fleet.toml").write_text(LOCAL)
    made.git("commit", "--quiet", "-am", "Alone again")
    with made.session("lead", long_lived=True) as session:
        for number in range(-(-count // IN_A_PLAN)):
            archive.fold(session.store, f"p{number}", actor="ann", at=session.now())


if __name__ == "__main__":
    main()
