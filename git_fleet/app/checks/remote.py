"""A git server that decides: what it lacks, what it has not been told, what it has refused or lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from git_fleet.app.checks.finding import Finding
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.errors import FleetError, InvalidInput, Unreachable
from git_fleet.git import locks
from git_fleet.git.refs import ABSENT, Update
from git_fleet.git.remote import Remote
from git_fleet.git.repository import discover
from git_fleet.store import knowledge, log, names, tasks
from git_fleet.store.pushes import said_by_wall
from git_fleet.store.shared import SharedRefs

_SHOWN = 5
_SYNC = "git fleet sync"


def _refs(session: Session) -> SharedRefs | None:
    return session.store.refs if isinstance(session.store.refs, SharedRefs) else None


def reached(session: Session) -> Iterator[Finding]:
    """It can be reached; all that follows is looked at as it has it now."""
    refs = _refs(session)
    if refs is None:
        return
    try:
        refs.refresh()
    except Unreachable as error:
        yield Finding("remote-unreachable", error.message, f"git ls-remote {refs.remote.name}")


def offline_claims(session: Session) -> Iterator[Finding]:
    """Claims that it has not heard of."""
    for mark in session.store.refs.read(names.OFFLINE) if _refs(session) else ():
        text = f"{names.task_of(mark)} was claimed offline, and the remote does not know it"
        yield Finding("offline-claim", text, f"{_SYNC} settles it", note=True)


def untold(session: Session) -> Iterator[Finding]:
    """Events that are here alone."""
    refs = _refs(session)
    waiting = [*refs.waiting()] if refs else []
    waiting += [names.KNOWLEDGE] if knowledge.waiting(session.store) else []
    if waiting:
        more = f" and {len(waiting) - _SHOWN} more" if len(waiting) > _SHOWN else ""
        text = f"not pushed yet: {', '.join(waiting[:_SHOWN])}{more}"
        yield Finding("not-pushed", text, f"the next push of these takes it along, or {_SYNC}", note=True)


def went_back(session: Session) -> Iterator[Finding]:
    """Logs that were longer on the remote once, as after a restore from a backup, and events that it never had."""
    refs = _refs(session)
    if refs is None:
        return
    for ref, oid in refs.read(names.GONE).items():
        log_ref = _log_of(session, ref, oid)
        now = refs.get(log_ref)
        lacks = now is ABSENT or (now != oid and session.store.objects.is_ancestor(Oid(str(now)), oid))
        if lacks and not _archived(session, log_ref):
            yield Finding(
                "remote-went-back",
                f"{log_ref} of {refs.remote.name} lacks events that were seen here; they are kept at {ref}",
                f"git push {refs.remote.name} {oid[:12]}:{log_ref} brings them back, if that is what is wanted",
            )
        elif now not in (ABSENT, oid) and not session.store.objects.is_ancestor(oid, Oid(str(now))):
            text = f"{ref} keeps events that {refs.remote.name} had; {log_ref} there has gone another way"
            yield Finding("lost-events", text, f"git log {ref}", note=True)
    for ref in refs.read(names.LOST):
        text = f"{ref} keeps events that came too late: somebody else was first"
        yield Finding("lost-events", text, f"git log {ref}", note=True)


def _log_of(session: Session, ref: str, tip: Oid) -> str:
    """The log, or other ref, of which `ref` keeps what is gone: the inverse of `names.gone`, by which the log of a
    plan `x` and that of a task `plan/x` look alike. Which one it is, the event at `tip` says."""
    rest = ref.removeprefix(names.GONE).rpartition("/")[0]
    if "/" not in rest:  # the guard, or the lead
        return names.FLEET + rest
    task = names.task_of_log(names.TASK_LOGS + rest)
    data = session.store.objects.read(tip)[1]
    if names.FLEET + rest == names.plan_log(task.task) and tasks.misplaced(
        task, log.parse(tip, data).event, data
    ):
        return names.plan_log(task.task)
    return names.task_log(task)


def _archived(session: Session, ref: str) -> bool:
    task = names.task_of(ref)
    return task is not None and bool(session.store.refs.read(names.archive(task.plan)))


def refusals(session: Session) -> Iterator[Finding]:
    """Refs that it did not take."""
    refs = _refs(session)
    for ref, words in refs.pushes.refusals().items() if refs else ():
        why, then = said_by_wall(words) or (words, "git fleet doctor --remote says what it has to allow")
        yield Finding("remote-refused", f"the remote did not take {ref}: {why}", then, note=True)


def server_locks(session: Session) -> Iterator[Finding]:
    """Lock files left on a server that is a folder of this machine."""
    refs = _refs(session)
    place = Path(refs.remote.url) if refs else Path()
    if refs is None or not place.is_absolute() or not place.is_dir():
        return
    left = locks.left_behind(discover(place))
    if left:
        text = f"lock files on the remote, of a push that goes on or was killed: {', '.join(map(str, left[:_SHOWN]))}"
        yield Finding("remote-lock", text, "if no git runs there, remove them there", note=True)


def named(session: Session, name: str) -> Remote:
    """The remote to be tried. Raises InvalidInput where none is named or there is no such."""
    refs = _refs(session)
    name = name or (refs.remote.name if refs else session.config().remote)
    if not name:
        raise InvalidInput(
            "fleet.toml names no remote", hint="git fleet doctor --remote=origin tries the one of that name"
        )
    return Remote(session.repo, name)


def probe(session: Session, remote: Remote) -> Iterator[Finding]:
    """What the server lacks of what it needs to decide, tried on refs of its own, which are removed again."""
    nonce = os.urandom(6).hex()
    one, note = f"refs/fleet/probe-{nonce}/one", f"refs/notes/fleet/probe-{nonce}"
    first, second = _commit(session), _commit(session)
    try:
        yield from _tried(remote, one, note, first, second)
    except Unreachable as error:
        yield Finding("remote-unreachable", error.message, f"git ls-remote {remote.name}")
        return
    finally:
        yield from _cleared(remote, nonce)


def _tried(remote: Remote, one: str, note: str, first: Oid, second: Oid) -> Iterator[Finding]:
    name = remote.name
    remote.list_refs(one)
    for ref, what in ((one, "below refs/fleet/"), (note, "below refs/notes/fleet/")):
        began = time.monotonic()
        said = remote.push([Update(ref, ABSENT, first)])
        seconds = time.monotonic() - began
        if said or remote.list_refs(ref) != {ref: first}:
            allow = "allow them on the server, or name another remote in fleet.toml"
            why, then = said_by_wall(said) or (said or "it hides them", allow)
            yield Finding("remote-refs", f"{name} does not take refs {what}: {why}", then)
            return
    remote.push([Update(one, second, second), Update(note, second, second)])
    remote.push([Update(one, second, ABSENT)])
    if remote.list_refs(one) != {one: first}:
        text = f"{name} let a ref move from a value that it did not have"
        yield Finding("remote-leases", text, "name another remote in fleet.toml")
    # A ref cannot be below another: a server that takes part of this push knows no all or nothing.
    said = remote.push([Update(one, first, second), Update(f"{one}/below", ABSENT, first)])
    if remote.list_refs(one) == {one: second} and said:
        text = f"{name} took a part of an atomic push ({said})"
        yield Finding("remote-atomic", text, "name another remote in fleet.toml")
    elif "atomic" in said:
        yield Finding(
            "remote-atomic", f"{name} knows no atomic push: {said}", "name another remote in fleet.toml"
        )
    text = (
        f"{name} takes refs of its own, leases, all-or-nothing pushes; one push took {seconds * 1000:.0f} ms"
    )
    yield Finding("remote-tried", text, "", note=True)


def _cleared(remote: Remote, nonce: str) -> Iterator[Finding]:
    """Remove the refs again."""
    try:
        left = remote.list_refs(f"refs/fleet/probe-{nonce}/*", f"refs/notes/fleet/probe-{nonce}")
        said = remote.push([Update(ref, oid, ABSENT) for ref, oid in left.items()]) if left else ""
    except FleetError:
        return  # that it cannot be reached is told already
    if said:
        text = (
            f"{remote.name} does not let refs be deleted ({said}): logs of closed plans would pile up there"
        )
        yield Finding("remote-deletes", text, f"git push {remote.name} :REF, for {', '.join(left)}")


def _commit(session: Session) -> Oid:
    who = log.signature(Event("probe", session.now(), session.actor))
    return session.store.objects.write_commit(
        tree=session.store.objects.write_empty_tree(),
        parents=(),
        author=who,
        committer=who,
        message=f"git fleet doctor --remote {os.urandom(8).hex()}\n",
    )
