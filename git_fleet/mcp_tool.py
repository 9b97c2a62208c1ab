"""One tool of `git fleet mcp`: how it is listed, what it is given, how it answers.

Who calls is a model: it forgets an argument, or calls one by a name of its own. An argument that was meant for one of
ours and is left out would be worse than a refusal (`task="b"` would claim whatever is next), so those are told what
the names are. What has nothing to do with ours is some client's own, and is left alone, as the protocol has it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, cast

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import ValidationError

from git_fleet.errors import FleetError, InvalidInput
from git_fleet.views import tools
from git_fleet.views.machine import Document

_ALIKE = 0.6  # of difflib's ratio; `task` and `task_id` have 0.73


class FleetTool(Tool):
    """A tool whose arguments are looked at before they are used."""

    @classmethod
    def of(cls, function: Callable[..., Awaitable[CallToolResult]], about: ToolAnnotations) -> FleetTool:
        """The tool as it is listed: its name, what it is told for, and schemas without what says nothing."""
        name = function.__name__
        made = cls.from_function(
            function,
            title=name.replace("_", " ").capitalize(),
            description=" ".join((function.__doc__ or "").split()),
            annotations=about,
            structured_output=False,
        )
        made.parameters = _slim(made.parameters)
        made.fn_metadata.output_schema = dict(tools.SCHEMAS[name])
        return cast(FleetTool, made)

    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False
    ) -> Any:
        """As that of any tool; arguments that do not fit are told in our own words."""
        known = self.parameters.get("properties", {})
        meant = _misnamed(arguments, known)
        if meant:
            return failed(self._misfit(f"it has no {', no '.join(meant)}"))
        try:
            return await super().run(arguments, context, convert_result)
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            return failed(self._misfit("; ".join(_wrong(error.__cause__))))

    def _misfit(self, what: str) -> InvalidInput:
        needed = self.parameters.get("required", ())
        names = [f"{name} (needed)" if name in needed else name for name in self.parameters["properties"]]
        return InvalidInput(f"{self.name}: {what}", hint=f"its arguments are {', '.join(names)}")


def answer(document: Document) -> CallToolResult:
    """What a tool has to say, as a structure and as the same in text."""
    text = json.dumps(document, separators=(",", ":"))
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=json.loads(text))


def failed(error: FleetError) -> CallToolResult:
    """Why a tool has not done it."""
    return CallToolResult(content=[TextContent(type="text", text=tools.failure(error))], is_error=True)


def _misnamed(given: Collection[str], known: Collection[str]) -> list[str]:
    """The arguments that no tool of this name has, and that look like one it has."""
    return [name for name in given if name not in known and _looks_like_one(name, known)]


def _looks_like_one(name: str, known: Collection[str]) -> bool:
    plain = name.casefold().replace("-", "_")
    parts = {part for each in known for part in (each, *each.split("_"))}
    return plain in parts or bool(difflib.get_close_matches(plain, known, 1, _ALIKE))


def _wrong(error: ValidationError) -> list[str]:
    """What does not fit, an argument each."""
    found = []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(map(str, each["loc"])) or "they"
        missing = each["type"] == "missing"
        found.append(
            f"{name} is missing" if missing else f"{name}: {each['msg'][:1].lower()}{each['msg'][1:]}"
        )
    return found


def _slim(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without the titles and defaults that are made from names and signatures."""
    kept = {
        key: value for key, value in schema.items() if key not in ("title", "default", "additionalProperties")
    }
    for key, value in kept.items():
        if key == "properties":
            kept[key] = {name: _slim(inner) for name, inner in value.items()}
        elif isinstance(value, dict):
            kept[key] = _slim(value)
    return kept
