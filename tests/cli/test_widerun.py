"""`git fleet run --workspace`: what it would begin with, and its limits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from git_fleet.core.model import State
from tests.cli.conftest import Fleet
from tests.cli.test_bad_input import refused
from tests.support import spaces
from tests.support.clock import FakeClock
from tests.support.documents import validate
from tests.support.fleet import open_fleet
from tests.support.machines import make_machines
from tests.support.race import until
from tests.support.repo import Repo
from tests.support.worlds import assert_reachable

RUN = ("run", "--workspace", ".")


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


def test_a_run_over_a_workspace_leaves_nothing_of_a_task_behind(space: Fleet) -> None:
    """No thread that listens, and no pipe: a run may have thousands of tasks."""
    before, pipes = set(threading.enumerate()), set(os.listdir("/dev/fd"))
    space.ok(*RUN, "--", "sh", "-c", 'mkdir "$FLEET_TASK"; echo x >"$FLEET_TASK/x"')
    assert {each.name for each in set(threading.enumerate()) - before} == set()
    assert len(set(os.listdir("/dev/fd")) - pipes) <= 2  # the bell of the one worker


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_ctrl_c_lets_a_gate_end_and_a_termination_ends_it(
    space: Fleet, tmp_path: Path, number: signal.Signals
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    gate = f"touch {begun}; while [ ! -e {go} ]; do sleep 0.05; done"
    text = f"version = 1\n[[gate]]\nname = 'slow'\nrun = '{gate}'\n"
    repo(space, "client").commit("Wait", {"fleet.toml": text})
    agent = ["sh", "-c", 'mkdir "$FLEET_TASK"; echo x >"$FLEET_TASK/x"']
    command = [sys.executable, "-m", "git_fleet", *RUN, "--label", "docs", "--json", "--", *agent]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=space.path, stdout=pipe, stderr=pipe, start_new_session=True
    ) as process:
        until(begun.exists)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
            go.touch()
        else:
            process.send_signal(number)
        out, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (128 + number, b"")
    assert len(json.loads(out)["integrated"]) == (number == signal.SIGINT)


def test_what_does_not_go_with_a_workspace_is_refused(space: Fleet) -> None:
    for words in (["--tmux"], ["--yes"], ["p"]):
        refused(space(*RUN, *words), "--workspace works every open plan as it is approved")


AGENT = """\
case $FLEET_TASK in
api) sed -i s/greet/salute/ lib.sh test.sh ;;
serve) sed -i s/greet/salute/ serve.sh ;;
call) if [ -e "$1" ]; then sed -i s/greet/salute/ call.sh; else echo "# the same" >>call.sh; fi; echo >>"$1" ;;
*) echo "It is salute." >README ;;
esac
"""


def test_who_is_sent_back_by_a_red_gate_between_repositories_mends_it_and_all_lands(
    space: Fleet, tmp_path: Path
) -> None:
    spaces.renaming(
        tmp_path / "three", spaces.PLAN.replace('id = "api"\n', 'id = "api"\nrework = ["client/call"]\n')
    )
    shop = Fleet(tmp_path / "three" / "shop", space._capture)
    (tmp_path / "agent.sh").write_text(AGENT, encoding="utf-8")
    agent = ["sh", str(tmp_path / "agent.sh"), str(tmp_path / "tries")]
    found = document(shop, "workspace-run", agent=agent, code=0)
    assert [each["task_id"] for each in found["claims"]].count("rename/call") == 2
    assert (found["stop"]["code"], found["left"], len(found["integrated"])) == ("complete", 0, 4)


@pytest.mark.slow
def test_workers_of_two_machines_bring_everything_onto_the_servers(
    fleet: Fleet, tmp_path: Path, clock: FakeClock
) -> None:
    """The second machine works what the first has planned, while that one has a task of it."""
    servers, one, other = make_machines(tmp_path / "two", clock)
    one.approve()
    one.work("library", *spaces.RENAMED["library"])
    (tmp_path / "agent.sh").write_text(AGENT, encoding="utf-8")
    (tmp_path / "tries").touch()
    shop = Fleet(other.folder / "shop", fleet._capture)
    agent = ["sh", str(tmp_path / "agent.sh"), str(tmp_path / "tries")]
    found = document(shop, "workspace-run", "--workers", "2", agent=agent, code=0)
    assert {each["task_id"] for each in found["claims"]} == {"rename/serve", "rename/call", "rename/docs"}
    assert (found["stop"]["code"], found["left"], len(found["integrated"])) == ("complete", 0, 4)
    commits = {name: servers[name].run_git("rev-list", "--count", "main") for name in spaces.RENAMED}
    assert commits == {"library": "2", "service": "2", "client": "3"}
    assert one.state() == "landed"
