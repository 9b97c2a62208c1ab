"""`git fleet workspace status` over 30 repositories, beside `git fleet status` in each, one process after the other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import tomli_w

from benchmarks.box import Figure, alternating, box

_REPOS, _TASKS = 30, 20
_CONFIG = 'version = 1\ngates = "none"\n'


def standing() -> Iterator[Figure]:
    """Each repository has an approved plan of 20 tasks, one of them claimed."""
    with box({"a": "a\n"}, _CONFIG, in_memory=True) as made:
        tasks = [{"id": str(n), "title": f"Task {n}", "files": [f"/t{n}/**"]} for n in range(_TASKS)]
        plan = made.folder / "p.toml"
        plan.write_text(tomli_w.dumps({"version": 1, "plan": "p", "base": "main", "task": tasks}))
        made.fleet("plan", "import", str(plan))
        made.fleet("plan", "approve", "p", "--yes")
        made.fleet("claim", "1", "--no-worktree")
        copies = [made.folder / f"copy-{n}" for n in range(_REPOS)]
        for copy in copies:
            shutil.copytree(made.repo, copy, symlinks=True)
        space = made.folder / "space"
        space.mkdir()
        repos = [{"name": copy.name, "path": str(copy)} for copy in copies]
        (space / "workspace.toml").write_text(tomli_w.dumps({"version": 1, "name": "space", "repo": repos}))
        asked = ("workspace", "status", "--workspace", str(space), "--json")
        if len(_counted(made.fleet(*asked))) != _REPOS:
            raise AssertionError("not every repository has answered")

        def one_by_one() -> None:
            for copy in copies:
                made.fleet("-C", str(copy), "status", "--json")

        ours, baseline = alternating(lambda: made.fleet(*asked), one_by_one, 5)
        name = f"git fleet workspace status, {_REPOS} repositories of {_TASKS} tasks"
        yield Figure(name, ours, "git fleet status in each, one by one", baseline, "≤ 1 s")


def _counted(said: str) -> list[Path]:
    return [Path(each["repo"]) for each in json.loads(said)["repos"] if each["answer"]["ready"] == _TASKS - 1]


MEASURES = (standing,)
