"""Commits on main that no integration made (DESIGN section 8: hooks are a guard-rail, this is the proof)."""

from __future__ import annotations

from typing import NamedTuple

from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.snapshot import Snapshot
from git_fleet.core.trailers import one_line, read_revert, read_stamp
from git_fleet.store import names
from git_fleet.store.base import tip
from git_fleet.store.shared import SharedRefs

_SHOWN = 3


class Foreign(NamedTuple):
    """A commit without the trailers of an integration."""

    oid: Oid
    subject: str


def commits(session: Session, snapshot: Snapshot, base: str) -> tuple[Foreign, ...]:
    """The commits that came onto `base` since the first of its plans that count began and that no
    integration made, newest first. Those the branch's remote-tracking branch has are upstream's and not named."""
    began = [
        record.base_commit
        for record in snapshot.plans.values()
        if record.approved is not None and record.approved.base == base and record.base_commit is not None
    ]
    if not began:
        return ()
    git, ref = session.repo.git(), names.branch(base)
    if isinstance(session.store.refs, SharedRefs):
        # What a remote decides about has no other upstream than itself.
        now, upstream = str(tip(session.store.refs.get(ref)) or ""), ""
    else:
        now, _, upstream = git.text("for-each-ref", "--format=%(objectname) %(upstream)", ref).partition(" ")
    if not now:
        return ()
    there = session.store.objects.read_many(dict.fromkeys(began))
    known = [commit.oid for commit in there if commit is not None]
    first = git.text("merge-base", "--octopus", *known, ok=(0, 1)).split() if len(known) > 1 else known
    if first == [now]:
        return ()  # nothing came since
    excluded = [*(f"^{oid}" for oid in first), *([f"^{upstream}"] if _exists(session, upstream) else [])]
    out = git.run("log", "--first-parent", "-z", "--format=%H%n%B", now, *excluded).out
    found = [entry.decode("utf-8", "surrogateescape").partition("\n") for entry in out.split(b"\0") if entry]
    landed = {record.state.landed for record in snapshot.tasks.values()}  # by pull request: without trailers
    return tuple(
        Foreign(Oid(oid), one_line(message.split("\n", 1)[0]))
        for oid, _, message in found
        if oid not in landed and read_stamp(message) is None and read_revert(message) is None
    )


def _exists(session: Session, ref: str) -> bool:
    return bool(ref) and bool(session.store.refs.read(ref))


def warnings(session: Session, snapshot: Snapshot, base: str) -> tuple[str, ...]:
    """What `integrate` says about them: one line, or nothing."""
    found = commits(session, snapshot, base)
    if not found:
        return ()
    shown = "; ".join(f"{commit.oid[:12]} {commit.subject}" for commit in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    many = len(found) > 1
    told = (
        f"{base} has {len(found)} {'commits' if many else 'commit'} that no integration made: {shown}{more}"
    )
    look = "if they are not yours, look at them" if many else "if it is not yours, look at it"
    return (f"{told}; {look} (git log {base})",)
