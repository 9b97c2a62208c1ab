"""Gates: commands that must pass in a clean checkout of what main would become (DESIGN section 9).

How such a command is run is app/commands.py's matter; here is what its end means. A gate that passed on
the same tree before need not run again (app/passes.py).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.app import commands
from git_fleet.app.checkouts import Checkout, Checkouts
from git_fleet.app.commands import End, Ran
from git_fleet.app.passes import Passes
from git_fleet.core import allowlist
from git_fleet.core.config import PLACEHOLDER, Gate
from git_fleet.core.ids import Oid
from git_fleet.core.model import Task

_SHELL_COULD_NOT = (126, 127)  # sh(1): found but not executable, not found


class Outcome(StrEnum):
    """A gate passed, failed, or could not be run. Only a failure speaks about the proposal."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    ERROR = "error"


class GateResult(Struct, frozen=True):
    """What came of one gate. `code` is its exit code, None when it did not start or was ended by us.

    `log` holds what it printed, at most commands.LOG_BYTES of it, `tail` the end of that, cleaned for
    showing. `reason` says in a few words why it did not pass. `changed` are tracked files it changed: no
    failure by itself, but worth a remark. `stopped`: it was ended because nobody wants to know any more;
    its outcome is an error, and says nothing about anything. `cached`: it did not run, for it is on record
    that it passed; there is no log then, and `seconds` is what it took that time.
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
    cached: bool = False


def gate_environment(base: Mapping[str, str], own: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a gate: what of `base` any command sees, and `own` (`[env]` of fleet.toml).

    An entry with a placeholder, such as `{slot}`, is about the place where a task is worked on. A gate has
    no such place, and its pass must not depend on one: it does without the entry.
    """
    plain = {name: text for name, text in (own or {}).items() if not PLACEHOLDER.search(text)}
    return allowlist.environment(base, plain)


def own_gates(task: Task) -> tuple[Gate, ...]:
    """The task's own gates, its `accept` commands."""
    return tuple(Gate(f"accept {number}", run) for number, run in enumerate(task.accept, 1))


def run_gates(
    gates: Sequence[Gate],
    pool: Checkouts,
    commit: Oid,
    tree: Oid,
    *,
    env: Mapping[str, str],
    log_dir: Path,
    passes: Passes,
    stop: threading.Event | None = None,
) -> tuple[GateResult, ...]:
    """Ask `gates` in order about `commit`, whose tree is `tree`, up to the first that does not pass: a
    result for each that was asked.

    One whose pass is on record does not run. Each that runs finds a checkout of `pool` clean, whatever the
    one before it did: a gate that needs another's products must make them itself. When all are on record
    there is no checkout. When `stop` is set, the gate that runs is ended and its result says so. Raises
    GitFailed and Busy when a checkout cannot be made clean.
    """
    results: list[GateResult] = []
    with ExitStack() as held:
        checkout: Checkout | None = None
        for number, gate in enumerate(gates, 1):
            log = log_dir / f"{number}-{_file_name(gate.name)}.log"
            known = passes.find(tree, gate, env)
            if known is not None:
                results.append(GateResult(gate.name, Outcome.PASS, 0, known.seconds, log, "", cached=True))
                continue
            if checkout is None:
                checkout = held.enter_context(pool.checkout(commit))
            else:
                checkout.reset()
            result = run_gate(gate, checkout.path, env=env, log=log, stop=stop, pass_fds=(checkout.lock,))
            result = replace(result, changed=checkout.changed())
            _remember(passes, tree, gate, env, result)
            results.append(result)
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


def _file_name(name: str) -> str:
    """A gate's name as a part of a file name."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name)[:60]


def _remember(passes: Passes, tree: Oid, gate: Gate, env: Mapping[str, str], result: GateResult) -> None:
    """A pass is kept, unless the gate looked at a tree that it changed itself. Anything else takes a pass
    away that was known, but for the end of a gate that was stopped, which says nothing."""
    if result.outcome is Outcome.PASS and not result.changed:
        passes.keep(tree, gate, env, result.seconds)
    elif not result.stopped:
        passes.forget(tree, gate, env)


def _judge(gate: Gate, ran: Ran) -> tuple[Outcome, str]:
    reason = ran.ending(gate.timeout_seconds)
    if ran.end in (End.NOT_STARTED, End.STOPPED):
        return Outcome.ERROR, reason
    if isinstance(gate.run, str) and ran.code in _SHELL_COULD_NOT:
        return Outcome.ERROR, f"its command was not found or cannot be executed (exit code {ran.code})"
    return (Outcome.FAIL if reason else Outcome.PASS), reason
