"""A git that works while we go on."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Self

from git_fleet.git import tracing
from git_fleet.git.process import Argument, Git, command_name, failure

_MOMENT = 1.0
"""Seconds. What a git that was ended has started (a merge driver, a fetch) may hold its pipes open for longer."""


class Running:
    """One git from its start to its end. A thread of its own talks with it, so it never waits for us.

    Use it as a context manager: where its answer is not wanted any more it is ended. Raises InvalidInput as `Git.run`.
    """

    def __init__(self, git: Git, *args: Argument, input: bytes) -> None:  # noqa: A002 - as in Git.run
        self._args = args
        self._process = git.spawn(*args, apart=False)
        name = command_name([os.fspath(arg) for arg in args])
        self._traced = tracing.begun(name, args, self._process.pid)
        self._said: tuple[bytes, bytes] | None = None
        self._talking = threading.Thread(target=self._talk, args=[input], name="git", daemon=True)
        self._talking.start()

    def _talk(self, question: bytes) -> None:
        self._said = self._process.communicate(question)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let it end."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._talking.join(_MOMENT)
        if self._traced is not None:
            self._traced.ended(self._process.returncode)

    def answer(self) -> bytes:
        """Wait for its end: its standard output. Raises GitFailed when it has failed."""
        self._talking.join()
        out, err = self._said or (b"", b"")
        code = self._process.wait()
        if self._said is None or code:
            raise failure(self._args, code, err)
        return out
