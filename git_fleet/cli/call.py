"""What every command shares: its surroundings, its session, how a result is shown.

Commands live one module per noun; each parses, calls one use case and shows what it returned. This
module is the only one of the project (with hook.py) that looks at environment, clock and terminal.
"""

from __future__ import annotations

import functools
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click
from msgspec import Struct

from git_fleet.errors import InvalidInput
from git_fleet.views.look import Look

if TYPE_CHECKING:
    from git_fleet.app.session import Session
    from git_fleet.app.surroundings import Surroundings

APP = "git-fleet"
PIPE_WIDTH = 0  # a pipe has no width: nothing is wrapped there

P = ParamSpec("P")
R = TypeVar("R")
Document = Mapping[str, Any]


class Call(Struct, frozen=True):
    """One call of the command line: where it works (-C), whether it answers in JSON, as whom it acts."""

    directory: Path
    as_json: bool = False
    worker: str | None = None

    def session(
        self, *, long_lived: bool = False, bulk: bool | None = None, reading: bool = False
    ) -> Session:
        """The repository that we stand in, opened as `open_session` does. Raises as that."""
        from git_fleet.app.session import open_session

        if not self.directory.is_dir():
            raise click.UsageError(f"-C {self.directory}: no such folder")
        return open_session(
            self.directory,
            surroundings(),
            worker=self.worker,
            long_lived=long_lived,
            bulk=bulk,
            reading=reading,
        )

    def show(self, document: Callable[[], Document], text: Callable[[Look], str]) -> None:
        """Print the result: the JSON document or the text, whichever was asked for."""
        if self.as_json:
            write_json(document())
        else:
            write(text(look(sys.stdout)))


def surroundings() -> Surroundings:
    """The clock, the environment, this machine's name, the folders for state and caches."""
    from git_fleet.app.surroundings import Surroundings

    state_dir, cache_dir = folders()
    return Surroundings(
        now=lambda: datetime.now(UTC),
        env=dict(os.environ),
        host=os.uname().nodename,
        state_dir=state_dir,
        cache_dir=cache_dir,
        warn=lambda text: say(f"git-fleet: {text}"),
    )


def trace_option(*, hidden: bool = False) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """`--trace FILE`. Every command takes it; the help of `git fleet` alone shows it."""
    return click.option(
        "--trace",
        type=click.Path(path_type=Path),
        metavar="FILE",
        hidden=hidden,
        help="Write every git call and transaction to FILE, for bug reports.",
    )


def traced(file: Path | None) -> None:
    """Write a trace to `file`, of this process and those that it starts; None: do not. Raises InvalidInput when that
    cannot be."""
    if file is None:
        return
    from git_fleet.git import tracing

    path = os.path.abspath(file)  # noqa: PTH100 - what does not exist yet has no `resolve`
    tracing.begin(path)
    os.environ[tracing.VARIABLE] = path


def folders() -> tuple[Path, Path]:
    """Those for state and for caches, as platformdirs has them: it takes 6 ms to import, and is asked
    where its answer is not plain."""
    home = os.environ.get("HOME", "")
    state = Path(os.environ.get("XDG_STATE_HOME") or Path(home, ".local/state"), APP)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path(home, ".cache"), APP)
    if sys.platform == "linux" and state.is_absolute() and caches.is_absolute():
        return state, caches
    from platformdirs import user_cache_path, user_state_path

    return user_state_path(APP), user_cache_path(APP)


def look(stream: Any) -> Look:
    """How text for `stream` may look: colour and width only where a person sits (and NO_COLOR is unset)."""
    if not stream.isatty():
        return Look(width=PIPE_WIDTH, colour=False)
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    import shutil

    return Look(width=max(40, shutil.get_terminal_size().columns), colour=not plain)


def write_json(document: Document) -> None:
    """One JSON object on one line, version first. ASCII only: names that are not UTF-8 survive as
    lone surrogate escapes."""
    write(json.dumps({"v": 1, **document}, separators=(",", ":")))


def write(text: str) -> None:
    """Print to standard output, now: a reader that has gone is noticed here."""
    if text:
        print(text, flush=True)


def write_path(path: Path) -> None:
    """A path for `cd "$(git fleet path TASK)"`: its exact bytes."""
    write_bytes(os.fsencode(path) + b"\n")


def write_bytes(data: bytes) -> None:
    """Print exactly these bytes."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """A line for people on standard error: progress, notes."""
    print(text, file=sys.stderr, flush=True)


def speaks_unicode(stream: Any) -> bool:
    """Whether what is not ASCII is shown as it is."""
    return str(stream.encoding or "").lower().replace("-", "") == "utf8"


def tolerant(stream: Any) -> None:
    """Print what the terminal's encoding lacks as an escape instead of failing."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def command(function: Callable[Concatenate[Call, P], R]) -> Callable[..., R]:
    """Gives a command `--json` and `--worker`, and hands it a Call before its own arguments."""

    @click.option(
        "--worker", metavar="NAME", help="Act as this worker (default: FLEET_WORKER, or the worktree's)."
    )
    @click.option("--json", "as_json", is_flag=True, help="Answer in JSON; its schema is in schemas/.")
    @trace_option(hidden=True)
    @click.pass_context
    @functools.wraps(function)
    def run(
        context: click.Context,
        /,
        *args: Any,
        as_json: bool,
        worker: str | None,
        trace: Path | None,
        **kwargs: Any,
    ) -> R:
        traced(trace)
        root: Call = context.find_root().obj
        made = Call(root.directory, as_json or root.as_json, worker or root.worker)
        return function(made, *args, **kwargs)

    return run


def read_file(call: Call, file: str) -> tuple[bytes, str]:
    """What is in a file that was named, - being standard input, and what it is called. Raises InvalidInput."""
    if file == "-":
        return sys.stdin.buffer.read(), "standard input"
    path = call.directory / file
    try:
        return path.read_bytes(), path.name
    except OSError as error:
        raise InvalidInput(
            f"cannot read {file}: {error.strerror}", hint="name a file, or - for standard input"
        ) from error


class Amount(click.FloatRange):
    """A number within a range. `nan` and `inf`, which Python takes for some, are none: nothing compares with them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number. Fails for anything else."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no amount.", param, ctx)
        return found


dry_run_option = click.option("-n", "--dry-run", is_flag=True, help="Say what would happen, and do nothing.")


class Group(click.Group):
    """Commands under one noun. Its help shows their first sentences whole, where click would cut them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, one sentence each."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help(each)) for name, each in found if each is not None])


def short_help(command: click.Command) -> str:
    """The first sentence of a command's help, whole."""
    return command.get_short_help_str(1000)


@contextmanager
def needing(extra: str, why: str) -> Iterator[None]:
    """Import what comes with `git-fleet[EXTRA]`, for which people need it as `why` says. Raises InvalidInput when
    something of it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "git_fleet":
            raise
        raise InvalidInput(
            f"{why}, and {missing} is not installed", hint=f"pip install 'git-fleet[{extra}]'"
        ) from error


def examples(*lines: str) -> str:
    """The examples at the end of a command's help. What is said of one stands two spaces behind it; where that would
    not fit 80 columns, what is said of each goes below it."""
    shown = [f"  {line}" for line in lines]
    if any(len(line) > _EXAMPLE and "  " in line.strip() for line in shown):
        parts = (line.strip().partition("  ") for line in shown)
        shown = [f"  {command}" + (f"\n      {said.strip()}" if said else "") for command, _, said in parts]
    return "\b\nExamples:\n" + "\n".join(shown)


_EXAMPLE = 78  # columns; click indents by two more
