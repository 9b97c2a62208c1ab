"""How well the conflicts of a repository's merges could have been predicted from the files of both sides.

    python -m benchmarks predict REPO [--merges N] [--json]

Each merge of two commits that HEAD contains is made again in memory by git, which says whether it conflicts. Predicted is
one where both sides changed a *common file* (two tasks that own it would take turns), and one where a side changed a
file that history, up to where the sides parted, shows changing together with one that the other side changed
(*coupling*, by the measure of `plan check`). Nothing is written to the repository: objects go to a folder that goes away.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from git_fleet.core.coupling import MAX_COMMIT_PATHS, partners
from git_fleet.core.ids import Oid
from git_fleet.errors import FleetError
from git_fleet.git import pairs, past
from git_fleet.git.objects import Objects, open_objects
from git_fleet.git.past import Past
from git_fleet.git.process import Git
from git_fleet.git.repository import Repository, discover
from git_fleet.store.past import COMMITS

MERGES = 1000


@dataclass(frozen=True)
class Merge:
    """A merge made again: whether git calls it a conflict, and what was predicted."""

    commit: Oid
    conflict: bool
    common: bool
    coupled: bool


@dataclass(frozen=True)
class Score:
    """Of `merges`, of which `conflicts` conflict, `predicted` were said to, and of these `right` do."""

    name: str
    merges: int
    conflicts: int
    predicted: int
    right: int

    @property
    def recall(self) -> float | None:
        """The share of the conflicts that was predicted; None without conflicts."""
        return self.right / self.conflicts if self.conflicts else None

    @property
    def precision(self) -> float | None:
        """The share of what was predicted that conflicts; None where nothing was predicted."""
        return self.right / self.predicted if self.predicted else None


PREDICTORS: tuple[tuple[str, Callable[[Merge], bool]], ...] = (
    ("a common file", lambda merge: merge.common),
    ("coupling", lambda merge: merge.coupled),
    ("either", lambda merge: merge.common or merge.coupled),
)


def replay(repo: Repository, most: int = MERGES) -> list[Merge]:
    """The newest `most` merges of HEAD, the newest first. Those whose sides have no common commit are left out.

    Raises GitFailed, for instance without a commit.
    """
    with tempfile.TemporaryDirectory(prefix="fleet-predict-") as folder:
        env = _apart(repo, folder)
        git = Git(repo.common_dir, git_dir=repo.common_dir, env=lambda: env)
        with open_objects(repo, bulk=True) as objects:
            sides = list(_sides(repo, git, objects, most))
        verdicts = pairs.merge_all(git, [(ours, theirs) for _, ours, theirs, _ in sides])
        found, known = [], Past()
        with open_objects(repo, bulk=True) as objects:
            for (commit, ours, theirs, base), verdict in zip(sides, verdicts, strict=True):
                changed = [
                    frozenset(change.path for change in objects.changed_paths(base, side))
                    for side in (ours, theirs)
                ]
                before = past.changed_paths(git, base, commits=COMMITS, most=MAX_COMMIT_PATHS, known=known)
                known |= before
                common = bool(changed[0] & changed[1])
                found.append(Merge(commit, bool(verdict), common, _coupled(before, *changed)))
    return found


def _apart(repo: Repository, folder: str) -> dict[str, str]:
    """An environment in which git writes its objects there and reads the repository's, too."""
    real = os.fspath(repo.common_dir / "objects").replace("\\", "\\\\").replace('"', '\\"')
    return {
        "GIT_OBJECT_DIRECTORY": folder,
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{real}"',
        "GIT_QUARANTINE_PATH": folder,
    }


def _sides(repo: Repository, git: Git, objects: Objects, most: int) -> Iterator[tuple[Oid, Oid, Oid, Oid]]:
    """Merge, both parents, and where they parted (of several such places git's first)."""
    head = repo.git(repo.worktree).text("rev-parse", "HEAD^{commit}") if repo.worktree else "HEAD"
    listed = git.text("rev-list", f"-{most}", "--min-parents=2", "--max-parents=2", "--parents", head)
    for line in listed.splitlines():
        commit, ours, theirs = map(Oid, line.split())
        bases = objects.merge_bases(ours, theirs)
        if bases:
            yield commit, ours, theirs, bases[0]


def _coupled(before: Past, ours: frozenset[str], theirs: frozenset[str]) -> bool:
    """Whether a file of the one side is coupled with another of the other side."""
    both = ours | theirs
    history = [both.intersection(paths) for paths in before.values()]
    return bool(partners(history, ours) or partners(history, theirs))


def scores(merges: Sequence[Merge]) -> list[Score]:
    """How each way of predicting did."""
    conflicts = sum(merge.conflict for merge in merges)
    found = []
    for name, predicts in PREDICTORS:
        said = [merge for merge in merges if predicts(merge)]
        right = sum(merge.conflict for merge in said)
        found.append(Score(name, len(merges), conflicts, len(said), right))
    return found


def report(found: Sequence[Score]) -> str:
    """The scores as a table for people."""
    lines = [f"{found[0].merges:,} merges, {found[0].conflicts:,} with a conflict"]
    lines.append(f"{'PREDICTED BY':<15}{'MERGES':>8}{'CONFLICTS':>11}{'RECALL':>8}{'PRECISION':>11}")
    for one in found:
        share = [f"{value:.0%}" if value is not None else "-" for value in (one.recall, one.precision)]
        lines.append(f"{one.name:<15}{one.predicted:>8,}{one.right:>11,}{share[0]:>8}{share[1]:>11}")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """The command; what cannot be done is one line, and 2."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks predict")
    parser.add_argument("repository", type=Path, metavar="REPO")
    parser.add_argument(
        "--merges", type=int, default=MERGES, metavar="N", help="the newest N (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="the numbers as JSON")
    asked = parser.parse_args(arguments)
    if asked.merges < 1:
        parser.error("--merges: at least 1")
    try:
        found = scores(replay(discover(asked.repository), asked.merges))
    except FleetError as error:
        print(f"predict: {error.message}", file=sys.stderr)
        return 2
    if asked.json:
        numbers = [
            {
                "by": one.name,
                "predicted": one.predicted,
                "right": one.right,
                "recall": one.recall,
                "precision": one.precision,
            }
            for one in found
        ]
        print(
            json.dumps(
                {"v": 1, "merges": found[0].merges, "conflicts": found[0].conflicts, "scores": numbers}
            )
        )
    else:
        print(report(found))
    return 0
