"""Importers: one small module for each format, text → document in the shape of plan.toml."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePath

from git_fleet.app.importers import json, markdown, toml
from git_fleet.app.importers.document import Document
from git_fleet.errors import InvalidInput

__all__ = ["FORMATS", "Document", "detect_format", "read"]

FORMATS: dict[str, Callable[[str, str], Document]] = {
    "toml": toml.read,
    "json": json.read,
    "markdown": markdown.read,
}
"""Reads (text, the file's name); raises InvalidInput that names file and line."""

_SUFFIXES = {".toml": "toml", ".json": "json", ".md": "markdown", ".markdown": "markdown"}
_TOML_LINE = re.compile(r"^\s*(\[\[?[A-Za-z_]|[A-Za-z_][\w.-]*\s*=)", re.MULTILINE)
_TABLE_ROW = re.compile(r"^\s*\|?\s*:?-+:?\s*\|", re.MULTILINE)


def detect_format(name: str, text: str) -> str:
    """The format of a plan: by the file's suffix, else by what the text looks like.

    Raises InvalidInput when it looks like none of them.
    """
    if known := _SUFFIXES.get(PurePath(name).suffix.lower()):
        return known
    if text.lstrip().startswith("{"):
        return "json"
    if _TABLE_ROW.search(text):
        return "markdown"
    if _TOML_LINE.search(text):
        return "toml"
    raise InvalidInput(
        f"{name}: its format cannot be told; allowed: {', '.join(FORMATS)}", hint="say it: --format toml"
    )


def read(text: str, *, name: str, format_name: str) -> Document:
    """The document of a text in one of `FORMATS`. Raises InvalidInput."""
    if format_name not in FORMATS:
        raise InvalidInput(f"format: found {format_name!r}; allowed: {', '.join(FORMATS)}")
    return FORMATS[format_name](text, name)
