"""Which command starts an agent, and what stands for its placeholders."""

from __future__ import annotations

import re
from typing import Any

import pytest

from git_fleet.core.adapters import AGENTS
from git_fleet.core.config import Config, WorkerProfile, from_document
from git_fleet.core.ids import TaskId
from git_fleet.core.launch import (
    MAX_ARGUMENT_BYTES,
    Agent,
    Launch,
    Place,
    command_for,
    configured,
)
from git_fleet.core.model import Task
from git_fleet.errors import InvalidInput

PLACE = Place(
    worktree="/w/app 42",
    git_dir="/r/.git/worktrees/42",
    branch="feature/42",
    slot=3,
    env=(("FLEET_TASK", "42"), ("TERM", "xterm")),
    claim='{"v":1}',
)
ALL = ["{prompt}", "{prompt_file}", "{task}", "{worktree}", "{branch}", "{slot}"]
FILLED = ("Do it.", "/r/.git/worktrees/42/fleet-prompt.md", "42", "/w/app 42", "feature/42", "3")


def task(worker: str = "") -> Task:
    return Task(TaskId("app", "42"), "Count", "count", worker=worker)


def config(**worker: Any) -> Config:
    """What fleet.toml says with these under [worker]."""
    return from_document({"version": 1, "worker": worker})


def launch(
    found: Config,
    *,
    worker: str = "",
    prompt: str = "Do it.",
    given: tuple[str, ...] = (),
    agent: Agent | None = None,
) -> Launch:
    return command_for(found, task(worker), PLACE, prompt, given, agent)


def refused(found: Config, **more: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as error:
        launch(found, **more)
    assert error.value.exit_code == 2
    assert error.value.hint
    return error.value


# --- where it is from ----------------------------------------------------------------------------


def test_what_was_typed_wins_then_the_profile_then_worker_then_an_agent_found() -> None:
    agent = Agent("codex", ("codex", "exec", "{prompt}"))
    both = config(run=["plain"], deep={"run": ["deep"]}, same={"max_cost_usd": 1})
    assert launch(both, worker="deep", given=("typed", "x")).command == ("typed", "x")
    found = [
        launch(both, worker="deep"),
        launch(both, worker="same"),
        launch(both),
        launch(Config(), agent=agent),
    ]
    assert [(each.command, each.source) for each in found] == [
        (("deep",), "[worker.deep]"),
        (("plain",), "[worker]"),
        (("plain",), "[worker]"),
        (("codex", "exec", "Do it."), "codex, found on this machine"),
    ]


def test_an_agent_that_was_found_comes_after_everything_configured() -> None:
    assert launch(config(run="mine"), agent=Agent("codex", ("codex",))).command == "mine"


def test_without_any_command_it_is_said_how_to_name_one() -> None:
    error = refused(Config())
    assert error.message == "no command is configured for app/42"
    assert 'run = ["claude", "-p", "{prompt}"]' in error.hint


def test_a_profile_that_is_not_there_is_named_with_the_nearest() -> None:
    found = config(run=["x"], deep={}, cheap={})
    error = refused(found, worker="deeep")
    assert error.message.endswith("no such profile; did you mean 'deep'?; there is: deep, cheap")
    assert refused(found, worker="deeep", given=("typed",)).message == error.message
    with pytest.raises(InvalidInput, match="there is: none"):
        configured(Config(), task("deep"))


# --- placeholders --------------------------------------------------------------------------------


def test_every_placeholder_stands_for_its_value_whole_or_inside_an_item() -> None:
    assert launch(config(run=["agent", *ALL])).command == ("agent", *FILLED)
    inside = [f"--x={each}:{each}" for each in ALL]
    assert launch(config(run=["agent", *inside])).command == (
        "agent",
        *(f"--x={each}:{each}" for each in FILLED),
    )


def test_what_is_filled_in_is_one_argument_and_is_not_filled_again() -> None:
    prompt = "-x {slot} 'a b'\n$(id) `id` {{task}} {nonsense}"
    assert launch(config(run=["agent", "{prompt}", "a{prompt}"]), prompt=prompt).command == (
        "agent",
        prompt,
        f"a{prompt}",
    )


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        ("{{prompt}}", "{prompt}"),
        ("{{other}}", "{other}"),
        ("${HOME}", "${HOME}"),
        ("${task}", "${task}"),
        ('{"a": {"b": 1}}', '{"a": {"b": 1}}'),
        ("{}", "{}"),
        ("{ task }", "{ task }"),
        ("{{task}", "{42"),
        ("{task}}", "42}"),
    ],
)
def test_other_braces_stay_and_doubled_ones_stand_for_one(item: str, shown: str) -> None:
    assert launch(config(run=["agent", item])).command == ("agent", shown)


