"""JSON documents against their schemas, more strictly than others need be: nothing that a schema does
not name may be in them, so that a field cannot appear without being described."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from git_fleet import resources


def validate(document: dict[str, Any], name: str) -> None:
    """Raises jsonschema.ValidationError unless `document` is what `schemas/NAME.schema.json` says."""
    schema = _closed(resources.schema(name))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(document)


def _closed(schema: Any) -> Any:
    """The schema, with every object that lists its properties closed to others."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed
