"""Where a git server decides (a bare repository, reached by path): a claim beside a bare push, many clones at once,
how often a task's life pushes, and what it costs to look."""

from __future__ import annotations

import multiprocessing
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from benchmarks import lives
from benchmarks.box import Box, Figure, alternating, box, each_ms
from benchmarks.claims import plan_text
from git_fleet.app import approve, handin, integrate, plan, sharing, work
from git_fleet.app.claim import Claimed, Request, claim
from git_fleet.app.session import Session

CONFIG = 'version = 1\nremote = "origin"\ngates = "none"\nmax_active = 100000\nmax_review = 100000\n'
RUNS = 30
WORKERS, EACH = 8, 4
_MOST_SECONDS = 200
LOG = "refs/fleet/task/p0/task-3"
PUSH = "git push of one ref"


def shared(made: Box, tasks: int, *, same_folder: int = 1, report: bool = False) -> Path:
    """Give the box's repository a server, and a plan of so many tasks on it, `same_folder` of which at a time overlap;
    where they are to `report` they own nothing."""
    server = made.disk / "server.git"
    made.git("clone", "--quiet", "--bare", str(made.repo), str(server))
    made.git("remote", "add", "origin", str(server))
    made.git("fetch", "--quiet", "origin")
    with made.session("lead", long_lived=True) as session:
        text = plan_text(tasks, shared=same_folder)
        text = re.sub(r"files = .*", 'output = "report"', text) if report else text
        plan.import_plan(session, text.encode(), name="p.toml", format_name=None, plan_id=None)
        approve.approve(session, "p")
    return server


def claims() -> Iterator[Figure]:
    """A claim, inside one process and as a command, beside a bare `git push` that makes one ref on the same server."""
    for overlapping in (1, 2):
        with box({"a": "a\n"}, CONFIG) as made:
            shared(made, 400, same_folder=overlapping)
            push, said = pusher(made, 2 * RUNS), ", overlapping tasks" if overlapping > 1 else ""
            with made.session("w", long_lived=True) as session:
                claimed(session)
                ours, bare = alternating(partial(claimed, session), push, RUNS)
            yield Figure(f"remote: claim, one process{said}", ours, PUSH, bare, "" if said else "≤ 1.5 ×")
            ours, bare = alternating(lambda: made.fleet("claim", "--no-worktree", "--json"), push, RUNS)
            yield Figure(f"remote: git fleet claim{said}", ours, PUSH, bare, "")


def claimed(session: Session) -> None:
    """Claim one task. Raises AssertionError when there is none."""
    if not isinstance(claim(session, Request(worktree=False)), Claimed):
        raise AssertionError("nothing to claim")


def pusher(made: Box, times: int) -> Callable[[], object]:
    """What pushes one new commit to one new ref each time, up to so many times. The commits are there before. A session
    of its own is what our git has, too: Linux shares a processor out by them, so `nice` would favour only one."""
    commits = [made.git("commit-tree", "HEAD^{tree}", "-m", f"{n}").strip() for n in range(times)]
    specs = iter([f"{commit}:refs/bench/{uuid4()}" for commit in commits])

    def push() -> None:
        command = ["git", "push", "--quiet", "origin", next(specs)]
        subprocess.run(command, cwd=made.repo, env=made.env, check=True, start_new_session=True)

    return push


def at_once() -> Iterator[Figure]:
    """Three clones with eight workers each: milliseconds for a transition, whatever it is; beside as many bare pushes at
    once. A worker claims a task and hands in a report, until there is none left."""
    with box({"a": "a\n"}, CONFIG) as made:
        server = shared(made, 3 * WORKERS * EACH, report=True)
        clones = [_clone(made, server, name) for name in "abc"]
        crew = [
            (clone, f"{clone.repo.parent.name}-{number}") for clone in clones for number in range(WORKERS)
        ]
        ours, events = _all_at_once([partial(_work, clone, worker) for clone, worker in crew])
        if events != 2 * 3 * WORKERS * EACH:
            raise AssertionError(f"{events} transitions")
        pushers = [partial(_push_all, pusher(clone, 2 * EACH)) for clone, _ in crew]
        bare, pushed = _all_at_once(pushers)
        yield Figure(
            f"remote: a transition, 3 clones × {WORKERS} workers", ours / events, PUSH, bare / pushed, ""
        )
        yield Figure(
            "remote: transitions a minute",
            60_000 * events / ours,
            "git pushes a minute",
            60_000 * pushed / bare,
            "",
            "",
        )
        pushes = sum(_pushed(clone) for clone in clones) / events
        yield Figure("remote: pushes for a transition there", pushes, "one", 1.0, "", "")


def _clone(made: Box, server: Path, name: str) -> Box:
    repo = made.disk / name / "repo"
    repo.parent.mkdir()
    made.git("clone", "--quiet", str(server), str(repo))
    return replace(made, repo=repo)


def _pushed(clone: Box) -> int:
    with clone.session("x") as session:
        return sharing.pushed(session.store)


def _work(clone: Box, worker: str, start: Callable[[], object]) -> int:
    """Claim and hand in until there is nothing left: how many transitions that were."""
    count = 0
    with clone.session(worker, long_lived=True) as session:
        session.snapshot()
        start()
        while isinstance(found := claim(session, Request(worktree=False)), Claimed):
            handin.done(session, str(found.record.id), handin.Handin(result="nothing found"))
            count += 2
    return count


