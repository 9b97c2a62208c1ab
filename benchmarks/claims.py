"""Claims: inside one long-lived process at 10,000 tasks, as whole processes, and many at once."""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.box import Box, Figure, alternating, box
from git_fleet.app import approve, plan
from git_fleet.app.claim import Claimed, Request, claim
from git_fleet.core.lifecycle import Event, after
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import log, names

CONFIG = 'version = 1\ngates = "none"\nmax_active = 100000\nmax_review = 100000\n'
TASKS, LEFT = 10_000, 400
RUNS = 60


def plan_text(count: int, *, shared: int = 1) -> str:
    """A plan of `count` tasks, `shared` of which at a time own the same folder."""
    head = 'version = 1\nplan = "p"\nbase = "main"\n'
    return head + "".join(
        f'\n[[task]]\nid = "{n}"\ntitle = "Task {n}"\nfiles = ["src/m{n // shared}/**"]\n'
        for n in range(count)
    )


def big_plan(made: Box, *, shared: int = 1) -> None:
    """10,000 tasks, all but the last few cancelled already, refs packed."""
    with made.session("lead", long_lived=True) as session:
        text = plan_text(TASKS, shared=shared).encode()
        plan.import_plan(session, text, name="p.toml", format_name=None, plan_id=None)
        approve.approve(session, "p")
        updates = []
        for record in list(session.snapshot().tasks.values())[: TASKS - LEFT]:
            event = Event("cancel", session.now(), "lead", {"reason": "done"})
            state = after(record.state, event)
            tip = log.write(session.store.objects, event, state, parent=None, subject="cancel")
            updates.append(Update(names.task_log(record.id), ABSENT, tip))
        session.store.refs.transact(updates)
    made.git("pack-refs", "--all")


def long_lived() -> Iterator[Figure]:
    """A claim without worktree inside one process, beside one bare `git update-ref` process."""
    for shared, name in ((1, "claim, 10,000 tasks, one process"), (2, "the same, overlapping tasks")):
        with box({"a": "a\n"}, CONFIG) as made:
            big_plan(made, shared=shared)
            head = made.git("rev-parse", "HEAD").strip()
            with made.session("w", long_lived=True) as session:
                claim(session, Request(worktree=False))
                count = iter(range(RUNS))
                ours, baseline = alternating(
                    partial(claim, session, Request(worktree=False)),
                    partial(_update_ref, made, count, head),
                    RUNS,
                )
            yield Figure(name, ours, "git update-ref, a process", baseline, "≤ 5 ms")


def _update_ref(made: Box, numbers: Iterator[int], value: str) -> None:
    made.git("update-ref", f"refs/bench/{next(numbers)}", value)


def whole_process() -> Iterator[Figure]:
    """`git fleet claim --no-worktree` on a small plan, beside a Python that does nothing."""
    with box({"a": "a\n"}, CONFIG) as made:
        (made.folder / "p.toml").write_text(plan_text(60))
        made.fleet("plan", "import", str(made.folder / "p.toml"))
        made.fleet("plan", "approve", "p", "--yes")
        ours, baseline = alternating(
            lambda: made.fleet("claim", "--no-worktree", "--json"),
            lambda: made.run(sys.executable, "-c", "pass"),
            25,
        )
        yield Figure("git fleet claim --no-worktree", ours, "python -c pass", baseline, "≤ 150 ms")
        ours, baseline = alternating(
            lambda: made.fleet("claim", "--json"),
            worktree_adder(made),
            12,
        )
        yield Figure("git fleet claim, with worktree", ours, "git worktree add", baseline, "")


def worktree_adder(made: Box) -> Callable[[], object]:
    """Something that adds one more worktree each time."""
    numbers = iter(range(1000))

    def add() -> None:
        number = next(numbers)
        made.git("worktree", "add", "--quiet", "-b", f"b{number}", str(made.folder / f"plain-{number}"))

    return add


def _claimer(made: Box, start: float, got: multiprocessing.Queue[tuple[int, float]]) -> None:
    with made.session(f"w{multiprocessing.current_process().pid}", long_lived=True) as session:
        claim(session, Request(task=None, labels=("nobody",), worktree=False))
        time.sleep(max(0.0, start - time.time()))
        count = 0
        while isinstance(claim(session, Request(worktree=False)), Claimed):
            count += 1
        got.put((count, time.time()))


def at_once() -> Iterator[Figure]:
    """400 tasks of 10,000 claimed by N processes at once: milliseconds a claim, beside one process."""
    alone = 0.0
    for processes in (1, 4, 16):
        with box({"a": "a\n"}, CONFIG) as made:
            big_plan(made)
            got: multiprocessing.Queue[tuple[int, float]] = multiprocessing.Queue()
            start = time.time() + 4
            crew = [
                multiprocessing.Process(target=_claimer, args=(made, start, got)) for _ in range(processes)
            ]
            for worker in crew:
                worker.start()
            results = [got.get() for _ in crew]
            for worker in crew:
                worker.join()
        total, end = sum(count for count, _ in results), statistics.median(end for _, end in results)
        if total != LEFT:
            raise AssertionError(f"{total} claims of {LEFT} tasks")
        each = (end - start) * 1000 / total
        alone = alone or each
        yield Figure(f"a claim, {processes} processes at once", each, "one process", alone, "")


MEASURES = (long_lived, whole_process, at_once)
