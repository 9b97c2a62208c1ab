"""Which agent works where nothing is configured, and the files it finds."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from git_fleet.app import profiles
from git_fleet.core.config import Config, WorkerProfile
from git_fleet.core.ids import TaskId
from git_fleet.core.launch import Agent, Place, command_for
from git_fleet.core.model import Task
from git_fleet.errors import GitFailed, InvalidInput

ONE = Task(TaskId("p", "a"), "A", "a")
DEEP = Task(TaskId("p", "b"), "B", "b", worker="deep")


def path_with(folder: Path, *names: str) -> dict[str, str]:
    """An environment in whose PATH there are just these programs."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder)}


def test_the_only_known_agent_on_path_is_taken(tmp_path: Path) -> None:
    env = path_with(tmp_path / "bin", "gemini", "vim")
    found = profiles.agent_for(Config(), [ONE], (), env)
    assert found is not None
    assert found.name == "gemini"


def test_what_cannot_be_executed_is_not_there(tmp_path: Path) -> None:
    env = path_with(tmp_path / "bin", "gemini", "codex")
    (tmp_path / "bin" / "codex").chmod(0o644)
    assert [agent.name for agent in profiles.installed(env)] == ["gemini"]


def test_of_several_a_person_chooses_and_without_one_they_are_named(tmp_path: Path) -> None:
    env = path_with(tmp_path / "bin", "opencode", "claude")
    asked: list[str] = []

    def ask(choices: Sequence[Agent]) -> Agent:
        asked.extend(agent.name for agent in choices)
        return choices[1]

    found = profiles.agent_for(Config(), [ONE], (), env, ask)
    assert found is not None
    assert (found.name, asked) == ("opencode", ["claude", "opencode"])
    with pytest.raises(InvalidInput, match="several on PATH: claude, opencode") as error:
        profiles.agent_for(Config(), [ONE], (), env)
    assert "[worker]" in error.value.hint


def test_none_is_an_error_that_says_which_are_known(tmp_path: Path) -> None:
    env = path_with(tmp_path / "bin")
    with pytest.raises(InvalidInput, match="none of claude, codex, gemini, opencode is on PATH"):
        profiles.agent_for(Config(), [ONE], (), env)


def test_nobody_is_looked_for_where_every_task_has_a_command(tmp_path: Path) -> None:
    env = path_with(tmp_path / "bin", "claude", "codex")
    deep = (("deep", WorkerProfile(run="x")),)
    assert profiles.agent_for(Config(), [ONE], ("typed",), env) is None
    assert profiles.agent_for(Config(profiles=deep), [DEEP], (), env) is None
    assert (
        profiles.agent_for(Config(worker=WorkerProfile(run="x"), profiles=deep), [ONE, DEEP], (), env) is None
    )
    with pytest.raises(InvalidInput, match="several"):
        profiles.agent_for(Config(profiles=deep), [DEEP, ONE], (), env)


def test_a_profile_that_is_missing_is_noticed_before_the_first_agent_starts(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="asks for the worker 'deep'"):
        profiles.agent_for(Config(), [ONE, DEEP], ("typed",), path_with(tmp_path / "bin"))


def test_an_agent_finds_its_claim_and_its_prompt(tmp_path: Path) -> None:
    claim = json.dumps({"v": 1, "env": {"DB": "secret"}})
    place = Place(str(tmp_path), str(tmp_path), "feature/a", 1, (("FLEET_TASK", "a"),), claim)
    found = command_for(
        Config(), ONE, place, "Grüße.\n", ("sh", "-c", 'cat "$FLEET_CLAIM" "$1"', "sh", "{prompt_file}")
    )
    for _ in range(2):  # again for the next attempt
        profiles.write_files(found)
    assert not isinstance(found.command, str)
    said = subprocess.run(found.command, cwd=found.folder, env=dict(found.env) | {"PATH": "/usr/bin:/bin"},
                          capture_output=True, check=True)  # fmt: skip
    assert said.stdout.decode() == f"{claim}Grüße.\n"
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["fleet-claim.json", "fleet-prompt.md"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_file_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    place = Place(str(tmp_path), str(tmp_path / "gone"), "feature/a", 1, (), "{}")
    with pytest.raises(GitFailed, match=r"cannot write .*fleet-claim\.json"):
        profiles.write_files(command_for(Config(), ONE, place, "x", ("agent",)))
