"""What proposals hold, of many at once: changed lines, artifacts, what their gates printed.

However many there are, the processes are a handful. What is long is cut (git/diffs.py, TEXT_BYTES), and
nothing but sizes is read of what nobody compares.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

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
from git_fleet.git.formats import parse_tree
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
    gated = _kept(objects, [oid for (task, number), oid in whole.items() if _is_newest(found, task, number)])
    made = {}
    for task, one in found.items():
        files = changed.get(one.pair, ()) if one.pair else ()
        parts: list[Part] = []
        if task in compared:
            parts += [Part(Kind.FILE, file.path, _changes(file), file.cut) for file in files]
            kept = gated.get(whole.get((task, one.proposal.number)))
            parts += _gate_parts(objects, kept.logs if kept else {}, logs.get(task, ()))
            parts += [_artifact(objects, name, oid, sizes[oid]) for name, oid in one.blobs]
        artifacts = tuple(Artifact(name, sizes[oid]) for name, oid in one.blobs)
        ran = gated.get(whole.get((task, one.proposal.number)), _NOTHING)
        made[task] = Inspected(_result(one.commit), files, artifacts, tuple(parts), tuple(ran.logs), ran.at)
    return made


def _is_newest(found: Mapping[TaskId, _Found], task: TaskId, number: int) -> bool:
    return task in found and found[task].proposal.number == number


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


class _Ran(NamedTuple):
    """Gates that ran at a moment (seconds since 1970), and what each printed, as a blob."""

    at: int
    logs: Mapping[str, Oid]


_NOTHING = _Ran(0, {})


def _kept(objects: Objects, commits: Sequence[Oid]) -> dict[Oid | None, _Ran]:
    """What is kept in these commits beside proposals (store/gatelogs.py), by commit."""
    read = zip(commits, objects.read_many(commits), strict=True)
    parsed = {
        oid: parse_commit(oid, one.data) for oid, one in read if one is not None and one.kind == "commit"
    }
    trees = _trees(objects, [commit.tree for commit in parsed.values()])
    return {oid: _Ran(one.committer.seconds, trees.get(one.tree, {})) for oid, one in parsed.items()}


def _trees(objects: Objects, trees: Sequence[Oid]) -> dict[Oid, dict[str, Oid]]:
    """The logs of gates in these trees."""
    asked = list(dict.fromkeys(tree for tree in trees if tree != objects.repo.empty_tree))
    return {
        tree: _logs((entry.name, entry.oid) for entry in parse_tree(one.data, len(tree) // 2))
        for tree, one in zip(asked, objects.read_many(asked), strict=True)
        if one is not None and one.kind == "tree"
    }


def newest_gate_logs(
    session: Session, records: Sequence[TaskRecord], logs: Mapping[TaskId, Sequence[Entry]]
) -> dict[TaskId, Mapping[str, Oid]]:
    """What the gates printed on the latest proposal of each task, as blobs by the gate's name, in the order in which
    they ran: the whole of it where it was kept, else what its event has."""
    objects = session.store.objects
    whole = _whole_logs(session, [record.id for record in records])
    numbers = {record.id: record.state.proposal.number for record in records if record.state.proposal}
    newest = {task: oid for (task, number), oid in whole.items() if numbers.get(task) == number}
    ran = _kept(objects, list(newest.values()))
    found = {task: ran[oid].logs for task, oid in newest.items() if oid in ran and ran[oid].logs}
    events = {
        task: entry.tree for task in numbers if task not in found and (entry := _gated(logs.get(task, ())))
    }
    told = _trees(objects, list(events.values()))
    return found | {task: told[tree] for task, tree in events.items() if told.get(tree)}


def _gated(entries: Sequence[Entry]) -> Entry | None:
    """The last event that may hold what gates printed on the latest proposal."""
    for entry in reversed(entries):
        if entry.event.name in GATED:
            return entry
        if entry.event.name == "done":
            break
    return None


def _whole_logs(session: Session, tasks: Collection[TaskId]) -> dict[tuple[TaskId, int], Oid]:
    """The refs that keep the whole logs of gates beside proposals, by task and the proposal's number."""
    plans = dict.fromkeys(task.plan for task in tasks)
    refs = session.store.refs.read(*(f"{names.PROPOSALS}{plan}/" for plan in plans)) if plans else {}
    session.store.refs.want(refs)
    found = {}
    for ref, oid in refs.items():
        plan, _, rest = ref.removeprefix(names.PROPOSALS).partition("/")
        task, _, number = rest.rpartition("/")
        if number.endswith(names.GATES) and number.removesuffix(names.GATES).isdecimal():
            found[TaskId(plan, task), int(number.removesuffix(names.GATES))] = oid
    return found


def _gate_parts(objects: Objects, whole: Mapping[str, Oid], entries: Sequence[Entry]) -> Iterator[Part]:
    """What the gates printed on the latest proposal: the whole of it where it was kept, else what its
    event has."""
    logs = whole
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
