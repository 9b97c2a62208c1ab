"""Traces for bug reports: every git, every transaction of refs and every gate, with when it began and ended.

Beginning and end are written when they happen (git/tracefile.py says how), so what was going on when everybody was
killed is in it. Whoever is started by us writes into the same file, named by FLEET_TRACE. While nothing is traced,
nothing is done, and nothing is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from git_fleet.errors import InvalidInput

if TYPE_CHECKING:
    from git_fleet.git.tracefile import Trace

VARIABLE = "FLEET_TRACE"

_trace: Trace | None = None
_refused = ""


def follow(path: str | None) -> None:
    """Trace into the file at `path` from now on, unless that is done already. One that cannot be written is said
    once; it stops nobody."""
    global _refused  # noqa: PLW0603 - so that it is said once
    if not path or path == _refused or (_trace is not None and _trace.path == path):
        return
    try:
        begin(path)
    except InvalidInput as error:
        _refused = path
        sys.stderr.write(f"git-fleet: {error.message}\n")


def begin(path: str) -> None:
    """Trace into the file at `path` (absolute), made where there is none. Raises InvalidInput when it cannot be written,
    or holds something that is no trace."""
    global _trace  # noqa: PLW0603 - a process has one trace
    from git_fleet.git.tracefile import Trace

    end()
    _trace = Trace(path)
    _trace.hello()


def end() -> None:
    """Trace no more."""
    global _trace  # noqa: PLW0603
    if _trace is not None:
        _trace.close()
        _trace = None


class Span:
    """Something that takes time, within one thread and whatever is around it. Use as a context manager; `result` is
    what came of it."""

    def __init__(self, kind: str, name: str, about: Mapping[str, Any]) -> None:
        self.result: dict[str, Any] = {}
        self._began: Trace | None = _trace
        if self._began is not None:
            self._began.write({"name": name, "cat": kind, "ph": "B", "args": about})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._began is not None:
            raised = {"error": f"{kind.__name__}: {error}"} if kind is not None else {}
            self._began.write({"ph": "E", "args": {**self.result, **raised}})


def span(kind: str, name: str, **about: Any) -> Span:
    """A span of this kind, `about` what is worth knowing of it."""
    return Span(kind, name, about)


def of_git(name: str, argv: Sequence[Any], directory: Any) -> Span:
    """The span of a git that is waited for."""
    return Span("git", f"git {name}", {"argv": argv, "cwd": directory})


def of_refs(message: str, updates: Sequence[tuple[Any, Any, Any]]) -> Span:
    """The span of a transaction; of each ref its name, its old and its new value."""
    moved = [" ".join(map(str, update)) for update in updates] if _trace is not None else []
    return Span("refs", f"transaction: {message}", {"updates": moved})


def begun(name: str, argv: Sequence[Any], pid: int) -> Ongoing | None:
    """A git that goes on beside other things; None while nothing is traced."""
    return Ongoing(_trace, f"git {name}", {"argv": argv, "pid": pid}) if _trace is not None else None


class Ongoing:
    """Something that goes on for as long as it likes."""

    def __init__(self, trace: Trace, name: str, about: Mapping[str, Any]) -> None:
        self._trace = trace
        self._same = {"name": name, "cat": "git", "id": f"{about['pid']}-{id(self)}"}
        trace.write({**self._same, "ph": "b", "args": about})

    def ended(self, code: int | None) -> None:
        """It has ended."""
        self._trace.write({**self._same, "ph": "e", "args": {"code": code}})
