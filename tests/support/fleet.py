"""A fleet at work on a scratch repository, in few words.

    session = open_fleet(repo, clock=clock)
    approved(session, task("a", files=["a/**"]), task("b", files=["b/**"], needs=["a"]))
    claimed(session, "a")
    proposed(session, "a", {"a/new": "text"})
    integrated(session, "a")
    assert state_as_text(session) == "…"

What is stored is what the commands store; only what takes long and is beside the point (worktrees, gates)
is left out.
"""

from __future__ import annotations

import os
import socket
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pygit2
import tomli_w
from msgspec.structs import replace

from git_fleet.app import acting, handin, placing, work
from git_fleet.app import claim as claiming
from git_fleet.app.session import Session, open_session
from git_fleet.app.surroundings import Surroundings
from git_fleet.core import plandoc, trailers
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import Plan, PlanLog, Proposal
from git_fleet.core.snapshot import PlanRecord, TaskRecord
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import guard, log, names, plans
from git_fleet.store.base import Store, tip
from tests.support.clock import FakeClock
from tests.support.repo import Repo

Table = dict[str, Any]


def surroundings(clock: FakeClock, *, host: str = "", env: Mapping[str, str] | None = None) -> Surroundings:
    """What a face hands in, on the sealed box of a test. `env` is added to the environment."""
    return Surroundings(
        now=clock,
        env={**os.environ, **(env or {})},
        host=host or socket.gethostname(),
        state_dir=Path(os.environ["XDG_STATE_HOME"]) / "git-fleet",
        cache_dir=Path(os.environ["XDG_CACHE_HOME"]) / "git-fleet",
    )


def open_fleet(
    repo: Repo | Path,
    worker: str | None = "w1",
    clock: FakeClock | None = None,
    *,
    host: str = "",
    env: Mapping[str, str] | None = None,
    long_lived: bool = False,
) -> Session:
    """A session of `worker` in a repository or one of its worktrees. Its clock stands still.

    Its git children end with it, also when no test closes it.
    """
    start = repo.path if isinstance(repo, Repo) else repo
    around = surroundings(clock or FakeClock(), host=host, env=env)
    session = open_session(start, around, worker=worker, long_lived=long_lived)
    weakref.finalize(session, _end_children, session.store, os.getpid())
    return session


def _end_children(store: Store, owner: int) -> None:
    """Only where they were started: a fork would wait for ever for children that another process talks to."""
    if os.getpid() == owner:
        store.refs.close()
        store.objects.close()


def task(task_id: str, **fields: Any) -> Table:
    """One task's table, as in plan.toml; it owns the folder of its name unless `files` says otherwise."""
    table: Table = {"id": task_id, "title": f"Do {task_id}", "files": [f"{task_id}/**"], **fields}
    if table.get("output") == "report":
        del table["files"]
    return table


def plan_toml(*tasks: Table, plan: str = "p", **fields: Any) -> str:
    """The text of a plan."""
    return tomli_w.dumps({"version": 1, "plan": plan, "base": "main", **fields, "task": list(tasks)})


def saved(session: Session, *tasks: Table, plan: str = "p", **fields: Any) -> PlanRecord:
    """Store the plan's text as a draft, or as the next revision of the plan that is there."""
    table = {"version": 1, "plan": plan, "base": "main", **fields, "task": list(tasks)}
    found = plandoc.parse_plan(table, source="test")
    known = session.snapshot().plans.get(plan)
    before = known.note if known else None
    base_commit = (
        plans.text(session.store, before)[0]
        if before
        else tip(session.store.refs.get(names.branch(found.base)))
    )
    assert base_commit is not None
    note = plans.save_text(
        session.store,
        found,
        tomli_w.dumps(table),
        expected=before,
        base_commit=base_commit,
        actor=session.actor,
        at=session.now(),
        subject=f"plan {plan}",
    )
    return replace(known, note=note) if known else PlanRecord(plan, PlanLog(), None, note, base_commit)


