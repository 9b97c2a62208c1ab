"""The one door to git: every git process of this project starts here.

The environment is scrubbed. git sets GIT_DIR, GIT_INDEX_FILE and a dozen others for its hooks, and a
git started from a hook (or from a shell that exported them) would work on the wrong repository, index
or author. What passes is an allow-list: how to reach other machines, and where the user's own
configuration is.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple, cast

from git_fleet.errors import FREE_SPACE, GitFailed, InvalidInput
from git_fleet.git import tracing
from git_fleet.git.undisturbed import Undisturbed

MINIMUM_VERSION = (2, 39)

Argument = str | os.PathLike[str]

_PASSED = frozenset(
    {
        "GIT_ASKPASS",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_SYSTEM",
        "GIT_EXEC_PATH",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSH_VARIANT",
    }
)
_PASSED_PREFIXES = ("GIT_HTTP_", "GIT_PROXY_", "GIT_SSL_", "GIT_TRACE")

_FIXED = {
    "LC_ALL": "C",
    "LANGUAGE": "",
    "GIT_TERMINAL_PROMPT": "0",  # never hang on a password question
    "GIT_OPTIONAL_LOCKS": "0",  # `git status` would refresh the index: reading never writes
    "GIT_EDITOR": "false",
    "GIT_SEQUENCE_EDITOR": "false",
    "GIT_PAGER": "cat",
    "GIT_NO_REPLACE_OBJECTS": "1",  # the objects themselves, the same through every engine
}

# What `git log --format` prints is read here, so nothing else is to be in it; and every message is in UTF-8.
_PLAIN = (
    *("-c", "log.showSignature=false", "-c", "i18n.logOutputEncoding=UTF-8"),
    *("-c", "i18n.commitEncoding=UTF-8"),
)
_WITH_VALUE = frozenset({"-c", "-C", "--git-dir", "--work-tree", "--namespace", "--config-env"})
# The second part: git ≥ 2.54 runs hooks from its configuration whatever core.hooksPath says, ours too.
_NO_HOOKS = ["-c", "core.hooksPath=/dev/null"] + [
    word
    for hook in ("pre-commit", "commit-msg", "pre-push", "reference-transaction")
    for word in ("-c", f"hook.git-fleet-{hook}.enabled=false")
]

_FULL = ("No space left on device", "Disk quota exceeded", "File too large", "Out of diskspace")
_NOT_WRITTEN = ("unable to write", "couldn't write", "write error", "Could not reset index file")
"""What git says when a write fails half-way, mostly without saying why."""
_READ_ONLY = ("Read-only file system", "Permission denied", "Operation not permitted")
_KEPT_STDERR = 16_384
TIMED_OUT = 124
"""The exit code of a git that took too long, as timeout(1) has it."""
_GRACE_SECONDS = 2.0
_LISTENS_EACH = 32  # lines: their complaints fit into the pipe of standard error many times over


class Result(NamedTuple):
    """What one git process did: exit code, standard output and standard error as bytes."""

    code: int
    out: bytes
    err: bytes


class Git:
    """git in one directory, with one set of switches.

    `hooks` lets the repository's hooks run. `durable` makes git flush loose objects, packs and
    references to the disk before it goes on. `git_dir` names the repository instead of letting git
    look for it from `directory`. Each git inherits the descriptors `holding`: what they lock stays locked as long as one
    works, whoever is killed. `env` is asked for further variables each time a git starts, so what it
    does is done before that git looks at anything (git/drafts.py lays out objects so).
    """

    def __init__(
        self,
        directory: Path,
        *,
        hooks: bool = False,
        durable: bool = False,
        git_dir: Path | None = None,
        holding: Sequence[int] = (),
        env: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        tracing.follow(os.environ.get(tracing.VARIABLE))
        self.directory = directory
        self._git_dir = git_dir
        self._holding = holding
        self._env = env
        self._switches = [*_PLAIN]
        if not hooks:
            self._switches += _NO_HOOKS
        if durable:
            self._switches += ["-c", "core.fsync=loose-object,pack,reference"]

    def run(
        self,
        *args: Argument,
        input: bytes | None = None,  # noqa: A002 - subprocess.run's own name
        ok: tuple[int, ...] = (0,),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        seconds: float | None = None,
    ) -> Result:
        """Run git to its end and return what it said.

        `env` is added after scrubbing, so it is the deliberate way to set a GIT_ variable. With `seconds` it has
        no terminal, and is ended after that time with all that it has started (code `TIMED_OUT`).
        Raises GitFailed when the exit code is not in `ok`, InvalidInput when git is missing or too
        old or the directory is.
        """
        directory = cwd or self.directory
        code = None
        with tracing.of_git(_named(args), args, directory) as traced, Undisturbed() as starting:
            try:
                process = subprocess.Popen(
                    self._command(args),
                    stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=directory,
                    env=self._environment(env),
                    pass_fds=self._holding,
                    start_new_session=seconds is not None,
                )
            except OSError as error:
                raise _cannot_start(directory, error) from error
            with process:
                try:
                    starting.over()
                    out, err = process.communicate(input, seconds)
                except subprocess.TimeoutExpired:
                    code, out, err = TIMED_OUT, b"", f"error: no answer within {seconds:g} seconds".encode()
                    _end_group(process)
                except BaseException:
                    process.terminate()  # not killed: it removes its lock files
                    process.wait()
                    raise
            code = process.returncode if code is None else code
            traced.result.update(code=code, out_bytes=len(out))
            if code not in ok:
                raise failure(args, code, err)
        return Result(code, out, err)

    def text(
        self,
        *args: Argument,
        input: bytes | None = None,  # noqa: A002 - subprocess.run's own name
        ok: tuple[int, ...] = (0,),
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Standard output as text, without white space at its ends. Raises as `run`."""
        return os.fsdecode(self.run(*args, input=input, ok=ok, env=env).out).strip()

    def paths(
        self,
        *args: Argument,
        input: bytes | None = None,  # noqa: A002 - subprocess.run's own name
        env: Mapping[str, str] | None = None,
    ) -> list[str]:
        """The NUL-separated list that a command prints with -z. Any byte survives. Raises as `run`."""
        out = self.run(*args, input=input, env=env).out
        return [os.fsdecode(path) for path in out.split(b"\0") if path]

    def spawn(
        self,
        *args: Argument,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        apart: bool = True,
    ) -> subprocess.Popen[bytes]:
        """Start a long-lived git with pipes of its own; the caller ends it. Raises InvalidInput as `run`.

        `apart` it gets a process group of its own: Ctrl-C in a terminal reaches the whole group, and must not
        kill a git that is in the middle of moving refs. Nobody there can ask anything at the terminal.
        """
        try:
            return subprocess.Popen(
                self._command(args),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.directory,
                env=self._environment(env),
                pass_fds=(*self._holding, *pass_fds),
                process_group=0 if apart else None,
            )
        except OSError as error:
            raise _cannot_start(self.directory, error) from error

    def _command(self, args: Sequence[Argument]) -> list[Argument]:
        return ["git", *self._switches, *args]

    def _environment(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if _passes(name)}
        kept.update(_FIXED)
        if self._git_dir is not None:
            kept["GIT_DIR"] = os.fspath(self._git_dir)
        if self._env is not None:
            kept.update(self._env())
        kept.update(extra or {})
        return kept


