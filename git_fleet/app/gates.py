"""Gates: commands that must pass in a clean checkout of what main would become (DESIGN section 9).

A gate is the user's own command, from fleet.toml on the base branch or from the approved plan, but it
runs code that workers wrote. So it gets a session of its own, nothing on standard input, an environment
from an allow-list, a size-capped log and a time limit, and whatever it leaves running is ended. That is
hygiene, no prison: it runs with the user's rights and can read the files in HOME. What must not see
those needs a sandbox around the command.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO, TYPE_CHECKING, Self, cast

from git_fleet.app.checkouts import Checkout
from git_fleet.core.config import Config, Gate
from git_fleet.core.model import Task
from git_fleet.core.trailers import clean
from git_fleet.errors import GitFailed

if TYPE_CHECKING:
    import psutil

LOG_BYTES = 10 * 1024 * 1024
TAIL_BYTES = 8 * 1024
GRACE_SECONDS = 2.0

_PASSED = frozenset(
    {
        # who and where the user is; without HOME and PATH hardly any toolchain starts
        "HOME", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
        "XDG_DATA_HOME", "XDG_STATE_HOME",
        # language and terminal
        "COLORTERM", "LANG", "LANGUAGE", "NO_COLOR", "TERM",
        # where toolchains and certificates are
        "ANDROID_HOME", "CARGO_HOME", "CONDA_PREFIX", "DEVELOPER_DIR", "DOTNET_ROOT", "GOCACHE", "GOMODCACHE",
        "GOPATH", "GOROOT", "GRADLE_USER_HOME", "JAVA_HOME", "LD_LIBRARY_PATH", "MAVEN_HOME", "NIX_PATH",
        "NIX_PROFILES", "NIX_SSL_CERT_FILE", "NVM_DIR", "PKG_CONFIG_PATH", "PNPM_HOME", "PYENV_ROOT",
        "PYENV_VERSION", "RBENV_ROOT", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "SDKROOT", "SSL_CERT_DIR",
        "SSL_CERT_FILE", "UV_CACHE_DIR", "VIRTUAL_ENV",
    }
)  # fmt: skip
_PASSED_PREFIXES = ("LC_",)
_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})

_MARK = "FLEET_GATE"  # a value of its own for each run, inherited by all that a gate starts
_SHELL_COULD_NOT = (126, 127)  # sh(1): found but not executable, not found
_CHUNK = 65_536
_POLL_SECONDS = 0.02
_ROUNDS = 5
_TAIL_LINES = 60


class Outcome(StrEnum):
    """A gate passed, failed, or could not be run. Only a failure speaks about the proposal."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class GateResult:
    """What came of one gate. `code` is its exit code, None when it did not start or ran out of time.

    `log` holds what it printed, at most LOG_BYTES of it, `tail` the end of that, cleaned for showing.
    `reason` says in a few words why it did not pass. `changed` are tracked files it changed: no failure by
    itself, but worth a remark.
    """

    name: str
    outcome: Outcome
    code: int | None
    seconds: float
    log: Path
    tail: str
    reason: str = ""
    changed: tuple[str, ...] = ()


