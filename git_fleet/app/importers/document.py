"""What an importer makes of a text."""

from __future__ import annotations

from typing import Any, NamedTuple

from git_fleet.core.problems import Lines


class Document(NamedTuple):
    """A decoded plan in the shape of plan.toml (DESIGN section 5), not yet checked, and the lines
    of the text that its parts come from, as far as they are known. `notes` are sentences about what
    was left out, kept as comments in the text that is stored."""

    data: dict[str, Any]
    lines: Lines
    notes: tuple[str, ...] = ()
