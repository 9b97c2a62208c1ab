"""Evidence: a note (TOML) on every integrated commit. A projection of the logs: it can be rebuilt."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.errors import LostRace
from git_fleet.git import notes
from git_fleet.git.refs import Update
from git_fleet.store import log, names
from git_fleet.store.base import Store, tip, value

_TRIES = 20


def text(document: Mapping[str, Any]) -> str:
    """The note's text: version first, then what is known."""
    import tomli_w

    return tomli_w.dumps({"version": 1, **document})


def read(store: Store, commit: Oid) -> str | None:
    """The evidence note on `commit`, or None."""
    found = tip(store.refs.get(names.EVIDENCE))
    data = notes.read_note(store.objects, found, commit) if found else None
    return data.decode(errors="replace") if data is not None else None


def add(store: Store, texts: Mapping[Oid, str], *, actor: str, at: datetime) -> None:
    """Put the notes on their commits, all in one revision of the notes ref.

    Somebody else's note written meanwhile is kept: it is read again and ours are put on top.
    """
    who = log.signature(Event("evidence", at, actor))
    for attempt in range(_TRIES):
        before = tip(store.refs.get(names.EVIDENCE))
        new = before
        for commit, content in texts.items():
            if new is None or notes.read_note(store.objects, new, commit) != content.encode():
                new = notes.with_note(
                    store.objects, new, commit, content.encode(), author=who, message="evidence\n"
                )
        if new is None or new == before:
            return
        try:
            store.refs.transact([Update(names.EVIDENCE, value(before), new)])
            return
        except LostRace:
            if attempt == _TRIES - 1:
                raise
