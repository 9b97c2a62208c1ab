"""What the agent of a task is told: the facts, read from the fleet, in the template that is configured.

Reading only (invariant I8). The template is the built-in one, or the repository's own: `prompt` of `[worker]` in
fleet.toml, read from the base branch like fleet.toml itself, so that no worker can rewrite what the next one is told.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from git_fleet.app import knowledge, provision, rework, templates
from git_fleet.app.session import Session
from git_fleet.app.templates import MAX_TEMPLATE_BYTES, Template
from git_fleet.core import launch, prompting
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Claim, State
from git_fleet.core.prompting import Facts
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import InvalidInput
from git_fleet.git import worktrees
from git_fleet.git.merging import Standing
from git_fleet.git.sparse import is_sparse
from git_fleet.store import names


class Prompt(Struct, frozen=True):
    """A task's prompt; `template` is the path of the repository's own template, "" for the built-in one."""

    task: TaskId
    text: str
    template: str = ""


def prompt(session: Session, name: str | None) -> Prompt:
    """The prompt of task `name` (None: of the task of this worktree), as its agent would get it now.

    Raises InvalidInput for a task there is not, and for a template that cannot be used.
    """
    snapshot = session.snapshot()
    return of(session, snapshot, session.record(snapshot, name))


def of(session: Session, snapshot: Snapshot, record: TaskRecord) -> Prompt:
    """The same for a task in hand, such as one just claimed. Raises InvalidInput for the template."""
    template = _template(session, record)
    text = templates.render(template, prompting.values(facts(session, snapshot, record)))
    return Prompt(record.id, text, "" if template.name == templates.BUILT_IN else template.name)


def facts(session: Session, snapshot: Snapshot, record: TaskRecord) -> Facts:
    """What there is to say about the task. Its worktree is looked into only where it is on this machine."""
    claim = record.state.claim if record.state.state is State.CLAIMED else None
    going_on, setup, sparse = _in_worktree(session, claim) if claim else (None, "", False)
    return Facts(
        record=record,
        config=session.config_of(record.id),
        base=session.base_of(record.id) or session.main,
        siblings=snapshot.of_plan(record.id.plan),
        worker=claim.holder if claim else "",
        branch=claim.branch if claim else "",
        worktree=claim.worktree if claim else "",
        unresolved=going_on.unresolved if going_on else None,
        said=going_on.said if going_on else (),
        gate_logs=rework.gate_log_places(session, record),
        setup=setup,
        learnings=knowledge.for_task(session, record),
        sparse=sparse,
    )


def _in_worktree(session: Session, claim: Claim) -> tuple[Standing | None, str, bool]:
    """The merge that goes on in the claim's worktree, what is wrong with its setup, whether it is sparse."""
    if not claim.worktree or claim.host != session.around.host:
        return None, "", False
    path = Path(claim.worktree)
    git_dir = worktrees.git_dir_for(session.repo, path)
    if git_dir is None or not worktrees.is_intact(git_dir, path):
        return None, "", False
    return rework.standing(claim, path), provision.problem(git_dir), is_sparse(git_dir)


def _template(session: Session, record: TaskRecord) -> Template:
    """The template of the task's profile. Raises InvalidInput when the base branch has no such text."""
    path = launch.profile_of(session.config_of(record.id), record.task)[1].prompt
    if not path:
        return templates.built_in()
    base = session.base_of(record.id) or session.main
    found = next(session.store.objects.read_many([f"{names.branch(base)}:{path}"]))
    hint = "prompt of [worker] in fleet.toml names it; correct that, or commit the file, on the base branch"
    if found is None or found.kind != "blob":
        raise InvalidInput(f"there is no file {path} on {base}", hint=hint)
    if len(found.data) > MAX_TEMPLATE_BYTES:
        raise InvalidInput(f"{path} is longer than {MAX_TEMPLATE_BYTES // 1024} KiB", hint=hint)
    try:
        return Template(path, found.data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = found.data.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{path}:{line}: not UTF-8 text", hint=hint) from None
