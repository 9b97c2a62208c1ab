"""Gates: commands that must pass in a clean checkout of what main would become (DESIGN section 9).

How such a command is run, and what it may see, is app/commands.py's; here is what its end means.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from git_fleet.app import commands
from git_fleet.app.checkouts import Checkout
from git_fleet.app.commands import End, Ran
from git_fleet.core.config import Config, Gate
from git_fleet.core.model import Task

_SHELL_COULD_NOT = (126, 127)  # sh(1): found but not executable, not found


class Outcome(StrEnum):
    """A gate passed, failed, or could not be run. Only a failure speaks about the proposal."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class GateResult:
    """What came of one gate. `code` is its exit code, None when it did not start or was ended by us.

    `log` holds what it printed, at most commands.LOG_BYTES of it, `tail` the end of that, cleaned for
    showing. `reason` says in a few words why it did not pass. `changed` are tracked files it changed: no
    failure by itself, but worth a remark. `stopped`: it was ended because nobody wants to know any more;
    its outcome is an error, and says nothing about anything.
    """

    name: str
    outcome: Outcome
    code: int | None
    seconds: float
    log: Path
    tail: str
    reason: str = ""
    changed: tuple[str, ...] = ()
    stopped: bool = False


def environment_digest(env: Mapping[str, str]) -> str:
    """A short name for an environment: two of one name are equal. For the cache of passes."""
    lines = b"".join(os.fsencode(f"{name}={env[name]}\0") for name in sorted(env))
    return hashlib.sha256(lines).hexdigest()[:16]


def gates_of(config: Config, task: Task) -> tuple[Gate, ...]:
    """The gates a task's commit must pass: the repository's, then the task's own (`accept`)."""
    own = (Gate(f"accept {number}", run) for number, run in enumerate(task.accept, 1))
    return (*config.gates, *own)


def run_gates(
    gates: Sequence[Gate],
    checkout: Checkout,
    *,
    env: Mapping[str, str],
    log_dir: Path,
    stop: threading.Event | None = None,
) -> tuple[GateResult, ...]:
    """Run `gates` in order, up to the first that does not pass: a result for each that ran.

    Each finds the checkout clean, whatever the one before it did: a gate that needs another's products
    must make them itself, and so a cached pass may stand for a run. When `stop` is set, the gate that
    runs is ended and its result says so. Raises GitFailed and Busy when the checkout cannot be made clean.
    """
    results: list[GateResult] = []
    for number, gate in enumerate(gates, 1):
        if results:
            checkout.reset()
        log = log_dir / f"{number}-{file_name(gate.name)}.log"
        result = run_gate(gate, checkout.path, env=env, log=log, stop=stop, pass_fds=(checkout.lock,))
        results.append(replace(result, changed=checkout.changed()))
        if result.outcome is not Outcome.PASS:
            break
    return tuple(results)


def run_gate(
    gate: Gate,
    folder: Path,
    *,
    env: Mapping[str, str],
    log: Path,
    stop: threading.Event | None = None,
    pass_fds: Sequence[int] = (),
    grace_seconds: float = commands.GRACE_SECONDS,
) -> GateResult:
    """Run one gate in `folder` and wait for its end (see `commands.run`).

    Out of time counts as fail. Error means that it could not run: no such command, no permission, no
    folder, or a shell that says so by its exit codes 126 and 127; or that it was stopped. Raises
    GitFailed when the log cannot be written.
    """
    ran = commands.run(
        gate.run,
        folder,
        env=env,
        log=log,
        timeout_seconds=gate.timeout_seconds,
        stop=stop,
        pass_fds=pass_fds,
        grace_seconds=grace_seconds,
    )
    outcome, reason = _judge(gate, ran)
    stopped = ran.end is End.STOPPED
    return GateResult(gate.name, outcome, ran.code, ran.seconds, log, ran.tail, reason, stopped=stopped)


def file_name(name: str) -> str:
    """A gate's name as a part of a file name."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name)[:60]


def _judge(gate: Gate, ran: Ran) -> tuple[Outcome, str]:
    if ran.end is End.NOT_STARTED:
        return Outcome.ERROR, ran.why
    if ran.end is End.STOPPED:
        return Outcome.ERROR, "was stopped"
    if ran.code is None:
        return Outcome.FAIL, f"ran out of time ({gate.timeout_seconds:g} s)"
    if ran.code == 0:
        return Outcome.PASS, ""
    if ran.code < 0:
        return Outcome.FAIL, f"ended by {signal.strsignal(-ran.code) or 'a signal'} (signal {-ran.code})"
    if isinstance(gate.run, str) and ran.code in _SHELL_COULD_NOT:
        return Outcome.ERROR, f"its command was not found or cannot be executed (exit code {ran.code})"
    return Outcome.FAIL, f"exit code {ran.code}"
