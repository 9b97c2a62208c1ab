"""Processes stopped or killed between two of their writes, while others go on.

A *write* is a git that may change refs, an index or a work tree: Python reports each just before it starts, so
the code under test is the real one. `prepared` is a moment inside a ref transaction: all locks are taken, nothing
has moved. `cut` kills the git there, too, so that its lock files stay.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from git_fleet.git.process import Child, command_name
from tests.support.race import Done, Outcome, Puppet, Raised

T = TypeVar("T")

WRITING = {
    "update-ref", "worktree", "commit", "add", "merge", "reset", "read-tree", "update-index", "checkout-index",
    "push",
}  # fmt: skip
_STOPPED = "stopped"


def before_write(number: int, act: Callable[[], None], of: Collection[str] = WRITING) -> None:
    """From now on, for this process: `act` before its `number`-th write (counted from 1), by a git command in `of`."""
    left = number

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if event == "subprocess.Popen" and command_name([str(word) for word in args[1][1:]]) in of:
            left -= 1
            if left == 0:
                act()

    sys.addaudithook(watch)


def when_prepared(number: int, act: Callable[[Child], None]) -> None:
    """From now on, for this process: `act` when its `number`-th ref transaction holds all its locks."""
    left, send = number, Child.send

    def watched(child: Child, data: bytes) -> bool:
        nonlocal left
        if data == b"commit\0":
            left -= 1
            if left == 0:
                act(child)
        return send(child, data)

    Child.send = watched  # type: ignore[method-assign,assignment]  # this process ends with the test's work


def die() -> None:
    """End this process as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def cut(child: Child) -> None:
    """Kill the git, whose locks stay, and this process with it."""
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
    die()


class Halted:
    """A process that runs `work(*args)` and stops (SIGSTOP) before its `number`-th write (by a git command in `of`),
    or, with `prepared`, inside its `number`-th ref transaction. Use in a `with`; `stopped` says whether it got
    there."""

    def __init__(
        self,
        number: int,
        work: Callable[..., Any],
        *args: Any,
        prepared: bool = False,
        of: Collection[str] = WRITING,
    ) -> None:
        self._puppet = Puppet(_halting, number, prepared, of, work, args)
        said = self._puppet.hear()
        self.stopped = said == _STOPPED
        self._outcome: Outcome[Any] | None = None if self.stopped else said
        if self.stopped:
            os.waitid(os.P_PID, self._puppet.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def __enter__(self) -> Halted:
        return self

    def __exit__(self, *_: object) -> None:
        self._puppet.kill()

    def go_on(self) -> Outcome[Any]:
        """Let it run to its end: what came of it."""
        if self._outcome is None:
            os.kill(self._puppet.pid, signal.SIGCONT)
            self._outcome = self._puppet.hear()
        assert self._outcome is not None
        return self._outcome


def _halting(
    say: Callable[[object], None],
    number: int,
    prepared: bool,
    of: Collection[str],
    work: Callable[..., Any],
    args: tuple[Any, ...],
) -> None:
    def stop() -> None:
        say(_STOPPED)
        os.kill(os.getpid(), signal.SIGSTOP)

    if prepared:
        when_prepared(number, lambda _: stop())
    else:
        before_write(number, stop, of)
    say(attempt(work, *args))


def attempt(work: Callable[..., T], *args: Any) -> Outcome[T]:
    """What comes of `work(*args)` here, as another process would report it."""
    try:
        return Done(work(*args))
    except Exception as error:  # noqa: BLE001 - whatever it is, the test is told
        return Raised(type(error).__name__, str(error))


def killed(arm: Callable[[], None], work: Callable[..., object], *args: Any) -> bool:
    """Run `work(*args)` in a new process after `arm` has set its end; whether it died of it.

    Fails when the work raised.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            arm()
            outcome = attempt(work, *args)
            if isinstance(outcome, Raised):
                print(outcome, file=sys.stderr)
            else:
                code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the run failed by itself"
    return False
