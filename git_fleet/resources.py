"""Where the files beside the code are: hook shims, JSON Schemas, templates.

A wheel carries the first two inside the package (`_hooks`, `_schemas`); in a checkout and its editable
install they are the top-level folders `hooks/` and `schemas/`. One place knows both. Templates are in the
package's own folder `templates/` everywhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent
_SUFFIX = ".schema.json"


def hooks_dir() -> Path:
    """The folder of the hook shims, one executable file per git hook, named as git names it."""
    return _folder("hooks")


def minder() -> Path:
    """The program that starts an agent and stays with it. It is run by its path: nothing is imported for it."""
    return _PACKAGE / "minder.py"


def schema_names() -> list[str]:
    """Every name `schema` takes, sorted."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in _folder("schemas").glob(f"*{_SUFFIX}"))


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema `schemas/NAME.schema.json`. Raises FileNotFoundError: the names are ours, not input."""
    document: dict[str, Any] = json.loads(
        (_folder("schemas") / f"{name}{_SUFFIX}").read_text(encoding="utf-8")
    )
    return document


def template(name: str) -> str:
    """The text of `templates/NAME.md.j2`. Raises FileNotFoundError: the names are ours, not input."""
    return (_PACKAGE / "templates" / f"{name}.md.j2").read_text(encoding="utf-8")


def completion(shell: str) -> str:
    """The script that completes our commands in a shell. Raises FileNotFoundError: the names are ours, not input."""
    return (_PACKAGE / "templates" / "completion" / f"git-fleet.{shell}").read_text(encoding="utf-8")


def job_template(name: str) -> str:
    """The text of `templates/jobs/NAME.j2`. Raises FileNotFoundError: the names are ours, not input."""
    return (_PACKAGE / "templates" / "jobs" / f"{name}.j2").read_text(encoding="utf-8")


def agents_text(name: str) -> str:
    """What coding agents are given, `templates/agents/NAME`. Raises FileNotFoundError: the names are ours, not input."""
    return (_PACKAGE / "templates" / "agents" / name).read_text(encoding="utf-8")


def web(name: str) -> str:
    """The text of a page, a style or a script, `templates/web/NAME`. Raises FileNotFoundError: the names are ours."""
    return (_PACKAGE / "templates" / "web" / name).read_text(encoding="utf-8")


def claude_plugin() -> Path:
    """The folder that Claude Code takes as a plugin (`claude --plugin-dir`)."""
    return _PACKAGE / "templates" / "claude-plugin"


def _folder(name: str) -> Path:
    """`git_fleet/_NAME` of a wheel, else `NAME` beside the package. A wheel comes first: what lies
    beside it is site-packages, where a folder `hooks` could be anybody's."""
    inside = _PACKAGE / f"_{name}"
    return inside if inside.is_dir() else _PACKAGE.parent / name
