"""Where a git server decides (a bare repository, reached by path): a claim beside a bare push, many clones at once,
how often a task's life pushes, and what it costs to look."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.box import Box, Figure, alternating, box
from benchmarks.claims import plan_text
from git_fleet.app import approve, plan
from git_fleet.app.claim import Claimed, Request, claim
from git_fleet.app.session import Session

CONFIG = 'version = 1\nremote = "origin"\ngates = "none"\nmax_active = 100000\nmax_review = 100000\n'
RUNS = 30
PUSH = "git push of one ref"


def shared(made: Box, tasks: int, *, same_folder: int = 1) -> Path:
    """Give the box's repository a server, and a plan of so many tasks on it, `same_folder` of which at a time overlap."""
    server = made.disk / "server.git"
    made.git("clone", "--quiet", "--bare", str(made.repo), str(server))
    made.git("remote", "add", "origin", str(server))
    made.git("fetch", "--quiet", "origin")
    with made.session("lead", long_lived=True) as session:
        text = plan_text(tasks, shared=same_folder).encode()
        plan.import_plan(session, text, name="p.toml", format_name=None, plan_id=None)
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
    specs = iter([f"{commit}:refs/bench/{commit}" for commit in commits])

    def push() -> None:
        command = ["git", "push", "--quiet", "origin", next(specs)]
        subprocess.run(command, cwd=made.repo, env=made.env, check=True, start_new_session=True)

    return push


MEASURES = (claims,)
