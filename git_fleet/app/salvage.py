"""Salvage: what a worker left behind is made reachable before its place is taken or goes away.

The n-th salvage of a task is one commit under `refs/fleet/salvage/<plan>/<task>/<n>`. Its *first parent* is
where work can go on from: the worktree's HEAD, or, when there were uncommitted changes, a commit on top of
HEAD whose tree is the whole work tree (untracked files included, ignored ones not). Amid a merge that commit
is the merge, so that what is resolved stays so; with conflicts left, work goes on from HEAD and the merge is
made anew. Its tree is that parent's. The other parents hold what else would become unreachable: commits that only a reflog knows
(amended, rebased or reset away), what was staged but is different in the work tree, commits of an
unfinished merge or rebase. So many of them that a commit with that many parents would be unwieldy are
gathered in commits in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from git_fleet.core import trailers
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event
from git_fleet.errors import Busy, GitFailed, Held
from git_fleet.git import contents, merging, worktrees
from git_fleet.git.process import Git
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import log, names, proposals
from git_fleet.store.base import Store

MAX_PARENTS = 64
_TRIES = 50


class Salvage(NamedTuple):
    """A salvage that is in place: `oid` is what `ref` points at, `start` where work can go on from."""

    number: int
    ref: str
    oid: Oid
    start: Oid


class _Found(NamedTuple):
    """What a worktree holds. `head` None: an unborn branch. `work` and `staged` are trees, None when
    they say nothing that HEAD (or the work tree) does not. `tip` is that of the branch asked for, `merging`
    the commit that is being merged, `conflict` that this has left conflicts which nobody has resolved."""

    head: Oid | None
    tip: Oid | None
    commits: tuple[Oid, ...]
    work: Oid | None = None
    staged: Oid | None = None
    merging: Oid | None = None
    conflict: bool = False


def salvage_worktree(
    store: Store,
    path: Path,
    task: TaskId,
    *,
    base: Oid | None,
    actor: str,
    now: datetime,
    markers: Iterable[str] = (),
    branch: str = "",
    folder: bool = True,
    proposed: Collection[Oid] = (),
) -> Salvage | None:
    """Pin everything in the worktree on record at `path`; None when there is nothing to lose.

    `branch` (full ref name) is pinned too, whether the worktree is on it, has left it or is not on record
    any more; work goes on from its tip when HEAD does not contain that. `base` is the tip of the branch that
    work is integrated onto: what it contains is safe, and so is what proposals and earlier salvages contain;
    no other branch is, since branches are deleted. The worktree is not written. Of a folder that is gone, or
    whose `.git` is not this worktree's, or without `folder`, only commits are pinned; `proposed` are trees
    that need not be pinned again. Doing it again gives the same salvage. Raises GitFailed, for instance for a file that cannot be read.
    """
    git_dir = worktrees.git_dir_for(store.repo, path)
    if git_dir is not None:
        found = _look(git_dir, path, tuple(markers), branch, folder=folder)
        found = found._replace(
            work=None if found.work in proposed else found.work,
            staged=None if found.staged in proposed else found.staged,
        )
    elif branch:
        found = _look_at_branch(store.repo.common_dir, branch)
    else:
        return None
    start, extra = _commits(store, found, task, actor, now)
    if _goes_on(store, found, base):
        start, extra = found.tip, (*extra, *([start] if start else []))
    if start is None:
        return None
    return pin(store, task, start=start, keep=extra, base=base, actor=actor, now=now)


def _goes_on(store: Store, found: _Found, base: Oid | None) -> bool:
    """Whether the branch has work that HEAD does not contain."""
    tip, objects = found.tip, store.objects
    return tip is not None and not any(oid and objects.is_ancestor(tip, oid) for oid in (found.head, base))


def _look(git_dir: Path, path: Path, markers: Sequence[str], branch: str, *, folder: bool) -> _Found:
    git = Git(git_dir, git_dir=git_dir)
    head = git.text("rev-parse", "--verify", "--quiet", "HEAD^{commit}", ok=(0, 1, 128)) or None
    checked_out = git.text("symbolic-ref", "--quiet", "HEAD", ok=(0, 1))
    branches = {name: _look_at_branch(git_dir, name) for name in (branch, checked_out) if name}
    commits = contents.reflog_commits(git_dir) + contents.commits_in_hand(git_dir)
    commits += [commit for seen in branches.values() for commit in seen.commits]
    tip = branches[branch].tip if branch else None
    found = _Found(Oid(head) if head else None, tip, tuple(dict.fromkeys(commits)))
    if not folder or not worktrees.is_intact(git_dir, path):
        return found
    clean = git.text("rev-parse", f"{head}^{{tree}}") if head else None
    try:
        work = contents.snapshot_tree(path, markers=markers, git_dir=git_dir)
        staged = contents.index_tree(path, git_dir=git_dir)
    except OSError as error:
        raise GitFailed(
            f"{error.filename or path} cannot be read: {error.strerror}", hint="git fleet doctor"
        ) from error
    theirs, conflict = merging.head(git), bool(merging.unresolved(path))
    concludes = theirs is not None and not conflict  # which may change nothing
    return found._replace(
        work=None if work == clean and not concludes else work,
        staged=None if staged in (clean, work) else staged,
        merging=theirs,
        conflict=conflict,
    )


def _look_at_branch(git_dir: Path, branch: str) -> _Found:
    """The branch alone: its tip, and what it has pointed at."""
    git = Git(git_dir, git_dir=git_dir)
    tip = git.text("rev-parse", "--verify", "--quiet", f"{branch}^{{commit}}", ok=(0, 1, 128))
    commits = ([Oid(tip)] if tip else []) + contents.reflog_commits(git_dir, branch)
    return _Found(None, Oid(tip) if tip else None, tuple(commits))


def _commits(
    store: Store, found: _Found, task: TaskId, actor: str, now: datetime
) -> tuple[Oid | None, tuple[Oid, ...]]:
    """Where to go on from, and what else to keep: trees become commits on top of HEAD.

    They are dated like HEAD, so that looking again at the same work gives the same commits.
    """
    parents = (found.head,) if found.head else ()
    who = log.signature(Event("salvage", now, actor))
    if found.head:
        who = replace(who, seconds=store.objects.read_commit(found.head).committer.seconds)
    start, extra = found.head, found.commits
    for tree, what in ((found.staged, "staged"), (found.work, "not committed")):
        if tree is None:
            continue
        merge = (found.merging,) if found.merging and not found.conflict and what != "staged" else ()
        made = store.objects.write_commit(
            tree=tree,
            parents=(*parents, *merge),
            author=who,
            committer=who,
            message=trailers.kept_message(task, what),
        )
        if what == "staged" or found.conflict:
            extra = (*extra, made)
        else:
            start = made
    return start or next(iter(extra), None), extra


def proposed_trees(store: Store, task: TaskId) -> frozenset[Oid]:
    """The work trees that the task's proposals hold."""
    return frozenset(store.objects.read_commit(oid).tree for oid in proposals.commits(store, task))