def gate_environment(base: Mapping[str, str], extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a gate: what of `base` is on the allow-list, then all of `extra`.

    Not on it, and so never seen by workers' code: tokens and keys under whatever name, GIT_*, FLEET_* and
    what agents set. A proxy passes unless its address holds a password. `extra` is what the user means
    to give (`[env]` in fleet.toml).
    """
    kept = {name: value for name, value in base.items() if _passes(name, value)}
    return {**kept, **(extra or {})}


def environment_digest(env: Mapping[str, str]) -> str:
    """A short name for an environment: two of one name are equal. For the cache of passes."""
    lines = b"".join(os.fsencode(f"{name}={env[name]}\0") for name in sorted(env))
    return hashlib.sha256(lines).hexdigest()[:16]


def gates_of(config: Config, task: Task) -> tuple[Gate, ...]:
    """The gates a task's commit must pass: the repository's, then the task's own (`accept`)."""
    own = (Gate(f"accept {number}", run) for number, run in enumerate(task.accept, 1))
    return (*config.gates, *own)


def run_gates(
    gates: Sequence[Gate], checkout: Checkout, *, env: Mapping[str, str], log_dir: Path
) -> tuple[GateResult, ...]:
    """Run `gates` in order, up to the first that does not pass: a result for each that ran.

    Each finds the checkout clean, whatever the one before it did: a gate that needs another's products
    must make them itself, and so a cached pass may stand for a run. Raises GitFailed and Busy when the
    checkout cannot be made clean.
    """
    results: list[GateResult] = []
    for number, gate in enumerate(gates, 1):
        if results:
            checkout.reset()
        log = log_dir / f"{number}-{_file_name(gate.name)}.log"
        result = run_gate(gate, checkout.path, env=env, log=log, pass_fds=(checkout.lock,))
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
    pass_fds: Sequence[int] = (),
    grace_seconds: float = GRACE_SECONDS,
) -> GateResult:
    """Run one gate in `folder` and wait for its end, at most its timeout and the grace.

    A string goes to /bin/sh, a list is executed as it is. Out of time counts as fail: TERM to all of
    it, KILL after `grace_seconds`. Error means that it could not run: no such command, no permission, no
    folder, or a shell that says so by its exit codes 126 and 127. Whatever is still running at its end is
    ended in the same way, a background process and one in another session included, passed or not.
    `pass_fds` are inherited by it. Raises GitFailed when the log cannot be written.
    """
    began = time.monotonic()
    mark = os.urandom(8).hex()
    with _Log(log) as output:
        try:
            process = _start(gate, folder, {**env, _MARK: mark}, pass_fds)
        except (OSError, ValueError) as error:
            why = f"cannot be started: {_why(error)}" if folder.is_dir() else "its checkout is gone"
            return GateResult(gate.name, Outcome.ERROR, None, time.monotonic() - began, log, "", why)
        remains = _Remains(process, mark)
        out = cast(IO[bytes], process.stdout)
        try:
            in_time = _collect(process, output, began + gate.timeout_seconds)
            if not in_time:
                remains.signal(signal.SIGTERM)
                _collect(process, output, time.monotonic() + grace_seconds)
        finally:
            remains.end(grace_seconds)
            process.wait()
            output.drain(out)
            out.close()
        code = process.returncode if in_time else None
        outcome, reason = _judge(gate, code)
        return GateResult(gate.name, outcome, code, time.monotonic() - began, log, output.tail(), reason)


