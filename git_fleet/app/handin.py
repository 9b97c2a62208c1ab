"""Handing in: a worker's result becomes a proposal (DESIGN sections 3, 4 and 8).

The proposal ref first, then the task's event, which names it: a crash in between leaves a proposal
that counts for nobody, and the same command run again makes the next one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.app import followups, includes, placing, waiting
from git_fleet.app.acting import act, holder_fence, not_held
from git_fleet.app.session import Session
from git_fleet.core import spelling, trailers
from git_fleet.core.ids import Oid, slugify
from git_fleet.core.lifecycle import cut
from git_fleet.core.model import Output, Proposal, State, Usage
from git_fleet.core.patterns import Matcher, parse
from git_fleet.core.scope import outside
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import Denied, InvalidInput, NothingChanged
from git_fleet.git import contents, merging
from git_fleet.git.objects import Signature
from git_fleet.git.process import Git
from git_fleet.store import names, proposals

MAX_ARTIFACT_BYTES = 16 * 1024 * 1024
MAX_MESSAGE_BYTES = 64 * 1024


class Handin(Struct, frozen=True):
    """What a worker says with its work. `message` becomes the commit's, `result` is for people;
    `commit` names a revision where there is no worktree; `artifacts` are paths in the worktree."""

    message: str = ""
    result: str = ""
    all_changes: bool = False
    artifacts: tuple[str, ...] = ()
    commit: str = ""
    follow_ups: tuple[str, ...] = ()
    usage: Usage | None = None


class HandedIn(Struct, frozen=True):
    """The proposal made; `outside` are the changed paths that the task does not own (the scope gate
    will refuse them), `follow_ups` the draft tasks made of what the worker noticed."""

    record: TaskRecord
    proposal: Proposal
    outside: tuple[str, ...]
    follow_ups: tuple[str, ...]
    notes: tuple[str, ...]


def done(session: Session, name: str | None, handin: Handin) -> HandedIn:
    """Hand in the task's work.

    Raises StaleClaim when the task was taken over (the work stays where it is), Denied for conflicts that are
    not resolved, for uncommitted changes in `branch` mode and for changes outside the task's files in `lead-commits` mode,
    where no hook has looked at them (they are named), Collides as long as it has to wait for other work, InvalidInput for a commit, artifact or report that
    cannot be used, and for a commit that changes nothing.
    """
    snapshot = session.snapshot_of(name)
    record = session.holders_record(snapshot, name)
    holder_fence(session, record)
    if record.state.state is not State.CLAIMED:
        raise not_held(record)
    handin = replace(handin, message=trailers.clean(handin.message))
    _check_words(handin)
    base = placing.base_commit(session, snapshot, record.id)
    artifacts = _artifacts(session, record, handin.artifacts)
    commit = _commit(session, record, handin, base)
    if record.task.output is Output.REPORT and not (handin.result or artifacts):
        raise InvalidInput("a report needs a result or an artifact", hint='git fleet done --result "…"')
    bases = session.store.objects.merge_bases(base, commit) if commit else []
    fork = bases[0] if bases else None
    unchanged = _changes_nothing(session, commit, fork)
    if unchanged and not _merged(record, commit, fork):
        raise NothingChanged(
            f"nothing is changed in what would be handed in for {record.id}",
            hint="git fleet release gives the task back, git fleet block says why it cannot be done"
            ' (a task that needs no change is one with output = "report")',
        )
    _refuse_markers(session, record, fork, commit)
    waiting.require_turn(session, record, commit)
    strays = _outside(session, record, fork, commit)
    if strays and session.config_of(record.id).lead_commits:
        raise Denied(
            f"changed, but not {record.id}'s: {contents.listing(strays)}",
            hint="put these back as they were, then git fleet done; if the task cannot do without: "
            f'git fleet block {record.id} --code scope "…"',
        )
    proposal = _propose(session, record, handin, commit, fork, artifacts)
    fields: dict[str, Any] = {"proposal": proposal, "summary": handin.result or handin.message}
    if handin.usage:
        fields["usage"] = handin.usage
    if handin.follow_ups:
        fields["findings"] = followups.noticed(proposal.worker, handin.follow_ups)
    now = act(session, record, "done", lambda r: fields | {"fence": holder_fence(session, r)})
    drafted, notes = followups.from_handin(session, record, fields.get("findings", ()))
    if unchanged:
        notes = ("the base has all of it already: nothing is changed in what was handed in", *notes)
    return HandedIn(now, proposal, strays, drafted, notes)


def _changes_nothing(session: Session, commit: Oid | None, fork: Oid | None) -> bool:
    """Whether what is handed in is what the base had where the work began."""
    if commit is None or fork is None:
        return False
    objects = session.store.objects
    return objects.read_commit(commit).tree == objects.read_commit(fork).tree


def _merged(record: TaskRecord, commit: Oid | None, fork: Oid | None) -> bool:
    """Whether the base was merged into work that there was: it may have brought all of it."""
    claim = record.state.claim
    return claim is not None and claim.merge and commit != fork


def _check_words(handin: Handin) -> None:
    """Refuse what could not be stored before anything is."""
    if len(handin.message.encode("utf-8", "surrogatepass")) > MAX_MESSAGE_BYTES:
        raise InvalidInput(
            f"the message is too long (at most {MAX_MESSAGE_BYTES >> 10} KiB)",
            hint="say more in an artifact (git fleet done --artifact FILE)",
        )
    for title in handin.follow_ups:
        problem = "it is empty" if not title.strip() else spelling.line_problem(title)
        if problem:
            raise InvalidInput(f"follow-up {title!r}: {problem}", hint='git fleet done --follow-up "…"')


def _propose(
    session: Session,
    record: TaskRecord,
    handin: Handin,
    commit: Oid | None,
    fork: Oid | None,
    artifacts: dict[str, bytes],
) -> Proposal:
    store, worker = session.store, record.state.claim.holder if record.state.claim else session.actor
    number, oid = proposals.add(
        store,
        record.id,
        commit=commit,
        worker=worker,
        result=handin.result,
        message=handin.message,
        artifacts=artifacts,
        at=session.now(),
    )
    tree = store.objects.read_commit(commit).tree if commit else None
    return Proposal(number, oid, worker, commit, tree, fork, cut(handin.message))


def _commit(session: Session, record: TaskRecord, handin: Handin, base: Oid) -> Oid | None:
    """The worker's commit; None for a report. Raises when the work is not in one."""
    if record.task.output is Output.REPORT:
        return None
    claim = record.state.claim
    if handin.commit or claim is None or not claim.worktree:
        commit = _named_commit(session, handin.commit or "HEAD")
    elif not Path(claim.worktree).is_dir():
        raise InvalidInput(
            f"the worktree {claim.worktree} of {record.id} is not on this machine, or was deleted",
            hint=f"git fleet claim --resume makes it again; git fleet done --commit {claim.branch} hands in the branch",
        )
    elif session.config_of(record.id).lead_commits:
        commit = _from_work_tree(session, record, Path(claim.worktree), handin.message)
    else:
        commit = _from_branch(session, record, Path(claim.worktree), handin)
    if not session.store.objects.merge_bases(base, commit):
        raise InvalidInput(
            f"{commit[:12]} has no history in common with {base[:12]}"
            + (" (this is a shallow clone)" if session.repo.is_shallow else ""),
            hint="git fetch --unshallow" if session.repo.is_shallow else "commit on the task's own branch",
        )
    return commit


