"""Kept work as text: what there is, what is in it, what became of applying it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from git_fleet.core.keeping import Applied, KeptCommit, KeptShown, KeptWork, SnapshotTaken
from git_fleet.core.wording import count
from git_fleet.views.look import Look, age, line, lines, short
from git_fleet.views.table import Cell, Table

_MOST = 30  # commits, paths


def listing(works: Sequence[KeptWork], now: datetime, look: Look) -> str:
    """All kept work, and how to look into it."""
    if not works:
        return "nothing is kept"
    table = Table(
        ("TASK", "N", "SAVED", "WORKER", "COMMITS", "FILES", "FROM"),
        whole=frozenset({0, 1}),
        right=frozenset({4, 5}),
    )
    for work in works:
        table.add(
            Cell(str(work.id), "bold"),
            work.name,
            f"{age((now - work.at).total_seconds())} ago",
            work.worker,
            _commits(work),
            str(work.files),
            work.worktree or work.branch,
        )
    last = works[-1]
    hint = look.paint("next:", "bold") + f" git fleet salvage show {last.id} {last.name}"
    return f"{table.render(look)}\n{hint}"


def _commits(work: KeptWork) -> str:
    """How many, and whether there is more that nobody committed: `2`, `2+`, `+`."""
    return f"{work.commits or ''}{'+' if work.uncommitted else ''}" or "0"


def show(value: KeptShown, look: Look) -> str:
    """One salvage or snapshot: whose, from where, commits, files, what else it holds, the diff."""
    work = value.work
    text = [_heading(work, look), f"  saved {work.at:%Y-%m-%d %H:%M:%S} UTC, by {line(work.worker)}"]
    place = " on ".join(filter(None, (line(work.worktree), line(work.branch))))
    text += [f"  from {place}"] if place else []
    text += [f"  work goes on from {work.start}, kept at {work.ref}"]
    text += _section(f"{count(len(value.commits), 'commit')}:", value.commits, look)
    text += ["", f"{count(len(value.paths), 'file')} changed:"]
    text += [
        f"  {line(path.path)}  {'binary' if path.binary else f'+{path.added} -{path.removed}'}"
        for path in value.paths[:_MOST]
    ]
    text += [f"  and {len(value.paths) - _MOST} more"] if len(value.paths) > _MOST else []
    if value.others:
        text += _section(
            "also kept (amended, reset away, staged, or of earlier snapshots):", value.others, look
        )
    if value.patch is not None:
        text += ["", lines(value.patch.rstrip("\n"))]
        text += (
            [f"the diff is longer; all of it: git diff {work.base or ''} {work.start}"] if value.cut else []
        )
    text += ["", f"{look.paint('next:', 'bold')} git fleet salvage apply {work.id} {work.name}"]
    return "\n".join(text)


def _heading(work: KeptWork, look: Look) -> str:
    name = look.paint(str(work.id), "bold")
    return f"{name}: {f'salvage {work.number}' if work.number else 'snapshot'}"


def _section(title: str, commits: Sequence[KeptCommit], look: Look) -> list[str]:
    text = ["", title]
    for one in commits[:_MOST]:
        who = "" if one.made else f" ({line(one.author)})"  # the subject says so
        text.append(f"  {look.paint(short(one.oid), 'yellow')} {line(one.subject)}{who}")
    return [*text, f"  and {len(commits) - _MOST} more"] if len(commits) > _MOST else text


def applied(value: Applied, look: Look) -> str:
    """What was made of it, and what is left to do."""
    work = value.work
    what = f"{_heading(work, look)} is applied"
    if value.branch:
        name = line(value.branch)
        return f"{_heading(work, look)} is the new branch {name} now\n{look.paint('next:', 'bold')} git switch {name}"
    text = [f"{what}: {count(len(value.paths), 'file')} changed, staged and not committed"]
    if value.conflicts:
        text += [f"{look.paint('conflict:', 'red')} {line(path)}" for path in value.conflicts]
        text += [f"{look.paint('next:', 'bold')} edit them, then git add; git reset --hard takes it all back"]
    else:
        text += [f"{look.paint('next:', 'bold')} git diff --cached"]
    return "\n".join(text)


def snapshot(value: SnapshotTaken, look: Look) -> str:
    """What was saved, or why there was nothing to save."""
    name = look.paint(str(value.id), "bold")
    if value.work is None:
        text = [f"{name}: nothing to save yet"]
    elif value.written:
        text = [
            f"{name}: saved at {value.work.ref}, {count(value.work.files, 'file')} changed since the base"
        ]
    else:
        text = [f"{name}: nothing has changed since {value.work.at:%Y-%m-%d %H:%M:%S} UTC"]
    text += [f"{look.paint('not in it:', 'yellow')} {line(path)}" for path in value.left_out]
    return "\n".join(text)
