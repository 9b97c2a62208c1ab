"""Documents at the border: bytes that people wrote → checked values, or one error that says it all."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import tomli_w

from git_fleet.app import importers
from git_fleet.app.importers import toml
from git_fleet.app.validation import check_schema
from git_fleet.core import patterns, spelling
from git_fleet.core.config import Config, from_document
from git_fleet.core.matrix import placeholders
from git_fleet.core.model import Plan
from git_fleet.core.plandoc import VERSION, parse_plan
from git_fleet.core.problems import Path, Problems, at, found, line_of, show
from git_fleet.errors import InvalidInput, UnknownVersion

_PATTERNS = ("protected", "park", "disposable")
_TEMPLATE_KEYS = ("id", "slug", "repo", "plan")
_NOT_IN_COMMENTS = (*range(0x20), 0x7F)
_MAX_DEPTH = 20
_MANY_LINES = ("run", "setup", "teardown", "env")


def load_plan(
    text: bytes,
    *,
    name: str,
    format: str | None,  # noqa: A002 – what the option and the documentation call it
    plan_id: str | None,
    default_base: str,
) -> tuple[Plan, str]:
    """The plan a file holds, and the TOML to store for it.

    `name` is the file's (its suffix tells the format unless `format` says it, its stem is the
    id of a Markdown plan); `plan_id` overrides the plan's id, `default_base` stands in for a
    missing base and is written down, so that what is stored does not depend on the configuration.
    TOML input is kept as it was written, comments and all, where nothing had to be replaced.
    Raises InvalidInput that names file, line where known, field, value and what is allowed.
    """
    try:
        source = decode(text, name)
        chosen = format or importers.detect_format(name, source)
        document = importers.read(source, name=name, format_name=chosen)
        _check_depth(document.data, name)
    except InvalidInput as error:
        error.hint = error.hint or "nothing was stored; correct it and import it again"
        raise
    added: dict[str, Any] = {}
    if plan_id is not None and str(document.data.get("plan")).strip().lower() != plan_id.lower():
        added["plan"] = plan_id
    if "base" not in document.data:
        added["base"] = default_base
    data = {**document.data, **added}
    _check_version(data, name)
    problems = Problems(name)
    check_schema(data, "plan", problems, document.lines)
    hint = "nothing was stored; correct it and import it again"
    if "plan" not in data:
        file = "-" if name == "standard input" else shlex.quote(name)
        hint = f'write plan = "ID" into it, or git fleet plan import {file} --plan ID'
    problems.raise_if_any(hint=hint)
    plan = parse_plan(data, source=name, default_base=default_base, lines=document.lines)
    if chosen == "toml" and not added.keys() & document.data.keys():
        return plan, tomli_w.dumps(added) + source
    # A long string on several lines is easier to read, but would lose its carriage returns.
    notes = "".join(f"# {_printable(note)}\n" for note in document.notes)
    return plan, notes + tomli_w.dumps(data, multiline_strings="\r" not in source and "\\r" not in source)


def _printable(text: str) -> str:
    """A text for one line of a comment."""
    return text.encode("utf-8", "replace").decode().translate(dict.fromkeys(_NOT_IN_COMMENTS, " "))


def load_config(text: bytes, name: str) -> tuple[Config, dict[str, Any]]:
    """The configuration a fleet.toml holds, and its decoded document. Raises InvalidInput as above."""
    try:
        return _load_config(text, name)
    except InvalidInput as error:
        error.hint = (
            error.hint
            or f"correct {name} on the base branch; while a plan is open, git fleet lead acquire lets you commit there"
        )
        raise


def _load_config(text: bytes, name: str) -> tuple[Config, dict[str, Any]]:
    document = toml.read(decode(text, name), name)
    _check_depth(document.data, name)
    _check_version(document.data, name)
    problems = Problems(name)
    check_schema(document.data, "config", problems, document.lines)
    problems.raise_if_any()
    for path, problem in _config_problems(document.data):
        field = ".".join(part for part in path if isinstance(part, str))
        problems.add(problem, field=field, line=line_of(document.lines, path))
    problems.raise_if_any()
    return from_document(document.data), document.data


def decode(text: bytes, name: str) -> str:
    """UTF-8, a byte order mark left out. Raises InvalidInput with the line of what is not."""
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{at(name, line)}: not UTF-8 text: {error.reason}") from None


def check_shape(data: Mapping[str, Any], name: str) -> None:
    """Raises InvalidInput for a document nested too deeply, UnknownVersion for one of another version."""
    _check_depth(data, name)
    _check_version(data, name)


def _check_depth(data: Mapping[str, Any], name: str) -> None:
    """Parsers take more levels than what comes after them can walk through; no document needs many."""
    level: list[Any] = [data]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, Mapping | list)
            for inner in (value.values() if isinstance(value, Mapping) else value)
        ]
        if not level:
            return
    raise InvalidInput(f"{name}: nested too deeply")


def _check_version(data: Mapping[str, Any], name: str) -> None:
    """Before anything else: a later version may have keys that this one would call unknown."""
    version = data.get("version", VERSION)
    if isinstance(version, int) and version != VERSION:
        raise UnknownVersion(
            f"{name}: version: {found(version, str(VERSION))}", hint="a newer git-fleet may know it"
        )


def _config_problems(data: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """What the schema cannot say about a configuration that it accepts."""
    for path, value in _texts(data):
        check = spelling.text_problem if set(path) & set(_MANY_LINES) else spelling.line_problem
        if problem := check(value):
            yield path, f"found {show(value)}; {problem}"
    owned = [(key, index, text) for key in _PATTERNS for index, text in enumerate(data.get(key, ()))]
    for key, index, text in owned:
        yield from _pattern_problems((key, index), text)
    for number, entry in enumerate(data.get("generated", ())):
        for index, text in enumerate(entry["paths"]):
            yield from _pattern_problems(("generated", number, "paths", index), text)
    yield from _path_problems(data)
    for key, field in (("gate", "name"), ("verifier", "name"), ("verifier", "lens")):
        words = [entry[field] for entry in data.get(key, ())]
        for index in range(1, len(words)):
            if words[index] in words[:index]:
                yield (key, index, field), f"found {words[index]!r}; another {key} has it"
    if "gate" in data and "gates" in data:
        yield ("gates",), 'found "none"; allowed: either gates = "none" or [[gate]] tables'
    yield from _template_problems(data)


def _texts(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every text in a document, with its place."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))


def _path_problems(data: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Files that are named: markers in a worktree, and the templates of [worker] and its profiles."""
    for index, text in enumerate(data.get("touch", ())):
        if any(spelling.folder_problem(part) for part in text.split("/")):
            yield ("touch", index), found(text, "a path below the worktree's root")
    worker = data.get("worker", {})
    tables = [((), worker), *(((name,), value) for name, value in worker.items() if isinstance(value, dict))]
    for place, table in tables:
        text = table.get("prompt")
        if text is not None and any(spelling.folder_problem(part) for part in text.split("/")):
            yield ("worker", *place, "prompt"), found(text, "a path in the repository")


def _pattern_problems(path: Path, text: str) -> Iterator[tuple[Path, str]]:
    try:
        patterns.parse(text)
    except InvalidInput as error:
        yield path, error.message


def _template_problems(data: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Templates of names must hold {id}, or all tasks would share one branch and one folder."""
    for key in ("branch", "worktree"):
        if key not in data:
            continue
        template = data[key]
        used = placeholders(template)
        unknown = [name for name in used if name not in _TEMPLATE_KEYS]
        if unknown or "id" not in used:
            allowed = "a name with {id}, and {slug}, {repo} or {plan} where wanted"
            yield (key,), found(template, allowed)
    for key, sample in (("main", data.get("main", "x")), ("branch", data.get("branch", "x"))):
        if problem := spelling.branch_problem(_sample(sample)):
            yield (key,), f"found {show(sample)}; {problem}"


def _sample(template: str) -> str:
    for name in _TEMPLATE_KEYS:
        template = template.replace(f"{{{name}}}", "x")
    return template
