"""Where a remote decides, a base is its branch; the branch of that name here follows, and with it the worktree that
has it checked out.

It only follows forward: commits that are here alone are never left behind. That it follows is a convenience of this
clone, so it comes after what decides, and whoever integrates next here makes up for it. The branch moves first, then
the files; `<common dir>/fleet/homing` says so in between, on one line: `<ref> <old> <new> <worktree>`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.errors import LostRace, NeedsPerson
from git_fleet.git import moves, worktrees
from git_fleet.git.refs import Refs, Update
from git_fleet.store import worktree as worktree_files
from git_fleet.store.base import tip
from git_fleet.store.shared import SharedRefs

_FILE = "homing"


def catch_up(session: Session, ref: str, to: Oid) -> None:
    """Bring the branch here to `to`, which the remote has. Raises NeedsPerson when it has commits of its own, or its
    worktree cannot follow; nothing has moved then."""
    finish(session)
    if not isinstance(session.store.refs, SharedRefs):
        return
    at = _here(session, ref)
    if at is None or at == to:
        return
    branch, remote = ref.removeprefix("refs/heads/"), session.store.refs.remote.name
    if not session.store.objects.is_ancestor(at, to):
        raise NeedsPerson(
            f"{branch} here has commits that {branch} of {remote} has not",
            hint=f"git log {to[:12]}..{branch} shows them; push them, or put them on a branch of their own",
        )
    places = worktrees.occupied(session.repo, ref)
    if len(places) > 1:
        raise NeedsPerson(
            f"{branch} is checked out in several worktrees: {', '.join(map(str, places))}",
            hint=f"leave it in one: git -C {places[-1]} switch --detach",
        )
    way = moves.plan_move(places[0], at, to) if places else None
    moved(session, ref, at, to, way.worktree if way else None)
    if way is not None:
        way.follow()
        arrived(session)


def moved(session: Session, ref: str, old: Oid, new: Oid, worktree: Path | None) -> None:
    """The remote's branch has moved so: the one here, if it is at `old`, too. That the files of `worktree` follow is
    the next step, and `arrived` its end."""
    if not isinstance(session.store.refs, SharedRefs) or _here(session, ref) != old:
        return
    if worktree is not None:
        line = f"{ref} {old} {new} {worktree}"
        worktree_files.replace_file(_file(session), line.encode("utf-8", "surrogateescape"))
    with (
        suppress(LostRace),
        Refs(session.repo, durable=True) as refs,
    ):  # somebody may pull at this very moment
        refs.transact([Update(ref, old, new)], message="git-fleet: as the remote has it")


def arrived(session: Session) -> None:
    """The files have followed."""
    _file(session).unlink(missing_ok=True)


def finish(session: Session) -> None:
    """Let the files follow where that was cut short. Raises NeedsPerson when they are neither old nor new."""
    try:
        text = _file(session).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return
    ref, old, new, place = text.split(" ", 3)
    if _here(session, ref) == new and Path(place) in worktrees.occupied(session.repo, ref):
        moves.finish_move(Path(place), Oid(old), Oid(new))
    arrived(session)


def _here(session: Session, ref: str) -> Oid | None:
    with Refs(session.repo) as refs:
        return tip(refs.get(ref))


def _file(session: Session) -> Path:
    return session.repo.fleet_dir / _FILE
