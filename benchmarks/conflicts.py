"""`git fleet conflicts` over 40 worktrees of 5,000 files, beside one `git merge-tree` for each pair and for each with main:
each with a `git status` of its worktree, as who looks at one pair after the other would do; and, as favourable to the
baseline as can be, with one `git status` of each worktree for all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import tomli_w

from benchmarks.box import Box, Figure, alternating, box

_FILES, _FOLDERS = 5_000, 100
_WORKTREES = 40
_FIGHTING = 13
"""So many change the same lines of one file: 78 of 780 pairs, a tenth."""
_OWN = 8
"""Files that each changes beside: half of them committed, the others not; and one that is untracked."""
_CONFIG = f"version = 1\nmax_active = {_WORKTREES}\n"


def matrix() -> Iterator[Figure]:
    """The whole matrix, as processes of their own."""
    files = {f"d{n % _FOLDERS}/f{n}": f"{n}\n" * 20 for n in range(_FILES)}
    with box({**files, "both": "text\n"}, _CONFIG, in_memory=True) as made:
        trees = _at_work(made)
        found = json.loads(made.fleet("conflicts", "--json"))
        textual = [pair for pair in found["pairs"] if pair["kind"] == "textual"]
        expected = _FIGHTING * (_FIGHTING - 1) // 2
        if (len(textual), found["checked"]) != (expected, _WORKTREES * (_WORKTREES + 1) // 2):
            raise AssertionError(f"{len(textual)} of {found['checked']} pairs conflict, not {expected}")
        each, sparing = _one_by_one(made, trees)
        if made.run("sh", sparing).count("CONFLICT (content)") != expected:
            raise AssertionError("the baseline finds other conflicts")
        name = f"git fleet conflicts, {_WORKTREES} worktrees, {_FILES:,} files"
        for script, times, what, target in (
            (each, 3, "merge-tree per pair with a status each", "≤ 0.2 ×"),
            (sparing, 9, "the same with one status per worktree", ""),
        ):
            ours, baseline = alternating(
                lambda: made.fleet("conflicts", "--json"),
                lambda script=script: made.run("sh", script),  # type: ignore[misc]
                times,
            )
            yield Figure(name, ours, what, baseline, target)


def _at_work(made: Box) -> list[Path]:
    """Worktrees with work in them, as workers leave it: index fresh, some of it not committed."""
    tasks = [
        {"id": str(n), "title": f"Task {n}", "files": [f"/t{n}/**"], "overlap": "accept"}
        for n in range(_WORKTREES)
    ]
    plan = made.folder / "p.toml"
    plan.write_text(tomli_w.dumps({"version": 1, "plan": "p", "base": "main", "task": tasks}))
    made.fleet("plan", "import", str(plan))
    made.fleet("plan", "approve", "p", "--yes")
    trees = []
    for n in range(_WORKTREES):
        made.fleet("claim", str(n), "--worker", f"w{n}")
        tree = Path(made.fleet("path", str(n)).strip())
        for each in range(_OWN):
            (tree / f"d{n}" / f"f{n + each * _FOLDERS}").write_text(f"changed by {n}\n")
            if each + 1 == _OWN // 2:
                made.git("commit", "--quiet", "--all", "--message", "half of it", cwd=tree)
        if n < _FIGHTING:
            (tree / "both").write_text(f"{n}\n")
        (tree / f"new{n}").write_text("untracked\n")
        trees.append(tree)
    for tree in trees:
        made.git("status", cwd=tree)
    return trees


def _one_by_one(made: Box, trees: list[Path]) -> tuple[str, str]:
    """The baselines as scripts. That the work is in commits which `git merge-tree` can take is given to them."""
    commits = []
    for tree in trees:
        made.git("add", "--all", cwd=tree)
        written = made.git("write-tree", cwd=tree).strip()
        commits.append(made.git("commit-tree", written, "-p", "HEAD", "-m", "x", cwd=tree).strip())
        made.git("reset", "--quiet", cwd=tree)
    looks = [f"git -C '{tree}' status --porcelain" for tree in trees]
    for look in looks:
        made.run("sh", "-c", look)
    sides = [("main", ""), *zip(commits, looks, strict=True)]
    merges = [(f"git merge-tree --write-tree {a} {b}", look) for (a, _), (b, look) in combinations(sides, 2)]
    each, sparing = made.folder / "each.sh", made.folder / "sparing.sh"
    each.write_text("\n".join(f"{look}\n{merge}" for merge, look in merges) + "\nexit 0\n")
    sparing.write_text("\n".join([*looks, *(merge for merge, _ in merges)]) + "\nexit 0\n")
    return str(each), str(sparing)


MEASURES = (matrix,)
