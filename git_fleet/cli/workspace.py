"""`workspace …`: many repositories, registered in one file, looked at side by side."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from git_fleet.cli.across import found, workspace_option
from git_fleet.cli.call import Call, Group, command, examples, read_file, say, surroundings
from git_fleet.cli.call import look as look_of
from git_fleet.cli.named import FILE
from git_fleet.cli.progress import working
from git_fleet.views import machine_status
from git_fleet.views import workspace as views

_where = workspace_option("Of this workspace")
_labelled = click.option("--label", "labels", multiple=True, metavar="LABEL", help="Only with this label.")


@click.group(
    cls=Group,
    epilog=examples(
        "git fleet workspace init shop        begin one in the folder shop",
        "git fleet workspace add ../api       a repository that is there",
        "git fleet workspace add https://git.example/web.git",
        "git fleet workspace status           all of them, and what lands together",
        "git fleet status --workspace         each as git fleet status shows it",
    ),
)
def workspace() -> None:
    """Many repositories worked as one."""


@workspace.command(epilog=examples("git fleet workspace init shop", "git fleet workspace init . --name shop"))
@click.argument("folder", type=click.Path(path_type=Path), default=Path(), metavar="[DIR]")
@click.option("--name", default="", metavar="NAME", help="Its name (default: the folder's).")
@command
def init(call: Call, folder: Path, name: str) -> None:
    """Begin a workspace: a workspace.toml, in a git repository of its own or a folder of one."""
    from git_fleet.app.wide import editing

    begun = editing.begin(call.directory / folder, name)
    space = begun.workspace
    made = "a new git repository" if begun.made else "a folder of a git repository"
    call.show(
        lambda: views.listing(space),
        lambda look: (
            f"workspace {look.paint(space.name, 'bold')} begins in {space.folder}, {made}\n"
            "next: git fleet workspace add PATH|URL, then commit workspace.toml"
        ),
    )


@workspace.command(
    epilog=examples(
        "git fleet workspace add ../api --label backend",
        "git fleet workspace add git@git.example:shop/web.git --name web --into clones",
    )
)
@click.argument("where", metavar="PATH|URL")
@click.option(
    "--name", default="", metavar="NAME", help="What it is called here (default: after where it is)."
)
@click.option(
    "--main", default="", metavar="BRANCH", help="Its default base, where it does not say so itself."
)
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="A label that all its tasks have.")
@click.option("--into", default="repos", metavar="DIR", help="Clone below this folder of the workspace.")
@_where
@command
def add(
    call: Call, where: str, name: str, main: str, labels: tuple[str, ...], into: str, workspace: str | None
) -> None:
    """Take a repository in; an address is cloned. What is written in workspace.toml stays as it is."""
    from git_fleet.app import workspaces
    from git_fleet.app.wide import editing

    space = found(call, workspace)
    with working(call, "adding the repository"):
        added = editing.add(space, where, call.directory, name=name, main=main, labels=labels, into=into)
    after = workspaces.load(Path(space.folder))
    call.show(
        lambda: views.listing(after),
        lambda look: views.added(after, added.repo.name, look, cloned=added.cloned, linked=added.linked),
    )


@workspace.command(epilog=examples("git fleet workspace remove api"))
@click.argument("name", metavar="REPO")
@_where
@command
def remove(call: Call, name: str, workspace: str | None) -> None:
    """Take a repository out of workspace.toml. Nothing of it is deleted."""
    from git_fleet.app import workspaces
    from git_fleet.app.wide import editing

    space = found(call, workspace)
    gone = editing.remove(space, name)
    after = workspaces.load(Path(space.folder))
    call.show(
        lambda: views.listing(after), lambda _: f"{gone.name} is no longer in {space.name}; {gone.path} stays"
    )


@workspace.command("list", epilog=examples("git fleet workspace list"))
@_where
@command
def list_(call: Call, workspace: str | None) -> None:
    """The repositories, as workspace.toml says."""
    space = found(call, workspace)
    call.show(lambda: views.listing(space), lambda look: views.repos(space, look))


@workspace.command(
    epilog=examples(
        "git fleet workspace status", "git fleet workspace status --json | jq '.repos[].answer.plans'"
    )
)
@_labelled
@_where
@command
def status(call: Call, labels: tuple[str, ...], workspace: str | None) -> int:
    """How all repositories stand. Ends with 1 when one cannot be read."""
    from git_fleet.app.wide import across, looking

    space = found(call, workspace)
    with working(call, "looking at the repositories"):
        value = looking.overview(space, surroundings(), across.chosen(space, labels))
    call.show(lambda: views.status(value, machine_status.status), lambda look: views.overview(value, look))
    return int(any(answer.error is not None for answer in value.repos))


@workspace.command(
    epilog=examples(
        "git fleet workspace ready",
        "git fleet workspace ready --label docs",
        "git fleet workspace ready --json",
    )
)
@_labelled
@_where
@command
def ready(call: Call, labels: tuple[str, ...], workspace: str | None) -> int:
    """What can be claimed now in any repository, the most important first. Ends with 1 when one cannot be read.

    A label is a task's own, or its repository's.
    """
    from git_fleet.app.wide import looking

    space = found(call, workspace)
    with working(call, "looking at the repositories"):
        offers, broken = looking.ready(space, surroundings(), labels)
    call.show(lambda: views.offers(space, offers, broken), lambda look: views.ready(offers, broken, look))
    return int(bool(broken))


@workspace.command(epilog=examples("git fleet workspace doctor", "git fleet workspace doctor --fix"))
@click.option(
    "--fix", is_flag=True, help="Clone what is missing; tell repositories which workspace they are in."
)
@_where
@command
def doctor(call: Call, fix: bool, workspace: str | None) -> int:
    """Check the workspace, and every repository as git fleet doctor does. Ends with 1 when all is not well."""
    from git_fleet.app.wide import checking

    space = found(call, workspace)
    with working(call, "checking"):
        problems, answers = checking.check(space, surroundings(), fix=fix)
    call.show(
        lambda: views.diagnosis(space, problems, answers), lambda look: views.doctor(problems, answers, look)
    )
    well = all(answer.value is not None and answer.value.ok for answer in answers)
    return int(not well or any(not problem.fixed for problem in problems))


# --- plans ---------------------------------------------------------------------------------------


@workspace.command(
    "import",
    epilog=examples("git fleet workspace import rename.toml", "git fleet workspace import - <rename.toml"),
)
@click.argument("file", type=FILE, metavar="FILE")
@_where
@command
def import_(call: Call, file: str, workspace: str | None) -> None:
    """Store a plan over the repositories, or its next revision; nothing that is approved changes by it.

    Tasks are called repo/id, needs may cross repositories, a [[changeset]] lands together.
    """
    from git_fleet.app.wide import plans

    space = found(call, workspace)
    text, name = read_file(call, file)
    stored = plans.import_plan(space, surroundings(), text, name)
    call.show(
        lambda: views.plan(space, stored.plan, stored.state), lambda look: views.stored(stored.plan, look)
    )


@workspace.command(
    epilog=examples("git fleet workspace show rename", "git fleet workspace show rename --json")
)
@click.argument("plan", metavar="PLAN")
@_where
@command
def show(call: Call, plan: str, workspace: str | None) -> None:
    """The newest text of a plan over the repositories; with --json what it says."""
    from git_fleet.app.wide import plans

    space = found(call, workspace)
    with plans.home(space, surroundings(), reading=True) as session:
        stored = plans.newest(space, surroundings(), session, plan)
        text = plans.text_of(session, stored)
    call.show(lambda: views.plan(space, stored.plan, stored.state), lambda _: text.rstrip("\n"))


@workspace.command(
    epilog=examples("git fleet workspace approve rename", "git fleet workspace approve rename --yes")
)
@click.argument("plan", metavar="PLAN")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_where
@command
def approve(call: Call, plan: str, yes: bool, workspace: str | None) -> None:
    """Let workers claim: its tasks become an approved plan of the same id in each repository.

    A person's to do. Off a terminal it never asks, and needs --yes. Interrupted, run it again.
    """
    from git_fleet.app.wide import plans
    from git_fleet.cli import approving

    space = found(call, workspace)
    with working(call, "looking at the repositories"):
        foreseen = plans.foresee(space, surroundings(), plan)
    if not call.as_json:
        how = look_of(sys.stderr)
        for repo, preview in foreseen.parts.items():
            say(f"{how.paint(f'── {repo}', 'bold')}\n{approving.preview_text(preview, how)}\n")
        say(views.promised(foreseen.stored.plan, how))
    if not yes:
        approving.ask(call, plan, f"git fleet workspace approve {plan} --yes")
    stored = plans.approve(space, surroundings(), foreseen)
    call.show(
        lambda: views.plan(space, stored.plan, stored.state), lambda look: views.opened(stored.plan, look)
    )
