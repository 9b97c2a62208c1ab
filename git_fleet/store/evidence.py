"""Evidence: a note (TOML) on every integrated commit. A projection of the logs: it can be rebuilt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.errors import Held, Stale
from git_fleet.git import notes
from git_fleet.git.refs import Update
from git_fleet.store import log, names
from git_fleet.store.base import Store, tip, value

_TRIES = 20
_PLAIN = re.compile(r"[ !#-\[\]-~]*")  # a text that stands in quotes as it is


def text(document: Mapping[str, Any]) -> str:
    """The note's text: version first, then what is known."""
    whole = {"version": 1, **document}
    lines = [f"{key} = {written}\n" for key, value in whole.items() if (written := _scalar(value))]
    if len(lines) == len(whole):
        return "".join(lines)
    import tomli_w

    return tomli_w.dumps(whole)


def _scalar(value: object) -> str:
    """The TOML of a simple value, as all are where no gate ran; "" for what is left to tomli_w, which takes ten
    times as long."""
    if isinstance(value, str):
        return f'"{value}"' if _PLAIN.fullmatch(value) else ""
    if type(value) is int:
        return str(value)
    return "[]" if value == [] else ""


def read(store: Store, commit: Oid) -> str | None:
    """The evidence note on `commit`, or None."""
    found = tip(store.refs.get(names.EVIDENCE))
    data = notes.read_note(store.objects, found, commit) if found else None
    return data.decode(errors="replace") if data is not None else None


def add(
    store: Store, texts: Mapping[Oid, str], *, actor: str, at: datetime, where_none: bool = False
) -> None:
    """Put the notes on their commits, all in one revision of the notes ref; with `where_none` only on those that have
    none when it is written: whoever integrates may be about to, and knows more.

    Somebody else's note written meanwhile is kept: it is read again and ours are put on top. Raises Held or Stale when
    that happens again and again, Busy when a lock stays.
    """
    who = log.signature(Event("evidence", at, actor))
    for attempt in range(_TRIES):
        before = tip(store.refs.get(names.EVIDENCE))
        data = {commit: content.encode() for commit, content in texts.items()}
        if before is not None:
            there = {commit: notes.read_note(store.objects, before, commit) for commit in data}
            data = {
                commit: text
                for commit, text in data.items()
                if (there[commit] is None if where_none else there[commit] != text)
            }
        if not data:
            return
        after = notes.with_notes(store.objects, before, data, author=who, message="evidence\n")
        try:
            store.transact([Update(names.EVIDENCE, value(before), after)])
            return
        except (Held, Stale):
            if attempt == _TRIES - 1:
                raise
