"""What it costs to look at a large plan: the report of 1,000 tasks."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.box import Figure, alternating, box
from benchmarks.handed_in import Change, hand_in

TASKS = 1000
CONFIG = (
    'version = 1\nmax_active = 100000\nmax_review = 100000\n\n[[gate]]\nname = "tests"\nrun = "seq 400"\n'
)


def page() -> Iterator[Figure]:
    """`git fleet report --html` of 1,000 integrated tasks, beside git listing their commits, numbers and notes."""
    files = {f"src/m{number}.txt": f"{number}\n" * 20 for number in range(TASKS)}
    with box(files, CONFIG, in_memory=True) as made:
        hand_in(
            made,
            [
                Change(str(n), f"w{n % 16}", ({f"src/m{n}.txt": f"changed {n}\n" * 20, f"new/{n}": "x\n"},))
                for n in range(TASKS)
            ],
        )
        made.fleet("integrate", "--batch")
        target = made.folder / "report.html"
        ours, baseline = alternating(
            lambda: made.fleet("report", "--html", str(target)),
            lambda: made.git("log", "--numstat", "--notes=fleet/evidence", "main"),
            7,
        )
        yield Figure(
            f"git fleet report --html, {TASKS} tasks", ours, "git log --numstat", baseline, "≤ 3000 ms"
        )
        size = target.stat().st_size / 1_000_000
        yield Figure("its page", size, "what it may have", 3.0, "≤ 3 MB", "MB")


MEASURES = (page,)