class Child:
    """A long-lived git that is asked and answers through its pipes.

    Its standard error is read along, never waited for, so that warnings cannot fill the pipe and stop it.
    """

    def __init__(self, git: Git, *args: Argument, pass_fds: Sequence[int] = ()) -> None:
        self._process = git.spawn(*args, pass_fds=pass_fds)
        self._traced = tracing.begun(_named(args), args, self._process.pid)
        self._args = args
        self._said = b""
        self._lines = 0
        self._in = cast(IO[bytes], self._process.stdin)
        self._out = cast(IO[bytes], self._process.stdout)
        self._err = cast(IO[bytes], self._process.stderr)
        os.set_blocking(self._err.fileno(), False)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, data: bytes) -> bool:
        """Write `data` to it; False when it is gone."""
        try:
            self._in.write(data)
            self._in.flush()
        except BrokenPipeError:
            return False
        return True

    def line(self) -> bytes:
        """Its next line without the newline; empty when it is gone."""
        line = self._out.readline()
        self._lines += 1
        if not line or not self._lines % _LISTENS_EACH:
            self._listen()
        return line.removesuffix(b"\n") if line.endswith(b"\n") else b""

    def exactly(self, size: int) -> bytes:
        """Its next `size` bytes; fewer when it is gone."""
        return self._out.read(size)

    def complaint(self) -> GitFailed | None:
        """What it has reported as an error since the last call, although it goes on; None without one."""
        self._listen()
        said, self._said = self._said, b""
        grave = any(line.startswith((b"error:", b"fatal:")) for line in said.splitlines())
        return failure(self._args, 0, said) if grave else None

    def end(self) -> int:
        """Close its input and wait for its end, so that nothing it does comes later. The exit code. Again, where that
        was interrupted."""
        with contextlib.suppress(BrokenPipeError):  # it died first; its code and last words say why
            self._in.close()
        # It may be stuck on answers that nobody has taken.
        while not self._out.closed and self._out.read(65_536):
            self._listen()
        code = self._process.wait()
        if self._traced is not None:
            self._traced.ended(code)
        self._listen()
        self._out.close()
        self._err.close()
        return code

    def error(self) -> GitFailed:
        """After `end`: why it ended, as an error to raise."""
        return failure(self._args, self._process.returncode, self._said)

    def _listen(self) -> None:
        while not self._err.closed and (chunk := self._err.read()):
            self._said = (self._said + chunk)[-_KEPT_STDERR:]


