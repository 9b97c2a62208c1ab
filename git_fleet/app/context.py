"""What the agent of a task should read first, from the tree of the base branch. Reading only: objects, no work tree."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from git_fleet.app import placing
from git_fleet.app.session import Session
from git_fleet.core import context as ranking
from git_fleet.core import imports, patterns
from git_fleet.core.context import MOST, Candidate, Context, LeftOut, Read, Why
from git_fleet.core.ids import Oid
from git_fleet.core.imports import Modules
from git_fleet.core.ownership import Tree
from git_fleet.store import past

_MOST_PARSED = 5000
_AT_ONCE = 50


class _File(Struct, frozen=True):
    """A tracked file; `size` in bytes."""

    oid: Oid
    size: int


def context(session: Session, name: str | None, budget: int = ranking.DEFAULT_BUDGET) -> Context:
    """What to read for task `name` (None: the task of this worktree), within `budget` tokens.

    Raises InvalidInput for a task or base there is not, GitFailed.
    """
    snapshot = session.snapshot()
    record = session.record(snapshot, name)
    commit = placing.base_commit(session, snapshot, record.id)
    task, files = record.task, _files(session, commit)
    tree = Tree(files)
    owned, reads = tree.owned(task.owned), tree.owned(task.reads)
    found, note = _imports(session, files, owned)
    history = past.recent(session.store, commit).values()
    every = ranking.rank(f"{task.title}\n{task.prompt}", owned, reads, found, history)
    candidates = [one for one in every if one.path in files]  # history knows files that are gone
    generated = tree.owned(session.config_of(record.id).generated_paths)
    read, left_out = _within(session, files, candidates[:MOST], generated, budget)
    return Context(
        task=record.id,
        base=session.base_of(record.id) or session.main,
        commit=commit,
        budget=budget,
        files=tuple(read),
        left_out=tuple(left_out),
        unmatched=tuple(
            text for text in (*task.owned, *task.reads) if not tree.matches(patterns.parse(text))
        ),
        more=max(0, len(candidates) - MOST),
        note=note,
    )


def _files(session: Session, commit: Oid) -> dict[str, _File]:
    """The plain files of a commit's tree; links and submodules are nothing to read."""
    found = {}
    for line in session.repo.git().paths("ls-tree", "-r", "-l", "-z", commit):
        about, _, path = line.partition("\t")
        mode, _, oid, size = about.split()
        if mode.startswith("100"):
            found[path] = _File(Oid(oid), int(size) if size.isdigit() else 0)
    return found


def _imports(
    session: Session, files: Mapping[str, _File], owned: frozenset[str]
) -> tuple[dict[str, frozenset[str]], str]:
    """What the owned Python files import, and which others import these; what was not looked for."""
    ours = sorted(path for path in owned if path.endswith(imports.SUFFIX))
    if not ours:
        return {}, ""
    python = sorted(path for path in files if path.endswith(imports.SUFFIX))
    modules, note = Modules(python), ""
    stems = frozenset(os.fsencode(imports.stem(path)) for path in ours)
    rest = [path for path in python if path not in owned]
    if len(ours) + len(rest) > _MOST_PARSED:
        ours, rest = ours[:_MOST_PARSED], []
        note = f"who imports its files was not looked for: there are {len(python):,} Python files"
    small = [path for path in (*ours, *rest) if files[path].size <= imports.MAX_BYTES]
    found = {}
    for path, data in _contents(session, files, small):
        if path in owned or imports.may_import(data, stems):
            found[path] = modules.imported(path, data)
    return found, note


def _contents(
    session: Session, files: Mapping[str, _File], paths: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    for start in range(0, len(paths), _AT_ONCE):
        few = paths[start : start + _AT_ONCE]
        objects = session.store.objects.read_many([files[path].oid for path in few])
        for path, found in zip(few, objects, strict=True):
            if found is not None:
                yield path, found.data


def _within(
    session: Session,
    files: Mapping[str, _File],
    candidates: Sequence[Candidate],
    generated: frozenset[str],
    budget: int,
) -> tuple[list[Read], list[LeftOut]]:
    """Those that fit, in their order; a smaller one may still fit where a larger one did not."""
    wanted = [
        one.path
        for one in candidates
        if one.path not in generated and not ranking.cannot_fit(files[one.path].size, budget)
    ]
    measured = {path: ranking.measure(data) for path, data in _contents(session, files, wanted)}
    read: list[Read] = []
    left_out: list[LeftOut] = []
    room = budget
    for one in candidates:
        size = Why.GENERATED if one.path in generated else measured.get(one.path)
        if size is None:  # not read: too large
            size = ranking.tokens(files[one.path].size)
        if isinstance(size, Why):
            left_out.append(LeftOut(one, size, None))
        elif size > room:
            left_out.append(LeftOut(one, Why.SIZE, size))
        else:
            room -= size
            read.append(Read(one, size))
    return read, left_out
