"""`plan …`: written, imported, checked, approved, paused, closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from git_fleet.app import plan as planning
from git_fleet.app.plan import Imported
from git_fleet.app.session import Session
from git_fleet.cli.call import Call, Group, command, dry_run_option, examples, read_file, write
from git_fleet.cli.editor import edit as edit_text
from git_fleet.cli.editor import forget, kept
from git_fleet.cli.exchange import draft, export, sync_issues
from git_fleet.cli.named import FILE, PLAN, TASK_OR_PLAN
from git_fleet.cli.progress import working
from git_fleet.core.snapshot import PlanRecord
from git_fleet.errors import AnswerIsNo, FleetError
from git_fleet.views import machine_plans, plans

if TYPE_CHECKING:
    from git_fleet.core.model import Plan


@click.group(
    cls=Group,
    epilog=examples(
        "git fleet plan import plan.md     a Markdown table of issues, JSON or TOML",
        "git fleet plan check              who would collide, and is it worth it?",
        "git fleet plan approve            from now on workers may claim",
    ),
)
def plan() -> None:
    """The plan: tasks, the files each owns, what each needs."""


for _each in (draft, export, sync_issues):
    plan.add_command(_each)


@plan.command(epilog=examples("GIT_EDITOR=vim git fleet plan new release-2"))
@click.argument("name", metavar="PLAN")
@command
def new(call: Call, name: str) -> None:
    """Write a plan in your editor, from a commented template."""
    with call.session() as session:
        given = planning.template(session, name)
        written, path = edit_text(given, name=f"{name}.toml")
        if written == given:
            forget(path)
            raise AnswerIsNo(
                "the template was left as it is; nothing is stored", hint=f"git fleet plan new {name}"
            )
        try:
            made = planning.import_plan(
                session,
                written.encode("utf-8", "surrogateescape"),
                name=path.name,
                format_name="toml",
                plan_id=None,
            )
        except FleetError as error:
            raise kept(error, path) from error
        forget(path)
        _show_saved(call, made)


@plan.command(
    "import",
    epilog=examples(
        "git fleet plan import plan.toml",
        "git fleet plan import issues.md --plan tasks-app",
        "generate-plan | git fleet plan import - --format json --plan nightly",
        "gh issue list --state all --limit 1000 --json number,title,body,labels,state,url |",
        "    git fleet plan import - --plan sprint-3",
        "git fleet plan import .beads/issues.jsonl --plan sprint-3",
        "git fleet plan import backlog/ --plan sprint-3   task files of Backlog.md",
    ),
)
@click.argument("file", type=FILE, metavar="FILE")
@click.option(
    "--plan", "plan_id", metavar="ID", help="The plan's id (default: what the file says, or its stem)."
)
@click.option(
    "--format",
    "format_",
    metavar="FORMAT",
    help="toml, json, markdown, github, beads, backlog or taskmaster (default: found out).",
)
@dry_run_option
@command
def import_(call: Call, file: str, plan_id: str | None, format_: str | None, dry_run: bool) -> None:
    """Store a plan, or its next revision, as a draft. FILE may be - for standard input.

    FILE holds a plan (TOML, JSON, a Markdown table), or issues: GitHub's as `gh issue list --json …` prints them,
    beads JSONL, a task file or a folder of Backlog.md, tasks.json of Task Master. Issues that are done are left out.

    Nothing runs by it: an edited plan changes nothing until it is approved again.
    """
    text, name = _read(call, file)
    with call.session() as session:
        if dry_run:
            read, _ = planning.read(session, text, name=name, format_name=format_, plan_id=plan_id)
            created = read.id not in session.snapshot().plans
            _show_read(call, read, created=created)
            return
        made = planning.import_plan(session, text, name=name, format_name=format_, plan_id=plan_id)
    _show_saved(call, made)


def _read(call: Call, file: str) -> tuple[bytes, str]:
    path = call.directory / file
    if file != "-" and path.is_dir():
        from git_fleet.app.importers import backlog

        return backlog.open_folder(path)
    return read_file(call, file)


def _show_read(call: Call, read: Plan, *, created: bool) -> None:
    call.show(
        lambda: machine_plans.saved(read, None, created=created),
        lambda how: plans.readable(read, how),
    )


def _show_saved(call: Call, made: Imported) -> None:
    call.show(
        lambda: machine_plans.saved(made.plan, made.note, created=made.created),
        lambda how: plans.saved(made.plan, how, created=made.created),
    )


@plan.command(epilog=examples("git fleet plan check", "git fleet plan check --workers 4 --strict   for CI"))
@click.argument("plan_id", type=PLAN, required=False, metavar="[PLAN]")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="The schedule for N workers.")
@click.option(
    "--strict",
    is_flag=True,
    help="End with 1 also when two tasks own a common file and neither needs the other.",
)
@command
def check(call: Call, plan_id: str | None, workers: int | None, strict: bool) -> int:
    """Predict collisions, order and speed-up, from the plan and the repository alone."""
    with call.session(reading=True) as session, working(call, "checking the plan"):
        found = planning.check(session, plan_id or planning.only(session), workers)
    call.show(lambda: machine_plans.check(found), lambda how: plans.check(found, how))
    side_by_side = any(not overlap.ordered for overlap in found.overlaps)
    return 1 if found.problems or (strict and side_by_side) else 0


@plan.command(
    epilog=examples(
        "git fleet plan show", "git fleet plan show release-2 --json | jq .tasks   matrix expanded"
    )
)
@click.argument("plan_id", type=PLAN, required=False, metavar="[PLAN]")
@command
def show(call: Call, plan_id: str | None) -> None:
    """The plan's newest text; with --json its tasks, matrix expanded."""
    with call.session(reading=True) as session:
        plan_id = plan_id or planning.only(session)
        snapshot = session.snapshot()
        note, text = planning.text_of(session, plan_id)
        if not call.as_json:
            write(plans.source(text))
            return
        record = snapshot.plan(plan_id)
        found = planning.newest_of(session, record).plan
    approved = record.log.revision == note
    call.show(
        lambda: machine_plans.show(found, state=str(record.state), revision=note, approved=approved),
        lambda _: "",
    )