def _push_all(push: Callable[[], object], start: Callable[[], object]) -> int:
    start()
    for _ in range(2 * EACH):
        push()
    return 2 * EACH


def _all_at_once(work: Sequence[Callable[[Callable[[], object]], int]]) -> tuple[float, int]:
    """Milliseconds that all of it takes, begun at one moment in processes of their own, and the sum of what they give."""
    context = multiprocessing.get_context("fork")
    barrier, got = context.Barrier(len(work) + 1), context.Queue()

    def one(task: Callable[[Callable[[], object]], int]) -> None:
        got.put(task(barrier.wait))

    crew = [context.Process(target=one, args=(task,)) for task in work]
    for process in crew:
        process.start()
    barrier.wait()
    began = time.perf_counter()
    total = sum(got.get(timeout=_MOST_SECONDS) for _ in crew)
    taken = (time.perf_counter() - began) * 1000
    for process in crew:
        process.join()
    return taken, total


def whole_life() -> Iterator[Figure]:
    """How often a task is pushed from its claim until main has it: alone, and as one of sixteen that land together."""
    for together in (1, 16):
        with box({"a": "a\n"}, CONFIG) as made:
            shared(made, together)
            with made.session("w", long_lived=True) as session:
                before = sharing.pushed(session.store)
                for number in range(together):
                    _live(made, session, number)
                session.actor = "lead"
                found = integrate.integrate(session, integrate.Order(batch=together > 1), lambda _: None)
                if len(found.integrated) != together:
                    raise AssertionError(found)
                pushes = (sharing.pushed(session.store) - before) / together
            said = f" of {together}" if together > 1 else ""
            yield Figure(f"remote: pushes for a task{said}", pushes, "its branch, and main", 2.0, "", "")


def _live(made: Box, session: Session, number: int) -> None:
    """Claim a task, say a word, hand in a file of its own."""
    claimed_task = claim(session, Request(task=f"p/{number}", worktree=False))
    if not isinstance(claimed_task, Claimed):
        raise AssertionError(claimed_task)
    work.progress(session, f"p/{number}", "half")
    blob = made.run("sh", "-c", f"echo {number} | git hash-object -w --stdin").strip()
    inner = made.run("sh", "-c", f"printf '100644 blob {blob}\\tf\\n' | git mktree").strip()
    outer = made.run("sh", "-c", f"printf '040000 tree {inner}\\tm{number}\\n' | git mktree").strip()
    tree = made.run(
        "sh", "-c", f"(git ls-tree HEAD; printf '040000 tree {outer}\\tsrc\\n') | git mktree"
    ).strip()
    commit = made.git("commit-tree", tree, "-p", "origin/main", "-m", f"Do {number}").strip()
    handin.done(session, f"p/{number}", handin.Handin(commit=commit))


def looking() -> Iterator[Figure]:
    """What reading costs, by how many tasks there have been: in a new clone, when nothing has moved, when one has."""
    for tasks in (10, 100, 1000):
        with box({"a": "a\n"}, lives.LOCAL, in_memory=True) as made:
            lives.live(made, tasks)
            server = lives.server_of(made)
            sides = [(_first_look(made, server), _first_fetch(made, server)) for _ in range(5)]
            ours, bare = (statistics.median(side) for side in zip(*sides, strict=True))
            yield Figure(f"remote: first look, {tasks:,} tasks", ours, "git fetch of all", bare, "")
            yield from _again(_clone(made, server, "again"), server, tasks)


def _first_look(made: Box, server: Path) -> float:
    clone = _clone(made, server, f"ours-{uuid4()}")
    began = time.perf_counter()
    with clone.session("w"):
        return (time.perf_counter() - began) * 1000


def _first_fetch(made: Box, server: Path) -> float:
    clone = _clone(made, server, f"bare-{uuid4()}")
    fetch = ("fetch", "--quiet", "--no-tags", "origin", "+refs/fleet/*:refs/got/*")
    return each_ms(lambda: clone.git(*fetch), 1)[0]


def _again(clone: Box, server: Path, tasks: int) -> Iterator[Figure]:
    with clone.session("w", long_lived=True) as session:
        listing = partial(clone.git, "ls-remote", "--refs", "origin", "refs/fleet/*")
        ours, bare = alternating(session.store.refs.refresh, listing, 15)
        yield Figure(f"remote: looking again, {tasks:,} tasks", ours, "git ls-remote", bare, "")

        def moved() -> None:
            tip = clone.git("rev-parse", LOG, cwd=server).strip()
            event = clone.git(
                "commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", "an event", cwd=server
            ).strip()
            clone.git("update-ref", LOG, event, cwd=server)
            began = time.perf_counter()
            session.store.refs.refresh()
            taken.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            clone.git("fetch", "--quiet", "--no-tags", "origin", f"+{LOG}:refs/got/one")
            fetched.append((time.perf_counter() - began) * 1000)

        taken: list[float] = []
        fetched: list[float] = []
        for _ in range(15):
            moved()
        yield Figure(
            f"remote: looking, one of {tasks:,} moved",
            statistics.median(taken), "git fetch of one ref", statistics.median(fetched), "",
        )  # fmt: skip


MEASURES = (claims, at_once, whole_life, looking)
