"""What the lines mean that the known agents print when nobody sits there: one function each, an event of the agent's
stream (a line of JSON, decoded) in, what it says out (core/adapters.py has who prints which).

Usage is one thing for all of them: input with what came from or went into a cache, output with reasoning. Observed
on Claude Code 2.1.197 and 2.1.329, Codex 0.169 and 0.171, Gemini CLI 0.61, OpenCode 1.18.33. Events are untrusted:
whatever is in them, none of this raises.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from git_fleet.core.model import Usage
from git_fleet.core.supervision import is_rate_limit

MAX_WORDS = 200

Event = Mapping[str, Any]


class Said(Struct, frozen=True):
    """What one event says. `words`: what the agent is at. `answer` is (more of) its final text: it goes on where
    the one before ended if it `joins`. `used` is said of `key` and stands in the place of what was said of that
    before; without a key it is the sum of all until then. `acts`: it uses a tool. `good`: a turn came to a good end.
    Not `alive`: it only tries again to reach its model."""

    words: str = ""
    answer: str = ""
    joins: bool = False
    used: Usage | None = None
    key: str = ""
    failure: str = ""
    limited: bool = False
    acts: bool = False
    good: bool = False
    alive: bool = True


# --- reading values that may be anything ----------------------------------------------------------------


def decoded(line: str) -> Event | None:
    """The event that a line is, None when it is none."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _table(value: Event, *keys: str) -> Event:
    """The table below these keys, an empty one where there is none."""
    found: Any = value
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _tables(value: Any) -> list[Event]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _text(value: Event, *keys: str) -> str:
    """The first text under one of these keys that is not blank."""
    found = (value.get(key) for key in keys)
    return next((text for text in found if isinstance(text, str) and text.strip()), "")


def _count(value: Event, *keys: str) -> int:
    found = (value.get(key) for key in keys)
    return sum(min(n, 10**15) for n in found if isinstance(n, int) and not isinstance(n, bool) and n > 0)


def _cost(value: Event, key: str) -> float:
    found = value.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < 1e9:
        return 0.0  # no number, or none that money is counted in (NaN is none either)
    return round(float(found), 6) if math.isfinite(found) else 0.0


def short(text: str) -> str:
    """Words on one line, harmless for a terminal, not more than MAX_WORDS characters."""
    words = " ".join("".join(c if c.isprintable() else " " for c in text[: MAX_WORDS * 4]).split())
    return words if len(words) <= MAX_WORDS else words[: MAX_WORDS - 1] + "…"


_ARGUMENTS = (
    "file_path", "filePath", "notebook_path", "path", "command", "cmd", "pattern", "query", "url", "description",
)  # fmt: skip


def _tool(name: str, arguments: Event) -> str:
    return short(f"{name}: {_text(arguments, *_ARGUMENTS)}".rstrip(": "))


# --- Claude Code ------------------------------------------------------------------------------------------


def claude(event: Event) -> Said | None:
    """`result` has the sum of all it used, each `assistant` what one answer of the model did (said with every part
    of that answer). A part of input that came from a cache, or went into one, is counted apart."""
    match event.get("type"):
        case "assistant":
            return _claude_answer(event, _table(event, "message"))
        case "result":
            failure, status = failure_of(event), event.get("api_error_status")
            asked_for = event.get("structured_output")  # with --json-schema
            return Said(
                words=short(_text(event, "result")),
                answer=json.dumps(asked_for) if isinstance(asked_for, Mapping) else _text(event, "result"),
                used=_claude_sum(event),
                failure=failure,
                limited=bool(failure) and (status in (429, 529) or is_rate_limit(None, failure)),
                good=not failure,
            )
        case "rate_limit_event":
            return Said(limited=_text(_table(event, "rate_limit_info"), "status") == "rejected")
        case "system" if event.get("subtype") == "api_retry":
            said = _text(event, "error") or "the model could not be reached"
            limited = event.get("error_status") in (429, 529) or is_rate_limit(None, said)
            return Said(words=short(f"trying again: {said}"), limited=limited, alive=False)
        case str():
            return Said()
    return None


def _claude_answer(event: Event, message: Event) -> Said:
    words = ""
    for part in _tables(message.get("content")):
        if part.get("type") == "text":
            words = short(_text(part, "text"))
        elif part.get("type") == "tool_use":
            words = _tool(_text(part, "name"), _table(part, "input"))
    error, used, key = _text(event, "error"), _table(message, "usage"), _text(message, "id")
    if error:  # not an answer of the model: the program's own words about it
        return Said(words=words, limited=error in ("rate_limit", "overloaded"))
    spent = Usage(_count(used, *_CLAUDE_INPUT), _count(used, "output_tokens"))
    return Said(words=words, used=spent if key else None, key=key)


_CLAUDE_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_CLAUDE_MODEL_INPUT = ("inputTokens", "cacheCreationInputTokens", "cacheReadInputTokens")


def _claude_sum(event: Event) -> Usage | None:
    models = [_table(each) for each in _tables(list(_table(event, "modelUsage").values()))]
    if not models:
        return None  # it failed before its model said anything
    return Usage(
        sum(_count(model, *_CLAUDE_MODEL_INPUT) for model in models),
        sum(_count(model, "outputTokens") for model in models),
        _cost(event, "total_cost_usd"),
    )