@plan.command(epilog=examples("git fleet plan edit release-2 && git fleet plan approve release-2"))
@click.argument("plan_id", type=PLAN, required=False, metavar="[PLAN]")
@command
def edit(call: Call, plan_id: str | None) -> None:
    """Change the plan in your editor. What is approved stays in force until you approve again."""
    with call.session() as session:
        plan_id = plan_id or planning.only(session)
        note, text = planning.text_of(session, plan_id)
        planning.refuse_closed(plan_id, session.snapshot().plan(plan_id).state)
        written, path = edit_text(text, name=f"{plan_id}.toml")
        if written == text:
            forget(path)
            raise AnswerIsNo(f"plan {plan_id} was left as it is", hint=f"git fleet plan show {plan_id}")
        try:
            made = planning.save_text(session, plan_id, written, note)
        except FleetError as error:
            raise kept(error, path) from error
        forget(path)
    _show_saved(call, made)


@plan.command(
    epilog=examples(
        "git fleet plan add tasks-app --id 45 --title 'Add undo' --files undo.py --needs 42",
        "git fleet plan add --from-findings   what was found outside of the tasks looked at",
    )
)
@click.argument("targets", type=TASK_OR_PLAN, nargs=-1, metavar="PLAN | [TASK]...")
@click.option("--from-findings", is_flag=True, help="Draft tasks for findings outside of these tasks.")
@click.option("--id", "task_id", metavar="ID", help="The task's id.")
@click.option("--title", metavar="TEXT", help="What is to be done, as a commit subject.")
@click.option("--files", multiple=True, metavar="PATTERN", help="What it owns; repeat for more.")
@click.option("--reads", multiple=True, metavar="PATTERN", help="What it relies on.")
@click.option("--needs", multiple=True, metavar="TASK", help="What has to be integrated first.")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="A label workers may ask for.")
@click.option("--accept", multiple=True, metavar="COMMAND", help="A command that must pass.")
@click.option("--prompt", default="", metavar="TEXT", help="What the worker has to know.")
@click.option("--estimate-minutes", type=float, metavar="N", help="How long it may take.")
@click.option("--priority", type=int, metavar="N", help="Higher is offered first.")
@click.option("--hold", is_flag=True, help="Wait until a person says `accept`.")
@click.option("--report", is_flag=True, help="It hands in a result instead of a commit.")
@dry_run_option
@command
def add(
    call: Call,
    /,
    targets: tuple[str, ...],
    from_findings: bool,
    task_id: str | None,
    report: bool,
    dry_run: bool,
    **given: Any,
) -> None:
    """Add one task to the plan's newest text; or, from findings, as many as it takes.

    What is outside of the files of the task it was found in becomes a draft of its own, once: with its label,
    the path it names, and needing that task. Nothing runs by it until the plan is approved again.
    """
    fields = {key: list(v) if isinstance(v, tuple) else v for key, v in given.items() if _is_given(v)}
    if from_findings:
        if fields or report or task_id is not None:
            raise click.UsageError("--from-findings takes tasks or a plan, and nothing about one task")
        _add_from_findings(call, targets, dry_run=dry_run)
        return
    if len(targets) != 1 or not task_id or not given["title"]:
        raise click.UsageError("name one plan, and say --id and --title; or ask for --from-findings")
    fields |= {"id": task_id} | ({"output": "report"} if report else {})
    with call.session() as session:
        if dry_run:
            _, _, read = planning.read_with(session, targets[0], [fields])
            _show_read(call, read, created=False)
            return
        made = planning.add_task(session, targets[0], fields)
    _show_saved(call, made)