def approved(session: Session, *tasks: Table, plan: str = "p", **fields: Any) -> Plan:
    """Store the plan and approve it, as if nothing stood against it."""
    record = saved(session, *tasks, plan=plan, **fields)
    note = record.note
    assert note is not None
    for name, values in (("approving", {"incoming": note}), ("approve", {"revision": note})):
        record = plans.append(session.store, record, Event(name, session.now(), "Test Person", values))
    plans.refresh_open_file(session.store)
    return plans.revision(session.store, plan, note).plan


def on_plan(session: Session, event: str, plan: str = "p", **fields: Any) -> PlanRecord:
    """Append one event to the plan's log."""
    record = session.snapshot().plans[plan]
    record = plans.append(session.store, record, Event(event, session.now(), "Test Person", fields))
    plans.refresh_open_file(session.store)
    return record


def claimed(session: Session, name: str, *, worktree: bool = False) -> TaskRecord:
    """Claim that very task; with its worktree when asked for."""
    found = claiming.claim(session, claiming.Request(task=name, worktree=worktree))
    assert isinstance(found, claiming.Claimed), found
    if worktree:
        return placing.place(session, found.record).record
    return found.record


def working_on(session: Session, name: str) -> Path:
    """Claim that very task with its worktree: where it is worked on."""
    claim = claimed(session, name, worktree=True).state.claim
    assert claim is not None
    return Path(claim.worktree)


def on_task(session: Session, event: str, name: str, **fields: Any) -> TaskRecord:
    """Append one event to the task's log; the holder's fence is filled in for the holder's events."""
    return _then(session, session.record(session.snapshot(), name), event, **fields)


def _then(session: Session, record: TaskRecord, event: str, **fields: Any) -> TaskRecord:
    claim = record.state.claim
    fence = {"fence": claim.fence} if claim else {}
    return acting.act(session, record, event, lambda _: {**fence, **fields})


def accepted(session: Session, name: str, reason: str = "") -> TaskRecord:
    """The task after a person who did not work on it has accepted it."""
    return work.accept(replace(session, actor="boss"), name, reason).record


def commit_on(
    session: Session, parent: Oid, files: Mapping[str, str | bytes], message: str = "Work\n"
) -> Oid:
    """A commit that sets these top-level or nested files on top of `parent`; no worktree, no branch.

    By libgit2, which takes a tenth of what six gits do.
    """
    repo = pygit2.Repository(os.fspath(session.repo.common_dir))
    index = pygit2.Index()
    index.read_tree(repo[parent].peel(pygit2.Tree))
    for path, content in files.items():
        blob = repo.create_blob(content.encode() if isinstance(content, str) else content)
        index.add(pygit2.IndexEntry(path, blob, pygit2.enums.FileMode.BLOB))
    author, committer = _who("AUTHOR"), _who("COMMITTER")
    return Oid(str(repo.create_commit(None, author, committer, message, index.write_tree(repo), [parent])))


def _who(role: str) -> pygit2.Signature:
    """Who that is to git, by the environment."""
    name, email, date = (os.environ[f"GIT_{role}_{what}"] for what in ("NAME", "EMAIL", "DATE"))
    return pygit2.Signature(name, email, int(date.split()[0]), 0)


def proposed(
    session: Session, name: str, files: Mapping[str, str | bytes] | None = None, **fields: Any
) -> TaskRecord:
    """Hand in a claimed task: a commit of `files` (default: one in its folder) on top of its base. `fields` are more
    of the event's."""
    record = session.record(session.snapshot(), name)
    claim = record.state.claim
    assert claim is not None
    base = claim.base or tip(session.store.refs.get(names.branch("main")))
    assert base is not None
    commit = commit_on(session, base, files or {f"{record.id.task}/new": "new\n"}, f"Work on {record.id}\n")
    number = record.state.proposal.number + 1 if record.state.proposal else 1
    who = log.signature(Event("done", session.now(), session.actor))
    oid = session.store.objects.write_commit(
        tree=session.store.objects.write_empty_tree(),
        parents=(commit,),
        author=who,
        committer=who,
        message=f"Proposal {number} of {record.id}\n",
    )
    session.store.refs.transact([Update(names.proposal(record.id, number), ABSENT, oid)])
    tree = session.store.objects.read_commit(commit).tree
    proposal = Proposal(number, oid, session.actor, commit, tree, base)
    return _then(session, record, "done", proposal=proposal, **fields)