def failure_of(event: Event) -> str:
    """What the program of Claude Code says of its own failure in a `result`, or "". A `subtype` of `success` says
    nothing: what counts is `is_error`. (That a tool of an agent failed is no failure.)"""
    kind, subtype = str(event.get("type", "result")), str(event.get("subtype", ""))
    if kind != "result" or not (event.get("is_error") is True or subtype.startswith("error")):
        return ""
    if subtype.startswith("error"):
        return short(subtype)
    return short(str(event.get("result") or "is_error"))


# --- Codex ------------------------------------------------------------------------------------------------

_TRIES_AGAIN = re.compile(r"\s*(?:reconnecting|retrying|stream disconnected|stream error)", re.IGNORECASE)


def codex(event: Event) -> Said | None:
    """The usage of `turn.completed` is that of the whole session; cached input is part of the input there, and
    reasoning part of the output. An `error` while it tries again is no sign of life; an item that is one, a warning."""
    match event.get("type"):
        case "item.started" | "item.updated" | "item.completed":
            item = _table(event, "item")
            final = event["type"] == "item.completed" and item.get("type") == "agent_message"
            acts = item.get("type") in _CODEX_TOOLS
            return Said(words=_codex_words(item), answer=_text(item, "text") if final else "", acts=acts)
        case "turn.completed":
            used = _table(event, "usage")
            return Said(
                used=Usage(_count(used, "input_tokens"), _count(used, "output_tokens")) if used else None,
                good=True,
            )
        case "turn.failed":
            said = _codex_failure(_table(event, "error")) or "its turn failed"
            return Said(words=short(said), failure=short(said), limited=is_rate_limit(None, said))
        case "error":
            said = _codex_failure(event) or "error"
            limited = is_rate_limit(None, said)
            if _TRIES_AGAIN.match(said):
                return Said(words=short(said), limited=limited, alive=False)
            return Said(words=short(said), failure=short(said), limited=limited)
        case str():
            return Said()
    return None


_CODEX_TOOLS = ("command_execution", "file_change", "mcp_tool_call", "web_search")


def _codex_failure(error: Event) -> str:
    """What went wrong; what the endpoint answered stands there as it came."""
    said = _text(error, "message")
    return _text(_table(decoded(said) or {}, "error"), "message") or said


def _codex_words(item: Event) -> str:
    match item.get("type"):
        case "file_change":
            paths = (_text(change, "path") for change in _tables(item.get("changes")))
            return short(f"edit: {', '.join(filter(None, paths))}")
        case "mcp_tool_call":
            return _tool(
                f"{_text(item, 'server')}.{_text(item, 'tool')}".strip("."), _table(item, "arguments")
            )
        case "todo_list":
            left = (each for each in _tables(item.get("items")) if each.get("completed") is not True)
            return short(next((_text(each, "text") for each in left), ""))
    return short(_text(item, "text", "command", "query", "message"))


# --- Gemini CLI -------------------------------------------------------------------------------------------


def gemini(event: Event) -> Said | None:
    """`result` has the sums; `input_tokens` has what came from the cache in it. Its final text comes in pieces, and
    begins anew behind each use of a tool. Without events (`-o json`) the text is the `response` of one document."""
    match event.get("type"):
        case "message" if event.get("role") == "assistant":
            said = event.get("content")  # a piece may be no more than the end of a line
            said = said if isinstance(said, str) else ""
            return Said(words=short(said), answer=said, joins=True)
        case "tool_use":
            return Said(words=_tool(_text(event, "tool_name"), _table(event, "parameters")), acts=True)
        case "error":
            said = _text(event, "message") or "error"
            grave = event.get("severity") != "warning"
            return Said(
                words=short(said), failure=short(said) if grave else "", limited=is_rate_limit(None, said)
            )
        case "result":
            good = event.get("status") != "error"
            said = "" if good else _text(_table(event, "error"), "message") or "it says that it failed"
            used = _table(event, "stats")
            output = max(
                _count(used, "output_tokens"), _count(used, "total_tokens") - _count(used, "input_tokens")
            )
            return Said(
                used=Usage(_count(used, "input_tokens"), output) if used else None,
                failure=short(said),
                limited=is_rate_limit(None, said),
                good=good,
            )
        case str():
            return Said()
    if "response" in event or "session_id" in event:
        failure = _text(_table(event, "error"), "message")
        return Said(answer=_text(event, "response"), failure=short(failure), good=not failure)
    return None


# --- OpenCode ---------------------------------------------------------------------------------------------


def opencode(event: Event) -> Said | None:
    """Tokens and cost stand in each `step_finish`, for that step alone, with cache and reasoning apart."""
    part = _table(event, "part")
    match event.get("type"):
        case "text":
            said = _text(part, "text")
            return Said(words=short(said), answer=said and f"{said}\n", joins=True)
        case "tool_use":
            state = _table(part, "state")
            return Said(words=_tool(_text(part, "tool"), _table(state, "input")), acts=True)
        case "step_finish":
            tokens, cache = _table(part, "tokens"), _table(part, "tokens", "cache")
            used = Usage(
                _count(tokens, "input") + _count(cache, "read", "write"),
                _count(tokens, "output", "reasoning"),
                _cost(part, "cost"),
            )
            return Said(used=used, key=_text(part, "id", "messageID") or "step", good=True)
        case "error":
            error = _table(event, "error")
            said = _text(_table(error, "data"), "message") or _text(error, "message", "name") or "error"
            limited = _table(error, "data").get("statusCode") == 429 or is_rate_limit(None, said)
            return Said(words=short(said), failure=short(said), limited=limited)
        case str():
            return Said()
    return None
