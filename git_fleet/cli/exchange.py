"""`plan draft`, `plan export`, `plan sync-issues`: plans from elsewhere, and to elsewhere."""

from __future__ import annotations

import sys

import click

from git_fleet.app import plan as planning
from git_fleet.cli.call import Call, command, examples, say
from git_fleet.cli.named import PLAN
from git_fleet.cli.progress import working
from git_fleet.views import machine_plans, plans


@click.command(
    epilog=examples(
        'git fleet plan draft "Move every module from requests to httpx"',
        "git fleet plan draft - --plan httpx < issue.md",
    )
)
@click.argument("description")
@click.option("--plan", "plan_id", default="", metavar="ID", help="The plan's id (default: the planner's).")
@command
def draft(call: Call, description: str, plan_id: str) -> int:
    """Have the configured planner split a piece of work, and store what it says as a draft.

    DESCRIPTION may be - for standard input. Nothing runs by it until it is approved. That the work is none for several
    is an answer, too: nothing is stored then, and the exit code is 1.
    """
    from git_fleet.app import planner

    text = sys.stdin.buffer.read().decode("utf-8", "replace") if description == "-" else description
    with call.session() as session, working(call, "asking the planner") as bar:
        made = planner.draft(session, planner.Asked(text, plan_id), report=bar.say)
    call.show(
        lambda: machine_plans.draft(made.plan, made.note, made.check, made.serial, created=made.created),
        lambda how: plans.draft(made.plan, made.check, made.serial, how, created=made.created),
    )
    return 0 if made.plan else 1


@click.command(
    epilog=examples(
        "git fleet plan export tasks-app > plan.toml",
        "git fleet plan export --format markdown >> README.md",
        "git fleet plan export --format beads | bd import -",
    )
)
@click.argument("plan_id", type=PLAN, required=False, metavar="[PLAN]")
@click.option("--format", "format_", default="toml", metavar="FORMAT", help="toml, markdown or beads.")
@command
def export(call: Call, plan_id: str | None, format_: str) -> None:
    """The plan as TOML, byte for byte as it is stored, or in a format that `plan import` reads as well."""
    from git_fleet.app import exporting

    with call.session(reading=True) as session:
        made = exporting.export(session, plan_id or planning.only(session), format_)
    if call.as_json:
        left_out = list(made.left_out)
        document = {"toml": made.toml, "format": made.format, "text": made.text, "left_out": left_out}
        call.show(lambda: document, lambda _: "")
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(made.text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()
    if made.left_out:
        say(f"note: {made.format} has no place for: {', '.join(made.left_out)}")


@click.command(
    "sync-issues",
    epilog=examples(
        "git fleet plan sync-issues            which issues are done",
        "git fleet plan sync-issues --apply    and close those of GitHub",
    ),
)
@click.argument("plan_id", type=PLAN, required=False, metavar="[PLAN]")
@click.option(
    "--apply", "close_", is_flag=True, help="Close GitHub's issues, each once, with a comment, through gh."
)
@command
def sync_issues(call: Call, plan_id: str | None, close_: bool) -> int:
    """Which issues are done, all tasks that came from them being integrated; and close them.

    Without gh it prints the commands. Ends with 1 when something was to be closed and was not.
    """
    from git_fleet.app import issues as tracked
    from git_fleet.core.tracked import Fate
    from git_fleet.views import issues

    with call.session() as session:
        found = tracked.sync(session, plan_id or planning.only(session), close=close_)
    call.show(lambda: issues.document(found), lambda how: issues.synced(found, how))
    left = [
        one for one in found.issues if one.fate in (Fate.TO_CLOSE, Fate.FAILED) and one.tracker == "github"
    ]
    return 1 if close_ and left else 0
