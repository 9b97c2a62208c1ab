"""Salvage: what a worker left behind is made reachable before its place is taken or goes away.

The n-th salvage of a task is one commit (store/kept.py). Its *first parent* is
where work can go on from: the worktree's HEAD, or, when there were uncommitted changes, a commit on top of
HEAD whose tree is the whole work tree (untracked files included, ignored ones not). Amid a merge that commit
is the merge, so that what is resolved stays so; with conflicts left, work goes on from HEAD and the merge is
made anew. The other parents hold what else would become unreachable: commits that only a reflog knows
(amended, rebased or reset away), what was staged but is different in the work tree, commits of an
unfinished merge or rebase.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.core import trailers
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event
from git_fleet.errors import Busy, GitFailed, Held
from git_fleet.git import contents, merging, worktrees
from git_fleet.git.contents import Saved
from git_fleet.git.process import Git
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import kept, log, names, proposals
from git_fleet.store.base import Store
from git_fleet.store.kept import Kept, Origin

_TRIES = 50
_UNKNOWN = Origin()
SAFE = (names.PROPOSALS, names.SALVAGE)
"""Below these nothing is ever deleted."""


class Salvage(NamedTuple):
    """A salvage that is in place: `oid` is what `ref` points at, `start` where work can go on from."""

    number: int
    ref: str
    oid: Oid
    start: Oid


class Site(Struct, frozen=True):
    """The worktree of `task` on record at `path`, and how it is looked through.

    `base` is the tip of the branch that its work is integrated onto (what that contains is safe), `actor` and `now`
    are in what is made of it, `markers` the names of untracked files that are nobody's work. `branch` (full ref name)
    is looked at too, whether the worktree is on it, has left it or is not on record any more; work goes on from its
    tip when HEAD does not contain that. Of a folder that is gone, or whose `.git` is not this worktree's, or without
    `folder`, only commits are taken; `proposed` are trees that need not be kept again.
    """

    path: Path
    task: TaskId
    base: Oid | None
    actor: str
    now: datetime
    markers: tuple[str, ...] = ()
    branch: str = ""
    folder: bool = True
    proposed: Collection[Oid] = ()


class Gathered(NamedTuple):
    """What there is to keep of a worktree (commits): where work can go on from, and what else. `whole` says
    that its files are in it, `left_out` which of them are not."""

    start: Oid
    keep: tuple[Oid, ...]
    whole: bool
    left_out: tuple[str, ...] = ()


class _Found(NamedTuple):
    """What a worktree holds. `head` None: an unborn branch. `work` and `staged` are trees, None when
    they say nothing that HEAD (or the work tree) does not. `tip` is that of the branch asked for, `merging`
    the commit that is being merged, `conflict` that this has left conflicts which nobody has resolved.
    `whole` and `left_out` as in Gathered."""

    head: Oid | None
    tip: Oid | None
    commits: tuple[Oid, ...]
    work: Oid | None = None
    staged: Oid | None = None
    merging: Oid | None = None
    conflict: bool = False
    whole: bool = False
    left_out: tuple[str, ...] = ()


def salvage_worktree(store: Store, site: Site, *, snapshot: Kept | None = None) -> Salvage | None:
    """Pin everything in the worktree; None when there is nothing to lose.

    What the base contains is safe, and so is what proposals and earlier salvages contain;
    no other branch is, since branches are deleted. Where the files cannot be had, work goes on from the
    claim's `snapshot`, unless there are commits after it; it is kept in any case, if there is anything to
    keep. Doing it again gives the same salvage. Raises GitFailed, for instance for a file that cannot be read.
    """
    found = gather(store, site)
    if snapshot is not None:
        found = _with_snapshot(store, found, snapshot, site.base)
    if found is None:
        return None
    return pin(
        store,
        site.task,
        start=found.start,
        keep=found.keep,
        base=site.base,
        origin=Origin(str(site.path), site.branch.removeprefix("refs/heads/")),
        actor=site.actor,
        now=site.now,
    )


def gather(store: Store, site: Site, *, largest: int | None = None) -> Gathered | None:
    """What is in the worktree, as commits that no ref names yet; None without anything. It is not written.

    `largest`, in bytes, says that somebody works there (see `contents.save_tree`). The same work gives the same
    commits. Raises GitFailed.
    """
    git_dir = worktrees.git_dir_for(store.repo, site.path)
    if git_dir is not None:
        found = _look(git_dir, site, largest)
        found = found._replace(
            work=None if found.work in site.proposed else found.work,
            staged=None if found.staged in site.proposed else found.staged,
        )
    elif site.branch:
        found = _look_at_branch(store.repo.common_dir, site.branch)
    else:
        return None
    start, extra = _commits(store, found, site)
    if _goes_on(store, found, site.base):
        start, extra = found.tip, (*extra, *([start] if start else []))
    return Gathered(start, extra, found.whole, found.left_out) if start else None


def _with_snapshot(store: Store, found: Gathered | None, snapshot: Kept, base: Oid | None) -> Gathered | None:
    """What was found, and the snapshot of the same claim."""
    if found is None:
        return Gathered(snapshot.start, snapshot.rest, whole=False)
    if found.whole and not unsafe_tips(store, (found.start, *found.keep), [base], (names.PROPOSALS,)):
        return found  # its worker has taken back what the snapshot holds
    if not found.whole and store.objects.is_ancestor(found.start, snapshot.start):
        return found._replace(start=snapshot.start, keep=(*found.keep, *snapshot.rest))
    return found._replace(keep=(*found.keep, snapshot.start, *snapshot.rest))


def _goes_on(store: Store, found: _Found, base: Oid | None) -> bool:
    """Whether the branch has work that HEAD does not contain."""
    tip, objects = found.tip, store.objects
    return tip is not None and not any(oid and objects.is_ancestor(tip, oid) for oid in (found.head, base))


def _look(git_dir: Path, site: Site, largest: int | None) -> _Found:
    path, markers, branch = site.path, site.markers, site.branch
    git = Git(git_dir, git_dir=git_dir)
    head = git.text("rev-parse", "--verify", "--quiet", "HEAD^{commit}", ok=(0, 1, 128)) or None
    checked_out = git.text("symbolic-ref", "--quiet", "HEAD", ok=(0, 1))
    branches = {name: _look_at_branch(git_dir, name) for name in (branch, checked_out) if name}
    commits = contents.reflog_commits(git_dir) + contents.commits_in_hand(git_dir)
    commits += [commit for seen in branches.values() for commit in seen.commits]
    tip = branches[branch].tip if branch else None
    found = _Found(Oid(head) if head else None, tip, tuple(dict.fromkeys(commits)))
    if not site.folder or not worktrees.is_intact(git_dir, path):
        return found
    clean = git.text("rev-parse", f"{head}^{{tree}}") if head else None
    try:
        if largest is None:
            saved = Saved(contents.snapshot_tree(path, markers=markers, git_dir=git_dir), ())
        else:
            saved = contents.save_tree(path, markers=markers, git_dir=git_dir, largest=largest)
        staged = contents.index_tree(path, git_dir=git_dir)
    except OSError as error:
        raise GitFailed(
            f"{error.filename or path} cannot be read: {error.strerror}", hint="git fleet doctor"
        ) from error
    theirs, conflict = merging.head(git), bool(merging.unresolved(path))
    concludes = theirs is not None and not conflict  # which may change nothing
    return found._replace(
        work=None if saved.tree == clean and not concludes else saved.tree,
        staged=None if staged in (clean, saved.tree) else staged,
        merging=theirs,
        conflict=conflict,
        whole=True,
        left_out=saved.left_out,
    )


def _look_at_branch(git_dir: Path, branch: str) -> _Found:
    """The branch alone: its tip, and what it has pointed at."""
    git = Git(git_dir, git_dir=git_dir)
    tip = git.text("rev-parse", "--verify", "--quiet", f"{branch}^{{commit}}", ok=(0, 1, 128))
    commits = ([Oid(tip)] if tip else []) + contents.reflog_commits(git_dir, branch)
    return _Found(None, Oid(tip) if tip else None, tuple(commits))


def _commits(store: Store, found: _Found, site: Site) -> tuple[Oid | None, tuple[Oid, ...]]:
    """Where to go on from, and what else to keep: trees become commits on top of HEAD.

    They are dated like HEAD, so that looking again at the same work gives the same commits.
    """
    parents = (found.head,) if found.head else ()
    who = log.signature(Event("salvage", site.now, site.actor))
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
            message=trailers.kept_message(site.task, what),
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
    origin: Origin = _UNKNOWN,
    actor: str,
    now: datetime,
) -> Salvage | None:
    """Put `start` and all of `keep` (commits) under the task's next salvage ref.

    None when `base` or a proposal contains them all. When an earlier salvage does, and one of them has
    the same `start`, that one is given and nothing written. Raises Busy when others keep taking the number.
    """
    tips = unsafe_tips(store, (start, *keep), [base], (names.PROPOSALS,))
    if not tips:
        return None
    if not unsafe_tips(store, tips, [base], SAFE):
        known = _latest_from(store, task, start)
        if known is not None:
            return known
    others = [tip for tip in tips if tip != start]
    oid = kept.write(
        store,
        task,
        subject=f"Salvage of {task}",
        start=start,
        others=others,
        origin=origin,
        actor=actor,
        at=now,
    )
    for _ in range(_TRIES):
        number = _last_number(store, task) + 1
        ref = names.salvage(task, number)
        try:
            store.transact([Update(ref, ABSENT, oid)], message=f"salvage of {task}")
        except Held:
            continue  # somebody else salvages the same task: take the next number
        return Salvage(number, ref, oid, start)
    raise Busy(f"others keep salvaging {task}", hint="try again")


def unsafe_tips(
    store: Store, commits: Iterable[Oid], contained: Iterable[Oid | None], safe: Sequence[str] = SAFE
) -> list[Oid]:
    """Those of `commits` that nothing safe contains, without those that another of them contains: refs below
    the prefixes `safe` are, and what the commits `contained` hold."""
    wanted = list(dict.fromkeys(commits))
    lines = "".join(f"{oid}\n" for oid in wanted)
    lines += "".join(f"^{oid}\n" for oid in contained if oid)
    globs = [f"--glob={prefix}*" for prefix in safe]
    listed = store.repo.git().text("rev-list", "--parents", "--stdin", "--not", *globs, input=lines.encode())
    rows = [row.split() for row in listed.splitlines()]
    alive = {row[0] for row in rows}
    inner = {parent for row in rows for parent in row[1:]}
    return [oid for oid in wanted if oid in alive and oid not in inner]


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
