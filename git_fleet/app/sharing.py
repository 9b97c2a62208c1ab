"""A store whose refs a git server decides about (`remote` in fleet.toml), made from one that is local."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress

from msgspec.structs import replace

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import State
from git_fleet.core.results import Sharing
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import FleetError, InvalidInput, Unreachable
from git_fleet.git import whole
from git_fleet.git.refs import Update
from git_fleet.git.remote import Remote
from git_fleet.git.repository import Repository
from git_fleet.store import names, plans
from git_fleet.store.base import Store, tip
from git_fleet.store.mirror import REMOTE_FILE
from git_fleet.store.shared import SharedRefs

_HOUR = 3600.0  # seconds
_IN_VAIN = 30.0
"""So many seconds after a server did not answer, whoever has claimed offline goes on without asking it again."""
_OPEN_FOR = "open-for"
"""In `<common dir>/fleet/`: the plans' logs that the file `open` was made for."""
_MAY_NAME_ONE = re.compile(rb"^[ \t]*[\"']?(remote|main)\b", re.MULTILINE)


def share(store: Store, remote: str, *, base: str, persistent: bool) -> Store:
    """The store whose shared refs are those of `remote`; `base` is the default base, a short name.

    Raises InvalidInput when there is no such remote, Unreachable when it was never listed here and cannot be; the
    store given is closed then.
    """
    store.refs.close()
    try:
        refs = SharedRefs(
            store.repo,
            Remote(store.repo, remote),
            bases={names.branch(base), *_open_bases(store.repo)},
            durable=True,
            persistent=persistent,
        )
        store.objects.named = refs.named
        shared = replace(store, refs=refs)
        if refs.mirror.age_seconds() == float("inf"):
            refresh(shared)
    except FleetError as error:
        store.objects.close()
        if isinstance(error, Unreachable):  # so there is nothing to show, and `status` does not help
            raise Unreachable(error.message, hint=f"git ls-remote {remote} has to work here") from error
        raise
    return shared


def remote_of(repo: Repository, text: Callable[[], bytes], parsed: Callable[[], str]) -> str:
    """The remote that decides, "" for none: `parsed` says it, and is only asked where the `text` of fleet.toml may
    name one. Where it cannot be read, the one this clone has shared its refs with so far."""
    known = ""
    with suppress(FileNotFoundError):
        known = (repo.fleet_dir / REMOTE_FILE).read_text(encoding="utf-8").strip()
    try:
        return parsed() if known or _MAY_NAME_ONE.search(text()) else ""
    except FleetError:
        return known


def refresh(store: Store, max_age_seconds: float = 0.0, warn: Callable[[str], object] = str) -> None:
    """Read anew what others may have changed (see `SharedRefs.refresh`); hooks learn which plans are open.

    `warn` is told when it may be old, and is, because the remote cannot be reached. Who has claimed offline goes on
    with what is old, too: that is told at the end (`tell_trouble`), where it was not the error.
    """
    refs = store.refs
    if not isinstance(refs, SharedRefs):
        return
    if time.monotonic() - refs.mirror.asked_in_vain < _IN_VAIN and refs.read(names.OFFLINE):
        refs.reload()  # as below; each time could last until a time-out
        return
    try:
        refs.refresh(max_age_seconds)
        tell_trouble(store, warn)
    except Unreachable as error:
        if not refs.read(names.OFFLINE):
            raise
        refs.reload()  # what is not offline is refused when it is pushed
        refs.trouble = error
    _tell_hooks(store)


def tell_trouble(store: Store, warn: Callable[[str], object]) -> None:
    """Say why what was read last is old, and how old it is; nothing where it is not."""
    refs = store.refs
    if isinstance(refs, SharedRefs) and refs.trouble is not None:
        warn(f"{refs.trouble.message}; what is shown is {_ago(refs.mirror.age_seconds())} old")


def _tell_hooks(store: Store) -> None:
    """Bring the file along by which hooks know the open plans, if these have moved since that was done last: in this
    process or in another, which may have died before it."""
    made_for = store.repo.fleet_dir / _OPEN_FOR
    logs = "".join(f"{oid} {ref}\n" for ref, oid in store.refs.read(names.PLAN_LOGS).items())
    with suppress(FileNotFoundError):
        if made_for.read_text(encoding="utf-8") == logs:
            return
    with suppress(
        FleetError, OSError
    ):  # a plan that cannot be read, say: whoever reads the fleet next says so
        plans.refresh_open_file(store)
        whole.write(made_for, logs)


