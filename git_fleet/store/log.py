"""Logs: chains of event commits (DESIGN section 3, *An event*).

Format version 1. An event is a commit whose one parent is the previous event of its log, whose tree
holds the short texts that belong to it, whose author is the actor, and whose message is

    <readable subject>
    <blank line>
    {"actor":"w1","at":"2026-11-20T18:50:05.123Z","event":"claim","nonce":"…",…,"state":{…},"v":1}

The JSON is canonical (core/codec.py). `state` is the whole state after the event, so that reading a
log's state is reading one commit. The nonce makes every event unique: pushing an identical object
counts as success on both sides of a race.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from msgspec import Struct

from git_fleet.core import codec
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import ChangesetLog, LeadState, PlanLog, TaskState
from git_fleet.errors import UnknownFormat
from git_fleet.git.objects import FILE, Commit, Objects, Signature, TreeEntry, parse_commit

MAX_STATE_BYTES = 16 * 1024
MAX_TEXT_BYTES = 64 * 1024


class Entry(Struct, frozen=True):
    """One stored event. `document` is its whole JSON, `event` the typed reading of it."""

    oid: Oid
    parent: Oid | None
    tree: Oid
    event: Event
    document: Mapping[str, Any]

    @property
    def task_state(self) -> TaskState:
        """The state of a task's log after this event."""
        return codec.decode_task_state(self.document.get("state"), self.oid)

    @property
    def plan_log(self) -> PlanLog:
        """The state of a plan's log after this event."""
        return codec.decode_plan_log(self.document.get("state"), self.oid)

    @property
    def lead_state(self) -> LeadState:
        """The state of the lead's log after this event."""
        return codec.decode_lead_state(self.document.get("state"), self.event.name, self.oid)

    @property
    def changeset_log(self) -> ChangesetLog:
        """The state of a change set's log after this event."""
        return codec.decode_changeset_log(self.document.get("state"), self.event.name, self.oid)


def signature(event: Event) -> Signature:
    """Who an event is by: the actor, with an address that is plainly not one."""
    return Signature(event.actor, _address(event.actor), int(event.at.timestamp()), 0)


@lru_cache(maxsize=64)  # thousands of events in a row are by the same few
def _address(actor: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", actor).strip("-.") or "someone"
    return f"{plain}@fleet.invalid"


def write(
    objects: Objects,
    event: Event,
    state: TaskState | PlanLog | LeadState | ChangesetLog,
    *,
    parent: Oid | None,
    subject: str,
    texts: Mapping[str, bytes] | None = None,
    attached: Mapping[str, Oid] | None = None,
) -> Oid:
    """Write the event's commit (objects only; no ref moves) and return its id.

    `texts` are stored in its tree by name, cut to 64 KiB in all; a cut is said in the text.
    `attached` are blobs that stand beside them whole.
    """
    after = codec.canonical_value(state)
    line = _line(event, after)
    if len(after) > MAX_STATE_BYTES:
        raise AssertionError("an event's state may have at most 16 KiB; core/lifecycle.py cuts its texts")
    who = signature(event)
    blobs = {name: objects.write("blob", data) for name, data in cut_texts(texts or {}).items()}
    blobs |= attached or {}
    return objects.write_commit(
        tree=_tree(objects, blobs),
        parents=(parent,) if parent else (),
        author=who,
        committer=who,
        message=f"{one_line(subject)}\n\n{line}\n",
        signed=True,
    )


def _line(event: Event, state: str) -> str:
    """An event as canonical JSON; `state`, after it, is that already."""
    parts = {
        "v": codec.VERSION,
        "event": event.name,
        "at": event.at,
        "actor": event.actor,
        "nonce": _nonce(),
    }
    written = {key: codec.canonical_value(value) for key, value in (*event.fields.items(), *parts.items())}
    return codec.canonical_object({**written, "state": state})


def _nonce() -> str:
    """Eight random bytes, as hex. Many are drawn at a time: asking the system for each takes longer than the rest of a
    line does."""
    with suppress(IndexError):  # also where another thread took the last
        return _NONCES.pop()
    drawn = os.urandom(8 * 256).hex()
    _NONCES.extend(drawn[at : at + 16] for at in range(16, len(drawn), 16))
    return drawn[:16]


_NONCES: list[str] = []
os.register_at_fork(after_in_child=_NONCES.clear)  # no two processes may have the same


def _tree(objects: Objects, blobs: Mapping[str, Oid]) -> Oid:
    if not blobs:
        return objects.write_empty_tree()
    return objects.write_tree(TreeEntry(FILE, name, oid) for name, oid in blobs.items())


def one_line(text: str, limit: int = 100) -> str:
    """`text` without control characters, on one line, cut to `limit` characters."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    plain = " ".join(text.split())
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def cut_texts(texts: Mapping[str, bytes]) -> dict[str, bytes]:
    """The texts within 64 KiB in all; what is cut loses its beginning (the end tells the outcome)."""
    if sum(map(len, texts.values())) <= MAX_TEXT_BYTES:
        return dict(texts)
    share = MAX_TEXT_BYTES // len(texts)
    cut = {}
    for name, data in texts.items():
        if len(data) > share:
            note = b"[%d bytes cut here]\n" % (len(data) - share)
            cut[name] = note + data[-(share - len(note)) :]
        else:
            cut[name] = data
    return cut


def parse(oid: Oid, data: bytes) -> Entry:
    """The event that commit `oid` holds. Raises UnknownFormat for anything else."""
    return from_commit(parse_commit(oid, data))


def task_state(oid: Oid, data: bytes) -> TaskState:
    """The task's state after event `oid`, whose commit is `data`: only the message's last line is read,
    since a snapshot does this for every task there is. Raises UnknownFormat."""
    return codec.read_task_state(data.rstrip(b"\n").rpartition(b"\n")[2], oid, f"event {oid}")


def from_commit(commit: Commit) -> Entry:
    """The event a parsed commit holds. Raises UnknownFormat."""
    line = commit.message.rstrip("\n").rpartition("\n")[2]
    document = codec.parse_document(line, f"event {commit.oid}")
    try:
        event = Event(
            document["event"],
            codec.parse_time(document["at"]),
            document["actor"],
            codec.decode_fields(document),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnknownFormat(f"event {commit.oid} is damaged: {error!r}", hint="git fleet doctor") from error
    return Entry(commit.oid, commit.parents[0] if commit.parents else None, commit.tree, event, document)


def read(objects: Objects, oid: Oid) -> Entry:
    """The event `oid`."""
    _, data = objects.read(oid)
    return parse(oid, data)


def history(objects: Objects, tip: Oid | None) -> list[Entry]:
    """The whole log that ends at `tip`, oldest first."""
    entries: list[Entry] = []
    while tip is not None:
        entries.append(read(objects, tip))
        tip = entries[-1].parent
    return entries[::-1]


def texts(objects: Objects, entry: Entry) -> dict[str, bytes]:
    """The texts in the event's tree, by name."""
    return {text.name: objects.read(text.oid)[1] for text in objects.read_tree(entry.tree)}
