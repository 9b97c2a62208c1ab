"""Events and states as canonical JSON, and back (DESIGN section 3, format version 1).

An event is one line of JSON with sorted keys and no spaces, ASCII only (so non-UTF-8 paths, held as
surrogates, survive). Fields that have their default are left out; unknown fields of a known version
are refused, because a state that is only half understood must not be written back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any

from msgspec import NODEFAULT, DecodeError, Struct, ValidationError, convert, structs
from msgspec.json import Decoder
from msgspec.structs import FieldInfo

from git_fleet.core.ids import Oid
from git_fleet.core.model import (
    ChangesetLog,
    Claim,
    Finding,
    LeadState,
    Moment,
    Plan,
    PlanLog,
    Proposal,
    State,
    TaskState,
    Usage,
    Verdict,
)
from git_fleet.errors import UnknownFormat, UnknownVersion

VERSION = 1
_SOME = 64  # of what many events in a row have in common


@lru_cache(maxsize=_SOME)
def format_time(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: 2026-11-20T18:50:05.123Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """The inverse of `format_time`. Raises ValueError for a time without a zone, too."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} says no zone")
    return moment


def canonical(document: Mapping[str, Any]) -> str:
    """One line of JSON that is the same for equal documents."""
    return _JSON.encode(document)


def canonical_value(value: object) -> str:
    """The canonical JSON of a typed value, written without the data in between: thousands are in a row."""
    write = _WRITERS.get(type(value))
    return write(value) if write is not None else _JSON.encode(_plain(value))


def canonical_object(parts: Mapping[str, str]) -> str:
    """The JSON object with these values, which are canonical JSON by their keys."""
    return "{" + ",".join([f"{_quoted(key)}:{parts[key]}" for key in sorted(parts)]) + "}"


_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
_quoted = json.encoder.encode_basestring_ascii
_AS_IS = frozenset({str, int, float, bool, type(None)})


def _plain(value: Any) -> Any:
    """A typed value as JSON-able data; structs without the fields that have their default."""
    if type(value) in _AS_IS:
        return value
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Struct):
        fields = _fields(type(value))
        return {name: _plain(v) for name, default in fields if (v := getattr(value, name)) != default}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _write_fields(value: Any) -> str:
    """A struct as `_plain` has it, as JSON."""
    cls: Any = type(value)
    values, fields = _in_order(cls)
    parts = [
        f"{key}:{canonical_value(one)}"
        for one, (key, default) in zip(values(value), fields, strict=True)
        if one is not default and one != default
    ]
    return "{" + ",".join(parts) + "}"


@cache
def _in_order(cls: Any) -> tuple[Callable[[Any], tuple[Any, ...]], tuple[tuple[str, Any], ...]]:
    """What reads all fields of a struct, sorted by name, and for each its name in quotes and its default."""
    known = dict(_fields(cls))
    return attrgetter(*sorted(known)), tuple((_quoted(name), known[name]) for name in sorted(known))


_write_again = lru_cache(maxsize=_SOME)(_write_fields)  # the same in a task's next event
_WRITERS: dict[type[Any], Callable[[Any], str]] = {
    str: _quoted,
    State: _quoted,
    int: int.__repr__,
    datetime: lambda moment: _quoted(format_time(moment)),
    TaskState: _write_fields,
    Usage: _write_fields,
    Claim: _write_again,
    Proposal: _write_again,
}


@cache
def _fields(cls: type[Any]) -> tuple[tuple[str, Any], ...]:
    """The fields of a struct, each with its default."""
    return tuple((field.name, _default(field)) for field in structs.fields(cls))


def _default(field: FieldInfo) -> Any:
    return field.default if field.default_factory is NODEFAULT else field.default_factory()


_TYPED: dict[str, Any] = {
    "claim": Claim,
    "proposal": Proposal,
    "verdict": Verdict,
    "usage": Usage,
    "findings": tuple[Finding, ...],
    "verdicts": tuple[Verdict, ...],
    "acquired_at": Moment,
    "expires_at": Moment,
}
"""What an event's field of that name holds. A verdict and a proposal can be a word and a number, too."""


