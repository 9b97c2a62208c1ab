"""`git fleet integrate`, whole process from start to exit, gates excluded, beside what people do instead.

A run is one process of the installed program on a fresh copy of the fleet. After each the tree of main is
compared with the one that plain `git update-index` makes of the same changes, or with what squashing them
one after another gave: a wrong result is no figure.

`FULL=1` squashes every proposal by hand and lets the clients come to their end, which takes half an hour
more; else of 2,048 proposals, and of those on 50,000 files, the first are squashed, and that figure is scaled to all.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.box import Box, Figure, box
from benchmarks.handed_in import Change, fresh_copy, hand_in
from benchmarks.rivals import rebase_and_retry, squash_one_by_one

CONFIG = 'version = 1\ngates = "none"\n'
GATED = 'version = 1\n[[gate]]\nname = "counted"\nrun = ["true"]\n'
FULL = bool(os.environ.get("FULL"))
SAMPLE = 128  # proposals squashed by hand where all would take minutes
ALL_BY_HAND_UP_TO = 512  # on the small tree: eight seconds
RUNS = 5
FOLDERS, SMALL, LARGE = 64, 2_048, 50_000
WORKERS = 16
CREW, EACH = 50, 5  # workers, and changes of each; one of them in a file that others change too
SHARED = 10  # such files: five workers change each
CLIENTS_UP_TO = 512 if FULL else 64
PATIENCE_SECONDS = math.inf if FULL else 30.0  # after that the contending clients have shown their pace


@dataclass(frozen=True)
class Measured:
    """The runs on one fleet: the median time, the tree of main, what landed and what did not (the same in
    every run)."""

    ms: float
    tree: str
    landed: tuple[str, ...]
    conflicts: frozenset[str]


# --- the fleets ----------------------------------------------------------------------------------


def tree_of(count: int) -> dict[str, str]:
    """A source tree: `count` files of thirty lines over 64 folders."""
    return {path_of(n): "".join(f"line {line} of {n}\n" for line in range(30)) for n in range(count)}


def path_of(number: int) -> str:
    """Where the file of that number is."""
    return f"src/m{number % FOLDERS}/f{number}.txt"


def disjoint(files: Mapping[str, str], count: int) -> list[Change]:
    """`count` changes of a file each; every second one adds a test, every fourth has a second commit."""
    return [_own(files, n, worker=f"w{n % WORKERS}") for n in range(count)]


def _own(files: Mapping[str, str], number: int, *, worker: str) -> Change:
    path = path_of(number)
    first = {path: files[path].replace("line 7 ", "line seven ")}
    second = {path: first[path].replace("line 21 ", "line twenty-one ")}
    if number % 2:
        first[f"tests/m{number % FOLDERS}/t{number}.txt"] = f"test of {number}\n"
    return Change(f"t{number}", worker, (first, second) if number % 4 == 3 else (first,))


def contended(files: Mapping[str, str]) -> list[Change]:
    """50 workers × 5 changes, a fifth of them in ten files that five workers change each: four at places
    of their own, the fifth where the first did, which conflicts."""
    found = []
    for number in range(CREW * EACH):
        crew_number, turn = divmod(number, EACH)
        worker = f"w{crew_number}"
        if turn:
            found.append(_own(files, number, worker=worker))
            continue
        path = path_of(1_000 + crew_number % SHARED)
        line = 3 + 6 * (crew_number // SHARED % 4)
        text = files[path].replace(f"line {line} ", f"line {line}, as {worker} wants it, ")
        found.append(Change(f"t{number}", worker, ({path: text},), shared=True))
    return found


@contextmanager
def fleet(
    files: Mapping[str, str], changes: Sequence[Change], *, packed: bool = True, config: str = CONFIG
) -> Iterator[Box]:
    """A box in which these changes are handed in, hooks installed."""
    with box(files, config, in_memory=True) as made:
        made.fleet("init")
        hand_in(made, changes, packed=packed)
        made.fleet("doctor")  # it fails when anything is amiss
        yield made


# --- measuring -----------------------------------------------------------------------------------


def measure(made: Box, *, runs: int = RUNS, checked_out: bool = True) -> Measured:
    """Integrate everything, each time on a fresh copy. Raises AssertionError when two runs differ."""
    times, outcomes = [], set()
    for _ in range(runs + 1):
        copy = fresh_copy(made)
        if not checked_out:
            made.git("switch", "--quiet", "--detach", cwd=copy)
        began = time.perf_counter()
        document = _integrate(made, copy)
        times.append((time.perf_counter() - began) * 1000)
        outcomes.add(_outcome(made, copy, document))
    if len(outcomes) != 1:
        raise AssertionError(f"the same fleet gave {len(outcomes)} results")
    tree, landed, conflicts = outcomes.pop()
    return Measured(statistics.median(times[1:]), tree, landed, conflicts)  # the first warms the disk


def _integrate(made: Box, folder: Path) -> dict[str, Any]:
    command = ["git", "fleet", "integrate", "--json"]
    done = subprocess.run(
        command, cwd=folder, env=dict(made.env), capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise AssertionError(f"integrate ended with {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _outcome(
    made: Box, folder: Path, document: Mapping[str, Any]
) -> tuple[str, tuple[str, ...], frozenset[str]]:
    """Tree of main, what landed, in order, and what conflicted. main, its checkout and the answer must agree."""
    if document["skipped"]:
        raise AssertionError(f"left aside: {document['skipped'][:3]}")
    if made.git("status", "--porcelain", cwd=folder):
        raise AssertionError("the checkout of main has not followed")
    commits = [entry["commit"] for entry in document["integrated"]]
    listed = made.git("rev-list", "--reverse", f"{document['main_before']}..main", cwd=folder).split()
    if listed != commits:
        raise AssertionError(f"main has {len(listed)} new commits, {len(commits)} landed")
    return (
        made.git("rev-parse", "main^{tree}", cwd=folder).strip(),
        tuple(_short(entry) for entry in document["integrated"]),
        frozenset(_short(entry) for entry in document["ejected"] if entry["reason"] == "conflict"),
    )


def _short(entry: Mapping[str, Any]) -> str:
    return str(entry["task_id"]).partition("/")[2]


def expected_tree(made: Box, changes: Sequence[Change]) -> str:
    """The tree main must end with: every change's files put into main's index, by git. They are disjoint."""
    last = {path: text for each in changes for files in each.commits for path, text in files.items()}
    if len(last) != sum(len(each.files) for each in changes):
        raise AssertionError("these changes are not disjoint")
    listed = "".join(f"100644 {_blob(text)}\t{path}\n" for path, text in last.items())
    index = {**made.env, "GIT_INDEX_FILE": str(made.folder / "expected")}
    made.run("git", "read-tree", "main", env=index)
    command = ["git", "update-index", "--add", "--index-info"]
    subprocess.run(command, cwd=made.repo, env=index, input=listed.encode(), check=True)
    return made.run("git", "write-tree", env=index).strip()


def _blob(text: str) -> str:
    """The id of a blob, as git reckons it."""
    data = text.encode()
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()


def same(what: str, one: object, other: object) -> None:
    """Raises AssertionError unless both are equal."""
    if one != other:
        raise AssertionError(f"{what}: {one} is not {other}")


# --- the figures ---------------------------------------------------------------------------------


def many() -> Iterator[Figure]:
    """64, 512 and 2,048 disjoint proposals on a small tree; what one more costs."""
    files, took = tree_of(SMALL), {}
    for count, target in ((64, ""), (512, "≤ 500 ms, ≥ 40 × faster: "), (2_048, "≤ 2000 ms: ")):
        changes = disjoint(files, count)
        with fleet(files, changes) as made:
            found = _landing(made, changes)
            name, whole = f"integrate {count:,} disjoint", count <= ALL_BY_HAND_UP_TO
            yield from _beside_by_hand(made, changes, found, name, target, whole=whole)
            if count <= CLIENTS_UP_TO:
                yield _beside_clients(made, changes, found, name)
        took[count] = found.ms
    first, then = (took[512] - took[64]) / (512 - 64), (took[2_048] - took[512]) / (2_048 - 512)
    yield Figure("one more proposal, 512 to 2,048", then, "64 to 512", first, "0.8 to 1.2")
    yield Figure("a proposal, all told, of 2,048", took[2_048] / 2_048, "of 512", took[512] / 512, "≤ 1.2")


def variants() -> Iterator[Figure]:
    """512 again: objects and refs as single files; main checked out nowhere. Beside the usual 512."""
    files = tree_of(SMALL)
    changes = disjoint(files, 512)
    with fleet(files, changes) as made:
        usual = _landing(made, changes)
        apart = measure(made, checked_out=False)
        same("the tree without a checkout", apart.tree, usual.tree)
    with fleet(files, changes, packed=False) as made:
        loose = _landing(made, changes)
    name = "integrate 512 disjoint, "
    yield Figure(name + "nothing packed", loose.ms, "packed by git gc", usual.ms, "")
    yield Figure(name + "main not checked out", apart.ms, "checked out", usual.ms, "")


def in_memory() -> Iterator[Figure]:
    """512 again, and one by one, in memory where there is such a place: what the disk adds is left out on both sides,
    and on a shared machine it differs by half from hour to hour."""
    files = tree_of(SMALL)
    changes = disjoint(files, 512)
    with fleet(files, changes) as made:
        there = replace(made, disk=made.folder)
        found = _landing(there, changes)
        yield from _beside_by_hand(there, changes, found, "integrate 512 disjoint, in memory", "", whole=True)


def large() -> Iterator[Figure]:
    """512 disjoint proposals on a tree of 50,000 files."""
    files = tree_of(LARGE)
    changes = disjoint(files, 512)
    with fleet(files, changes) as made:
        found = _landing(made, changes, runs=3)
        yield from _beside_by_hand(made, changes, found, "integrate 512, 50,000 files", "")


def mixed() -> Iterator[Figure]:
    """50 workers × 5 changes, a fifth of them in files that others change too."""
    files = tree_of(SMALL)
    changes = contended(files)
    with fleet(files, changes) as made:
        found = measure(made)
        order = [each.name for each in changes if each.name not in found.conflicts]
        same("the order of landing", list(found.landed), order)
        by_hand = squash_one_by_one(made, fresh_copy(made), changes)
        same("what conflicts", found.conflicts, by_hand.conflicts)
        same("the tree", found.tree, by_hand.tree)
        others = rebase_and_retry(made, changes, seconds=PATIENCE_SECONDS)
    attempts = _attempts(files, changes, found)
    landed = len(found.landed)
    each, theirs = found.ms / landed, others.seconds * 1000 / others.landed
    name = f"a landing, {CREW} workers × {EACH}, 20 % shared"
    rate = f"{60_000 / each:,.0f} a minute (≥ 3,000), {attempts / landed:.2f} attempts"
    yield Figure(name, each, "squashed one by one", sum(by_hand.each_ms) / landed, rate)
    rate = f"clients: {60_000 / theirs:,.0f} a minute, {others.attempts / others.landed:.1f} attempts"
    yield Figure(name, each, "rebase and retry", theirs, rate)


def _attempts(files: Mapping[str, str], changes: Sequence[Change], found: Measured) -> int:
    """How many candidates it takes: the runs of a gate that passes everything, since each is gated once."""
    with fleet(files, changes, config=GATED) as made:
        copy = fresh_copy(made)
        document = _integrate(made, copy)
        same("what landed past a gate", _outcome(made, copy, document)[1:], (found.landed, found.conflicts))
    return int(document["gate_runs"])


def _landing(made: Box, changes: Sequence[Change], *, runs: int = RUNS) -> Measured:
    """Disjoint changes, all of which must land, with the tree that they must give."""
    found = measure(made, runs=runs)
    same("what landed", found.landed, tuple(each.name for each in changes))
    same("the tree", found.tree, expected_tree(made, changes))
    return found


def _beside_by_hand(
    made: Box, changes: Sequence[Change], found: Measured, name: str, target: str, *, whole: bool = False
) -> Iterator[Figure]:
    """`whole`: every one of the changes is squashed by hand."""
    few = changes if FULL or whole else changes[:SAMPLE]
    squashed = squash_one_by_one(made, fresh_copy(made), few)
    same("the tree of one by one", squashed.tree, expected_tree(made, few))
    scaled = "" if len(few) == len(changes) else f", by {len(few)} of them"
    total = statistics.mean(squashed.each_ms) * len(changes)
    faster = f"{total / found.ms:.0f} × faster"
    yield Figure(name, found.ms, f"merge --squash + commit{scaled}", total, f"{target}{faster}")


def _beside_clients(made: Box, changes: Sequence[Change], found: Measured, name: str) -> Figure:
    others = rebase_and_retry(made, changes)
    same("the tree of the clients", others.tree, found.tree)
    tried = f"clients: {others.attempts / others.landed:.1f} attempts a landing"
    return Figure(name, found.ms, f"{WORKERS} clients rebase and retry", others.seconds * 1000, tried)


MEASURES = (many, in_memory, variants, large, mixed)
