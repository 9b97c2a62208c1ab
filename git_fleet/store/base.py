"""What every part of the store works with: the repository, its refs, its objects, the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import ChangesetLog, LeadState, PlanLog, TaskState
from git_fleet.git.objects import Objects
from git_fleet.git.refs import ABSENT, Refs, Update, Value
from git_fleet.git.repository import Repository
from git_fleet.store import log
from git_fleet.store.cache import Cache


class Store(Struct, frozen=True):
    """The doors to one repository's fleet state."""

    repo: Repository
    refs: Refs
    objects: Objects
    cache: Cache

    def append(
        self,
        ref: str,
        event: Event,
        state: TaskState | PlanLog | LeadState | ChangesetLog,
        *,
        parent: Oid | None,
        subject: str,
        texts: Mapping[str, bytes] | None = None,
        attached: Mapping[str, Oid] | None = None,
        soon: bool = False,
    ) -> Oid:
        """Add one event to the log `ref`, whose tip must still be `parent` (None: no log yet). `soon`: other
        machines may be told of it a little later.

        Objects first, then the one ref. Raises Stale, Held or Busy; then nothing has changed.
        """
        tip = log.write(
            self.objects, event, state, parent=parent, subject=subject, texts=texts, attached=attached
        )
        update = Update(ref, value(parent), tip)
        if soon:
            self.objects.save()
            self.refs.transact_soon(update)
        else:
            self.transact([update])
        return tip

    def transact(self, updates: Sequence[Update], *, message: str = "git-fleet") -> None:
        """Move refs, as `Refs.transact`, once every object written so far is where others see it: objects
        first, refs last."""
        self.objects.save()
        self.refs.transact(updates, message=message)


def value(oid: Oid | None) -> Value:
    """A tip as a ref's value: no tip means that the ref must not exist."""
    return ABSENT if oid is None else oid


def tip(found: Value) -> Oid | None:
    """A ref's value as a tip: the inverse of `value`."""
    return None if found is ABSENT else found
