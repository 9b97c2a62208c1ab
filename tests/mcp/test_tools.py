"""Each tool by itself: what it answers, and how it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import tomli_w

from git_fleet.app import claim as claiming
from git_fleet.app.serving import Serving
from git_fleet.core.ids import Oid
from git_fleet.core.model import State
from git_fleet.store import fleet as store_fleet
from tests.mcp.driving import connected, serving_in
from tests.support.fleet import approved, commit_on, on_plan, on_task, open_fleet, task
from tests.support.repo import Repo

pytestmark = pytest.mark.anyio


def state(repo: Repo, name: str) -> State:
    return open_fleet(repo).snapshot().resolve(name).state.state


def under_way(repo: Repo) -> tuple[Path, dict[str, str]]:
    """A task that crew-1 was started for: its worktree, and its environment."""
    session = open_fleet(repo, "crew-1")
    got = claiming.claim(session, claiming.Request("b"))
    assert isinstance(got, claiming.Claimed)
    placed = claiming.place(session, got)
    assert placed.path is not None
    return placed.path, dict(placed.env)


async def test_nothing_to_claim_is_an_answer(serving: Serving, fleet: Repo, era: str) -> None:
    async with connected(serving, era) as do:
        assert {(await do("claim_task", worktree=False))["task_id"] for _ in range(2)} == {"p/a", "p/b"}
        waiting = await do("claim_task", worktree=False)
        assert waiting["task_id"] is None
        assert (waiting["reason"], waiting["retry_after_seconds"]) == ("waiting", 60)
        assert waiting["text"]
        on_plan(open_fleet(fleet), "pause", reason="wait")
        paused = await do("claim_task", worktree=False)
        assert (paused["task_id"], paused["reason"]) == (None, "paused")


async def test_a_worker_may_ask_for_labels_or_a_task(serving: Serving) -> None:
    async with connected(serving) as do:
        assert (await do("claim_task", labels=["docs"], worktree=False))["task_id"] == "p/b"
        assert "c cannot be claimed now: it needs a" in (await do.refused("claim_task", task_id="c")).replace(
            "p/", ""
        )
        assert "no task 'nope'" in await do.refused("claim_task", task_id="nope")


async def test_a_task_one_holds_is_gone_on_with(serving: Serving) -> None:
    async with connected(serving) as do:
        first = await do("claim_task", task_id="a")
        again = await do("claim_task", task_id="p/a")
    assert (again["fence"], again["worktree"]) == (first["fence"], first["worktree"])


async def test_a_task_one_holds_is_gone_on_with_after_the_server_has_died(fleet: Repo) -> None:
    found = []
    for _ in range(2):
        with serving_in(fleet, "w1") as serving:
            async with connected(serving) as do:
                found.append(await do("claim_task", task_id="a"))
    assert found[0]["fence"] == found[1]["fence"]
    assert found[0]["worktree"] == found[1]["worktree"]


async def test_a_claim_without_a_worktree_hands_in_a_commit(serving: Serving, fleet: Repo) -> None:
    async with connected(serving) as do:
        claim = await do("claim_task", task_id="a", worktree=False)
        assert (claim["worktree"], claim["branch"]) == (None, None)
        commit = commit_on(open_fleet(fleet), Oid(fleet.rev("main")), {"a/new": "new\n"})
        done = await do("report_done", task_id="a", result="done", commit=commit)
    assert done["state"] == "proposed"


async def test_a_block_takes_its_code_from_the_reason_unless_one_is_given(
    serving: Serving, fleet: Repo
) -> None:
    async with connected(serving) as do:
        await do("claim_task", task_id="a", worktree=False)
        blocked = await do("report_blocked", task_id="a", reason="3 Endpoints list no clusters at all")
        assert (blocked["state"], blocked["code"]) == ("blocked", "endpoints-list-no")
        await do("claim_task", task_id="b", worktree=False)
        assert (await do("report_blocked", task_id="b", reason="x", code="missing-api"))[
            "code"
        ] == "missing-api"
        shown = {one["task_id"]: one for one in (await do("list_siblings", parent_id="p"))["tasks"]}
    assert (shown["p/b"]["code"], shown["p/b"]["reason"]) == ("missing-api", "x")
    assert state(fleet, "a") is State.BLOCKED


async def test_progress_is_told_while_a_worktree_is_made(serving: Serving, era: str) -> None:
    told: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        assert total == 2
        told.append((progress, message))

    async with connected(serving, era) as do:
        await do.client.call_tool("claim_task", {"task_id": "a"}, progress_callback=hear)
    assert told == [(1, "claimed p/a, making its worktree"), (2, "p/a is yours")]


async def test_several_workers_share_a_server_and_stay_apart(serving: Serving, fleet: Repo) -> None:
    async with connected(serving) as do:
        mine = await do("claim_task", task_id="a", worker="ann")
        other = await do("claim_task", task_id="b", worker="bob")
        assert (mine["worker"], other["worker"]) == ("ann", "bob")
        for call in (
            ("report_progress", {"status": "x"}),
            ("report_done", {"result": "x"}),
            ("report_blocked", {"reason": "x"}),
        ):
            said = await do.refused(call[0], task_id="a", worker="bob", **call[1])
            assert said.startswith("held: p/a is ann's, and you are bob")
            assert "another worker's" in said
        assert "p/a is ann's, and you are w1" in await do.refused("report_progress", task_id="a", status="x")
        await do("report_progress", task_id="a", status="mine", worker="ann")
        assert "worker name" in await do.refused("claim_task", worker="a\nb")
    assert state(fleet, "a") is State.CLAIMED


async def test_a_claim_that_was_taken_over_is_told_so(serving: Serving, fleet: Repo, era: str) -> None:
    async with connected(serving, era) as do:
        await do("claim_task", task_id="a", worktree=False)
        other = open_fleet(fleet, "w1")  # even by a worker of the same name
        on_task(other, "release", "a")
        with serving_in(fleet, "w1") as second:
            async with connected(second, era) as elsewhere:
                theirs = await elsewhere("claim_task", task_id="a", worktree=False)
                said = await do.refused("report_progress", task_id="a", status="still at it")
                assert said.startswith("stale-claim: p/a was taken over by w1")
                assert "Stop working on this task" in said
                assert (await elsewhere("report_progress", task_id="a", status="mine"))["state"] == "claimed"
    assert theirs["attempt"] == 2


async def test_what_may_not_be_handed_in_is_denied_and_said(serving: Serving, fleet: Repo) -> None:
    async with connected(serving) as do:
        claim = await do("claim_task", task_id="a")
        (Path(claim["worktree"]) / "a" / "old").write_text("changed\n")
        said = await do.refused("report_done", task_id="a", result="x")
    assert said.startswith("denied: uncommitted changes")
    assert "a/old" in said
    assert state(fleet, "a") is State.CLAIMED


async def test_a_server_that_was_started_for_a_task_gives_that_one(fleet: Repo) -> None:
    folder, env = under_way(fleet)
    with serving_in(folder, "crew-1", env=env) as serving:
        async with connected(serving) as do:
            claim = await do("claim_task")
            assert (claim["task_id"], claim["fence"]) == ("p/b", env["FLEET_FENCE"])
            await do("report_blocked", task_id="b", reason="no", code="no")
            nothing = await do("claim_task")
            assert (nothing["task_id"], nothing["retry_after_seconds"]) == (None, 0)
            assert (await do("claim_task", worker="other", worktree=False))["task_id"] == "p/a"


async def test_the_worktree_a_server_stands_in_is_its_own_workers_alone(fleet: Repo) -> None:
    folder, env = under_way(fleet)
    with serving_in(folder, "crew-1", env=env) as serving:
        async with connected(serving) as do:
            said = await do.refused("report_blocked", task_id="b", reason="mine now", worker="thief")
            assert said.startswith("held: p/b is crew-1's")
            await do("report_progress", task_id="b", status="x")


async def test_a_claim_whose_worktree_fails_is_kept_and_said_to_be(serving: Serving, fleet: Repo) -> None:
    fleet.commit(
        "Worktrees elsewhere", {"fleet.toml": 'version = 1\ngates = "none"\nworktree = "../taken/{id}"\n'}
    )
    taken = fleet.path.parent / "taken"
    taken.write_text("a file\n")
    async with connected(serving) as do:
        said = await do.refused("claim_task", task_id="a")
        assert "p/a is claimed, but its worktree cannot be made" in said
        assert 'claim_task with task_id "p/a" goes on' in said
        taken.unlink()
        claim = await do("claim_task", task_id="a")
    assert Path(claim["worktree"]).is_dir()
    assert claim["attempt"] == 1


async def test_where_the_lead_commits_a_worker_is_told_so_and_hands_in_files(
    serving: Serving, fleet: Repo
) -> None:
    fleet.commit("Mode", {"fleet.toml": 'version = 1\ngates = "none"\nmode = "lead-commits"\n'})
    async with connected(serving) as do:
        claim = await do("claim_task", task_id="a")
        assert any("commit nothing" in note for note in claim["notes"])
        new = Path(claim["worktree"]) / "a" / "new"
        new.write_text("new\n")
        done = await do("report_done", task_id="a", result="x", message="Write it")
    assert done["state"] == "proposed"


async def test_a_claim_that_is_called_off_is_given_back(fleet: Repo, tmp_path: Path, era: str) -> None:
    """Its worktree is being set up, which takes long; nobody waits for it any more."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    setup = f"touch {begun}; until test -e {go}; do sleep 0.05; done"
    fleet.commit(
        "Setup", {"fleet.toml": tomli_w.dumps({"version": 1, "gates": "none", "worker": {"setup": setup}})}
    )
    with serving_in(fleet, "w1") as serving:
        async with connected(serving, era) as do:
            with anyio.fail_after(120):
                async with anyio.create_task_group() as group:
                    group.start_soon(do.client.call_tool, "claim_task", {"task_id": "a"})
                    while not begun.exists():
                        await anyio.lowlevel.checkpoint()
                    group.cancel_scope.cancel()
                    go.touch()
                while state(fleet, "a") is not State.PENDING:
                    await anyio.lowlevel.checkpoint()
            assert (await do("claim_task", task_id="a"))["attempt"] == 2


