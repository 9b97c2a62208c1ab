"""Which agent works where nothing is configured, and what is written before one starts (DESIGN section 14)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from git_fleet.core import launch
from git_fleet.core.adapters import AGENTS, Adapter
from git_fleet.core.config import Config
from git_fleet.core.launch import Agent, Launch
from git_fleet.core.model import Task
from git_fleet.errors import InvalidInput
from git_fleet.store import worktree

Ask = Callable[[Sequence[Agent]], Agent]
"""Asks the person at the terminal which of several agents it is to be."""


def agent_for(
    config: Config,
    tasks: Iterable[Task],
    given: Sequence[str],
    env: Mapping[str, str],
    ask: Ask | None = None,
) -> Agent | None:
    """The agent for those of `tasks` that no command is configured for; None when there are none of these.

    The only known one on PATH; of several the one that the person chooses who is asked by `ask` (None: nobody is
    there to ask). Raises InvalidInput with the choices when that leaves it open, and as `launch.configured`.
    """
    commands = [launch.configured(config, task, given)[0] for task in tasks]
    if all(commands):
        return None
    found = installed(env)
    if len(found) == 1:
        return found[0]
    if not found:
        known = ", ".join(agent.name for agent in AGENTS)
        raise InvalidInput(
            f"no command is configured that starts an agent, and none of {known} is on PATH",
            hint=launch.how_to_configure(),
        )
    if ask is not None:
        return ask(found)
    choices = ", ".join(agent.name for agent in found)
    raise InvalidInput(
        f"no command is configured that starts an agent, and there are several on PATH: {choices}",
        hint=launch.how_to_configure(),
    )


def installed(env: Mapping[str, str]) -> tuple[Adapter, ...]:
    """The known agents whose program is on the PATH of `env`."""
    path = env.get("PATH", os.defpath)
    return tuple(agent for agent in AGENTS if shutil.which(agent.name, path=path))


def write_files(found: Launch) -> None:
    """Write what the agent will read, each file whole or not at all, for nobody else's eyes: a claim holds what
    `[env]` says. Raises GitFailed."""
    for file in found.files:
        worktree.replace_file(Path(file.path), file.text.encode("utf-8", "surrogateescape"), mode=0o600)