def handed_in(
    session: Session, name: str, files: Mapping[str, str | bytes | None] | None = None
) -> TaskRecord:
    """Work in the claimed task's worktree, commit there (hooks run), and hand in as a worker does."""
    record = session.record(session.snapshot(), name)
    claim = record.state.claim
    assert claim is not None
    Repo(Path(claim.worktree)).commit(f"Work on {record.id}", files or {f"{record.id.task}/new": "new\n"})
    return handin.done(session, name, handin.Handin()).record


def landed_on_main(session: Session, name: str) -> Oid:
    """Put the task's proposal onto main as one commit with its trailers; no event says so yet."""
    return _landed(session, session.record(session.snapshot(), name))


def _landed(session: Session, record: TaskRecord) -> Oid:
    proposal = record.state.proposal
    assert proposal is not None
    assert proposal.commit is not None
    repo = Repo(session.repo.common_dir)
    main = tip(session.store.refs.get(names.branch("main")))
    assert main is not None
    tree = Oid(repo.run_git("merge-tree", "--write-tree", main, proposal.commit))
    message = trailers.message_for(record.task, proposal, ())
    commit = Oid(repo.run_git("commit-tree", tree, "-p", main, "-F", "-", stdin=message.encode()))
    session.store.refs.transact([Update(names.branch("main"), main, commit)])
    worktree = session.repo.main_worktree()
    if worktree is not None:
        Repo(worktree).run_git("read-tree", "-m", "-u", main, commit)
    return commit


def integrated(session: Session, name: str) -> Oid:
    """Bring a proposed task onto main, its event included: the new commit."""
    record = on_task(session, "accept", name)
    commit = _landed(session, record)
    _then(session, record, "integrate", commit=commit)
    return commit


def state_as_text(session: Session) -> str:
    """The whole fleet as a text block that stays the same from run to run: plans, tasks, guard, lead,
    the fleet's refs, the commits of main (oldest first) with the task each was made for."""
    return "\n".join(_lines(session)) + "\n"


def _lines(session: Session) -> Iterator[str]:
    snapshot = session.snapshot()
    for plan in snapshot.plans.values():
        yield f"plan {plan.id}: {plan.state}"
        yield from (f"  {line}" for record in snapshot.of_plan(plan.id) for line in _task_lines(record))
    if snapshot.guard is not None:
        yield f"guard: {guard.read(session.store, snapshot.guard).task}"
    if snapshot.lead.fence is not None:
        intent = ", intent open" if snapshot.lead.intent else ""
        yield f"lead: {snapshot.lead.holder}{intent}"
    yield "refs:"
    yield from (f"  {ref}" for ref in session.store.refs.read("refs/fleet/", "refs/notes/fleet/"))
    yield "main:"
    listed = Repo(session.repo.common_dir).run_git("log", "--reverse", "--format=%s%x00%B%x01", "main")
    for entry in listed.removesuffix("\x01").split("\x01\n"):
        subject, _, message = entry.partition("\0")
        found = trailers.read_stamp(message)
        yield f"  {subject}" + (f" [{found.task}]" if found else "")


def _task_lines(record: TaskRecord) -> Iterator[str]:
    state, claim = record.state, record.state.claim
    words = [f"{record.id}: {state.state}"]
    if claim is not None:
        words.append(f"by {claim.holder}, attempt {state.attempt}")
    if state.proposal is not None:
        words.append(f"proposal {state.proposal.number}")
    if state.code:
        words.append(f"code {state.code}")
    yield ", ".join(words)


def task_id(name: str) -> TaskId:
    """`p/a` as a task's id; `a` alone is of plan p."""
    plan, _, short = name.rpartition("/")
    return TaskId(plan or "p", short)
