"""`git fleet claim --sparse` in a large tree, beside `git worktree add`, which checks all of it out."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from itertools import count

from benchmarks.box import Figure, alternating, box
from benchmarks.claims import worktree_adder

FOLDERS, FILES = 400, 50
TIMES = 7


def claiming_a_part() -> Iterator[Figure]:
    """20,000 files, of which a task owns a folder of 50: whole processes, each its own task."""
    with box({"a": "a\n"}, 'version = 1\ngates = "none"\nmax_active = 100\n') as made:
        stream = "".join(
            f"M 100644 inline d{folder}/f{number}\ndata 2\n{number % 10}\n\n"
            for folder in range(FOLDERS)
            for number in range(FILES)
        )
        head = "commit refs/heads/main\ncommitter Bench <bench@example.org> 1700000000 +0000\ndata 1\nx\n"
        start = f"from {made.git('rev-parse', 'main').strip()}\n"
        subprocess.run(
            ["git", "fast-import", "--quiet"],
            input=(head + start + stream).encode(),
            cwd=made.repo,
            env=made.env,
            check=True,
        )
        made.git("reset", "--hard", "--quiet", "main")
        tasks = (f'[[task]]\nid = "t{n}"\ntitle = "T"\nfiles = ["/d{n}/**"]\n' for n in range(TIMES))
        (made.folder / "p.toml").write_text('version = 1\nplan = "p"\n' + "".join(tasks))
        made.fleet("plan", "import", str(made.folder / "p.toml"))
        made.fleet("plan", "approve", "p", "--yes")
        numbers = count()
        ours, baseline = alternating(
            lambda: made.fleet("claim", f"t{next(numbers)}", "--sparse"), worktree_adder(made), TIMES
        )
        yield Figure(
            "claim --sparse, 50 of 20,000 files", ours, "git worktree add, all files", baseline, "below it"
        )


MEASURES = (claiming_a_part,)
