"""Which paths each recent commit changed.

By git itself: on 5,000 commits it takes a third of the time that libgit2's walk and diffs take (0.4 s to 1.3 s for a
whole `plan check`), and it opens every repository.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from git_fleet.core.ids import Oid
from git_fleet.git.process import Git

Past = dict[Oid, tuple[str, ...]]
"""The paths that each commit changed, sorted, by commit, the newest first."""

# A submodule's change is one, whatever `ignore` the .gitmodules of some work tree asks for.
_DIFF = (
    "diff-tree",
    "--stdin",
    "--root",
    "-r",
    "-z",
    "--no-renames",
    "--name-only",
    "--ignore-submodules=none",
)
_HEAD = "--format=%x00%H"  # no path is empty, so two zero bytes come before a commit alone


def changed_paths(
    git: Git, tip: Oid, *, commits: int, most: int, known: Mapping[Oid, tuple[str, ...]]
) -> Past:
    """The last `commits` commits that `tip` contains, merges left out, with what each changed; no renames.

    One that changed more than `most` paths comes with none: it says nothing about two of them. What is in `known`
    (with the same `most`) is not looked at again. Raises GitFailed for a missing commit.
    """
    listed = [Oid(line) for line in git.text("rev-list", f"-{commits}", "--no-merges", tip).split()]
    new = _diffs(git, [oid for oid in listed if oid not in known], most)
    return {oid: known[oid] if oid in known else new.get(oid, ()) for oid in listed}


def _diffs(git: Git, commits: Sequence[Oid], most: int) -> Past:
    """One process for all: an answer is the commit, then its paths."""
    if not commits:
        return {}
    asked = "".join(f"{oid}\n" for oid in commits).encode()
    return dict(_answers(git.run(*_DIFF, _HEAD, input=asked).out, most))


def _answers(out: bytes, most: int) -> Iterator[tuple[Oid, tuple[str, ...]]]:
    for answer in out.removeprefix(b"\0").split(b"\0\0"):
        head, _, listed = answer.partition(b"\0\n")
        paths = sorted({os.fsdecode(path) for path in listed.split(b"\0") if path})
        if head:
            yield Oid(head.decode("ascii")), tuple(paths) if len(paths) <= most else ()
