"""Importers: one small module for each format, text → document in the shape of plan.toml.

Each is imported when it is needed: most commands read TOML alone.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import PurePath
from typing import Any

from git_fleet.app.importers import json
from git_fleet.app.importers.document import Document
from git_fleet.core.problems import Folder
from git_fleet.errors import InvalidInput

__all__ = ["FORMATS", "Document", "detect_format", "read"]

FORMATS = ("toml", "json", "markdown", "github", "beads", "backlog", "taskmaster")
"""One module each, whose `read` takes (text, the file's name) and raises InvalidInput that names file and line."""

_SUFFIXES = {".toml": "toml", ".jsonl": "beads"}
_MARKDOWN = (".md", ".markdown")
_TOML_LINE = re.compile(r"^\s*(\[\[?[A-Za-z_]|[A-Za-z_][\w.-]*\s*=)", re.MULTILINE)
_TABLE_ROW = re.compile(r"^\s*\|?\s*:?-+:?\s*\|", re.MULTILINE)


def detect_format(name: str, text: str) -> str:
    """The format of a plan: by the file's suffix, else by what the text looks like.

    Raises InvalidInput when it looks like none of them.
    """
    suffix = PurePath(name).suffix.lower()
    if isinstance(name, Folder):
        return "backlog"
    if known := _SUFFIXES.get(suffix):
        return known
    if _has_front_matter(text):
        return "backlog"
    if suffix in _MARKDOWN:
        return "markdown"
    if suffix == ".json" or (text.lstrip().startswith(("{", "[")) and not _TOML_LINE.match(text)):
        return _json_format(text, name)
    if _TABLE_ROW.search(text):
        return "markdown"
    if _TOML_LINE.search(text):
        return "toml"
    raise InvalidInput(
        f"{name}: its format cannot be told; allowed: {', '.join(FORMATS)}", hint="say it: --format toml"
    )


def _has_front_matter(text: str) -> bool:
    """Whether it begins as a task file does: front matter with an id."""
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        return False
    end = next((number for number, line in enumerate(lines[1:], start=1) if line.rstrip() == "---"), 0)
    return any(line.startswith("id:") for line in lines[1:end])


def _json_format(text: str, name: str) -> str:
    """Which of the formats that are JSON. What is broken, or none of them, is told by the reader of plans."""
    try:
        data: Any = json.decode(text, name)
    except InvalidInput:
        return "beads" if _is_bead(text.lstrip().partition("\n")[0], name) else "json"
    if isinstance(data, list) or (isinstance(data, dict) and "number" in data):
        return "github"
    if not isinstance(data, dict) or data.keys() & {"version", "plan", "task"}:
        return "json"
    if isinstance(data.get("tasks"), list) or any(
        isinstance(value, dict) and isinstance(value.get("tasks"), list) for value in data.values()
    ):
        return "taskmaster"
    return "beads" if "id" in data and "title" in data else "json"


def _is_bead(line: str, name: str) -> bool:
    """Whether a line by itself is an issue, or another thing that an export of beads holds."""
    try:
        data = json.decode(line, name)
    except InvalidInput:
        return False
    return isinstance(data, dict) and ("_type" in data or {"id", "title"} <= data.keys())


def read(text: str, *, name: str, format_name: str) -> Document:
    """The document of a text in one of `FORMATS`. Raises InvalidInput."""
    if format_name not in FORMATS:
        raise InvalidInput(f"format: found {format_name!r}; allowed: {', '.join(FORMATS)}")
    found: Document = import_module(f"git_fleet.app.importers.{format_name}").read(text, name)
    return found
