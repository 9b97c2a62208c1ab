"""`git fleet`: the table of commands, and the one funnel that turns what went wrong into words.

Subcommands are imported when they are called: a claim must not pay for the renderer of plans.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from git_fleet import __version__
from git_fleet.cli.call import (
    APP,
    Call,
    examples,
    folders,
    look,
    say,
    short_help,
    tolerant,
    trace_option,
    traced,
    write_json,
)
from git_fleet.cli.interrupts import Interrupts
from git_fleet.errors import FleetError, InvalidInput, disk_error
from git_fleet.views.look import Look, lines

SECTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "Set up": {"setup": ("init", "doctor", "guard"), "completion": ("completion",), "demo": ("demo",)},
    "The plan": {"plan": ("plan",)},
    "A task's life": {
        "claim": ("claim", "renew", "release"),
        "work": ("progress", "done", "withdraw", "block", "unblock", "shelve", "cancel", "reopen", "accept", "reject"),
    },
    "Run it": {"run": ("run", "attach", "kill", "restart"), "serve": ("mcp",)},
    "Look": {
        "look": ("status", "ready", "explain", "siblings", "log", "path", "prompt", "worktree"),
        "wait": ("wait",),
        "context": ("context",),
        "conflicts": ("conflicts",),
        "review": ("review",),
        "score": ("score",),
        "graph": ("graph",),
        "report": ("report",),
        "board": ("board",),
    },
    "What was learned": {"knowledge": ("learn", "recall", "knowledge")},
    "Judge": {"verify": ("verify", "verdict")},
    "Main": {"integrate": ("integrate", "revert"), "lead": ("lead",), "pr": ("pr",)},
    "Many repositories": {"workspace": ("workspace",)},
    "More than one machine": {"sync": ("sync",), "worker": ("worker",), "jobs": ("jobs",)},
    "Saved work": {"salvage": ("snapshot", "salvage")},
    "Tidy up": {"setup": ("cleanup", "hook")},
}  # fmt: skip
"""What help shows: a heading, the module below git_fleet.cli, the commands in it."""

_MODULES = {name: module for part in SECTIONS.values() for module, names in part.items() for name in names}
_PROGRAM = "git fleet"
_INTERRUPTED = 130
_BROKEN_PIPE = 141  # as a shell says of a program that SIGPIPE ended


class Commands(click.Group):
    """The subcommands, each imported when it is called. An unknown one is answered with the nearest."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Every command, in the order of the help page."""
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        """The command of that name, its module imported now."""
        module = _MODULES.get(cmd_name)
        if module is None:
            return None
        found: click.Command = getattr(importlib.import_module(f"git_fleet.cli.{module}"), cmd_name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; of an unknown command the nearest known one is named."""
        if args and args[0] not in _MODULES and not args[0].startswith("-"):
            from git_fleet.core.problems import nearest

            raise click.UsageError(f"no command {args[0]!r}{nearest(args[0], _MODULES)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands under their headings, one line each."""
        for heading, part in SECTIONS.items():
            rows = []
            for name in (name for names in part.values() for name in names):
                found = self.get_command(ctx, name)
                if found is not None and not found.hidden:
                    rows.append((name, short_help(found)))
            with formatter.section(heading):
                formatter.write_dl(rows)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "git fleet init                    set up this repository",
        "git fleet plan import plan.md     a plan: TOML, JSON, or a Markdown table of issues",
        "git fleet plan check              who would collide with whom, before anyone starts",
        "git fleet plan approve            from now on workers may claim",
        "git fleet run                     work it with agents, until nothing is left to do",
        "git fleet claim                   or take a task yourself, with a worktree to work in",
        "git fleet done                    hand in what is committed there",
        "git fleet integrate               gate it, and bring it to main, one commit a task",
    ),
)
@click.option(
    "-C", "directory", type=click.Path(path_type=Path), default=Path(), metavar="DIR", help="Work in DIR."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.option("--worker", metavar="NAME", help="Act as this worker.")
@trace_option()
@click.version_option(__version__, prog_name=APP, message="%(prog)s %(version)s")
@click.pass_context
def cli(
    context: click.Context, directory: Path, as_json: bool, worker: str | None, trace: Path | None
) -> None:
    """Many agents, one repository, one reviewed commit per task.

    Without a command: how the fleet stands, in a few lines, and the one thing to do next.
    """
    traced(trace)
    try:
        context.obj = Call(directory.absolute(), as_json, worker)
    except FileNotFoundError as error:
        raise InvalidInput(
            "the folder that this is run in is gone", hint="cd to one that is there, or git fleet -C DIR"
        ) from error
    if context.invoked_subcommand is None:
        from git_fleet.cli.look import overview

        overview(context.obj)


def main() -> NoReturn:
    """Run the command line of this process, and end it."""
    tolerant(sys.stdout)
    tolerant(sys.stderr)
    if "_GIT_FLEET_COMPLETE" in os.environ:
        from git_fleet.cli.completion import answer

        sys.stdout.write(answer(cli, sys.argv[1:]))
        sys.exit(0)
    with Interrupts() as interrupts:
        code = run(sys.argv[1:])
    sys.exit(interrupts.exit_code if code == _INTERRUPTED else code)


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit code (DESIGN section 15). Whatever goes wrong ends here."""
    as_json = wants_json(argv)
    try:
        with cli.make_context(_PROGRAM, list(argv)) as context:
            code = cli.invoke(context)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        return refuse(usage_error(error), as_json=as_json)
    except FleetError as error:
        return refuse(error, as_json=as_json)
    except (KeyboardInterrupt, click.Abort) as stop:
        echoed = "\n" if sys.stderr.isatty() else ""  # behind the ^C that stands there
        say("; ".join([f"{echoed}git-fleet: interrupted", *getattr(stop, "__notes__", ())]))
        return _INTERRUPTED
    except BrokenPipeError:
        _let_go_of_output()
        return _BROKEN_PIPE
    except OSError as error:
        return refuse(disk_error(error) or bug(error), as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the last funnel: a bug becomes a sentence and a file
        return refuse(bug(error), as_json=as_json)


def wants_json(argv: Sequence[str]) -> bool:
    """Whether the answer is to be JSON: asked before the arguments are parsed, since they may be wrong."""
    options = argv[: argv.index("--")] if "--" in argv else argv
    return "--json" in options


def refuse(error: FleetError, *, as_json: bool) -> int:
    """Say what went wrong and what to do next: text on standard error; JSON on standard output, while that is read
    and has room."""
    about = {"code": error.code, "message": error.message, "hint": error.hint, "exit_code": error.exit_code}
    try:
        if as_json:
            write_json({"error": about})
            return error.exit_code
    except OSError:
        _let_go_of_output()
    say(as_text(error, look(sys.stderr)))
    return error.exit_code


def _let_go_of_output() -> None:
    """Nobody takes it any more; the interpreter's own flush at exit must not complain about it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def as_text(error: FleetError, how: Look) -> str:
    """`git-fleet: message`, and under it the hint."""
    text = f"{how.paint('git-fleet:', 'red bold')} {lines(error.message)}"
    return f"{text}\n{how.paint('hint:', 'yellow')} {lines(error.hint)}" if error.hint else text


class Usage(InvalidInput):
    """The command line itself is wrong."""

    code = "usage"


def usage_error(error: click.ClickException) -> FleetError:
    """click's complaint as one of ours: one line, and where the help is."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else _PROGRAM
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # its message is the whole help page
        group = error.ctx.command
        known = ", ".join(group.list_commands(error.ctx)) if isinstance(group, click.Group) else "arguments"
        return Usage(f"{path} needs one of: {known}", hint=f"{path} -h")
    return Usage(" ".join(error.format_message().split()), hint=f"{path} -h")


class Bug(FleetError):
    """git-fleet itself failed."""


def bug(error: Exception) -> FleetError:
    """An unexpected exception as an error; its traceback goes to a file, which is named."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    about = json.dumps({"version": __version__, "python": sys.version, "arguments": sys.argv[1:]})
    try:
        folder = folders()[1] / "crashes"
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="crash-", suffix=".txt", dir=folder)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{about}\n\n{text}")
    except OSError as failure:
        name = f"nowhere: {failure}"
    kind: Any = type(error).__name__
    return Bug(
        f"a bug in git-fleet: {kind}: {error}",
        hint=f"the traceback is kept in {name}; git fleet doctor checks that the repository is well",
    )
