"""`git fleet plan check` on a long history, without and with what it keeps of it, beside `git log --name-only`."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.box import Box, Figure, alternating, box

COMMITS, FOLDERS, FILES = 5000, 40, 50
TASKS = 20
TIMES = 5
_SEED = 8


@contextmanager
def long_history() -> Iterator[Box]:
    """5,000 commits on 2,000 files; pairs of files of two folders change together. A plan of 20 tasks is a draft."""
    with box({"a": "a\n"}, 'version = 1\ngates = "none"\n', in_memory=True) as made:
        subprocess.run(
            ["git", "fast-import", "--quiet", "--force"],
            input="".join(_stream(made.git("rev-parse", "main").strip())).encode(),
            cwd=made.repo,
            env=made.env,
            check=True,
        )
        made.git("reset", "--hard", "--quiet", "main")
        tasks = (
            f'[[task]]\nid = "t{n}"\ntitle = "Task {n}"\nfiles = ["/d{2 * n}/**", "/d{2 * n + 1}/f1"]\n'
            for n in range(TASKS)
        )
        (made.folder / "p.toml").write_text('version = 1\nplan = "p"\n' + "".join(tasks))
        made.fleet("init")
        made.fleet("plan", "import", str(made.folder / "p.toml"))
        yield made


def _stream(parent: str) -> Iterator[str]:
    chance = random.Random(_SEED)
    for number in range(COMMITS):
        yield f"commit refs/heads/main\ncommitter Bench <bench@example.org> {1_600_000_000 + 60 * number} +0000\n"
        yield f"data {len(str(number))}\n{number}\n" + (f"from {parent}\n" if number == 0 else "")
        paths = {
            f"d{chance.randrange(FOLDERS)}/f{chance.randrange(FILES)}" for _ in range(chance.randint(1, 6))
        }
        if number % 10 == 0:
            at = chance.randrange(TASKS) * 2
            paths |= {f"d{at}/f0", f"d{(at + 2) % FOLDERS}/f0"}
        for path in sorted(paths):
            yield f"M 100644 inline {path}\ndata {len(str(number))}\n{number}\n"
        yield "\n"


def checking_a_plan() -> Iterator[Figure]:
    """A whole process each; cold is without the kept history."""
    with long_history() as made:

        def cold() -> None:
            shutil.rmtree(Path(made.repo, ".git", "fleet", "cache"), ignore_errors=True)
            made.fleet("plan", "check", "p")

        def kept() -> None:
            made.fleet("plan", "check", "p")

        def log() -> None:
            made.git("log", "--no-merges", "--no-renames", "--name-only", "-z", "--format=%x01", "main")

        for name, action, target in (("cold", cold, "≤ 2 s"), ("kept", kept, "≤ 0.3 s")):
            ours, baseline = alternating(action, log, TIMES)
            yield Figure(
                f"plan check, {COMMITS:,} commits, {name}", ours, "git log --name-only", baseline, target
            )


MEASURES = (checking_a_plan,)