def _is_given(value: Any) -> bool:
    return bool(value) or (value == 0 and value is not False)


def _add_from_findings(call: Call, targets: tuple[str, ...], *, dry_run: bool) -> None:
    from git_fleet.app import followups

    with call.session() as session:
        made = followups.from_findings(session, targets, dry_run=dry_run)
    call.show(
        lambda: machine_plans.drafted(made.plan, made.note, made.tasks),
        lambda how: plans.drafted(made.plan, made.tasks, how, dry_run=dry_run),
    )


@plan.command(
    epilog=examples("git fleet plan approve", "git fleet plan approve tasks-app --yes   in a script")
)
@click.argument("plan_id", type=PLAN, required=False, metavar="[PLAN]")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@command
def approve(call: Call, plan_id: str | None, yes: bool, dry_run: bool) -> None:
    """Let workers claim: shows the collisions, every command that will run, worktrees and disk, and asks.

    A person's to do. Off a terminal it never asks, and needs --yes.
    """
    from git_fleet.app import approve as approvals
    from git_fleet.cli import approving

    with call.session() as session:
        plan_id = plan_id or planning.only(session)
        session.require_person("approve")
        if dry_run:
            found = approvals.preview(session, plan_id)
            call.show(
                lambda: approving.preview_document(found), lambda how: approving.preview_text(found, how)
            )
            return
        _show_state(call, approving.approve(call, session, plan_id, yes=yes))


def _show_state(call: Call, record: PlanRecord) -> None:
    call.show(lambda: machine_plans.state(record), lambda how: plans.state(record, how))


@plan.command(epilog=examples('git fleet plan pause release-2 -m "the tests of main are red"'))
@click.argument("plan_id", type=PLAN, required=False, metavar="[PLAN]")
@click.option("-m", "--message", "reason", default="", metavar="TEXT", help="Why.")
@command
def pause(call: Call, plan_id: str | None, reason: str) -> None:
    """No new claims until it is resumed; what is claimed goes on."""
    with call.session() as session:
        _show_state(call, planning.pause(session, _chosen(session, plan_id), reason))


@plan.command(epilog=examples("git fleet plan resume release-2"))
@click.argument("plan_id", type=PLAN, required=False, metavar="[PLAN]")
@command
def resume(call: Call, plan_id: str | None) -> None:
    """Let a paused plan go on."""
    with call.session() as session:
        _show_state(call, planning.resume(session, _chosen(session, plan_id)))


@plan.command(
    epilog=examples(
        "git fleet plan close release-2",
        "git fleet plan close release-2 --force   drops what is drafted and not approved",
    )
)
@click.argument("plan_id", type=PLAN, metavar="PLAN")
@click.option("--force", is_flag=True, help="Drop what was drafted and is not approved.")
@command
def close(call: Call, plan_id: str, force: bool) -> None:
    """End a plan for good, once no task of it is active. Its id is never used again."""
    with call.session() as session:
        _show_state(call, planning.close(session, plan_id, force=force))


def _chosen(session: Session, plan_id: str | None) -> str:
    return plan_id or planning.only(session)


@plan.command(
    "list",
    epilog=examples(
        "git fleet plan list",
        "git fleet plan list --json | jq -r '.plans[] | select(.state == \"open\").plan'",
    ),
)
@command
def list_(call: Call) -> None:
    """Every plan there is."""
    with call.session(reading=True) as session:
        rows = planning.list_plans(session)
    call.show(lambda: machine_plans.listing(rows), lambda how: plans.listing(rows, how))
