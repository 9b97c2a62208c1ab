"""An agent of `git fleet demo`: a small real program that a run starts, told what to do as every agent is.

    python -m git_fleet.cli.demo_worker [CLUSTER_TO_SPOIL]

It knows nothing but the file that FLEET_CLAIM names, `git fleet` and git. In the task that is about the cluster named,
it does what agents do: it touches a file that is not its own, tries main, and leaves something that does not work.
What is in its worktree when it ends well is handed in by the run.
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

FLEET = (sys.executable, "-P", "-m", "git_fleet")
TOKENS, DOLLARS = 12_000, 0.03


def run(args: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, output kept."""
    return subprocess.run(args, cwd=folder, capture_output=True, text=True, check=False)


def say(text: str) -> None:
    """One line, for whoever watches."""
    print(text, flush=True)


def work(claim: dict[str, Any], tree: Path, spoil: str) -> int:
    """The task: change the file it owns, commit, say what that has cost. The exit code."""
    say(f"{claim['title']}{', again: something was found' if claim['findings'] else ''}")
    for finding in claim["findings"]:
        say(f"found: {finding['text'].splitlines()[0]}")
    clumsy = claim["payload"].get("cluster") == spoil and not claim["findings"]
    for path in owned_values(tree, claim["files"]):
        change(path, claim, clumsy=clumsy)
        say(f"changed {path.relative_to(tree)}")
    if clumsy:
        misbehave(tree)
    run(["git", "add", "--all"], tree)
    run(["git", "commit", "--quiet", "-m", claim["title"]], tree)
    usage = ["--input-tokens", str(TOKENS), "--cost-usd", str(DOLLARS)]
    told = run([*FLEET, "progress", *usage, "committed"], tree)
    say("committed" if told.returncode == 0 else told.stderr.strip())
    return told.returncode


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


def misbehave(tree: Path) -> None:
    """Two commits that the hooks refuse, each undone again by this agent itself."""
    readme = tree / "README.md"
    before = readme.read_text()
    readme.write_text(before + "Bumped by an eager agent.\n")
    run(["git", "add", "README.md"], tree)
    refused("git commit (README.md is nobody's)", run(["git", "commit", "-m", "And the README"], tree))
    run(["git", "restore", "--staged", "README.md"], tree)
    readme.write_text(before)
    main = Path(run(["git", "rev-parse", "--git-common-dir"], tree).stdout.strip()).parent
    on_main = run(["git", "commit", "--allow-empty", "--no-verify", "-m", "Straight to main"], main)
    refused("git commit --no-verify on main", on_main)


def refused(what: str, done: subprocess.CompletedProcess[str]) -> None:
    """Tell what came of it: the hook's own first words."""
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode:
        say(f"{what}: refused")
        for line in said[:2]:
            say(f"    | {line}")
    else:
        say(f"{what}: went through, which it must not")


if __name__ == "__main__":
    given = json.loads(Path(os.environ["FLEET_CLAIM"]).read_text(encoding="utf-8"))
    sys.exit(work(given, Path.cwd(), sys.argv[1] if len(sys.argv) > 1 else ""))
