"""Workers over MCP are told whose work theirs collides with, and whose hand-in waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mcp.driving import connected, serving_in
from tests.support.fleet import approved, open_fleet, task
from tests.support.repo import Repo

pytestmark = pytest.mark.anyio


async def test_a_worker_whose_work_begins_to_collide_is_told(repo: Repo) -> None:
    repo.commit("Files", {"both": "nobody\n", "fleet.toml": 'version = 1\ngates = "none"\n'})
    approved(
        open_fleet(repo, "ann"),
        *(task(name, files=["/both", f"{name}/**"], overlap="watch") for name in "ab"),
    )
    with serving_in(repo, "w1") as serving:
        async with connected(serving) as do:
            trees = [
                Repo(Path((await do("claim_task", task_id=name, worker=worker))["worktree"]))
                for name, worker in (("a", "w1"), ("b", "w2"))
            ]
            trees[0].write("both", "ours\n")
            first = await do("report_progress", task_id="p/a", status="going on", worker="w1")
            assert not first.get("notes")
            trees[1].commit("theirs", {"both": "theirs\n"})
            told = await do("report_progress", task_id="p/b", status="going on", worker="w2")
            assert told["notes"] == [
                "your work collides with p/a in both; p/a was claimed first, so your hand-in waits for it"
            ]
            refused = await do.refused("report_done", task_id="p/b", result="done", worker="w2")
            assert "its hand-in waits until p/a is integrated: they collide in both" in refused
