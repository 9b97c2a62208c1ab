"""Which command starts an agent for a task, and what it is given (DESIGN sections 7 and 14).

What was typed wins, then the task's `[worker.NAME]` profile, `[worker]`, and last an agent that was found on
this machine. A list is executed as it is, its placeholders filled in; a string goes to sh and has none, because
much of what would stand there was written by others, and sh would run it. For the same reason the program text
of an interpreter in a list (`sh -c TEXT`) has none. Nothing is started here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from msgspec import Struct

from git_fleet.core.config import Command, Config, WorkerProfile
from git_fleet.core.model import Task
from git_fleet.core.problems import nearest, show
from git_fleet.errors import InvalidInput

PLACEHOLDERS = ("prompt", "prompt_file", "task", "worktree", "branch", "slot")
CLAIM_FILE = "fleet-claim.json"
PROMPT_FILE = "fleet-prompt.md"
MAX_ARGUMENT_BYTES = 128 * 1024 - 1
"""What Linux takes as one argument (MAX_ARG_STRLEN), the NUL at its end not counted."""

_BRACES = re.compile(r"(?P<shell>\$)?(?P<open>\{\{?)(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<close>\}\}?)")
_INTERPRETER = re.compile(r"(?:ba|da|z|k|a|fi)?sh|(?:python|perl|ruby|node|php|lua)[0-9.]*")
_PROGRAM_TEXT = re.compile(r"-[A-Za-z]*[ceErp]|--(?:command|eval|print)")
_EXAMPLE = '["claude", "-p", "{prompt}"]'


class Place(Struct, frozen=True):
    """Where the agent is to work. `worktree` is an absolute path, `git_dir` that worktree's own git dir, in
    which the files for the agent go; `env` is the environment of the claim (app/isolation.py), `claim` the claim
    as the JSON document that `git fleet claim --json` prints."""

    worktree: str
    git_dir: str
    branch: str
    slot: int
    env: tuple[tuple[str, str], ...]
    claim: str


class File(Struct, frozen=True):
    """A file to write before the agent starts, readable by its owner alone."""

    path: str
    text: str


class Agent(Struct, frozen=True):
    """A known agent: its program, and the command that runs it without a person."""

    name: str
    run: tuple[str, ...]


class Launch(Struct, frozen=True):
    """How an agent is started: `command` (a list, or a shell's text), to be run in `folder` with nothing on its
    standard input; `env` comes on top of the environment; `files` are written first. `source` says in words
    where the command is from, `run` is how it was written there, without what is put in front of it."""

    command: Command
    folder: str
    env: tuple[tuple[str, str], ...]
    files: tuple[File, ...]
    source: str
    run: Command = ()


def profile_of(config: Config, task: Task) -> tuple[str, WorkerProfile]:
    """The profile a task is worked on with, and what it is called in fleet.toml.

    Raises InvalidInput when the task asks for one that is not there.
    """
    if not task.worker:
        return "[worker]", config.worker
    profiles = dict(config.profiles)
    if task.worker not in profiles:
        known = ", ".join(profiles) or "none"
        raise InvalidInput(
            f"{task.id} asks for the worker {show(task.worker)}, and fleet.toml has no such profile"
            f"{nearest(task.worker, profiles)}; there is: {known}",
            hint=f"add [worker.{task.worker}] to fleet.toml on the base branch, or correct the plan",
        )
    return f"[worker.{task.worker}]", profiles[task.worker]


def configured(config: Config, task: Task, given: Sequence[str] = ()) -> tuple[Command, str]:
    """The task's command as it was written, and where that is from; an empty one when nothing names any.

    Raises as `profile_of`.
    """
    source, profile = profile_of(config, task)
    if given:
        return tuple(given), "the command line"
    own = bool(profile.run) and profile.run != config.worker.run
    return profile.run, source if own else "[worker]"


def command_for(
    config: Config,
    task: Task,
    place: Place,
    prompt: str,
    given: Sequence[str] = (),
    agent: Agent | None = None,
) -> Launch:
    """How the agent of `task` is started in `place` with `prompt`.

    `given` was typed for this run; `agent` is used where nothing is configured. Raises InvalidInput when there is no
    command at all, for an unknown placeholder, one where sh would run it, and for a prompt that is too long for
    an argument.
    """
    run, source = configured(config, task, given)
    if not run:
        if agent is None:
            raise InvalidInput(f"no command is configured for {task.id}", hint=how_to_configure())
        run, source = agent.run, f"{agent.name}, found on this machine"
    files = (
        File(str(PurePath(place.git_dir, CLAIM_FILE)), place.claim),
        File(str(PurePath(place.git_dir, PROMPT_FILE)), prompt),
    )
    known = {
        "prompt": prompt,
        "prompt_file": files[1].path,
        "task": task.id.task,
        "worktree": place.worktree,
        "branch": place.branch,
        "slot": str(place.slot),
    }
    env = dict(place.env) | {"FLEET_CLAIM": files[0].path, "NO_COLOR": "1", "TERM": "dumb"}
    wrap = profile_of(config, task)[1].wrap
    return Launch(_whole(run, wrap, known, source), place.worktree, tuple(env.items()), files, source, run)


def how_to_configure() -> str:
    """What a person does who has no command configured."""
    return f"put run = {_EXAMPLE} under [worker] in fleet.toml on the base branch, or add -- COMMAND… to this one"


def _whole(run: Command, wrap: Sequence[str], known: Mapping[str, str], source: str) -> Command:
    """The command with its prefix. A shell's text behind a prefix is that of a shell of its own."""
    prefix = fill(wrap, known, f"wrap of {source}")
    if isinstance(run, str):
        require_plain(run, source)
        return (*prefix, "/bin/sh", "-c", run) if prefix else run
    return (*prefix, *fill(run, known, source, before=wrap))


def require_plain(text: str, source: str, names: Sequence[str] = PLACEHOLDERS) -> None:
    """Raises InvalidInput when a shell's text holds one of the placeholders. (`${task}` is the shell's own.)"""
    for match in _BRACES.finditer(text):
        if match["name"] in names and not match["shell"]:
            raise InvalidInput(
                f"{source}: a command in quotes goes to sh and has no placeholders, but it says {match[0]}",
                hint=f"write it as a list, such as {_EXAMPLE}; FLEET_CLAIM names a file with all of the claim",
            )


def fill(
    items: Sequence[str], known: Mapping[str, str], source: str, *, before: Sequence[str] = ()
) -> tuple[str, ...]:
    """A list command with its placeholders filled in, each item still one argument; `before` stands before it.

    `{{name}}` stands for `{name}` itself, and `${name}` is left to a shell. Raises InvalidInput.
    """
    filled = []
    for number, item in enumerate(items):
        text = _BRACES.sub(lambda match: _value(match, known, source), item)
        if text != item and _is_program_text([*before, *items[:number]]) and _uses_placeholder(item):
            raise InvalidInput(
                f"{source}: {show(item)} is a program's text, and what stands for a placeholder would be run with it",
                hint='give it as an argument behind it: ["sh", "-c", "my-agent \\"$1\\"", "sh", "{prompt}"]',
            )
        if len(os.fsencode(text)) > MAX_ARGUMENT_BYTES:
            raise InvalidInput(
                f"{source}: {show(item)} is longer than an argument may be ({MAX_ARGUMENT_BYTES // 1024} KiB)",
                hint="use {prompt_file} instead of {prompt}: the path of a file that holds the prompt",
            )
        filled.append(text)
    return tuple(filled)


def _value(match: re.Match[str], known: Mapping[str, str], source: str) -> str:
    name, braces = match["name"], (match["open"], match["close"])
    if match["shell"]:
        return match[0]
    if braces == ("{{", "}}"):
        return f"{{{name}}}"
    if name not in known:
        allowed = ", ".join(f"{{{each}}}" for each in known)
        raise InvalidInput(
            f"{source}: unknown placeholder {{{name}}}{nearest(name, known)}; allowed: {allowed}",
            hint=f"{{{{{name}}}}} stands for {{{name}}} itself",
        )
    return braces[0][1:] + known[name] + braces[1][1:]


def _uses_placeholder(item: str) -> bool:
    return any(
        not match["shell"] and (match["open"], match["close"]) != ("{{", "}}")
        for match in _BRACES.finditer(item)
    )


def _is_program_text(before: Sequence[str]) -> bool:
    """Whether what comes behind these items is a text that an interpreter runs: `sh -c`, `python3 -I -c`."""
    if not before or not _PROGRAM_TEXT.fullmatch(before[-1]):
        return False
    program = next((item for item in reversed(before) if not item.startswith("-")), "")
    return bool(_INTERPRETER.fullmatch(PurePath(program).name))
