"""`git fleet run --workspace`: what it would begin with, and its limits."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from git_fleet.core.model import State
from tests.cli.conftest import Fleet
from tests.cli.test_bad_input import refused
from tests.support import spaces
from tests.support.documents import validate
from tests.support.fleet import approved, open_fleet, task
from tests.support.repo import Repo
from tests.support.worlds import assert_reachable

RUN = ("run", "--workspace", ".")


@pytest.fixture
def space(fleet: Fleet, tmp_path: Path) -> Fleet:
    """A workspace `shop` of lib and client, with a plan each; what is called works in its folder."""
    _, repos = spaces.make_space(tmp_path / "all", {"lib": {}, "client": {}})
    approved(open_fleet(repos["lib"]), task("a", priority=1), task("b", needs=["a"]))
    approved(open_fleet(repos["client"]), task("c", priority=5, labels=["docs"]))
    return Fleet(tmp_path / "all" / "shop", fleet._capture)


def repo(space: Fleet, name: str) -> Repo:
    return Repo(space.path.parent / name)


def document(space: Fleet, schema: str, *words: str, agent: Sequence[str], code: int) -> dict[str, Any]:
    """What a run with this agent answers."""
    answer = space(*RUN, "--worker", "w", *words, "--json", "--", *agent)
    assert answer.code == code, answer
    found: dict[str, Any] = json.loads(answer.out)
    validate(found, schema)
    return found


def limited(space: Fleet, script: str, *limit: str) -> dict[str, Any]:
    """What came of a run that ended at a limit."""
    agent = ["sh", "-c", script]
    return document(space, "workspace-run", "--workers", "2", *limit, agent=agent, code=1)


def test_a_dry_run_says_what_would_be_started_where_and_starts_nothing(space: Fleet) -> None:
    before = [repo(space, name).refs() for name in ("lib", "client")]
    found = document(
        space, "workspace-run-outlook", "--dry-run", "--workers", "3", agent=["my-agent", "{prompt}"], code=0
    )
    assert found["workers"] == 3
    assert {each["repo"]: (each["agents"], each["left"]) for each in found["repos"]} == {
        "lib": (["my-agent '{prompt}'"], 2),
        "client": (["my-agent '{prompt}'"], 1),
    }
    assert [(each["repo"], each["task_id"]) for each in found["ready"]] == [("client", "p/c"), ("lib", "p/a")]
    said = space.ok(*RUN, "-n", "--label", "docs", "--", "my-agent")
    assert said.startswith("workspace shop, 1 worker\n3 tasks left, 1 of them ready: client: p/c\n")
    assert "agents would be started by: my-agent" in said
    assert [repo(space, name).refs() for name in ("lib", "client")] == before


def test_a_dry_run_says_where_nothing_could_be_worked(space: Fleet) -> None:
    repo(space, "lib").commit("No gates", {"fleet.toml": "version = 1\n"})
    found = document(space, "workspace-run-outlook", "-n", agent=["my-agent"], code=1)
    assert ["gate" in (each["error"] or "") for each in found["repos"]] == [True, False]
    assert [each["repo"] for each in found["ready"]] == ["client"]
    assert "lib would not be worked: " in space(*RUN, "-n", "--", "my-agent").out


def test_max_minutes_ends_a_run_over_a_workspace_and_keeps_its_work(space: Fleet) -> None:
    script = 'mkdir "$FLEET_TASK"; echo "half of $FLEET_TASK" >"$FLEET_TASK/x"; exec sleep 600'
    found = limited(space, script, "--max-minutes", "0.05")
    assert found["stop"] == {"code": "time", "text": "its 0.05 minutes (--max-minutes) are over"}
    for name, what in (("lib", "a"), ("client", "c")):
        with open_fleet(repo(space, name)) as session:
            assert session.snapshot().resolve(what).state.state is not State.CLAIMED
        assert_reachable(repo(space, name), f"half of {what}\n".encode())


def test_max_cost_ends_a_run_over_a_workspace_when_all_of_it_together_has_cost_so_much(space: Fleet) -> None:
    script = f"{sys.executable} -m git_fleet progress --cost-usd 1.5 begun; "
    script += 'mkdir "$FLEET_TASK"; echo x >"$FLEET_TASK/x"'
    found = limited(space, script, "--max-cost", "2.5")
    assert found["stop"] == {"code": "cost", "text": "it has cost 3.00 US dollars (--max-cost 2.5)"}
    with open_fleet(repo(space, "lib")) as session:
        assert session.snapshot().resolve("b").state.state is State.PENDING


def test_what_does_not_go_with_a_workspace_is_refused(space: Fleet) -> None:
    for words in (["--tmux"], ["--yes"], ["p"]):
        refused(space(*RUN, *words), "--workspace works every open plan as it is approved")
