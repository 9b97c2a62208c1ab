"""Documents against `schemas/`, with errors that people can act on.

jsonschema takes 60–80 ms to import: only commands that take in a document come here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from git_fleet import resources
from git_fleet.core.problems import Lines, Path, Problems, found, line_of, nearest, show

if TYPE_CHECKING:
    from jsonschema import ValidationError

_TYPES = {
    "string": "text in quotes",
    "array": "a list",
    "object": "a table",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def check_schema(document: Mapping[str, Any], schema: str, problems: Problems, lines: Lines) -> None:
    """Adds what `schemas/<schema>.schema.json` finds wrong with a decoded document, by line."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    types = Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number})
    validator: Any = extend(Draft202012Validator, type_checker=types)  # type: ignore[no-untyped-call]
    told: list[tuple[int, str, str, str]] = []
    for error in validator(resources.schema(schema)).iter_errors(document):
        path: Path = tuple(error.absolute_path)
        for key, text in _explain(error):
            at = (*path, key) if key else path
            told.append((line_of(lines, at), *_name(document, at), text))
    for line, where, field, text in sorted(told, key=itemgetter(0)):
        problems.add(text, where=where, field=field, line=line)


def _is_integer(_: Any, value: Any) -> bool:
    """For JSON Schema 3.0 is a whole number; for whoever counts with it, it is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(_: Any, value: Any) -> bool:
    """TOML has nan, which is within all bounds and is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _name(document: Mapping[str, Any], path: Path) -> tuple[str, str]:
    """What people call a place: the entry (`task 42`, `gate tests`), and the field in it."""
    if len(path) < 2 or not isinstance(path[1], int):
        return "", ".".join(map(str, path))
    entry = document[str(path[0])][path[1]]
    name = (entry.get("id") or entry.get("name")) if isinstance(entry, Mapping) else None
    shown = name if isinstance(name, str) else path[1] + 1
    return f"{path[0]} {shown}", ".".join(str(part) for part in path[2:] if isinstance(part, str))


def _explain(error: ValidationError) -> Iterator[tuple[str, str]]:
    """(key below the error's place, or "" for the place itself; what is wrong)."""
    schema: Any = error.schema
    value: Any = error.instance
    rule: Any = error.validator_value
    match error.validator:
        case "additionalProperties":
            known = list(schema.get("properties", {}))
            for key in value:
                if key not in known:
                    found_it = f"unknown key (found {show(value[key])}){nearest(str(key), known)}"
                    yield str(key), f"{found_it}; allowed: {', '.join(known)}"
        case "required":
            for key in rule:
                if key not in value:
                    said = schema.get("properties", {}).get(key, {}).get("description", "")
                    yield key, f"it is missing; allowed: {said}" if said else "it is missing"
        case "enum":
            yield "", found(value, " or ".join(f'"{one}"' for one in rule))
        case "type":
            said = schema.get("description")
            yield "", found(value, _TYPES[rule] + (f" ({said})" if said else ""))
        case "maximum" | "minimum" if said := schema.get("description"):
            bound = f"{'at most' if error.validator == 'maximum' else 'at least'} {rule}"
            yield "", found(value, said if str(rule) in said or not rule else f"{said}; {bound}")
        case _:
            yield "", found(value, schema.get("description") or error.message)