def _read(document: object, kind: Any, what: str) -> Any:
    """JSON-able data as a value of this kind. Raises UnknownFormat where it is of no such kind, or has fields that this
    program does not know."""
    try:
        return convert(document, kind)
    except (ValidationError, UnicodeEncodeError) as error:  # the other: a word is odd that cannot be UTF-8
        raise UnknownFormat(f"{what} is not understood: {error}", hint="git fleet doctor") from error


def encode(value: Any) -> dict[str, Any]:
    """A typed value with fields as data: what `canonical_value` is the JSON of."""
    encoded: dict[str, Any] = _plain(value)
    return encoded


def decode_task_state(document: object, event_oid: Oid) -> TaskState:
    """A task's state from the event `event_oid`: a claim event is its own fence. Raises UnknownFormat."""
    state: TaskState = _read(document, TaskState, f"the state of event {event_oid[:12]}")
    return state.fenced(event_oid)


def read_task_state(line: bytes, event_oid: Oid, where: str) -> TaskState:
    """A task's state from the line of JSON of the event `event_oid`, which `where` names. Raises UnknownFormat.

    What is as we write it is decoded in one go, ten times as fast. The rest is looked at more closely: a name that is
    not UTF-8, another version, something damaged.
    """
    with suppress(DecodeError, RecursionError):
        stored = _STORED.decode(line)
        if stored.v == VERSION:
            return stored.state.fenced(event_oid)
    return decode_task_state(parse_document(line, where).get("state"), event_oid)


class _Stored(Struct, frozen=True):
    """Of an event, what its task's state is read from."""

    v: int
    state: TaskState


_STORED = Decoder(_Stored)


def decode_plan_log(document: object, event_oid: Oid) -> PlanLog:
    """A plan log's state from the event `event_oid`. Raises UnknownFormat."""
    log: PlanLog = _read(document, PlanLog, f"the plan's state of event {event_oid[:12]}")
    return log


def decode_changeset_log(document: object, event: str, event_oid: Oid) -> ChangesetLog:
    """A change set's state; an intent event is its own intent. Raises UnknownFormat."""
    log: ChangesetLog = _read(document, ChangesetLog, f"the change set's state of event {event_oid[:12]}")
    return structs.replace(log, intent=event_oid) if event == "intent" else log


def decode_lead_state(document: object, event: str, event_oid: Oid) -> LeadState:
    """The lead's state; an acquire event is its own fence, an intent event its own intent. Raises UnknownFormat."""
    state: LeadState = _read(document, LeadState, f"the lead's state of event {event_oid[:12]}")
    if event == "acquire":
        return structs.replace(state, fence=event_oid)
    if event == "intent":
        return structs.replace(state, intent=event_oid)
    return state


_RESERVED = frozenset({"v", "event", "at", "actor", "nonce", "state"})


def decode_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """The event's own fields, typed, from its whole document. Raises UnknownFormat."""
    return {key: _field(key, value) for key, value in document.items() if key not in _RESERVED}


def _field(key: str, value: object) -> Any:
    kind = _TYPED.get(key)
    plain = value is None or (isinstance(value, (str, int)) and kind is not Moment)
    return value if kind is None or plain else _read(value, kind, f"the {key} of an event")


def parse_document(line: bytes | str, where: str) -> dict[str, Any]:
    """A stored JSON document of our format version. Raises UnknownFormat, UnknownVersion."""
    try:
        document = json.loads(line)
        version = document["v"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # the last: brackets, a thousand deep
        raise UnknownFormat(f"{where} is not a document of git-fleet", hint="git fleet doctor") from error
    if version != VERSION:
        raise UnknownVersion(
            f"{where} has format version {version}; this program knows {VERSION}", hint="git fleet doctor"
        )
    return document  # type: ignore[no-any-return]


def encode_plan(plan: Plan) -> dict[str, Any]:
    """A parsed plan, matrix expanded, as JSON-able data (for caches; the note holds the TOML)."""
    encoded: dict[str, Any] = _plain(plan)
    return encoded


def decode_plan(document: object) -> Plan:
    """The inverse of `encode_plan`. Raises UnknownFormat for anything else."""
    plan: Plan = _read(document, Plan, "a plan")
    return plan
