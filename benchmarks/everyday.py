"""What everybody pays every day: hooks on `git commit` and of agents, `git fleet status` on a large plan."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.box import Box, Figure, alternating, box
from benchmarks.claims import CONFIG, big_plan, plan_text

HOOKS = ("pre-commit", "commit-msg", "pre-push", "reference-transaction")


def committer(made: Box, folder: Path, name: str) -> Callable[[], object]:
    """Something that makes one more commit in `folder` each time."""
    numbers = iter(range(10_000))

    def commit() -> None:
        (folder / name).write_text(f"{next(numbers)}\n")
        made.git("add", name, cwd=folder)
        made.git("commit", "--quiet", "-m", "again", cwd=folder)

    return commit


def empty_hooks(made: Box, source: Path) -> Path:
    """A clone whose hooks do nothing: the baseline."""
    clone = made.folder / "plain"
    made.git("clone", "--quiet", str(source), str(clone))
    for hook in HOOKS:
        place = clone / ".git" / "hooks" / hook
        place.write_text("#!/bin/sh\nexit 0\n")
        place.chmod(0o755)
    return clone


def hooks_idle() -> Iterator[Figure]:
    """`git commit` with our hooks and no plan open."""
    with box({"a": "a\n"}, CONFIG) as made:
        plain = empty_hooks(made, made.repo)
        made.fleet("init")
        ours, baseline = alternating(committer(made, made.repo, "x"), committer(made, plain, "x"), 40)
        yield Figure("git add + commit, hooks, no plan", ours, "empty shell hooks", baseline, "≤ 1.2 ×")


def hooks_at_work() -> Iterator[Figure]:
    """`git commit` in a task's worktree while a plan is open."""
    with box({"a": "a\n"}, CONFIG) as made:
        plain = empty_hooks(made, made.repo)
        made.fleet("init")
        (made.folder / "p.toml").write_text(plan_text(4))
        made.fleet("plan", "import", str(made.folder / "p.toml"))
        made.fleet("plan", "approve", "p", "--yes")
        made.fleet("claim", "0")
        tree = Path(made.fleet("path", "0").strip())
        (tree / "src" / "m0").mkdir(parents=True)
        ours, baseline = alternating(committer(made, tree, "src/m0/x"), committer(made, plain, "x"), 40)
        extra = f"+{ours - baseline:.0f} ms (≤ 60 ms more)"
        yield Figure("git add + commit in a task's worktree", ours, "empty shell hooks", baseline, extra)


def agents_at_work() -> Iterator[Figure]:
    """What an agent waits for before an edit and after every tool, by the commands in its settings. git is asked before
    an edit when the task's log has moved since the last one, and about a file that is not the task's."""
    with box({"a": "a\n"}, CONFIG) as made:
        made.fleet("init", "--agents")
        hooks = json.loads((made.repo / ".claude" / "settings.json").read_text())["hooks"]
        (made.folder / "p.toml").write_text(plan_text(4))
        made.fleet("plan", "import", str(made.folder / "p.toml"))
        made.fleet("plan", "approve", "p", "--yes")
        made.fleet("claim", "0")
        tree = Path(made.fleet("path", "0").strip())
        seen = Path(made.git("rev-parse", "--absolute-git-dir", cwd=tree).strip()) / "fleet-seen"

        def asking(event: str, path: str, code: int, *, moved: bool = False) -> Callable[[], object]:
            edit = {"cwd": str(tree), "tool_name": "Write", "tool_input": {"file_path": path}}
            (group,) = hooks[event]
            command = (
                f"echo {shlex.quote(json.dumps(edit))} | {group['hooks'][0]['command']}; [ $? = {code} ]"
            )

            def ask() -> None:
                if moved:
                    seen.unlink(missing_ok=True)
                made.run("sh", "-c", command, cwd=tree)

            return ask

        for name, ask in {
            "an agent's edit, before": asking("PreToolUse", "src/m0/x", 0),
            "the same, the task's log having moved": asking("PreToolUse", "src/m0/x", 0, moved=True),
            "an agent's edit that is refused": asking("PreToolUse", "README.md", 2),
            "an agent's tool, after": asking("PostToolUse", "src/m0/x", 0),
        }.items():
            ours, baseline = alternating(ask, partial(made.run, sys.executable, "-I", "-S", "-c", "pass"), 40)
            yield Figure(name, ours, "python -I -S -c pass", baseline, "≤ 60 ms")


def status() -> Iterator[Figure]:
    """`git fleet status --json` of 10,000 tasks, beside git reading the same refs and objects."""
    with box({"a": "a\n"}, CONFIG) as made:
        big_plan(made)
        script = "git for-each-ref --format='%(objectname)' refs/fleet/task | git cat-file --batch | wc -c"
        ours, baseline = alternating(
            lambda: made.fleet("status", "--json"), lambda: made.run("sh", "-c", script), 7
        )
        yield Figure(
            "git fleet status --json, 10,000 tasks", ours, "for-each-ref | cat-file", baseline, "≤ 1000 ms"
        )


def line() -> Iterator[Figure]:
    """What a prompt waits for with every command, beside one git that says where the repository is."""
    with box({"a": "a\n"}, CONFIG) as made:
        (made.folder / "p.toml").write_text(plan_text(20))
        made.fleet("plan", "import", str(made.folder / "p.toml"))
        made.fleet("plan", "approve", "p", "--yes")
        made.fleet("claim", "0", "--no-worktree")
        ours, baseline = alternating(
            lambda: made.fleet("status", "--line"), lambda: made.git("rev-parse", "--git-dir"), 40
        )
        bare = alternating(
            lambda: made.run(sys.executable, "-c", "pass"),
            lambda: made.run(sys.executable, "-I", "-S", "-c", "pass"),
            40,
        )
        floor = f"python -c pass: {bare[0]:.0f} ms, -I -S: {bare[1]:.0f} ms"
        yield Figure("git fleet status --line, 20 tasks", ours, "git rev-parse", baseline, floor)


MEASURES = (hooks_idle, hooks_at_work, agents_at_work, status, line)
