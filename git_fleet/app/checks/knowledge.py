"""What was learned: every file of it can be read."""

from __future__ import annotations

from collections.abc import Iterator

from git_fleet.app.checks.finding import Finding
from git_fleet.app.session import Session
from git_fleet.errors import Stale
from git_fleet.git.refs import ABSENT
from git_fleet.store import knowledge, names

_SHOWN = 3


def files(session: Session) -> Iterator[Finding]:
    """What is no learning is no use to anybody; what a newer git-fleet wrote stays."""
    for ref, oid in session.store.refs.read(names.KNOWLEDGE).items():
        kind, _ = session.store.objects.read(oid)
        if kind != "commit":
            yield Finding("format", f"{ref} is a {kind}, not a commit", f"git update-ref -d {ref} {oid}")
            return
    broken = knowledge.read(session.store).broken
    newer = [one.path for one in broken if one.newer]
    if newer:
        text = f"a newer git-fleet has written {_some(newer)} in {names.KNOWLEDGE}; it counts for nobody here"
        yield Finding("knowledge-newer", text, "install the newer git-fleet", note=True)
    wrong = [one for one in broken if not one.newer]
    if wrong:
        text = f"{names.KNOWLEDGE}: {_some([one.path for one in wrong])} cannot be read: {wrong[0].why}"
        fix = "git fleet doctor --fix takes it out of the newest tree; the ref's history keeps it"
        yield Finding("knowledge-broken", text, fix, lambda: _repair(session, [one.path for one in wrong]))


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more


def _repair(session: Session, paths: list[str]) -> None:
    knowledge.drop(session.store, paths, actor=session.actor, at=session.now())
    if session.store.refs.get(names.KNOWLEDGE) is ABSENT:
        raise Stale("they are not told yet", hint="git fleet sync, then git fleet doctor --fix")
