"""What surrounds a session: the clock, the environment, the machine; and what an actor there is called."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from git_fleet.errors import InvalidInput

AGENT_VARIABLES = (
    "FLEET_TASK", "FLEET_GATE", "FLEET_VERIFIER", "FLEET_ROLE", "FLEET_LENS", "AI_AGENT", "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT", "CODEX_SANDBOX", "CODEX_THREAD_ID", "GEMINI_CLI", "OPENCODE", "OPENCODE_SESSION",
    "CURSOR_AGENT", "AIDER_MODEL",
)  # fmt: skip
"""A variable of one of these names says that an agent is at the keyboard, or a command that git-fleet itself
has started, not a person."""


class Surroundings(Struct, frozen=True):
    """What a face hands in: the clock (aware, UTC), the environment, this machine's name, the
    folders for its state and caches, and how to tell somebody that not all is as it should be."""

    now: Callable[[], datetime]
    env: Mapping[str, str]
    host: str
    state_dir: Path
    cache_dir: Path
    warn: Callable[[str], object] = str


def check_worker(name: str) -> str:
    """`name`, which can be a worker's. Raises InvalidInput."""
    if not name.isprintable() or len(name) > 100:
        raise InvalidInput(
            f"worker name {name[:100]!r}: printable characters, at most 100",
            hint="git config fleet.worker NAME, FLEET_WORKER or --worker says who you are",
        )
    return name


def generated_worker(around: Surroundings) -> str:
    """A name for one who has none, for this process."""
    return f"{around.env.get('USER', 'worker')}-{os.urandom(3).hex()}"


def is_generated(name: str, around: Surroundings) -> bool:
    """Whether `name` may be one that `generated_worker` gave: nobody has said who acts."""
    before, _, after = name.rpartition("-")
    return before == around.env.get("USER", "worker") and re.fullmatch("[0-9a-f]{6}", after) is not None