def failure(args: Sequence[Argument], code: int, stderr: bytes) -> GitFailed:
    """The error for a git that ended with `code`: its last meaningful line, and the next step.

    Raises InvalidInput instead when the git installed is too old: then nothing else it says matters.
    """
    said = os.fsdecode(stderr)
    name = _named(args)
    if any(words in said for words in _FULL):
        return no_space(name)
    denied = next((line for line in said.splitlines() if line.endswith(_READ_ONLY)), "")
    if denied:
        return GitFailed(
            f"git {name}: the repository is read-only: {last_words(denied)}",
            hint="make the repository writable for you, then run the same command again",
        )
    _check_version(os.environ.get("PATH"))
    killed = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    hint = "git fleet doctor"
    if any(words in said for words in _NOT_WRITTEN):
        hint = f"is the disk full? {FREE_SPACE}; else {hint}"
    return GitFailed(f"git {name}: {last_words(said) or killed}", hint=hint)


def no_space(command: str) -> GitFailed:
    """The error for a full disk."""
    return GitFailed(
        f"git {command}: no space left on the disk",
        hint=FREE_SPACE,
    )


def _named(args: Sequence[Argument]) -> str:
    return command_name([os.fspath(arg) for arg in args])


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a git that leads a session of its own, and what it has started to reach another machine. It may have
    locked a ref here, so it is asked first."""
    for sign, patience in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def command_name(words: Sequence[str]) -> str:
    """The git command among arguments: `update-ref` of `-c a=b -C dir update-ref --stdin`; maybe empty."""
    rest = iter(words)
    for word in rest:
        if word in _WITH_VALUE:
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return ""


def last_words(said: str) -> str:
    """The last meaningful line of git's standard error, without its `fatal:`."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("hint:")]
    grave = [line for line in lines if line.startswith(("fatal:", "error:"))]
    if not lines:
        return ""
    line = (grave or lines)[-1]
    return line.removeprefix("fatal:").removeprefix("error:").strip()


def git_version() -> tuple[int, ...]:
    """The installed git's version, such as (2, 39, 5). Raises InvalidInput when there is no git."""
    try:
        out = subprocess.run(["git", "version"], capture_output=True, check=False).stdout
    except OSError as error:
        raise _cannot_start(Path.cwd(), error) from error
    word = next((w for w in os.fsdecode(out).split() if w[:1].isdigit()), "0")
    return tuple(int(part) for part in word.split(".") if part.isdigit())


@functools.cache
def _check_version(path: str | None) -> None:  # noqa: ARG001 - which git that is
    """Raises InvalidInput when git is too old. Asked only after a failure, and until it is new enough: it costs a
    process, and whoever loses a race has failed, too."""
    version = git_version()
    if version[:2] < MINIMUM_VERSION:
        found, needed = ".".join(map(str, version)), ".".join(map(str, MINIMUM_VERSION))
        raise InvalidInput(f"git {found} is too old", hint=f"install git {needed} or newer")


def _cannot_start(directory: Path, error: OSError) -> InvalidInput:
    if not directory.is_dir():
        return InvalidInput(f"no such folder: {directory}", hint="cd to a folder that exists")
    if isinstance(error, FileNotFoundError):
        return InvalidInput("git is not installed, or not on PATH", hint="install git 2.39 or newer")
    return InvalidInput(f"git cannot be started: {error.strerror}", hint="git version")


def _passes(name: str) -> bool:
    return not name.startswith("GIT_") or name in _PASSED or name.startswith(_PASSED_PREFIXES)