def _named_commit(session: Session, revision: str) -> Oid:
    git = session.repo.git(session.repo.worktree or session.repo.common_dir)
    found = git.text(
        "rev-parse", "-q", "--verify", "--end-of-options", f"{revision}^{{commit}}", ok=(0, 1, 128)
    )
    if not found:
        raise InvalidInput(f"{revision!r} names no commit", hint="git fleet done --commit BRANCH")
    return Oid(found)


def _from_branch(session: Session, record: TaskRecord, path: Path, handin: Handin) -> Oid:
    """HEAD of the task's worktree. It must contain the branch: a detached HEAD beside it, or another
    branch, would leave work behind that nobody has looked at."""
    claim, git = record.state.claim, Git(path, hooks=True)
    _refuse_conflicts(path)
    going_on = merging.head(git) is not None
    changed = contents.dirty_files(path, markers=includes.check_markers(session.config_of(record.id).touch))
    if (changed or going_on) and handin.all_changes:
        _commit_all(record, path, changed, handin.message, going_on=going_on)
    elif going_on:
        raise Denied(
            f"the merge in {path} is not concluded",
            hint="git commit --no-edit concludes it, or git fleet done --all",
        )
    elif changed:
        raise Denied(
            f"uncommitted changes in {path}: {contents.listing(changed)}",
            hint="commit them, or git fleet done --all commits those inside the task's files",
        )
    head = Oid(git.text("rev-parse", "HEAD"))
    branch = names.branch(claim.branch) if claim else ""
    behind = git.run("merge-base", "--is-ancestor", branch, head, ok=(0, 1, 128)).code
    if behind == 1:
        raise InvalidInput(
            f"HEAD of {path} does not contain the task's branch {claim.branch if claim else ''}",
            hint="git switch to the branch (git merge what is to go with it), then git fleet done",
        )
    return head


def _commit_all(
    record: TaskRecord, path: Path, changed: Sequence[str], message: str, *, going_on: bool
) -> None:
    """Commit the changes inside the task's files, untracked ones included; others are left and named.

    What a merge that is being concluded brings is nobody's change; it goes into the commit as staged.
    """
    git = Git(path, hooks=True)
    owned = Matcher(parse(text) for text in record.task.owned)
    inside = [name for name in changed if owned.match(name) and not name.endswith("/")]
    rest = sorted({*changed} - {*inside})
    if going_on:
        brought = set(rest) - set(git.paths("diff", "--name-only", "-z", "--no-renames", "MERGE_HEAD"))
        brought -= set(git.paths("ls-files", "--others", "--exclude-standard", "-z"))
        rest = [name for name in rest if name not in brought]
    if not rest if going_on else inside:
        _commit_these(git, path, inside, message or record.task.title, whole=going_on)
    if rest:
        raise Denied(
            f"changed, but not {record.id}'s: {contents.listing(rest)}",
            hint="undo these changes or ask the lead for the files, then git fleet done --all",
        )


