"""A git that works while we go on."""

from __future__ import annotations

import os
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from git_fleet.git import tracing
from git_fleet.git.process import Argument, Git, failure


class Running:
    """One git from its start to its end. What it reads and says are files, so neither waits for the other.

    Use it as a context manager: where its answer is not wanted any more it is ended. Raises InvalidInput as `Git.run`.
    """

    def __init__(self, git: Git, *args: Argument, input: bytes) -> None:  # noqa: A002 - as in Git.run
        import tempfile  # slow to import

        self._args = args
        self._files = ExitStack()  # what it says, until it is closed
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - see `close`
        self._out, self._err = self._files.enter_context(out), self._files.enter_context(err)
        with tempfile.TemporaryFile() as question:
            question.write(input)
            question.seek(0)
            self._process = git.start(*args, stdin=question, stdout=self._out, stderr=self._err)
        self._traced = tracing.begun(os.fspath(args[0]), args, self._process.pid)

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
        if self._traced is not None:
            self._traced.ended(self._process.returncode)
        self._files.close()

    def answer(self) -> bytes:
        """Wait for its end: its standard output. Raises GitFailed when it has failed."""
        code = self._process.wait()
        for file in (self._out, self._err):
            file.seek(0)
        if code:
            raise failure(self._args, code, self._err.read())
        return self._out.read()