def _start(
    gate: Gate, folder: Path, env: Mapping[str, str], pass_fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    argv = ["/bin/sh", "-c", gate.run] if isinstance(gate.run, str) else list(gate.run)
    if not argv:
        raise ValueError("its command is empty")
    process = subprocess.Popen(
        argv,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
        pass_fds=tuple(pass_fds),
    )
    os.set_blocking(cast(IO[bytes], process.stdout).fileno(), False)
    return process


def _judge(gate: Gate, code: int | None) -> tuple[Outcome, str]:
    if code is None:
        return Outcome.FAIL, f"ran out of time ({gate.timeout_seconds:g} s)"
    if code == 0:
        return Outcome.PASS, ""
    if code < 0:
        return Outcome.FAIL, f"ended by {signal.strsignal(-code) or 'a signal'} (signal {-code})"
    if isinstance(gate.run, str) and code in _SHELL_COULD_NOT:
        return Outcome.ERROR, f"its command was not found or cannot be executed (exit code {code})"
    return Outcome.FAIL, f"exit code {code}"


def _collect(process: subprocess.Popen[bytes], output: _Log, deadline: float) -> bool:
    """Take what it prints until it has ended; False when it has not by `deadline` (monotonic).

    The end of its output says little: a process left in the background may hold it open, and the gate
    itself may close it and go on.
    """
    out = cast(IO[bytes], process.stdout)
    with DefaultSelector() as selector:
        selector.register(out, EVENT_READ)
        while True:
            remaining = deadline - time.monotonic()
            if selector.get_map():
                if selector.select(max(0.0, min(remaining, _POLL_SECONDS))) and not output.take(out):
                    selector.unregister(out)
            elif remaining > 0:
                time.sleep(min(remaining, _POLL_SECONDS / 4))
            if _has_ended(process):
                return True
            if remaining <= 0:
                return False


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it is over. It stays a zombie, so that its group's number is not given to others yet."""
    if process.returncode is not None:
        return True
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class _Remains:
    """All processes of one gate: those of its process group, and those that carry its mark.

    The mark finds what left group and session (`setsid`, daemons); only what also cleared its
    environment escapes.
    """

    def __init__(self, process: subprocess.Popen[bytes], mark: str) -> None:
        self._group = process.pid
        self._mark = mark
        self._since = time.time() - 1.0  # process start times are coarse

    def signal(self, number: signal.Signals) -> list[psutil.Process]:
        """Send a signal to all of them: those that there were."""
        import psutil

        found = self._find()
        for member in found:
            with suppress(psutil.Error):
                member.send_signal(number)  # which makes sure that the number still is this process
        return found

    def end(self, grace_seconds: float) -> None:
        """TERM, a while to comply, then KILL, again for what was started meanwhile."""
        found = self.signal(signal.SIGTERM)
        for _ in range(_ROUNDS):  # a process that the kernel will not end is left to it
            if not found:
                return
            deadline = time.monotonic() + grace_seconds
            while not all(map(_is_over, found)) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS / 4)
            found = self.signal(signal.SIGKILL)

    def _find(self) -> list[psutil.Process]:
        import psutil

        found = []
        for member in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if member.pid == os.getpid() or member.create_time() < self._since:
                    continue
                ours = os.getpgid(member.pid) == self._group or member.environ().get(_MARK) == self._mark
                if ours and not _is_over(member):
                    found.append(member)
        return found


def _is_over(process: psutil.Process) -> bool:
    """Whether it is gone or a zombie; not every container has an init that clears those away."""
    import psutil

    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


class _Log:
    """What a gate prints: the first half of LOG_BYTES as it comes, of the rest the last half."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._room = LOG_BYTES // 2
        self._end = bytearray()
        self._skipped = 0

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._skipped:
                self._file.write(b"\n[git-fleet left out %d bytes here]\n" % self._skipped)
            self._file.write(self._end)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            self._file.close()

    def take(self, out: IO[bytes]) -> bool:
        """Take what there is to read now; False at the end of the output."""
        data = out.read(_CHUNK)
        self._write(data or b"")
        return data != b""

    def drain(self, out: IO[bytes]) -> None:
        """Take what is left in the pipe, without waiting for more."""
        for _ in range(LOG_BYTES // _CHUNK):
            data = out.read(_CHUNK)
            if not data:
                return
            self._write(data)

    def tail(self) -> str:
        """The last lines, cleaned (see core/trailers.py)."""
        end = bytes(self._end[-TAIL_BYTES:])
        if len(end) < TAIL_BYTES and not self._skipped:
            with self._path.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - (TAIL_BYTES - len(end))))
                end = file.read() + end
        text = end.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
        return "\n".join(clean(text).rstrip().split("\n")[-_TAIL_LINES:])

    def _write(self, data: bytes) -> None:
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

    def _unwritable(self, error: OSError) -> GitFailed:
        return GitFailed(
            f"cannot write the gate's log {self._path}: {error.strerror}",
            hint="free some space, then run the same command again",
        )


def _passes(name: str, value: str) -> bool:
    if name.upper() in _PROXIES:
        return "@" not in value
    return name in _PASSED or name.startswith(_PASSED_PREFIXES)


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _file_name(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name)[:60]
