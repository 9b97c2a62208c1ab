"""What was learned: `learn` tells it, `recall` finds it, `knowledge` lists it and lets a person decide about it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import click

from git_fleet.app import knowledge as looking
from git_fleet.app import learning
from git_fleet.app.learning import Edit
from git_fleet.app.session import Session
from git_fleet.cli import editor
from git_fleet.cli.call import Call, Group, command, dry_run_option, examples, look, say
from git_fleet.cli.named import LEARNING, PLAN, TASK
from git_fleet.core.learnings import Kind, Known, Learned, Standing
from git_fleet.errors import FleetError, InvalidInput
from git_fleet.views import knowledge as view

_STATES = [str(state) for state in Standing]


@click.command(
    epilog=examples(
        'git fleet learn "the client retries POST: handlers must be idempotent" --path "src/api/**"',
        'git fleet learn --kind convention --label docs "headings are sentences"',
        "git fleet learn - < notes.txt",
        "git fleet learn --from-plan app -n    what its blocked and refuted tasks would teach",
    )
)
@click.argument("text", required=False, metavar="[TEXT|-]")
@click.option("--path", "paths", multiple=True, metavar="PATTERN", help="Files that it is about.")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="Tasks that it is about.")
@click.option("--task", type=TASK, metavar="TASK", help="Where it was learned (default: in this worktree's).")
@click.option("--kind", type=click.Choice([str(kind) for kind in Kind]), help="What it is (default: fact).")
@click.option("--from-plan", "plan", type=PLAN, metavar="PLAN", help="Why its tasks were blocked or refuted.")
@dry_run_option
@command
def learn(
    call: Call,
    text: str | None,
    paths: tuple[str, ...],
    labels: tuple[str, ...],
    task: str | None,
    kind: str | None,
    plan: str | None,
    dry_run: bool,
) -> None:
    """Tell all other workers what you have learned.

    A trap (pitfall), how things are done here (convention), or how they are (fact). Patterns of files are those of
    gitignore, from the repository's root. Tasks about these files or labels get it with their prompts; without either
    it is about the whole repository, and comes last.
    """
    if (text is None) == (plan is None):
        raise click.UsageError(
            "say what was learned, or --from-plan PLAN" if text is None else "a text, or --from-plan"
        )
    if plan is not None and (paths or labels or task or kind):
        raise click.UsageError("--from-plan finds out paths, labels, task and kind itself")
    if dry_run and plan is None:
        raise click.UsageError("--dry-run goes with --from-plan")
    with call.session() as session:
        if plan is not None:
            found = learning.from_plan(session, plan, dry_run=dry_run)
        else:
            words = _input() if text == "-" else text or ""
            found = learning.learn(
                session, words, kind=Kind(kind or Kind.FACT), paths=paths, labels=labels, task=task
            )
    call.show(
        lambda: view.learned_document(found, dry_run=dry_run),
        lambda how: view.learned(found, how, dry_run=dry_run),
    )


def _input() -> str:
    return sys.stdin.buffer.read().decode("utf-8", "surrogateescape")


@click.command(
    epilog=examples(
        "git fleet recall                          all there is, the newest and approved first",
        "git fleet recall retry timeout            by words",
        'git fleet recall --path "src/api/**"      about these files',
        "git fleet recall 3f9c01d2a4b5             one, by its id",
    )
)
@click.argument("query", nargs=-1, metavar="[QUERY]…")
@click.option("--path", "paths", multiple=True, metavar="PATTERN", help="About files that this matches.")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="About tasks with this label.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="So many at most.")
@click.option("--all", "retired", is_flag=True, help="What was retired, too.")
@command
def recall(
    call: Call,
    query: tuple[str, ...],
    paths: tuple[str, ...],
    labels: tuple[str, ...],
    limit: int,
    retired: bool,
) -> None:
    """What was learned about these words, files or labels, the most important first.

    Files count more than labels, these more than words, then what is approved, then what is new. What says nearly the
    same is shown once. `git config fleet.knowledge FOLDER:…` has other repositories' learnings found here, too.
    """
    with call.session(reading=True) as session:
        found = looking.recall(
            session, " ".join(query), paths=paths, labels=labels, most=limit, retired=retired
        )
        now = session.now()
    call.show(lambda: view.recalled_document(found), lambda how: view.recalled(found, now, how))


@click.group(
    cls=Group,
    epilog=examples(
        "git fleet knowledge list                 all there is, oldest first",
        "git fleet knowledge review               decide about each that nobody has looked at",
    ),
)
def knowledge() -> None:
    """What was learned: all of it, and a person's decisions about it."""


