"""From a proposal to the commit that main would get: replayed in memory, inside the scope, or why not."""

from __future__ import annotations

from dataclasses import dataclass

from git_fleet.app.session import Session
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import MAX_TEXT
from git_fleet.core.model import Finding, Proposal, Task
from git_fleet.core.results import Ejected
from git_fleet.core.scope import outside
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.trailers import Contribution, message_for
from git_fleet.errors import InvalidInput
from git_fleet.git import contents, replay
from git_fleet.git.formats import Signature, parse_signature
from git_fleet.git.process import Git
from git_fleet.store import proposals


@dataclass(frozen=True, slots=True)
class Candidate:
    """The one commit of a task on top of `onto`; `commit` None when nothing is left to commit."""

    record: TaskRecord
    proposal: Proposal
    onto: Oid
    commit: Oid | None
    tree: Oid | None


def build(session: Session, git: Git, record: TaskRecord, onto: Oid, config: Config) -> Candidate | Ejected:
    """Replay the task's latest proposal onto `onto`, or say why it goes back to rework.

    `git` runs in a clean checkout of `onto`, whose attributes the merge obeys. No ref is written.
    Raises GitFailed, also when the commit has to be signed and cannot be.
    """
    if record.state.proposal is None:
        raise AssertionError("a proposed task has a proposal")
    proposal = proposals.whole(session.store, record.state.proposal)
    if proposal.commit is None:
        return Candidate(record, proposal, onto, None, None)
    try:
        made = _replay(session, git, record.task, proposal, onto)
    except InvalidInput as error:
        return Ejected(record.id, "conflict", (), error.message)
    if made.conflicts:
        detail = f"conflicts with main in {contents.listing(made.conflicts)}"
        return Ejected(record.id, "conflict", made.conflicts, detail)
    if made.commit is not None:
        beyond = _outside(session, record.task, onto, made.commit, config)
        if beyond:
            detail = f"changes files that are not the task's: {contents.listing(beyond)}"
            return Ejected(record.id, "scope", beyond, detail)
    return Candidate(record, proposal, onto, made.commit, made.tree)


def _replay(session: Session, git: Git, task: Task, proposal: Proposal, onto: Oid) -> replay.Candidate:
    objects, commit = session.store.objects, proposal.commit
    if commit is None:
        raise AssertionError("a report is not replayed")
    own = replay.own_commits(git, objects, onto=onto, proposal=commit)
    settings = replay.commit_settings(git)
    lead = parse_signature(git.run("var", "GIT_COMMITTER_IDENT").out.strip())
    author = own[0].author if own else objects.read_commit(commit).author
    parts = [Contribution(_address(each.author), each.message) for each in own]
    return replay.replay(
        git,
        objects,
        onto=onto,
        proposal=commit,
        message=message_for(task, proposal, parts, sign_off=_address(lead) if settings.sign_off else ""),
        author=author,
        committer=lead,
        sign=settings.sign,
    )


def _address(who: Signature) -> str:
    return f"{who.name} <{who.email}>"


def _outside(session: Session, task: Task, onto: Oid, commit: Oid, config: Config) -> tuple[str, ...]:
    changes = session.store.objects.changed_paths(onto, commit)
    paths = [change.path for change in changes]
    return outside(paths, task.owned, generated=config.generated_paths, protected=config.protected)


def finding(ejected: Ejected) -> Finding:
    """What the next worker of the task is told: the first line, and of the rest the end, which tells
    most of a gate's output."""
    first, _, rest = ejected.detail.partition("\n")
    room = MAX_TEXT - len(first) - 2
    text = f"{first}\n…{rest[-room:]}" if len(rest) > room > 0 else ejected.detail
    return Finding(text, source=ejected.reason, path=ejected.paths[0] if ejected.paths else "")
