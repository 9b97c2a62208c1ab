"""What an agent sees before it has called anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from git_fleet.app.serving import Serving
from git_fleet.views.tools import SCHEMAS
from tests.mcp.driving import connected
from tests.support.repo import Repo

pytestmark = pytest.mark.anyio

TOKENS = 1500
CHARACTERS_A_TOKEN = 4
REQUIRED = {
    "claim_task": set(),
    "report_progress": {"task_id", "status"},
    "report_done": {"task_id", "result"},
    "report_blocked": {"task_id", "reason"},
    "list_siblings": {"parent_id"},
    "plan": {"task_description"},
    "review": {"parent_id"},
}


async def listing(serving: Serving, era: str) -> list[dict[str, Any]]:
    async with connected(serving, era) as do:
        found = await do.client.list_tools()
    return [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in found.tools]


async def test_the_tools_are_these_and_need_no_more_than_these(serving: Serving, era: str) -> None:
    tools = {tool["name"]: tool for tool in await listing(serving, era)}
    assert {name: set(tool["inputSchema"].get("required", ())) for name, tool in tools.items()} == REQUIRED
    assert "log_chunk" in tools["report_progress"]["inputSchema"]["properties"]
    assert "artifact_paths" in tools["report_done"]["inputSchema"]["properties"]
    for name, tool in tools.items():
        assert tool["title"], name
        assert tool["description"], name
        assert tool["annotations"], name
        Draft202012Validator.check_schema(tool["inputSchema"])
        Draft202012Validator.check_schema(tool["outputSchema"])
        assert tool["outputSchema"] == SCHEMAS[name]
    reading = {name for name, tool in tools.items() if tool["annotations"].get("readOnlyHint")}
    assert reading == {"list_siblings", "review"}
    assert not any(tool["annotations"].get("destructiveHint") for tool in tools.values())


async def test_the_listing_costs_few_tokens(serving: Serving, era: str) -> None:
    text = json.dumps(await listing(serving, era), separators=(",", ":"), ensure_ascii=False)
    assert len(text) <= TOKENS * CHARACTERS_A_TOKEN
    assert len(text) > 1000  # it is not empty


async def test_arguments_are_plain_enough_for_every_model(serving: Serving) -> None:
    """Some take no unions and no lists without a kind."""
    tools = await listing(serving, "auto")
    assert {tool["name"] for tool in tools} >= {"claim_task", "report_done"}
    for tool in tools:
        for name, schema in tool["inputSchema"]["properties"].items():
            assert isinstance(schema["type"], str), (tool["name"], name)
            assert schema["type"] != "array" or schema["items"]["type"] in ("string", "object"), (
                tool["name"],
                name,
            )


async def test_resources_show_plan_and_status(serving: Serving, era: str) -> None:
    async with connected(serving, era) as do:
        listed = {str(one.uri) for one in (await do.client.list_resources()).resources}
        (template,) = (await do.client.list_resource_templates()).resource_templates
        assert (listed, template.uri_template) == (
            {"fleet://status", "fleet://plan"},
            "fleet://plan/{plan_id}",
        )
        shown = {}
        for uri in ("fleet://status", "fleet://plan", "fleet://plan/P"):
            (content,) = (await do.client.read_resource(uri)).contents
            assert content.mime_type == "application/json"
            shown[uri] = json.loads(content.model_dump()["text"])
    assert shown["fleet://status"]["plans"][0]["counts"]["pending"] == 3
    assert [one["task_id"] for one in shown["fleet://plan"]["tasks"]] == ["p/a", "p/b", "p/c"]
    assert shown["fleet://plan/P"] == shown["fleet://plan"]


async def test_a_plan_that_is_not_there_is_an_error_that_says_so(serving: Serving, era: str) -> None:
    async with connected(serving, era) as do:
        with pytest.raises(Exception, match="there is no plan nope"):
            await do.client.read_resource("fleet://plan/nope")


async def test_prompts_tell_a_worker_and_an_orchestrator_what_to_do(serving: Serving, era: str) -> None:
    async with connected(serving, era) as do:
        listed = {one.name: one for one in (await do.client.list_prompts()).prompts}
        assert set(listed) == {"worker", "orchestrator"}
        assert all(one.description for one in listed.values())
        texts = {}
        for name, arguments in (
            ("worker", {}),
            ("worker task", {"task_id": "a"}),
            ("orchestrator", {"goal": "Tidy\nup"}),
        ):
            got = await do.client.get_prompt(name.split()[0], arguments)
            (message,) = got.messages
            texts[name] = message.content.model_dump()["text"]
    assert all(
        tool in texts["worker"] for tool in ("claim_task", "report_progress", "report_done", "report_blocked")
    )
    assert "| Write a/new." in texts["worker task"]
    assert "| Tidy\n| up\n>>>" in texts["orchestrator"]


async def test_a_server_says_what_it_is_for(serving: Serving, fleet: Repo) -> None:
    async with connected(serving) as do:
        assert "claim_task" in str(do.client.instructions)
    assert fleet.status() == []