def salvaged_trees(store: Store, task: TaskId) -> frozenset[Oid]:
    """The work trees that the task's salvages hold."""
    return frozenset(store.objects.read_commit(oid).tree for oid in _numbers(store, task).values())


def pin(
    store: Store,
    task: TaskId,
    *,
    start: Oid,
    keep: Iterable[Oid] = (),
    base: Oid | None = None,
    actor: str,
    now: datetime,
) -> Salvage | None:
    """Put `start` and all of `keep` (commits) under the task's next salvage ref.

    None when `base` or a proposal contains them all. When an earlier salvage does, and one of them has
    the same `start`, that one is given and nothing written. Raises Busy when others keep taking the number.
    """
    tips = _unsafe_tips(store, (start, *keep), base, (names.PROPOSALS,))
    if not tips:
        return None
    if not _unsafe_tips(store, tips, base, (names.PROPOSALS, names.SALVAGE)):
        known = _latest_from(store, task, start)
        if known is not None:
            return known
    others = [tip for tip in tips if tip != start]
    oid = _bundle(store, task, start, others, actor, now)
    for _ in range(_TRIES):
        number = _last_number(store, task) + 1
        ref = names.salvage(task, number)
        try:
            store.transact([Update(ref, ABSENT, oid)], message=f"salvage of {task}")
        except Held:
            continue  # somebody else salvages the same task: take the next number
        return Salvage(number, ref, oid, start)
    raise Busy(f"others keep salvaging {task}", hint="try again")


def _unsafe_tips(store: Store, commits: Iterable[Oid], base: Oid | None, safe: Sequence[str]) -> list[Oid]:
    """Those of `commits` that nothing safe contains, without those that another of them contains."""
    wanted = list(dict.fromkeys(commits))
    lines = "".join(f"{oid}\n" for oid in wanted)
    lines += f"^{base}\n" if base else ""
    globs = [f"--glob={prefix}*" for prefix in safe]
    listed = store.repo.git().text("rev-list", "--parents", "--stdin", "--not", *globs, input=lines.encode())
    rows = [row.split() for row in listed.splitlines()]
    alive = {row[0] for row in rows}
    inner = {parent for row in rows for parent in row[1:]}
    return [oid for oid in wanted if oid in alive and oid not in inner]


def _bundle(store: Store, task: TaskId, start: Oid, others: Sequence[Oid], actor: str, now: datetime) -> Oid:
    """The salvage commit; groups of parents become commits of their own until few enough are left."""
    who = log.signature(Event("salvage", now, actor))

    def commit(tree: Oid, parents: Sequence[Oid], subject: str) -> Oid:
        message = f"{subject}\n\nFleet-Task: {task}\n"
        return store.objects.write_commit(
            tree=tree, parents=parents, author=who, committer=who, message=message
        )

    rest = list(others)
    while len(rest) >= MAX_PARENTS:
        groups = [rest[at : at + MAX_PARENTS] for at in range(0, len(rest), MAX_PARENTS)]
        empty = store.objects.write_tree(())
        rest = [commit(empty, group, f"Commits seen while working on {task}") for group in groups]
    tree = store.objects.read_commit(start).tree
    return commit(tree, (start, *rest), f"Salvage of {task}")


def _numbers(store: Store, task: TaskId) -> dict[int, Oid]:
    prefix = f"{names.SALVAGE}{task}"
    found = store.refs.read(prefix).items()
    return {int(last): oid for ref, oid in found if (last := ref.rpartition("/")[2]).isdecimal()}


def _last_number(store: Store, task: TaskId) -> int:
    return max(_numbers(store, task), default=0)


def _latest_from(store: Store, task: TaskId, start: Oid) -> Salvage | None:
    for number, oid in sorted(_numbers(store, task).items(), reverse=True):
        if store.objects.read_commit(oid).parents[:1] == (start,):
            return Salvage(number, names.salvage(task, number), oid, start)
    return None
