"""What a planner is told, and its answer (DESIGN section 12, `plan draft`).

A planner is a command of the user's own, most often an agent, that splits a piece of work into tasks. It is
told in one text, in which all that others wrote is quoted. It answers with a plan, as TOML or JSON, or that the
work is none for several. Either is looked for in all that it printed: in code fences, in prose, and in the texts
of JSON, which is how agents' programs wrap what they say. The last one counts. Nothing of a quotation can pass
for an answer: each of its lines begins with a mark.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from git_fleet.core import quoting
from git_fleet.core.config import Config
from git_fleet.core.dialects import failure_of
from git_fleet.core.trailers import one_line

MOST_DESCRIPTION = 40 * 1024
MOST_OUTLINE = 24 * 1024
_MOST_LIST = 4 * 1024
_MOST_ANSWER = 16 * 1024
_MOST_PROBLEMS = 4 * 1024
_REASON = 1000

_FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*(\w*)[^\n]*\n(.*?)\n?^[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE
)
_OBJECT = re.compile(r'\{\s*"')
_BARE = re.compile(r"^(?:version\s*=\s*1|fan_out\s*=\s*false)\s*(?:#.*)?$", re.MULTILINE)
_PIECE, _PIECES, _DEPTH = 1 << 18, 200, 4


class Answer(Struct, frozen=True):
    """What a planner said: `text` of a plan in `format` (toml, json); or why the work is none for several
    (`serial`); or, where it said nothing clear, why not (`unclear`)."""

    text: str = ""
    format: str = ""
    serial: str = ""
    unclear: str = ""


class Earlier(Struct, frozen=True):
    """An answer that could not be used, and what was wrong with it."""

    said: str
    problems: str


def values(
    description: str,
    *,
    outline: str,
    schema: Mapping[str, Any],
    base: str,
    config: Config,
    taken: Sequence[str],
    plan_id: str,
    earlier: Earlier | None = None,
) -> dict[str, Any]:
    """The variables of the planner's prompt. What others wrote is quoted in them already."""
    gates = [
        f"{gate.name}: {gate.run if isinstance(gate.run, str) else ' '.join(gate.run)}"
        for gate in config.gates
    ]
    said = [
        description,
        outline,
        *gates,
        *config.protected,
        *((earlier.said, earlier.problems) if earlier else ()),
    ]
    mark = quoting.mark_for(said)

    def quoted(text: str, source: str, most: int) -> str:
        return quoting.quote(text, source, mark, most=most)

    return {
        "mark": mark,
        "description": quoted(description, "the work, whoever asked for it", MOST_DESCRIPTION),
        "outline": quoted(outline, "tracked files, git", MOST_OUTLINE + MOST_OUTLINE // 4),
        "gates": quoted("\n".join(map(one_line, gates)), "commands, fleet.toml", _MOST_LIST),
        "protected": quoted("\n".join(map(one_line, config.protected)), "patterns, fleet.toml", _MOST_LIST),
        "schema": json.dumps(
            schema.get("$defs", {}).get("task", {}).get("properties", {}), separators=(",", ":")
        ),
        "base": one_line(base),
        "plan_id": plan_id,
        "taken": ", ".join(taken[:50]),
        "workers": config.max_active,
        "spawn_seconds": f"{config.spawn_seconds:g}",
        "review_minutes": f"{config.review_minutes:g}",
        "earlier": quoted(earlier.said, "your answer before", _MOST_ANSWER) if earlier else "",
        "problems": quoted(earlier.problems, "what is wrong with it", _MOST_PROBLEMS) if earlier else "",
    }


def read_answer(output: str) -> Answer:
    """The plan, or the no, in what a planner printed. Never raises: what is not clear is `unclear`."""
    failed: list[str] = []
    for text in reversed(list(_texts(output, failed))):
        found = _last_in(text)
        if found is not None:
            return found
    if failed:
        return Answer(unclear=f"its program says that it failed: {failed[0]}")
    if not output.strip():
        return Answer(unclear="it printed nothing")
    ends = quoting.harmless(one_line(output.rstrip()[-120:]))
    return Answer(unclear=f"neither a plan nor a no is in what it printed, which ends: {ends}")


def _texts(output: str, failed: list[str], depth: int = _DEPTH) -> Iterator[str]:
    """The texts in which an answer may stand, in the order printed: those in JSON, and what is none."""
    loose: list[str] = []
    whole = _loaded(output)
    for line in [output] if whole is not None else output.split("\n"):
        value = whole if whole is not None else _loaded(line)
        if value is None:
            loose.append(line)
            continue
        yield "\n".join(loose)
        loose.clear()
        yield from _within(value, failed, depth)
    yield "\n".join(loose)


def _loaded(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _within(value: Any, failed: list[str], depth: int) -> Iterator[str]:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if _is_answer(one):
                yield json.dumps(one)
                continue
            if said := failure_of(one):
                failed.append(said)
            left.extend(reversed(one.values()))
        elif isinstance(one, list):
            left.extend(reversed(one))
        elif isinstance(one, str) and depth:
            yield from _texts(one, failed, depth - 1)


def _is_answer(one: Mapping[str, Any]) -> bool:
    return one.get("fan_out") is False or any(isinstance(one.get(key), list) for key in ("task", "tasks"))


def _last_in(text: str) -> Answer | None:
    """The last answer in a text: in a fence, else as an object of JSON, else as TOML up to the end."""
    for fence in reversed(list(_FENCE.finditer(text))):
        found = _read(fence[3], toml="[[task]]" in fence[3])
        if found is not None:
            return found
    decoder, last = json.JSONDecoder(), None
    if '"task' in text or '"fan_out"' in text:
        end = 0
        for start in deque((match.start() for match in _OBJECT.finditer(text)), maxlen=_PIECES):
            if start < end:
                continue
            try:
                value, length = decoder.raw_decode(text[start : start + _PIECE])
            except (ValueError, RecursionError):
                continue
            if _is_answer(value):
                last, end = _of(value, text[start : start + length], "json"), start + length
    if last is None and (starts := list(_BARE.finditer(text))):
        last = _read(text[starts[-1].start() :], toml=False)
    return last


def _read(text: str, *, toml: bool) -> Answer | None:
    """A text that is an answer as a whole; with `toml` one that was meant to be, too."""
    value = _loaded(text)
    if isinstance(value, dict):
        return _of(value, text, "json") if _is_answer(value) else None
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return Answer(text, "toml") if toml else None
    return _of(document, text, "toml") if _is_answer(document) else None


def _of(value: Mapping[str, Any], text: str, form: str) -> Answer:
    if value.get("fan_out") is False:
        reason = one_line(quoting.harmless(str(value.get("reason") or "")))
        return Answer(serial=reason[:_REASON] or "it gives no reason")
    return Answer(text, form)