async def test_a_report_hands_in_what_was_found(fleet: Repo, era: str) -> None:
    approved(open_fleet(fleet, "ann"), task("audit", output="report"), plan="q")
    with serving_in(fleet, "w1") as serving:
        async with connected(serving, era) as do:
            claim = await do("claim_task", task_id="audit")
            assert claim["output"] == "report"
            done = await do("report_done", task_id="audit", result="No leak found.")
            assert (done["state"], done["commit"]) == ("proposed", None)
            assert "handed in already" in await do.refused("report_done", task_id="audit", result="again")


async def test_many_siblings_are_cut_with_what_matters_first(fleet: Repo) -> None:
    session = open_fleet(fleet, "w1")
    approved(session, *(task(f"t{n}") for n in range(250)), plan="big")
    with serving_in(fleet, "w1") as serving:
        async with connected(serving) as do:
            await do("claim_task", task_id="big/t249", worktree=False)
            await do("report_blocked", task_id="big/t249", reason="wall", code="wall")
            shown = await do("list_siblings", parent_id="big")
    assert (len(shown["tasks"]), shown["left_out"]) == (200, 50)
    assert shown["tasks"][0]["task_id"] == "big/t249"
    assert shown["counts"] == {"pending": 249, "blocked": 1}


async def test_a_report_reads_its_task_and_not_the_fleet(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_snapshot, readings = store_fleet.read_snapshot, []

    def counting(*args: Any, **kwargs: Any) -> Any:
        readings.append(args)
        return read_snapshot(*args, **kwargs)

    async with connected(serving) as do:
        claim = await do("claim_task", task_id="a")
        Repo(Path(claim["worktree"])).commit("Write it", {"a/new": "new\n"})
        with monkeypatch.context() as patched:
            patched.setattr(store_fleet, "read_snapshot", counting)
            await do("report_progress", task_id="p/a", status="half-way")
            await do("report_done", task_id="p/a", result="done")
            assert not readings
            await do("list_siblings", parent_id="p")
            assert readings  # it does count


async def test_a_server_that_is_ending_takes_nothing_on(fleet: Repo) -> None:
    with serving_in(fleet, "w1") as serving:
        async with connected(serving) as do:
            await do("claim_task", task_id="a", worktree=False)
            serving.__exit__()
            assert (await do.refused("claim_task", worktree=False)).startswith("busy: the server is ending")
    assert state(fleet, "b") is State.PENDING
