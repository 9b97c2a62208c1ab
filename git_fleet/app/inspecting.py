"""What proposals hold, of many at once: changed lines, artifacts, what their gates printed.

However many there are, the processes are a handful. What is long is cut (git/diffs.py, TEXT_BYTES), and
nothing but sizes is read of what nobody compares.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct, field

from git_fleet.app.session import Session
from git_fleet.core import codec
from git_fleet.core.divergence import Part
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.likeness import Kind
from git_fleet.core.model import Proposal
from git_fleet.core.reviewing import Artifact
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import UnknownFormat
from git_fleet.git import diffs
from git_fleet.git.diffs import FileDiff, Pair
from git_fleet.git.objects import FOLDER, Commit, Objects, parse_commit
from git_fleet.store import names
from git_fleet.store.log import Entry

TEXT_BYTES = 64 * 1024
"""How much of an artifact (its beginning) and of a gate's log (its end) is compared."""
_READ_BYTES = 4 * 1024 * 1024  # of a larger artifact nothing is read
_NO_TEXT = "(not text, or too large to compare)"
_LOG = re.compile(r"(\d+)-(.+)\.log")
GATED = frozenset({"uphold", "eject", "refute", "integrate"})
"""Events that may hold what gates printed."""


class Inspected(Struct, frozen=True):
    """One task's latest proposal. `result` is what its worker says of it, `parts` what it is compared by
    with its siblings. `gated` are the gates whose output was kept beside it, in the order in which they ran,
    at a moment in seconds since 1970."""

    result: str = ""
    files: tuple[FileDiff, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    parts: tuple[Part, ...] = ()
    gated: tuple[str, ...] = ()
    gated_at: int = 0


class _Found(Struct):
    """What of one proposal has been read so far."""

    proposal: Proposal
    commit: Commit
    pair: Pair | None = None
    blobs: list[tuple[str, Oid]] = field(default_factory=list)


def inspect(
    session: Session,
    records: Sequence[TaskRecord],
    logs: Mapping[TaskId, Sequence[Entry]],
    *,
    compared: Collection[TaskId],
) -> dict[TaskId, Inspected]:
    """The latest proposals of these tasks; of those `compared` their parts, too."""
    objects = session.store.objects
    found = _commits(objects, records)
    changed = diffs.read(session.repo.git(), [one.pair for one in found.values() if one.pair])
    for one in found.values():
        one.blobs = list(_files(objects, one.commit.tree))
    sizes = _sizes(session, [oid for one in found.values() for _, oid in one.blobs])
    whole = _whole_logs(session, found)
    made = {}
    for task, one in found.items():
        files = changed.get(one.pair, ()) if one.pair else ()
        parts: list[Part] = []
        if task in compared:
            parts += [Part(Kind.FILE, file.path, _changes(file), file.cut) for file in files]
            parts += _gate_parts(objects, whole.get((task, one.proposal.number)), logs.get(task, ()))
            parts += [_artifact(objects, name, oid, sizes[oid]) for name, oid in one.blobs]
        artifacts = tuple(Artifact(name, sizes[oid]) for name, oid in one.blobs)
        kept = whole.get((task, one.proposal.number))
        gated = tuple(_logs(_files(objects, kept))) if kept else ()
        at = objects.read_commit(kept).committer.seconds if kept else 0
        made[task] = Inspected(_result(one.commit), files, artifacts, tuple(parts), gated, at)
    return made


def _commits(objects: Objects, records: Sequence[TaskRecord]) -> dict[TaskId, _Found]:
    """The proposals' commits, and between which trees their changes are."""
    having = [(record.id, proposal) for record in records if (proposal := record.state.proposal) is not None]
    found = {
        task: _Found(proposal, parse_commit(stored.oid, stored.data))
        for (task, proposal), stored in zip(
            having, objects.read_many(proposal.oid for _, proposal in having), strict=True
        )
        if stored is not None and stored.kind == "commit"
    }
    ends = {end for one in found.values() for end in (one.proposal.base, one.proposal.commit) if end}
    ordered = sorted(ends)
    trees = {
        oid: parse_commit(oid, stored.data).tree
        for oid, stored in zip(ordered, objects.read_many(ordered), strict=True)
        if stored is not None and stored.kind == "commit"
    }
    for one in found.values():
        base, commit = one.proposal.base, one.proposal.commit
        if commit in trees and (base is None or base in trees):
            one.pair = (trees[base] if base else objects.repo.empty_tree, trees[commit])
    return found


def _files(objects: Objects, tree: Oid, prefix: str = "") -> Iterator[tuple[str, Oid]]:
    """Every file of a tree: its path and its blob."""
    for entry in objects.read_tree(tree):
        if entry.mode == FOLDER:
            yield from _files(objects, entry.oid, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.oid


def _sizes(session: Session, blobs: Sequence[Oid]) -> dict[Oid, int]:
    """Their sizes in bytes, without reading them; 0 of one that is missing."""
    if not blobs:
        return {}
    asked = list(dict.fromkeys(blobs))
    answer = session.repo.git().text(
        "cat-file", "--batch-check=%(objectsize)", input="".join(f"{oid}\n" for oid in asked).encode()
    )
    lines = answer.splitlines()
    return {oid: int(size) if size.isdigit() else 0 for oid, size in zip(asked, lines, strict=True)}


def _result(commit: Commit) -> str:
    """What the worker said (store/proposals.py); "" where the commit does not say."""
    try:
        document = codec.parse_document(commit.message.rstrip("\n").rpartition("\n")[2], "a proposal")
    except UnknownFormat:
        return ""
    return str(document.get("result") or "")


def _changes(file: FileDiff) -> str:
    return f"{file.text}\n{_NO_TEXT}".lstrip("\n") if file.binary else file.text


def _artifact(objects: Objects, name: str, oid: Oid, size: int) -> Part:
    data = objects.read(oid)[1] if size <= _READ_BYTES else b"\0"
    if b"\0" in data:
        return Part(Kind.ARTIFACT, name, _NO_TEXT)
    cut = len(data) > TEXT_BYTES
    kept = data[:TEXT_BYTES].rpartition(b"\n")[0] if cut else data
    return Part(Kind.ARTIFACT, name, kept.decode("utf-8", "replace"), cut)


# --- what gates printed ------------------------------------------------------------------------------


def gate_logs(objects: Objects, entry: Entry) -> dict[str, Oid]:
    """The logs of gates that an event holds, by the gate's name, in the order in which they ran."""
    return _logs((text.name, text.oid) for text in objects.read_tree(entry.tree))


def _logs(files: Iterator[tuple[str, Oid]]) -> dict[str, Oid]:
    numbered = [(int(found[1]), found[2], oid) for name, oid in files if (found := _LOG.fullmatch(name))]
    return {name: oid for _, name, oid in sorted(numbered)}


def _whole_logs(session: Session, tasks: Collection[TaskId]) -> dict[tuple[TaskId, int], Oid]:
    """The refs that keep the whole logs of gates beside proposals, by task and the proposal's number."""
    plans = dict.fromkeys(task.plan for task in tasks)
    refs = session.store.refs.read(*(f"{names.PROPOSALS}{plan}/" for plan in plans)) if plans else {}
    found = {}
    for ref, oid in refs.items():
        plan, _, rest = ref.removeprefix(names.PROPOSALS).partition("/")
        task, _, number = rest.rpartition("/")
        if number.endswith(names.GATES) and number.removesuffix(names.GATES).isdecimal():
            found[TaskId(plan, task), int(number.removesuffix(names.GATES))] = oid
    return found


def _gate_parts(objects: Objects, whole: Oid | None, entries: Sequence[Entry]) -> Iterator[Part]:
    """What the gates printed on the latest proposal: the whole of it where it was kept, else what its
    event has."""
    logs = _logs(_files(objects, whole)) if whole else {}
    for entry in reversed(entries):
        if logs or entry.event.name == "done":
            break
        if entry.event.name in GATED:
            logs = gate_logs(objects, entry)
    for name, oid in logs.items():
        data = objects.read(oid)[1]
        cut = len(data) > TEXT_BYTES
        kept = data[-TEXT_BYTES:].partition(b"\n")[2] if cut else data
        yield Part(Kind.GATE, name, kept.decode("utf-8", "replace"), cut)
