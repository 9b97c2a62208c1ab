"""A fleet's state written by hand, as stored format version 1 says, for tests of the hooks.

Nothing of git_fleet's store is used: the hooks read the format with readers of their own, and a mistake
that both sides share would not be seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from git_fleet.app.install import install
from git_fleet.core import patterns
from git_fleet.core.ids import Oid, oid
from git_fleet.git.repository import discover
from tests.support.repo import Repo

QUIET = ("-c", "core.hooksPath=/dev/null")
LEAD = "refs/fleet/lead"


def hooks_of(repo: Repo) -> Path:
    """The folder of the native hooks."""
    return common_dir(repo) / "hooks"


def git_dir(repo: Repo) -> Path:
    """This worktree's own git dir."""
    return Path(repo.run_git("rev-parse", "--absolute-git-dir"))


def common_dir(repo: Repo) -> Path:
    """The git dir that all worktrees share."""
    return Path(repo.run_git("rev-parse", "--path-format=absolute", "--git-common-dir"))


def install_hooks(repo: Repo) -> None:
    """The hooks, as `git fleet init` installs them."""
    install(discover(repo.path))


def open_plan(repo: Repo, plan: str = "app", base: str = "main") -> None:
    """The file that says that a plan counts; more plans are more lines."""
    file = common_dir(repo) / "fleet" / "open"
    file.parent.mkdir(exist_ok=True)
    with file.open("a") as lines:
        lines.write(f"{plan} refs/heads/{base}\n")


def append(repo: Repo, ref: str, event: str, state: dict[str, Any]) -> Oid:
    """One event at the end of a log: its id."""
    last = repo.try_git("rev-parse", "-q", "--verify", ref).stdout.decode().strip()
    tree = repo.run_git("hash-object", "-w", "-t", "tree", "--stdin")
    line = json.dumps(
        {"v": 1, "event": event, "at": "2026-01-01T12:00:00Z", "actor": "someone", "state": state}
    )
    parents = ["-p", last] if last else []
    made = oid(repo.run_git("commit-tree", tree, *parents, "-m", f"{event} by someone", "-m", line))
    repo.run_git(*QUIET, "update-ref", ref, made, last)
    return made


def claim(repo: Repo, task: str = "app/42", holder: str = "w1") -> Oid:
    """A claim event at the end of the task's log: the fence."""
    lease = {"holder": holder, "fence": None, "acquired_at": "2026-01-01T12:00:00Z", "attempt": 1}
    return append(repo, f"refs/fleet/task/{task}", "claim", {"state": "claimed", "claim": lease})


def progress(repo: Repo, fence: Oid, task: str = "app/42") -> None:
    """A later event of the claim: from here on the state names the fence."""
    lease = {"holder": "w1", "fence": fence, "acquired_at": "2026-01-01T12:00:00Z", "attempt": 1}
    append(repo, f"refs/fleet/task/{task}", "progress", {"state": "claimed", "claim": lease})


def task_worktree(
    repo: Repo,
    path: Path,
    *,
    task: str = "app/42",
    files: Sequence[str] = ("cli.py",),
    generated: Sequence[str] = (),
    mode: str = "branch",
) -> Repo:
    """A claimed task's worktree on its own branch `feature/TASK`, as `git fleet claim` leaves it."""
    plan, _, name = task.partition("/")
    branch = f"feature/{name}"
    repo.run_git(*QUIET, "worktree", "add", "--quiet", "--no-track", "-b", branch, str(path), "main")
    made = Repo(path)
    fence = claim(repo, task)
    document = {
        "v": 1,
        "plan": plan,
        "task": name,
        "fence": fence,
        "worker": "w1",
        "slot": 1,
        "branch": branch,
        "base": "main",
        "mode": mode,
        "files": list(files),
        "reads": [],
        "output": "commit",
        "regexes": patterns.regexes(map(patterns.parse, files)),
        "generated_regexes": patterns.regexes(map(patterns.parse, generated)),
        "claimed_at": "2026-01-01T12:00:00Z",
    }
    own = git_dir(made)
    (own / "fleet.json").write_text(json.dumps(document))
    (own / "fleet-branch").write_text(f"refs/heads/{branch}\n")
    (own / "fleet-task").write_text(f"{task}\n")
    return made


def lead(repo: Repo) -> Oid:
    """The lead's lease for this worktree: its fence."""
    state = {"holder": "lead", "fence": None, "worktree": str(git_dir(repo)), "intent": None}
    fence = append(repo, LEAD, "acquire", state)
    (git_dir(repo) / "fleet-lead").write_text(f"{fence}\n")
    return fence


def refused(repo: Repo, *args: str) -> str:
    """What git says on its standard error when it refuses; fails if it does not."""
    done = repo.try_git(*args)
    assert done.returncode, f"git {' '.join(args)} was not refused"
    return done.stderr.decode("utf-8", "replace")
