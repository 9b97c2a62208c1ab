"""Many pieces of work, merged pairwise in memory: which pairs have something in common, and what git says of these.

All merges are one `git merge-tree --stdin`, which takes a third of a millisecond for each; its verdicts are those of
one `git merge-tree` per pair. What it writes goes where the caller's git puts it (git/drafts.py). As in
git/replay.py the attributes are those of the work tree that git runs in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from git_fleet.core.collisions import Hunk, Span
from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git.drafts import Drafts
from git_fleet.git.formats import FILE, Change, TreeEntry, format_tree
from git_fleet.git.process import Git
from git_fleet.git.running import Running

BIG_FILE = "1m"
"""Of a larger file no hunks are told, as of a binary one."""

# Histories without a common commit would end the whole batch.
_MERGE = ("merge-tree", "--write-tree", "-z", "--allow-unrelated-histories", "--stdin")
_CONFLICT = b"CONFLICT ("
_DIFF = (
    "-c", f"core.bigFileThreshold={BIG_FILE}", "diff-tree", "--stdin", "-r", "-p", "--unified=0", "--no-renames",
    "--no-prefix", "--no-color", "--no-ext-diff", "--no-textconv",
)  # fmt: skip
_RANGE = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


class Conflict(NamedTuple):
    """A path that git cannot merge. `what` is git's word (`content`, `modify/delete`, `binary`, …); `stages` are
    the file in the base and on both sides, None where it is not there or no plain file."""

    path: str
    what: str
    stages: tuple[Oid | None, Oid | None, Oid | None] = (None, None, None)


Verdict = tuple[Conflict, ...]
"""What merging two commits gives: the paths that conflict, by path; none when it is clean."""


def with_something_in_common(sides: Sequence[Sequence[Change]]) -> list[tuple[int, int]]:
    """The pairs (their places in `sides`, the first one lower) that may not merge cleanly, given what each side has
    changed where it left the others.

    They share a path; or one has a file where the other has a folder; or one has deleted a file in a folder to
    which the other adds one (git may find that the folder was renamed, and take the new file along).
    """
    at: dict[str, list[int]] = {}
    under: dict[str, set[int]] = {}
    added: dict[str, set[int]] = {}
    for number, changes in enumerate(sides):
        for change in changes:
            at.setdefault(change.path, []).append(number)
            for folder in _above(change.path):
                under.setdefault(folder, set()).add(number)
                if change.status == "A":
                    added.setdefault(folder, set()).add(number)
    found: set[tuple[int, int]] = set()
    for path, numbers in at.items():
        for number in numbers:
            found.update(_pair(number, other) for other in numbers if other != number)
            found.update(_pair(number, other) for other in under.get(path, ()) if other != number)
    for number, changes in enumerate(sides):
        gone = {folder for change in changes if change.status == "D" for folder in _above(change.path)}
        for folder in gone:
            found.update(_pair(number, other) for other in added.get(folder, ()) if other != number)
    return sorted(found)


def _pair(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def merge_all(git: Git, pairs: Sequence[tuple[Oid, Oid]]) -> list[Verdict]:
    """What merging each pair of commits gives. One process, whatever their number. Raises GitFailed."""
    if not pairs:
        return []
    asked = "".join([f"{ours} {theirs}\n" for ours, theirs in pairs]).encode()
    with Running(git, *_MERGE, input=asked) as running:
        fields = iter(running.answer().split(b"\0"))
    found = [_verdict(fields, ours.encode(), theirs.encode()) for ours, theirs in pairs]
    if b"".join(fields):
        raise GitFailed("git merge-tree --stdin said more than it was asked", hint="git fleet doctor")
    return found


def _verdict(fields: Iterator[bytes], ours: bytes, theirs: bytes) -> Verdict:
    """`1`, tree, an empty field; or `0`, tree, unmerged entries, an empty field, messages (count, that many paths,
    kind, text), an empty field."""
    clean = next(fields, b"")
    if clean not in (b"0", b"1"):
        raise GitFailed("git merge-tree --stdin gave too few answers", hint="git fsck")
    next(fields)
    stages: dict[bytes, list[Oid | None]] = {}
    invented = re.compile(b"~(?:%b|%b)(?:_\\d+)?$" % (ours, theirs))  # as in git/replay.py
    while entry := next(fields):
        about, path = entry.split(b"\t", 1)
        mode, oid, stage = about.split(b" ")
        known = stages.setdefault(invented.sub(b"", path), [None, None, None])
        known[int(stage) - 1] = Oid(oid.decode("ascii")) if mode.startswith(b"100") else None
    if clean == b"1":
        return ()
    words: dict[bytes, bytes] = {}
    while (count := next(fields)).isdigit():  # advice on submodules has no end but that of the list
        paths = [invented.sub(b"", next(fields)) for _ in range(int(count))]
        kind, _ = next(fields), next(fields)
        if kind.startswith(_CONFLICT):
            for path in paths:
                words.setdefault(path, kind.removeprefix(_CONFLICT).removesuffix(b")"))
    # Some conflicts, a folder renamed to two places for one, leave no path unmerged.
    every = stages or {path: [None, None, None] for path in words}
    return tuple(
        Conflict(os.fsdecode(path), _word(words.get(path, b""), at), (at[0], at[1], at[2]))
        for path, at in sorted(every.items())
    )


def _word(kind: bytes, stages: Sequence[Oid | None]) -> str:
    """As git says it to people; in the list it says `contents`, also of two new files."""
    text = kind.decode("ascii", "replace")
    if text not in ("contents", ""):
        return text
    return "add/add" if stages[0] is None and all(stages[1:]) else "content"


def hunks(drafts: Drafts, conflicts: Sequence[Conflict]) -> list[tuple[Hunk, ...]]:
    """Where both sides of each conflict have changed the same lines, or lines side by side; nothing for what has no
    lines. One process for all. Raises GitFailed.

    The files of each side are put into one tree, named by their place, so that no path needs to be read back.
    """
    told = [number for number, each in enumerate(conflicts) if each.stages[1] and each.stages[2]]
    found: list[tuple[Hunk, ...]] = [()] * len(conflicts)
    if not told:
        return found
    empty = drafts.write("blob", b"")
    trees = [
        drafts.write(
            "tree",
            format_tree(
                TreeEntry(FILE, str(number), conflicts[number].stages[side] or empty) for number in told
            ),
        )
        for side in range(3)
    ]
    asked = f"{trees[0]} {trees[1]}\n{trees[0]} {trees[2]}\n".encode()
    ours, theirs = _ranges(drafts.git().run(*_DIFF, input=asked).out, trees)
    for number in told:
        found[number] = tuple(_meeting(ours.get(number, []), theirs.get(number, [])))
    return found


class _Range(NamedTuple):
    """Lines of the base that a side replaces, [`start`, `end`) counted from 0, and the span it has there."""

    start: int
    end: int
    new: Span


def _ranges(out: bytes, trees: Sequence[Oid]) -> tuple[dict[int, list[_Range]], dict[int, list[_Range]]]:
    """What each of both diffs changes, by the number of the file. Lines of files begin with a sign, so no such line
    looks like one of git's own."""
    found: tuple[dict[int, list[_Range]], dict[int, list[_Range]]] = ({}, {})
    side, number = 0, -1
    for line in out.split(b"\n"):
        if line.startswith(b"diff --git "):
            number = int(line.rpartition(b" ")[2])
        elif line.startswith(b"@@ ") and (at := _RANGE.match(line)):
            old, old_lines, new, new_lines = (int(part) if part else 1 for part in at.groups())
            start = old - 1 if old_lines else old
            found[side].setdefault(number, []).append(_Range(start, start + old_lines, Span(new, new_lines)))
        elif line == f"{trees[0]} {trees[2]}".encode():
            side = 1
    return found


def _meeting(ours: Sequence[_Range], theirs: Iterable[_Range]) -> Iterator[Hunk]:
    """The changes that overlap or touch, each run of them as one."""
    pending: tuple[Span, Span] | None = None
    for b in theirs:
        for a in ours:
            if a.start <= b.end and b.start <= a.end:
                if pending is not None and (pending[0] == a.new or pending[1] == b.new):
                    pending = _joined(pending[0], a.new), _joined(pending[1], b.new)
                    continue
                if pending is not None:
                    yield Hunk(*pending)
                pending = a.new, b.new
    if pending is not None:
        yield Hunk(*pending)


def _joined(one: Span, other: Span) -> Span:
    start = min(one.start, other.start)
    return Span(start, max(one.start + one.lines, other.start + other.lines) - start)