def _commit_these(git: Git, path: Path, paths: Sequence[str], message: str, *, whole: bool) -> None:
    """Commit these paths as they are in the work tree, and nothing else that is staged unless `whole`
    (git commits a merge only so)."""
    spec = ("--pathspec-from-file=-", "--pathspec-file-nul")
    tracked = set(git.paths("ls-files", "-z"))
    there = [name for name in paths if os.path.lexists(path / name) or name in tracked]
    if there:  # the others are staged as deleted already, which `git add` would not find
        git.run("--literal-pathspecs", "add", "--all", *spec, input=b"\0".join(map(os.fsencode, there)))
    only = () if whole else ("--only", *spec)
    listed = b"" if whole else b"\0".join(map(os.fsencode, paths))
    git.run("--literal-pathspecs", "commit", "--quiet", "-m", message, *only, input=listed)


def _from_work_tree(session: Session, record: TaskRecord, path: Path, message: str) -> Oid:
    """`lead-commits` mode: the work tree as one commit on HEAD, the index untouched. While a merge is
    being concluded MERGE_HEAD stays a parent, so that the same conflict does not come back."""
    git = Git(path)
    tree = contents.snapshot_tree(path, markers=includes.check_markers(session.config_of(record.id).touch))
    head = Oid(git.text("rev-parse", "HEAD"))
    theirs = merging.head(git)
    _refuse_conflicts(path)
    if tree == session.store.objects.read_commit(head).tree and theirs is None:
        return head
    worker = record.state.claim.holder if record.state.claim else session.actor
    email = git.text("config", "user.email", ok=(0, 1)) or f"{slugify(worker)}@fleet.invalid"
    who = Signature(worker, email, int(session.now().timestamp()))
    return session.store.objects.write_commit(
        tree=tree,
        parents=[head, *([theirs] if theirs else [])],
        author=who,
        committer=who,
        message=f"{message or record.task.title}\n",
    )


def _refuse_conflicts(path: Path) -> None:
    left = merging.unresolved(path)
    if left:
        raise Denied(
            f"conflicts are not resolved in {contents.listing(left)}",
            hint="edit them (git add, or git rm, says that one is resolved), then git fleet done",
        )


def _refuse_markers(session: Session, record: TaskRecord, fork: Oid | None, commit: Oid | None) -> None:
    """A conflict that was committed as it was left is no solution of it."""
    if commit is None or fork is None or record.state.attempt < 2:
        return
    left = merging.marked(session.repo.git(), fork, commit)
    if left:
        raise Denied(
            f"the markers of a conflict are in {contents.listing(left)} of {commit[:12]}",
            hint="resolve it, commit, then git fleet done",
        )


def _artifacts(session: Session, record: TaskRecord, paths: Sequence[str]) -> dict[str, bytes]:
    """The contents of the artifact files. Raises InvalidInput for one outside the worktree."""
    if not paths:
        return {}
    claim = record.state.claim
    root = Path(claim.worktree) if claim and claim.worktree else session.repo.worktree
    if root is None:
        raise InvalidInput(
            "artifacts are files of a worktree, and there is none here", hint="cd to the worktree"
        )
    scratch = session.around.env.get("FLEET_SCRATCH")
    allowed = [folder.resolve() for folder in (root, *([Path(scratch)] if scratch else []))]
    found: dict[str, bytes] = {}
    for text in paths:
        path = (root / text).resolve()
        home = next((folder for folder in allowed if path.is_relative_to(folder)), None)
        if home is None or not path.is_file():
            raise InvalidInput(
                f"artifact {text!r} is no file in the worktree", hint=f"the worktree is {root}"
            )
        name = str(path.relative_to(home))
        if found.setdefault(name, data := path.read_bytes()) != data:
            raise InvalidInput(f"two artifacts are called {name!r}", hint="rename one of them")
    if sum(map(len, found.values())) > MAX_ARTIFACT_BYTES:
        raise InvalidInput(
            f"artifacts have more than {MAX_ARTIFACT_BYTES >> 20} MiB", hint="hand in fewer or smaller ones"
        )
    return found


def _outside(session: Session, record: TaskRecord, fork: Oid | None, commit: Oid | None) -> tuple[str, ...]:
    """What the scope gate will object to, so that the worker hears it now."""
    if commit is None or fork is None:
        return ()
    config = session.config_of(record.id)
    changes = session.store.objects.changed_paths(fork, commit)
    return outside(
        [change.path for change in changes],
        record.task.owned,
        generated=config.generated_paths,
        protected=config.protected,
    )
