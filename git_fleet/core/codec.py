"""Events and states as canonical JSON, and back (DESIGN section 3, format version 1).

An event is one line of JSON with sorted keys and no spaces, ASCII only (so non-UTF-8 paths, held as
surrogates, survive). Fields that have their default are left out; unknown fields of a known version
are refused, because a state that is only half understood must not be written back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, TypeVar

from msgspec import NODEFAULT, Struct, structs
from msgspec.structs import FieldInfo

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import (
    Claim,
    Finding,
    LeadState,
    Output,
    Overlap,
    Plan,
    PlanLog,
    PlanState,
    Proposal,
    Schedule,
    State,
    Task,
    TaskState,
    Usage,
    Verdict,
)
from git_fleet.errors import UnknownFormat

VERSION = 1
T = TypeVar("T")
Decoder = Callable[[Any], Any]
_SOME = 64  # of what many events in a row have in common


@lru_cache(maxsize=_SOME)
def format_time(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: 2026-11-20T18:50:05.123Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """The inverse of `format_time`."""
    return datetime.fromisoformat(text)


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


def _many(cls: type[T]) -> Decoder:
    return lambda items: tuple(_build(cls, item) for item in items)


def _one(cls: type[T]) -> Decoder:
    return lambda item: _build(cls, item)


_TYPED: dict[str, Decoder] = {
    "claim": _one(Claim),
    "proposal": _one(Proposal),
    "verdict": _one(Verdict),
    "usage": _one(Usage),
    "findings": _many(Finding),
    "verdicts": _many(Verdict),
    "acquired_at": parse_time,
    "expires_at": parse_time,
}
"""How a field of that name is read, wherever it stands. A Verdict's own `verdict` and `proposal`
are a word and a number, so a value of a plain type is taken as it is."""


def _build(cls: type[T], document: Any) -> T:
    if not isinstance(document, Mapping):
        return document  # type: ignore[no-any-return]  # a plain value under a typed field's name
    known = _FIELDS[cls]
    if not known.issuperset(document):
        raise UnknownFormat(f"unknown field {min(set(document) - known)!r} in a stored {cls.__name__}")
    return cls(**{key: _decode_field(key, value) for key, value in document.items()})


def _decode_field(key: str, value: Any) -> Any:
    decoder = _TYPED.get(key)
    return decoder(value) if decoder and value is not None else value


_FIELDS: dict[type[Any], frozenset[str]] = {
    cls: frozenset(cls.__struct_fields__)
    for cls in (Claim, Finding, LeadState, PlanLog, Proposal, TaskState, Usage, Verdict)
}


def encode(value: Any) -> dict[str, Any]:
    """A typed value with fields as data: what `canonical_value` is the JSON of."""
    encoded: dict[str, Any] = _plain(value)
    return encoded


def decode_task_state(document: Mapping[str, Any], event_oid: Oid) -> TaskState:
    """A task's state from the event `event_oid`: a claim event is its own fence."""
    known = {**document, "state": State(document.get("state", State.PENDING))}
    return _build(TaskState, known).fenced(event_oid)


def decode_plan_log(document: Mapping[str, Any]) -> PlanLog:
    """A plan log's state."""
    log = _build(PlanLog, document)
    return structs.replace(log, state=PlanState(log.state))


def decode_lead_state(document: Mapping[str, Any], event: str, event_oid: Oid) -> LeadState:
    """The lead's state; an acquire event is its own fence, an intent event its own intent."""
    state = _build(LeadState, document)
    if event == "acquire":
        return structs.replace(state, fence=event_oid)
    if event == "intent":
        return structs.replace(state, intent=event_oid)
    return state


_RESERVED = frozenset({"v", "event", "at", "actor", "nonce", "state"})


def decode_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """The event's own fields, typed, from its whole document."""
    return {key: _decode_field(key, value) for key, value in document.items() if key not in _RESERVED}


def parse_document(line: bytes | str, where: str) -> dict[str, Any]:
    """A stored JSON document of our format version. Raises UnknownFormat."""
    try:
        document = json.loads(line)
        version = document["v"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # the last: brackets, a thousand deep
        raise UnknownFormat(f"{where} is not a document of git-fleet", hint="git fleet doctor") from error
    if version != VERSION:
        raise UnknownFormat(
            f"{where} has format version {version}; this program knows {VERSION}", hint="git fleet doctor"
        )
    return document  # type: ignore[no-any-return]


def encode_plan(plan: Plan) -> dict[str, Any]:
    """A parsed plan, matrix expanded, as JSON-able data (for caches; the note holds the TOML)."""
    encoded: dict[str, Any] = _plain(plan)
    return encoded


def decode_plan(document: Mapping[str, Any]) -> Plan:
    """The inverse of `encode_plan`. Raises TypeError or ValueError for anything else."""
    tasks = tuple(_decode_task(task) for task in document["tasks"])
    schedule = Schedule(document.get("schedule", Schedule.READY))
    return Plan(
        document["id"], document["title"], document["base"], tasks, schedule, document.get("workspace", "")
    )


def _decode_task(document: Mapping[str, Any]) -> Task:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
    }
    fields["id"] = TaskId(*document["id"])
    if "params" in fields:
        fields["params"] = tuple((key, value) for key, value in document["params"])
    if "output" in fields:
        fields["output"] = Output(fields["output"])
    if "overlap" in fields:
        fields["overlap"] = Overlap(fields["overlap"])
    return Task(**fields)
