"""Work taken up again (DESIGN sections 4, 6 and 10): main merged into it where that is called for, and what
its next worker is told.

A conflict is left in the worktree, marked, for the worker to resolve; nothing here drops a side's lines.
"""

from __future__ import annotations

from pathlib import Path

from git_fleet.app.session import Session
from git_fleet.core.ids import slugify
from git_fleet.core.model import Claim, Output, State, TaskState
from git_fleet.core.snapshot import TaskRecord
from git_fleet.git import contents, merging
from git_fleet.git.merging import Standing
from git_fleet.store import gatelogs, names

_SAID = 10  # of git's own lines on conflicts


def wants_main(state: TaskState, *, saved: bool) -> bool:
    """Whether the next claim of work that there is begins with main merged in: where it met a conflict with
    main, or a gate that saw both together; where it was put aside meanwhile; and where the claim before was
    to begin so and has handed nothing in since. `saved` says that its work was saved just now.
    """
    if state.conflict or state.reason == "gate" or state.state is State.PENDING:
        return True
    unfinished = saved or state.salvaged is not None or state.state is State.CLAIMED
    return state.claim is not None and state.claim.merge and unfinished


def merge_main(session: Session, claim: Claim, lock: int) -> list[str]:
    """Merge main, as it was when the task was claimed, into the branch in the claim's worktree, if the claim
    is to begin so; what is to be said of it. `lock` as in `merging.begin`, which says what is raised.

    It is committed by the worker's name: its machine may have no identity for git.
    """
    if not claim.merge or claim.base is None:
        return []
    who = (("NAME", claim.holder), ("EMAIL", f"{slugify(claim.holder)}@fleet.invalid"))
    identity = {f"GIT_{role}_{part}": text for role in ("AUTHOR", "COMMITTER") for part, text in who}
    merged = merging.begin(
        session.repo,
        Path(claim.worktree),
        claim.base,
        message=f"Merge {claim.base} into {claim.branch}",
        identity=identity,
        lock=lock,
    )
    return ["main was merged into the branch"] if merged else []


def standing(claim: Claim, worktree: Path) -> Standing | None:
    """What the merge that the claim began with waits for; None when none goes on."""
    return merging.standing(worktree) if claim.merge else None


def notes(going_on: Standing, *, lead_commits: bool) -> list[str]:
    """What is in conflict, in git's words too, and how the worker goes on."""
    conclude = 'git fleet done -m "…"' if lead_commits else "git commit --no-edit and git fleet done"
    if not going_on.unresolved:
        return [f"a merge of main into the branch goes on, and nothing in it is left to resolve: {conclude}"]
    said, more = going_on.said[:_SAID], len(going_on.said) - _SAID
    return [
        f"main was merged into the branch; resolve the conflicts in {contents.listing(going_on.unresolved)}",
        *said,
        *([f"and {more} conflicts more (git status)"] if more > 0 else []),
        f"edit them; git add (git rm for one that is to go) says that one is resolved; then {conclude}",
    ]


def gate_logs(session: Session, record: TaskRecord) -> list[str]:
    """Where all is that the gates printed about the proposal, for one who works on what they found."""
    return [f"whole log of a gate: git show {place}" for place in gate_log_places(session, record)]


def gate_log_places(session: Session, record: TaskRecord) -> tuple[str, ...]:
    """The same as `git show` takes it: `<ref>:<file>` each."""
    proposal = record.state.proposal
    if proposal is None or not record.state.findings:
        return ()
    ref = names.gate_logs(record.id, proposal.number)
    places = gatelogs.listing(session.store, record.id)
    return tuple(place for place in places if place.startswith(f"{ref}:"))


def by_hand(session: Session, record: TaskRecord) -> tuple[str, ...]:
    """The commands for a worker without a worktree of ours, where there is work to go on from."""
    state = record.state
    kept = state.salvaged or (state.proposal.commit if state.proposal else None)
    logs = gate_logs(session, record)
    if kept is None or record.task.output is Output.REPORT:
        return tuple(logs)
    base = session.base_of(record.id) or session.main
    merge = f"git merge {base}"
    if state.conflict:
        merge += ", edit what is in conflict, git add, git commit"
    return (f"the work so far: git switch --create BRANCH {kept}", f"main has moved on since: {merge}", *logs)
