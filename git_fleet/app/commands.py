"""Running somebody's command in a folder: gates, verifiers, commands that make files (DESIGN section 9).

The command is the user's own, from fleet.toml on the base branch or from the approved plan, but it runs
code that workers wrote. So it gets a session of its own, an environment from an allow-list, a size-capped
log and a time limit, and whatever it leaves running is ended. That is hygiene, no prison: it runs with the
user's rights and can read the files in HOME. What must not see those needs a sandbox around the command.

Several may run at once, in threads of one process, each in a folder of its own.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import IO, Self

from msgspec import Struct

from git_fleet.app.remains import Remains
from git_fleet.core.config import Command
from git_fleet.core.progress import Stop
from git_fleet.core.trailers import clean
from git_fleet.errors import GitFailed
from git_fleet.git import tracing

LOG_BYTES = 10 * 1024 * 1024
OUT_BYTES = 10 * 1024 * 1024
TAIL_BYTES = 8 * 1024
GRACE_SECONDS = 2.0

MARK = "FLEET_GATE"
"""A variable with a value of its own for each run, inherited by all that a command starts."""

_CHUNK = 65_536
_POLL_SECONDS = 0.02
_TAIL_LINES, _TRIES = 60, 5


class End(StrEnum):
    """How a command ended: by itself, at its time limit, because it was told to, or it never began."""

    EXITED = "exited"
    OUT_OF_TIME = "out of time"
    STOPPED = "stopped"
    NOT_STARTED = "not started"


class Ran(Struct, frozen=True):
    """What came of a command. `code` is its exit code (minus the signal that ended it), None unless it
    ended by itself.

    `log` holds what it printed, at most LOG_BYTES of it, `tail` the end of that, cleaned for showing.
    `out` is its standard output, when that was asked for, at most OUT_BYTES; `out_cut` are the bytes
    beyond. `why` says in a few words why it did not start.
    """

    end: End
    code: int | None
    seconds: float
    log: Path
    tail: str = ""
    out: bytes = b""
    out_cut: int = 0
    why: str = ""

    def ending(self, timeout_seconds: float) -> str:
        """How it ended, in a few words; "" for a success."""
        late = f"ran out of time ({timeout_seconds:g} s)"
        if self.end is not End.EXITED or self.code is None:
            return {End.NOT_STARTED: self.why, End.STOPPED: "was stopped"}.get(self.end, late)
        if self.code < 0:
            return f"ended by signal {-self.code} ({signal.strsignal(-self.code) or 'unknown'})"
        return f"exit code {self.code}" if self.code else ""


def printed(log: Path) -> bytes:
    """What a command printed. It may have run workers' code, and that may have removed the log: then a line
    that says so."""
    try:
        return log.read_bytes()
    except OSError as error:
        return f"[git-fleet cannot read the log: {error.strerror}]\n".encode()


def run(
    command: Command,
    folder: Path,
    *,
    env: Mapping[str, str],
    log: Path,
    timeout_seconds: float,
    stdin: bytes = b"",
    keep_out: bool = False,
    stop: Stop | None = None,
    pass_fds: Sequence[int] = (),
    grace_seconds: float = GRACE_SECONDS,
) -> Ran:
    """Run `command` in `folder` and wait for its end, at most `timeout_seconds` and the grace.

    A string goes to /bin/sh, a list is executed as it is. It reads `stdin`, as much of it as it likes.
    With `keep_out` its standard output comes back in `out`; the log has both streams either way. Out of
    time, or as soon as `stop` is (asked often): TERM to all of it, KILL after `grace_seconds`. Whatever is still
    running at its end is ended in the same way, a background process and one in another session
    included. `pass_fds` are inherited by it. Raises GitFailed when the log cannot be written.
    """
    began = time.monotonic()
    with _Log(log) as output, ExitStack() as ending:
        if stop is not None and stop.is_set():
            return Ran(End.STOPPED, None, 0.0, log)
        traced = ending.enter_context(tracing.span("command", f"command in {folder.name}", command=command))
        remains = ending.enter_context(closing(_remains(grace_seconds)))
        try:
            process = _start(command, folder, {**env, MARK: remains.mark}, bool(stdin), keep_out, pass_fds)
        except (OSError, ValueError) as error:
            why = f"cannot be started: {_why(error)}" if folder.is_dir() else "its checkout is gone"
            return Ran(End.NOT_STARTED, None, time.monotonic() - began, log, why=why)
        remains.process = process
        with _Streams(process, output, stdin) as streams:
            end = streams.follow(began + timeout_seconds, stop)
            if end is not End.EXITED:
                remains.signal(signal.SIGTERM)
                streams.follow(time.monotonic() + grace_seconds, None)
            remains.close()  # what it still prints is taken
        code = process.returncode if end is End.EXITED else None
        traced.result.update(end=str(end), code=code)
        out, seconds = bytes(streams.out), time.monotonic() - began
        return Ran(end, code, seconds, log, output.tail(), out, streams.out_cut)


def _remains(grace_seconds: float) -> Remains:
    """All of a command that is about to start. (Process start times are coarse.)"""
    return Remains(MARK, os.urandom(8).hex(), grace_seconds, since=time.time() - 1.0)


def _start(
    command: Command,
    folder: Path,
    env: Mapping[str, str],
    reads: bool,
    keep_out: bool,
    pass_fds: Sequence[int],
) -> subprocess.Popen[bytes]:
    argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    if not argv:
        raise ValueError("its command is empty")
    return subprocess.Popen(
        argv,
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if keep_out else subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
        pass_fds=tuple(pass_fds),
    )


class _Streams:
    """The pipes of one command: what it reads, what it prints."""

    def __init__(self, process: subprocess.Popen[bytes], log: _Log, stdin: bytes) -> None:
        self.out = bytearray()
        self.out_cut = 0
        self._process = process
        self._log = log
        self._rest = memoryview(stdin)
        self._pipes = [pipe for pipe in (process.stdin, process.stdout, process.stderr) if pipe is not None]
        self._selector = DefaultSelector()
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, EVENT_WRITE if pipe is process.stdin else EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Take what is left in the pipes, without waiting for more, and close them."""
        try:
            for pipe in (self._process.stdout, self._process.stderr):
                for _round in range(LOG_BYTES // _CHUNK):  # what escaped may still be printing
                    if pipe is None or not self._take(pipe):
                        break
        finally:
            self._selector.close()
            for pipe in self._pipes:
                pipe.close()

    def follow(self, deadline: float, stop: Stop | None) -> End:
        """Serve the pipes until the command has ended, or must be by `deadline` (monotonic) or `stop`.

        The end of its output says little: a process left in the background may hold it open, and the
        command itself may close it and go on.
        """
        while True:
            remaining = deadline - time.monotonic()
            if self._selector.get_map():
                for key, _ in self._selector.select(max(0.0, min(remaining, _POLL_SECONDS))):
                    self._serve(key.fd)
            elif remaining > 0:
                time.sleep(min(remaining, _POLL_SECONDS / 4))
            if _has_ended(self._process):
                return End.EXITED
            if stop is not None and stop.is_set():
                return End.STOPPED
            if remaining <= 0:
                return End.OUT_OF_TIME

    def _serve(self, fd: int) -> None:
        pipe = next(pipe for pipe in self._pipes if not pipe.closed and pipe.fileno() == fd)
        if pipe is self._process.stdin:
            if not self._give(pipe):
                self._selector.unregister(pipe)
                pipe.close()
        elif self._take(pipe) == b"":
            self._selector.unregister(pipe)

    def _give(self, pipe: IO[bytes]) -> bool:
        """Write what the pipe has room for; False when there is nothing left, or nobody reads on."""
        try:
            written: int | None = pipe.write(self._rest[:_CHUNK])  # None: no room after all
        except BrokenPipeError:
            return False
        self._rest = self._rest[written or 0 :]
        return len(self._rest) > 0

    def _take(self, pipe: IO[bytes]) -> bytes | None:
        """What there is to read now: b"" at the end, None when there is nothing yet."""
        data: bytes | None = pipe.read(_CHUNK)
        if data:
            self._log.write(data)
            if pipe is self._process.stdout and self._process.stderr is not None:
                room = OUT_BYTES - len(self.out)
                self.out += data[:room]
                self.out_cut += len(data[room:])
        return data


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it is over. It stays a zombie, so that its group's number is not given to others yet."""
    if process.returncode is not None:
        return True
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class _Log:
    """What a command prints: the first half of LOG_BYTES as it comes, of the rest the last half."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._room = LOG_BYTES // 2
        self._end = bytearray()
        self._skipped = 0

    def __enter__(self) -> Self:
        try:
            for tries_left in reversed(range(_TRIES)):
                try:
                    self._file = self._begun()
                    break
                except FileNotFoundError:  # its folder was empty for a moment, and somebody tidied up
                    if not tries_left:
                        raise
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def _begun(self) -> IO[bytes]:
        """The file, locked for as long as it is open: app/oldlogs.py leaves it alone."""
        import tempfile

        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="log-", dir=self._path.parent)
        file = os.fdopen(handle, "w+b")
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            Path(name).replace(self._path)  # an older run of the same may still be writing to its own
        except OSError:
            file.close()
            raise
        return file

    def __exit__(self, *_: object) -> None:
        try:
            if self._skipped:
                self._file.write(b"\n[git-fleet left out %d bytes here]\n" % self._skipped)
            self._file.write(self._end)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            self._file.close()

    def write(self, data: bytes) -> None:
        """Add what was printed."""
        now, later = data[: self._room], data[self._room :]
        self._room -= len(now)
        try:
            self._file.write(now)
            self._file.flush()  # for whoever watches it grow
        except OSError as error:
            raise self._unwritable(error) from error
        self._end += later
        surplus = len(self._end) - LOG_BYTES // 2
        if surplus > 0:
            self._skipped += surplus
            del self._end[:surplus]

    def tail(self) -> str:
        """The last lines, cleaned (see core/trailers.py)."""
        end = bytes(self._end[-TAIL_BYTES:])
        if len(end) < TAIL_BYTES and not self._skipped:
            written = self._file.tell()
            self._file.seek(max(0, written - (TAIL_BYTES - len(end))))
            end = self._file.read() + end
            self._file.seek(written)
        text = end.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
        return "\n".join(clean(text).rstrip().split("\n")[-_TAIL_LINES:])

    def _unwritable(self, error: OSError) -> GitFailed:
        return GitFailed(
            f"cannot write the log {self._path}: {error.strerror}",
            hint="free some space, then run the same command again",
        )


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