def pushed(store: Store) -> int:
    """How many pushes this clone has made so far, for the fleet; 0 where no remote decides."""
    return store.refs.pushes.total() if isinstance(store.refs, SharedRefs) else 0


def standing(store: Store) -> Sharing | None:
    """How this clone stands with the remote that decides; None where none does."""
    refs = store.refs
    if not isinstance(refs, SharedRefs):
        return None
    pushes = refs.pushes.since(time.time() - _HOUR)
    return Sharing(refs.remote.name, refs.mirror.age_seconds(), pushes, len(refs.waiting()))


def as_known(store: Store) -> None:
    """Ask nothing of a remote from here on: whoever only looks, and must not wait, sees what was known last."""
    if isinstance(store.refs, SharedRefs):
        store.refs.offline = True


def go_offline(store: Store) -> None:
    """Ask nothing of the remote from here on. Raises InvalidInput where none decides."""
    if not isinstance(store.refs, SharedRefs):
        raise InvalidInput("no remote decides here, so nothing is asked of one", hint="git fleet claim")
    as_known(store)


def lookout(store: Store, seconds: float) -> Callable[[], None] | None:
    """What looks at the remote again where it was not looked at for so long, for a thread of its own: then refs move
    here, and whoever watches them is told. None where no remote decides."""
    if not isinstance(store.refs, SharedRefs):
        return None
    refs = store.refs.another()

    def look() -> None:
        with suppress(FleetError):  # it cannot be reached, say: those who read will be told
            refs.refresh(seconds)

    return look


def rely(store: Store, seconds: float) -> None:
    """Before something is decided on what was read: see `SharedRefs.rely`."""
    if isinstance(store.refs, SharedRefs) and not store.refs.offline:
        store.refs.rely(seconds)


def now(store: Store, ref: str) -> Oid | None:
    """The value of a ref at this moment, asked of whoever decides about it; None where there is no such ref."""
    refs = store.refs
    if isinstance(refs, SharedRefs) and not refs.offline:
        return tip(refs.now(ref))
    found = store.objects.read_ref(ref)
    return found[0] if found else None


def rests_on(store: Store, snapshot: Snapshot, record: TaskRecord) -> list[Update]:
    """What the push of a claim compares beside what it moves, which costs nothing: the plan, which may be paused or
    closing by now, and what the task needs, which may be reverted. Empty where no remote decides: there a lock would be
    needed, for which others wait."""
    if not isinstance(store.refs, SharedRefs) or store.refs.offline:
        return []
    plan = snapshot.plans[record.id.plan]
    needed = (snapshot.record(task) for task in record.task.needs_ids)
    found = [(names.plan_log(plan.id), plan.tip)]
    found += [(names.task_log(each.id), each.tip) for each in needed if each is not None]
    return [Update(ref, oid, oid) for ref, oid in found if oid is not None]


def offline(store: Store) -> SharedRefs | None:
    """The refs when nothing is asked of the remote: what is claimed then is settled by `git fleet sync`."""
    return store.refs if isinstance(store.refs, SharedRefs) and store.refs.offline else None


def unsettled(store: Store) -> frozenset[TaskId]:
    """The tasks that were claimed offline and that `git fleet sync` has not settled: nothing of them may land."""
    return store.refs.unsettled() if isinstance(store.refs, SharedRefs) else frozenset()


def not_offline(store: Store, record: TaskRecord) -> Unreachable | None:
    """Why a task that is ready as far as is known cannot be claimed offline."""
    refs = offline(store)
    if refs is not None and record.state.state is State.CLAIMED:
        return needed(f"taking {record.id} over")
    if refs is not None and names.task_log(record.id) in refs.waiting():
        return needed(f"claiming {record.id} again")
    state = record.state
    ways = [it for it in (state.salvaged, state.proposal.commit if state.proposal else None) if it]
    if refs is not None and ways and None in store.objects.read_many(ways):
        return needed(f"going on with {record.id}")
    return None


def needed(deed: str) -> Unreachable:
    """The refusal of what cannot be done offline."""
    return Unreachable(
        f"{deed} needs the remote that decides", hint="git fleet sync, when it can be reached again"
    )


def follow(store: Store, bases: Collection[str]) -> bool:
    """Take these branches (short names) for the remote's, too. Whether one was new: then read again."""
    return isinstance(store.refs, SharedRefs) and store.refs.follow({names.branch(base) for base in bases})


def _open_bases(repo: Repository) -> Iterator[str]:
    """The bases of plans that were open when this was last looked at."""
    with suppress(FileNotFoundError):
        for line in (repo.fleet_dir / "open").read_text(encoding="utf-8").splitlines():
            yield line.partition(" ")[2]


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