@knowledge.command(
    "list", epilog=examples("git fleet knowledge list", "git fleet knowledge list --state unapproved")
)
@click.option("--state", type=click.Choice(_STATES), help="Only what is in this state.")
@command
def knowledge_list(call: Call, state: str | None) -> None:
    """All that was learned here, oldest first."""
    with call.session(reading=True) as session:
        found = looking.read(session)
        now = session.now()
    shown = [one for one in found.known if state in (None, str(one.state))]
    call.show(
        lambda: view.listing_document(shown, len(found.broken)),
        lambda how: view.listing(shown, len(found.broken), now, how),
    )


@knowledge.command(
    "review",
    epilog=examples(
        "git fleet knowledge review                         one after the other, on a terminal",
        "git fleet knowledge review --approve 3f9c01d2a4b5 --retire 77aa01cc02dd",
        "git fleet knowledge review --edit 3f9c01d2a4b5     change its words, and approve them",
    ),
)
@click.option("--approve", type=LEARNING, multiple=True, metavar="ID", help="It is so.")
@click.option(
    "--retire",
    type=LEARNING,
    multiple=True,
    metavar="ID",
    help="It is not so, or not so any more: nobody is told.",
)
@click.option(
    "--edit",
    type=LEARNING,
    multiple=True,
    metavar="ID",
    help="Change its words in $EDITOR, and approve them.",
)
@click.option(
    "--file",
    type=click.File("rb"),
    metavar="FILE",
    help="The new words for --edit (- to read them).",
)
@command
def knowledge_review(
    call: Call,
    approve: tuple[str, ...],
    retire: tuple[str, ...],
    edit: tuple[str, ...],
    file: BinaryIO | None,
) -> None:
    """Approve, retire or change what was learned; a person does.

    The latest decision counts. With `knowledge.require_approval` prompts get what is approved, and nothing else.
    """
    if file is not None and len(edit) != 1:
        raise click.UsageError("--file has the words of one --edit ID")
    with call.session() as session:
        session.require_person("knowledge")
        if approve or retire or edit:
            words = None if file is None else _read(file)
            found = _decide(session, approve, retire, *_edited(session, edit, words))
        else:
            if not editor.on_terminal(call):
                raise InvalidInput(
                    "reviewing asks a person, and this is no terminal",
                    hint="git fleet knowledge review --approve ID, or --retire ID",
                )
            found = _one_by_one(session)
    call.show(lambda: view.learned_document(found), lambda how: view.decided(found, how))


def _read(file: BinaryIO) -> str:
    try:
        return file.read().decode()
    except UnicodeDecodeError:
        raise InvalidInput(
            f"{file.name}: not UTF-8 text", hint="git fleet knowledge review --edit ID"
        ) from None


def _stores(name: str) -> str:
    return f"git fleet knowledge review --edit {name} --file"


def _edited(session: Session, names: Sequence[str], words: str | None) -> tuple[list[Edit], list[Path]]:
    """The new words of each, and the files in which an editor has left them."""
    edits: list[Edit] = []
    files: list[Path] = []
    known = looking.read(session).known if names else ()
    for name in names:
        one = looking.find(known, name)
        text = words
        if text is None:
            text, path = editor.edit(one.learning.text + "\n", name="learning.md", stores=_stores(name))
            files.append(path)
        edits.append(Edit(one.id, text))
    return edits, files


def _decide(
    session: Session,
    approve: Sequence[str],
    retire: Sequence[str],
    edits: Sequence[Edit],
    files: Sequence[Path],
) -> Learned:
    """Store the decisions. Whatever stands against that, the words from an editor are kept until they are stored."""
    try:
        found = learning.decide(session, approve=approve, retire=retire, edits=edits)
    except FleetError as error:
        raise (editor.kept(error, files[0], _stores(edits[0].name)) if files else error) from error
    for path in files:
        editor.forget(path)
    return found


def _one_by_one(session: Session) -> Learned:
    """Ask about each that nobody has looked at. Each decision is stored at once, so that leaving loses none."""
    decided: list[Known] = []
    told = True
    waiting = [one for one in looking.read(session).known if one.state is Standing.UNAPPROVED]
    for number, one in enumerate(waiting, 1):
        say(f"\n{number} of {len(waiting)}\n{view.one(one, session.now(), look(sys.stderr))}")
        answer = click.prompt(
            "[a]pprove, [r]etire, [e]dit, [s]kip, [q]uit",
            type=click.Choice(["a", "r", "e", "s", "q"]),
            show_choices=False,
            err=True,
        )
        if answer == "q":
            break
        if answer == "s":
            continue
        done = _decide(
            session,
            [one.id] if answer == "a" else [],
            [one.id] if answer == "r" else [],
            *_edited(session, [one.id] if answer == "e" else [], None),
        )
        decided += done.known
        told = told and done.told
    return Learned(tuple(decided), told=told)
