"""Many agents at once: every task is claimed exactly once, however the agents are connected."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import pytest

from git_fleet.core.model import State
from tests.mcp.driving import Driver, connected, serving_in, stdio
from tests.support.fleet import approved, open_fleet, task
from tests.support.repo import Repo

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TASKS, PAIRS, CLIENTS, PROCESSES = 200, 20, 16, 3
CONFIG = 'version = 1\ngates = "none"\nmax_active = 1000\nmax_review = 1000\n'


async def test_sixteen_agents_claim_two_hundred_tasks_each_exactly_once(repo: Repo) -> None:
    """Three have servers of their own, which are processes; the others share two servers in this one. Beside the
    200 there are twenty pairs of tasks that share their files: of each one is claimed, and never both."""
    repo.commit("Files", {"fleet.toml": CONFIG})
    lead = open_fleet(repo, "lead", long_lived=True)
    pairs = [task(f"pair-{n}-{side}", files=[f"pair-{n}/**"]) for n in range(PAIRS) for side in "ab"]
    approved(lead, *(task(f"t{n}") for n in range(TASKS)), *pairs)
    got: dict[str, list[str]] = {}

    async def work(do: Driver, name: str, worker: str) -> None:
        mine = got.setdefault(name, [])
        while True:
            claim = await do("claim_task", worktree=False, worker=worker)
            if claim["task_id"] is None:
                return
            assert claim["worker"] == name
            mine.append(claim["task_id"])

    async with AsyncExitStack() as stack:
        crew: list[tuple[Driver, str, str]] = []
        for number in range(PROCESSES):
            name = f"process-{number}"
            there = await stack.enter_async_context(connected(stdio(repo.path, "--worker", name), "auto"))
            crew.append((there, name, ""))
        served = [stack.enter_context(serving_in(repo, f"server-{number}")) for number in range(2)]
        for number in range(CLIENTS - PROCESSES):
            era = ("auto", "legacy")[number % 2]
            there = await stack.enter_async_context(connected(served[number % 2], era))
            crew.append((there, f"shared-{number}", f"shared-{number}"))
        with anyio.fail_after(300):
            async with anyio.create_task_group() as group:
                for one in crew:
                    group.start_soon(work, *one)

    every = [name for mine in got.values() for name in mine]
    records = lead.snapshot().tasks.values()
    holders = {str(one.id): one.state.claim.holder for one in records if one.state.claim is not None}
    assert sorted(every) == sorted(holders)  # each once, and none that nobody was told of
    assert {f"p/t{n}" for n in range(TASKS)} <= set(every)
    assert len(every) == TASKS + PAIRS
    assert len({name.rpartition("-")[0] for name in every if "pair" in name}) == PAIRS
    assert all(holders[name] == worker for worker, mine in got.items() for name in mine)
    assert len(got) == CLIENTS
    assert all(one.state.attempt <= 1 for one in records)


async def test_reports_of_many_workers_at_once_are_each_their_own(repo: Repo) -> None:
    repo.commit("Files", {"fleet.toml": CONFIG})
    lead = open_fleet(repo, "lead", long_lived=True)
    approved(lead, *(task(f"t{n}") for n in range(8)))

    async def live(do: Driver, worker: str) -> None:
        claim = await do("claim_task", worktree=False, worker=worker)
        for number in range(3):
            await do("report_progress", task_id=claim["task_id"], status=f"{worker} {number}", worker=worker)
        await do("report_blocked", task_id=claim["task_id"], reason=worker, code=worker, worker=worker)

    with serving_in(repo, "server") as serving:
        async with connected(serving) as do, anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(live, do, f"w{number}")
    for one in lead.snapshot().tasks.values():
        assert one.state.claim is not None
        assert (one.state.state, one.state.code) == (State.BLOCKED, one.state.claim.holder)
        assert one.state.summary == f"{one.state.claim.holder} 2"