@pytest.mark.parametrize("run", [["agent", "{promt}"], ["agent", "--x={promt}!"]])
def test_an_unknown_placeholder_is_refused_with_those_allowed(run: list[str]) -> None:
    message = refused(config(run=run)).message
    assert message == (
        "[worker]: unknown placeholder {promt}; did you mean 'prompt'?; allowed: {prompt}, {prompt_file}, {task},"
        " {worktree}, {branch}, {slot}"
    )
    assert refused(Config(), given=tuple(run)).message.startswith(
        "the command line: unknown placeholder {promt}"
    )


def test_a_string_goes_to_sh_as_it_is() -> None:
    text = "agent \"$FLEET_CLAIM\" ${task} {other} | awk '{print}'"
    assert launch(config(run=text)).command == text


@pytest.mark.parametrize("name", ALL)
def test_a_string_gets_no_placeholders_and_is_refused_with_the_list_as_hint(name: str) -> None:
    error = refused(config(run=f"agent '{name}'"))
    assert (
        error.message
        == f"[worker]: a command in quotes goes to sh and has no placeholders, but it says {name}"
    )
    assert 'write it as a list, such as ["claude", "-p", "{prompt}"]' in error.hint


@pytest.mark.parametrize(
    "before",
    [
        ["sh", "-c"],
        ["/bin/bash", "-lc"],
        ["env", "X=1", "bash", "-e", "-c"],
        ["python3", "-I", "-c"],
        ["node", "-e"],
    ],
)
def test_nothing_of_others_gets_into_a_programs_text(before: list[str]) -> None:
    message = refused(config(run=[*before, "agent {prompt}"])).message
    assert re.search("is a program's text, and what stands for a placeholder would be run with it", message)
    assert refused(config(run=["agent {branch}"], wrap=before)).message.startswith(
        "[worker]: 'agent {branch}' is"
    )
    behind = [*before, 'agent "$1" {{x}} ${task}', "sh", "{task}"]
    assert launch(config(run=behind)).command == (*before, 'agent "$1" {x} ${task}', "sh", "42")


def test_options_of_agents_are_no_programs_text() -> None:
    for run in (
        ["codex", "-c", "k={task}"],
        ["node", "cli.js", "-p", "{prompt}"],
        ["claude", "-p", "{prompt}"],
    ):
        assert "{" not in "".join(launch(config(run=run)).command)


def test_a_prompt_too_long_for_an_argument_is_refused_and_a_file_takes_any() -> None:
    fits, too_long = "x" * MAX_ARGUMENT_BYTES, "é" * (MAX_ARGUMENT_BYTES // 2 + 1)
    assert launch(config(run=["agent", "{prompt}"]), prompt=fits).command[1] == fits
    assert "{prompt_file}" in refused(config(run=["agent", "{prompt}"]), prompt=too_long).hint
    found = launch(config(run=["agent", "{prompt_file}"]), prompt=too_long)
    assert (found.command[1], found.files[1].text) == (found.files[1].path, too_long)


# --- wrap, environment, files --------------------------------------------------------------------


def test_wrap_stands_before_the_command_with_placeholders_of_its_own() -> None:
    wrap = ["bwrap", "--bind", "{worktree}", "{worktree}", "--"]
    prefix = ("bwrap", "--bind", "/w/app 42", "/w/app 42", "--")
    assert launch(config(run=["agent", "{prompt}"], wrap=wrap)).command == (*prefix, "agent", "Do it.")
    assert launch(config(run="agent | tee log", wrap=wrap)).command == (
        *prefix,
        "/bin/sh",
        "-c",
        "agent | tee log",
    )
    assert launch(config(wrap=wrap), given=("typed",)).command == (*prefix, "typed")
    assert launch(config(wrap=wrap, deep={"run": ["d"], "wrap": ["w"]}), worker="deep").command == ("w", "d")
    assert refused(config(run=["a"], wrap=["{x}"])).message.startswith(
        "wrap of [worker]: unknown placeholder {x}"
    )


def test_the_agent_gets_the_claims_environment_its_claim_and_its_prompt_as_files() -> None:
    found = launch(config(run=["agent"]))
    assert found.folder == "/w/app 42"
    assert dict(found.env) == {
        "FLEET_TASK": "42",
        "FLEET_CLAIM": "/r/.git/worktrees/42/fleet-claim.json",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }
    assert [(file.path, file.text) for file in found.files] == [
        ("/r/.git/worktrees/42/fleet-claim.json", '{"v":1}'),
        ("/r/.git/worktrees/42/fleet-prompt.md", "Do it."),
    ]


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_the_commands_of_known_agents_take_the_prompt_as_an_argument_of_its_own(agent: Agent) -> None:
    command = launch(Config(), agent=agent).command
    assert command[0] == agent.name
    assert command.count("Do it.") == 1
    assert not any("{" in item for item in command)


def test_profiles_take_over_what_they_do_not_say() -> None:
    found = config(run=["a"], wrap=["w"], prompt="p.md", setup="s", deep={"run": ["d"]})
    assert found.profile("deep") == WorkerProfile(("d",), ("w",), "p.md", "s")
    assert found.profile("") == found.profile("nobody") == found.worker
