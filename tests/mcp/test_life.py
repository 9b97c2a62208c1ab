"""The whole life of a task by the tools of the MCP server, in both eras of the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_fleet.app.serving import Serving
from git_fleet.core.model import State
from tests.mcp.driving import Driver, connected, stdio
from tests.support.fleet import open_fleet
from tests.support.repo import Repo

pytestmark = pytest.mark.anyio


async def assert_whole_life(do: Driver) -> None:
    claim = await do("claim_task", task_id="a")
    assert (claim["task_id"], claim["parent_id"], claim["worker"]) == ("p/a", "p", "w1")
    assert (claim["files"], claim["accept"], claim["attempt"]) == (["a/**"], ["true"], 1)
    assert claim["env"]["FLEET_FENCE"] == claim["fence"]
    assert "| Write a/new." in claim["prompt"]
    worktree = Path(claim["worktree"])
    assert worktree.is_dir()

    told = await do("report_progress", task_id="p/a", status="half-way", log_chunk="red\ngreen\n")
    assert (told["state"], told["summary"]) == ("claimed", "half-way")
    Repo(worktree).commit("Write it", {"a/new": "new\n"})
    notes = Path(claim["env"]["FLEET_SCRATCH"]) / "notes.txt"
    notes.write_text("what I saw\n")
    done = await do(
        "report_done", task_id="a", result="a/new is there", message="Write a/new", follow_ups=["Look at b"],
        artifact_paths=[str(notes)],
    )  # fmt: skip
    assert (done["state"], done["outside"]) == ("proposed", [])
    assert done["follow_ups"] == ["p/a-follow-up-1"]
    seen = await do("list_siblings", parent_id="p")
    assert {one["task_id"]: one["status"] for one in seen["tasks"]} == {
        "p/a": "proposed", "p/b": "pending", "p/c": "pending",
    }  # fmt: skip
    review = await do("review", parent_id="p")
    assert review["artifacts"] == [{"task_id": "p/a", "name": "notes.txt", "size": 11}]
    assert review["recommendations"]


async def test_a_task_lives_from_claim_to_hand_in(serving: Serving, era: str) -> None:
    async with connected(serving, era) as do:
        await assert_whole_life(do)


async def test_the_same_over_standard_input_and_output(fleet: Repo, era: str) -> None:
    async with connected(stdio(fleet.path, "--worker", "w1"), era) as do:
        await assert_whole_life(do)
    record = open_fleet(fleet).snapshot().resolve("p/a")
    assert record.state.state is State.PROPOSED
    assert record.state.proposal is not None
    assert record.state.proposal.worker == "w1"
