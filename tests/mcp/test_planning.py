"""An orchestrator: the planner of the repository, or a split of its own, and what comes of the plan."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
import tomli_w

from git_fleet.app.serving import Serving
from tests.mcp.driving import connected, serving_in
from tests.support.fleet import open_fleet
from tests.support.repo import Repo

pytestmark = pytest.mark.anyio

ANSWER = """\
version = 1
plan = "split"
title = "Two"
[[task]]
id = "one"
title = "One"
files = ["/one.txt"]
prompt = "Write one."
[[task]]
id = "two"
title = "Two"
files = ["/two.txt"]
needs = ["one"]
"""


def with_planner(repo: Repo, script: str) -> None:
    text = tomli_w.dumps({"version": 1, "gates": "none", "planner": {"run": ["sh", "-c", script]}})
    repo.commit("Planner", {"fleet.toml": text})


def states(repo: Repo) -> dict[str, str]:
    return {plan.id: str(plan.state) for plan in open_fleet(repo).snapshot().plans.values()}


async def test_the_planner_splits_the_work(fleet: Repo, era: str) -> None:
    with_planner(fleet, f"printf %s {shlex.quote(ANSWER)}")
    told: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        assert (progress, total) == (len(told) + 1, None)
        told.append(message)

    with serving_in(fleet, "lead") as serving:
        async with connected(serving, era) as do:
            result = await do.client.call_tool(
                "plan", {"task_description": "Do two things."}, progress_callback=hear
            )
            made = result.structured_content
    assert made is not None
    assert made["plan"] == "split"
    assert [one["sub_task_id"] for one in made["sub_tasks"]] == ["split/one", "split/two"]
    assert made["sub_tasks"][1]["payload"]["needs"] == ["one"]
    assert made["sub_tasks"][0]["payload"]["prompt"] == "Write one."
    assert made["fan_out"]["verdict"] == "serial"
    assert made["next"].endswith("git fleet plan approve split")
    assert told == ["asks the planner", "checks its answer"]
    assert states(fleet) == {"p": "open", "split": "draft"}


async def test_it_may_say_that_one_worker_does_it_better(fleet: Repo, era: str) -> None:
    with_planner(fleet, "echo " + shlex.quote(json.dumps({"fan_out": False, "reason": "one file"})))
    with serving_in(fleet, "lead") as serving:
        async with connected(serving, era) as do:
            made = await do("plan", task_description="Fix a typo.")
    assert (made["plan"], made["sub_tasks"], made["fan_out"]) == (
        None,
        [],
        {"verdict": "serial", "reason": "one file"},
    )
    assert states(fleet) == {"p": "open"}


async def test_an_orchestrator_may_hand_over_its_own_split(serving: Serving, fleet: Repo, era: str) -> None:
    tasks = [
        {"id": "x", "files": ["x/**"], "title": "X"},
        {"sub_task_id": "y", "payload": {"files": ["y/**"]}},
    ]
    async with connected(serving, era) as do:
        made = await do("plan", task_description="Two things", sub_tasks=tasks)
        assert [one["sub_task_id"] for one in made["sub_tasks"]] == ["two-things/x", "two-things/y"]
        said = await do.refused("plan", task_description="Two things", sub_tasks=[{"id": "x"}])
        assert said.startswith("invalid:")
        assert "files" in said
        assert (await do("plan", task_description="x", sub_tasks=made["sub_tasks"], plan_id="again"))[
            "plan"
        ] == "again"
    assert states(fleet) == {"p": "open", "two-things": "draft", "again": "draft"}


async def test_without_a_planner_it_is_said_how_to_have_one(serving: Serving) -> None:
    async with connected(serving) as do:
        said = await do.refused("plan", task_description="x")
    assert said.startswith("invalid: no planner is configured")
    assert "[planner]" in said


async def test_a_planner_that_nobody_waits_for_any_more_is_ended(fleet: Repo, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with_planner(fleet, f"echo $$ >{begun}.new; mv {begun}.new {begun}; exec sleep 600")
    with serving_in(fleet, "lead") as serving:
        async with connected(serving) as do:
            async with anyio.create_task_group() as group:

                async def ask() -> None:
                    await do.client.call_tool("plan", {"task_description": "x"})

                group.start_soon(ask)
                with anyio.fail_after(60):
                    while not begun.exists():
                        await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            assert (await do("list_siblings", parent_id="p"))["tasks"]  # it goes on
    pid = int(begun.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
