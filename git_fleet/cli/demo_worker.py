"""A worker of `git fleet demo`: a small real program that claims, works, and hands in.

    python -m git_fleet.cli.demo_worker NAME [CLUSTER_TO_SPOIL]

It stands for an agent: it knows nothing but `git fleet` and git. In the task that is about the
cluster named, it does what agents do: it touches a file that is not its own, tries main, and hands in
something that does not work.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FLEET = (sys.executable, "-m", "git_fleet")


def run(args: Sequence[str], folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, output kept."""
    return subprocess.run(args, cwd=folder, env=env, capture_output=True, text=True, check=False)


def say(name: str, text: str) -> None:
    """One line of the story."""
    print(f"  {name}  {text}", flush=True)


def work(name: str, home: Path, spoil: str) -> None:
    """Claim and work until nothing is ready."""
    env = {**os.environ, "FLEET_WORKER": name}
    while True:
        answer = run([*FLEET, "claim", "--json"], home, env)
        if not answer.stdout:
            say(name, answer.stderr.strip())
            return
        claim = json.loads(answer.stdout)
        if claim.get("task_id") is None:
            if claim.get("error"):
                say(name, claim["error"]["message"])
            return
        work_on(name, claim, home, spoil)


def work_on(name: str, claim: dict[str, Any], home: Path, spoil: str) -> None:
    """One task: change the file it owns, commit, hand in."""
    tree = Path(claim["worktree"])
    env = {**os.environ, **claim["env"]}
    again = " (again, with what was found)" if claim["findings"] else ""
    say(name, f"claimed {claim['task_id']}{again}")
    clumsy = claim["payload"].get("cluster") == spoil and not claim["findings"]
    for path in owned_values(tree, claim["files"]):
        change(path, claim, clumsy=clumsy)
    if clumsy:
        misbehave(name, tree, home, env)
    run(["git", "add", "--all"], tree, env)
    run(["git", "commit", "--quiet", "-m", claim["title"]], tree, env)
    handed_in = run([*FLEET, "done", "--json"], tree, env)
    if handed_in.returncode:
        say(name, handed_in.stdout.strip() or handed_in.stderr.strip())
    else:
        say(name, f"handed in {claim['task_id']}")


def owned_values(tree: Path, patterns: Sequence[str]) -> list[Path]:
    """The files of the demo's repository that the task owns (its patterns end in `/**`)."""
    return [path for pattern in patterns for path in tree.glob(f"{pattern.removesuffix('/**')}/*.yaml")]


def change(path: Path, claim: dict[str, Any], *, clumsy: bool) -> None:
    """What the task asks for: another version, or more memory."""
    text = path.read_text()
    if "cluster" in claim["payload"]:
        text = re.sub(r"version: .*", "version: latest" if clumsy else 'version: "1.24"', text)
    else:
        text = text.replace("512Mi", "1Gi")
    path.write_text(text)


def misbehave(name: str, tree: Path, home: Path, env: dict[str, str]) -> None:
    """Two commits that the hooks refuse, each undone again by this worker itself."""
    readme = tree / "README.md"
    before = readme.read_text()
    readme.write_text(before + "Bumped by an eager agent.\n")
    run(["git", "add", "README.md"], tree, env)
    refused(
        name, "git commit (README.md is nobody's)", run(["git", "commit", "-m", "And the README"], tree, env)
    )
    run(["git", "restore", "--staged", "README.md"], tree, env)
    readme.write_text(before)
    on_main = run(["git", "commit", "--allow-empty", "--no-verify", "-m", "Straight to main"], home, env)
    refused(name, "git commit --no-verify on main", on_main)


def refused(name: str, what: str, done: subprocess.CompletedProcess[str]) -> None:
    """Tell what came of it: the hook's own first words."""
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode:
        say(name, f"{what}: refused")
        for line in said[:2]:
            print(f"          | {line}", flush=True)
    else:
        say(name, f"{what}: went through, which it must not")


if __name__ == "__main__":
    work(sys.argv[1], Path.cwd(), sys.argv[2] if len(sys.argv) > 2 else "")
