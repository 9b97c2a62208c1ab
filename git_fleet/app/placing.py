"""Where a task is worked on: names chosen before the claim, the worktree made after it, and the work
of an earlier attempt kept before anybody else may have the task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.app import carrying, includes, isolation, naming, provision, rework, salvage, snapshots
from git_fleet.app.acting import holder_fence, not_held, taken_over
from git_fleet.app.session import Session
from git_fleet.core import codec, patterns
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.launch import profile_of
from git_fleet.core.model import Claim, State
from git_fleet.core.progress import Stop
from git_fleet.core.recalling import Hit
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.core.sparse import Sparse
from git_fleet.core.sparse import sparse as part_of
from git_fleet.errors import AnswerIsNo, GitFailed, Held, InvalidInput
from git_fleet.git import torn, worktrees
from git_fleet.git.formats import parse_commit
from git_fleet.git.sparse import is_sparse
from git_fleet.store import names, proposals, worktree
from git_fleet.store.base import tip
from git_fleet.store.kept import snapshot as last_snapshot
from git_fleet.store.worktree import Placement


class Place(Struct, frozen=True):
    """Names and commits a claim event records. `worktree` is an absolute path."""

    branch: str
    worktree: str
    base: Oid
    start: Oid
    merge: bool


class Rescued(Struct, frozen=True):
    """What was kept of earlier work: the commit to go on from and the ref that holds everything. `left`
    says what could not be kept, and stays where it is."""

    commit: Oid | None = None
    number: int = 0
    ref: str = ""
    left: str = ""

    def fields(self) -> dict[str, Any]:
        """As an event's fields."""
        return {"salvaged": self.commit, "salvages": self.number} if self.commit else {}

    def notes(self) -> tuple[str, ...]:
        """What its actor is told."""
        kept = (f"the work is kept at {self.ref} ({names.shown_by(self.ref)})",) if self.commit else ()
        return (*kept, self.left) if self.left else kept


class Placed(Struct, frozen=True):
    """A claimed task and its worktree (None without one); `env` is what its worker's processes get,
    `conflicts` the paths in which main, merged in, is in conflict with the work so far, `trouble` what went
    wrong with its setup (a note says so, too), `learnings` what was learned before that matters to it."""

    record: TaskRecord
    path: Path | None
    env: Mapping[str, str]
    notes: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    trouble: str = ""
    learnings: tuple[Hit, ...] = ()


def rescue(session: Session, record: TaskRecord, *, leave: bool = False) -> Rescued:
    """Pin what the task's present worktree on this machine holds, if anything is worth it; also what is
    only on its branch, when the worktree was removed. Its last snapshot is kept with it, and is all there is
    of a worktree that is elsewhere.

    Called before a take-over, a release, a shelving or a cancelling is written: nothing a worker
    wrote may hang on a worktree alone once the task is not its any more. Raises GitFailed when something
    cannot be saved; with `leave` commits at least are kept, and the rest is left and named.
    """
    claim = record.state.claim
    if claim is None or not claim.worktree:
        return Rescued()
    if record.state.state not in (State.CLAIMED, State.REWORK, State.BLOCKED):
        return Rescued()
    if not _is_own_place(session, record.id, claim):
        return _from_snapshot(session, record.id, claim)
    try:
        return _saved(session, record.id, claim, folder=True)
    except GitFailed as error:
        text = f"what is in {claim.worktree} cannot be saved ({error.message})"
        if not leave:
            mend = (
                f"mend it, or git fleet cancel {record.id} (git fleet reopen brings the task back without it)"
            )
            raise GitFailed(text, hint=mend) from error
    try:
        found = _saved(session, record.id, claim, folder=False)
    except GitFailed:
        found = Rescued()
    return replace(found, left=f"{text} and stays there")


def _saved(session: Session, task: TaskId, claim: Claim, *, folder: bool) -> Rescued:
    site = replace(snapshots.site_of(session, task, claim), folder=folder)
    snapshot = last_snapshot(session.store, task, fence=claim.fence)
    found = salvage.salvage_worktree(session.store, site, snapshot=snapshot)
    return Rescued(found.start, found.number, found.ref) if found else Rescued()


def _from_snapshot(session: Session, task: TaskId, claim: Claim) -> Rescued:
    """The last snapshot of that very claim, if there is one, as a salvage."""
    snapshot = last_snapshot(session.store, task, fence=claim.fence)
    if snapshot is None:
        return Rescued()
    found = salvage.pin(
        session.store,
        task,
        start=snapshot.start,
        keep=snapshot.rest,
        base=claim.base,
        origin=snapshot.origin,
        actor=claim.holder,
        now=session.now(),
    )
    return Rescued(found.start, found.number, found.ref) if found else Rescued()


def _is_own_place(session: Session, task: TaskId, claim: Claim) -> bool:
    """Whether the worktree on record at the claim's path, or its branch without one, is this claim's. On
    another machine there may be one of an earlier claim, and two tasks may have been promised one name."""
    git_dir = worktrees.git_dir_for(session.repo, Path(claim.worktree))
    if git_dir is None:
        found = session.store.objects.read_ref(names.branch(claim.branch))
        grown = found is not None and (
            not claim.start or session.store.objects.is_ancestor(claim.start, found[0])
        )
        return grown and _other_owner(session, task, claim.branch) is None
    try:
        placed = worktree.read(git_dir)
    except InvalidInput:
        placed = None
    if placed is None:
        return torn.lock_reason(git_dir) in (worktree.lock_reason(task), None)
    here = claim.host == session.around.host
    return placed.fence == claim.fence or (here and TaskId(placed.plan, placed.task) == task)


def choose(
    session: Session, snapshot: Snapshot, record: TaskRecord, config: Config, attempt: int, rescued: Rescued
) -> Place:
    """Branch, worktree and start of the next claim of `record`.

    Work goes on from what was saved last, else from the last proposal, else from the base. What was saved in a clone
    that has not carried it to the server stays there. Raises InvalidInput for names that cannot be used, and when the
    base does not exist.
    """
    base = base_commit(session, snapshot, record.id)
    state = record.state
    proposals.have(session.store, [record])
    carrying.have(session, record)
    ways = (rescued.commit, state.salvaged, state.proposal.commit if state.proposal else None)
    kept = next((commit for commit in ways if commit and carrying.has(session, commit)), None)
    merge = kept is not None and rework.wants_main(state, saved=rescued.commit is not None)
    reused = _reusable(session, record, config, kept)
    if reused is not None and state.claim is not None:
        return Place(state.claim.branch, state.claim.worktree, base, reused, merge)
    used = _names_in_use(snapshot, record.id)
    free = naming.free_names(session.repo, record.task, config, attempt=attempt, used=used)
    return Place(free.branch, str(free.worktree), base, kept or base, merge)


def _names_in_use(snapshot: Snapshot, task: TaskId) -> list[naming.Names]:
    """Names of the other tasks that are worked on. (Those of ended tasks are taken while they exist.)"""
    claims = [
        other.state.claim
        for other in snapshot.tasks.values()
        if other.id != task and other.state.state.active
    ]
    return [naming.Names(claim.branch, Path(claim.worktree)) for claim in claims if claim and claim.worktree]


def base_commit(session: Session, snapshot: Snapshot, task: TaskId) -> Oid:
    """The tip of the branch that the task's plan is integrated onto. Raises InvalidInput."""
    plan = snapshot.plans[task.plan].approved
    if plan is None:
        raise InvalidInput(f"plan {task.plan} is not approved", hint=f"git fleet plan approve {task.plan}")
    found = tip(session.store.refs.get(names.branch(plan.base)))
    if found is None:
        raise InvalidInput(
            f"plan {plan.id} is to go onto {plan.base}, and there is no such branch",
            hint=f"git branch {plan.base} makes it; git fleet plan edit {plan.id} names another",
        )
    return found


def signs(session: Session, record: TaskRecord) -> Iterator[float]:
    """When whoever holds the task's claim was seen at work, its log apart: by the last commit on its branch in this
    repository, and by the last hook of its agent in its worktree on this machine (DESIGN section 6, Lease). Unix seconds
    by the clock of who left the sign, which may be any number."""
    claim = record.state.claim
    if claim is None:
        return
    found = session.store.objects.read_ref(names.branch(claim.branch)) if claim.branch else None
    if found is not None and found[0] != claim.start:
        yield parse_commit(*found).committer.seconds
    here = claim.worktree and claim.host == session.around.host
    git_dir = worktrees.git_dir_for(session.repo, Path(claim.worktree)) if here else None
    sign = worktree.last_sign(git_dir) if git_dir else None
    if sign is not None and sign.at > claim.acquired_at.timestamp():  # else it is of an earlier claim
        yield sign.at


def _reusable(session: Session, record: TaskRecord, config: Config, kept: Oid | None) -> Oid | None:
    """HEAD of the worktree a rework can go on in: its last one, on this machine, on its branch, clean,
    with the work that was `kept`, and with no process in it; else None."""
    state, claim = record.state, record.state.claim
    if state.state is not State.REWORK or claim is None or claim.host != session.around.host:
        return None
    path = Path(claim.worktree) if claim.worktree else None
    markers = includes.check_markers(config.touch)
    if path is None or not isolation.reusable(session.repo, path, claim.branch, markers):
        return None
    tree = worktrees.find(session.repo, path)
    head = tree.head if tree else None
    if head is None or (kept is not None and not session.store.objects.is_ancestor(kept, head)):
        return None
    return head


def place(session: Session, record: TaskRecord, stop: Stop | None = None, *, sparse: bool = False) -> Placed:
    """Make (or finish, or find) the worktree of a claim this actor holds, with all that belongs to it. `stop` ends
    its setup. `sparse`: what is made now holds a part of the files, as if fleet.toml said so.

    Every step can be done again, so a claim whose process died in between is finished by
    `claim --resume`. Raises Held when the names were taken after all, StaleClaim when the task was
    taken over meanwhile, GitFailed.
    """
    claim = record.state.claim
    if claim is None or claim.start is None:
        return Placed(record, None, _bare_env(record, claim), rework.by_hand(session, record))
    _require_own_branch(session, record.id, claim)
    config, merged = session.config_of(record.id), []

    gone = not Path(claim.worktree).exists()
    saved = last_snapshot(session.store, record.id, fence=claim.fence) if gone else None

    def begin(lock: int) -> None:
        merged.extend(rework.merge_main(session, claim, lock))

    made = isolation.prepare(
        session.store,
        placement(session, record, claim),
        path=Path(claim.worktree),
        start=claim.start,
        config=config,
        state_dir=session.around.state_dir,
        cache_dir=session.around.cache_dir,
        now=session.now(),
        inherited=session.around.env,
        confirm=lambda: _require_latest(session, record, claim),
        begin=begin,
        part=_part(session, record, claim.start, sparse=sparse),
    )
    notes = [f"{path} is not ignored by git and shows as untracked" for path in made.visible]
    notes += _sparse_notes(session, made.path)
    if made.kept:
        notes.append(
            f"its folder was deleted; its commits are kept at {made.kept} ({names.shown_by(made.kept)})"
        )
    if saved is not None:
        notes.append(
            f"what its folder held at {saved.at:%Y-%m-%d %H:%M:%S} UTC: git fleet salvage apply {record.id} snapshot"
        )
    going_on = rework.standing(claim, made.path)
    notes += rework.notes(going_on, lead_commits=config.lead_commits) if going_on else merged
    notes += rework.gate_logs(session, record)
    told = provision.set_up(session, record.task, made, stop)
    notes += filter(None, told)
    unresolved = going_on.unresolved if going_on else ()
    return Placed(record, made.path, made.env, tuple(notes), unresolved, told.trouble)


def _part(session: Session, record: TaskRecord, start: Oid, *, sparse: bool) -> Sparse | None:
    """What a sparse worktree of the task holds; None for all."""
    if not (sparse or profile_of(session.config_of(record.id), record.task)[1].sparse):
        return None
    tracked = session.repo.git().paths("ls-tree", "-r", "-z", "--name-only", start)
    return part_of((*record.task.owned, *record.task.reads), tracked)


def _sparse_notes(session: Session, path: Path) -> tuple[str, ...]:
    git_dir = worktrees.git_dir_for(session.repo, path)
    if git_dir is None or not is_sparse(git_dir):
        return ()
    return ("it holds a part of the files; in it, git sparse-checkout add FOLDER brings another folder",)


def _require_own_branch(session: Session, task: TaskId, claim: Claim) -> None:
    """Refuse to go on with a branch that is there without its worktree when it may be another task's:
    when two were promised one name at the same moment. Raises Held."""
    if worktrees.git_dir_for(session.repo, Path(claim.worktree)) is not None:
        return
    if session.store.objects.read_ref(names.branch(claim.branch)) is None:
        return
    other = _other_owner(session, task, claim.branch)
    if other is not None:
        raise Held(f"the branch {claim.branch} may be that of {other}", hint=f"git log {claim.branch}")


def _other_owner(session: Session, task: TaskId, branch: str) -> TaskId | None:
    """Another task with a claim of the same branch, if there is one."""
    for other in session.snapshot().tasks.values():
        claim = other.state.claim if other.state.state is not State.PENDING else None
        if other.id != task and claim is not None and claim.branch == branch:
            return other.id
    return None


def _require_latest(session: Session, record: TaskRecord, claim: Claim) -> None:
    """Raises StaleClaim, or what else a worker is told, when the claim is not the task's latest any more."""
    now = session.reread(record)
    latest = now.state.claim
    if now.state.state is not State.CLAIMED or latest is None or latest.fence != claim.fence:
        raise not_held(now)


def placement(session: Session, record: TaskRecord, claim: Claim) -> Placement:
    """What the worktree of `claim` knows about itself; its slot is filled in when it is made."""
    config = session.config_of(record.id)
    return Placement(
        plan=record.id.plan,
        task=record.id.task,
        fence=str(claim.fence),
        worker=claim.holder,
        slot=0,
        branch=claim.branch,
        base=session.base_of(record.id) or session.main,
        mode=config.mode,
        files=record.task.owned,
        reads=record.task.reads,
        regexes=tuple(patterns.regexes(map(patterns.parse, record.task.owned))),
        generated_regexes=tuple(patterns.regexes(map(patterns.parse, config.generated_paths))),
        output=str(record.task.output),
        claimed_at=codec.format_time(claim.acquired_at),
    )


def _bare_env(record: TaskRecord, claim: Claim | None) -> dict[str, str]:
    """The environment of a claim without a worktree: who and what, no slot."""
    return {
        "FLEET_PLAN": record.id.plan,
        "FLEET_TASK": record.id.task,
        "FLEET_FENCE": (claim.fence if claim else None) or "",
        "FLEET_WORKER": claim.holder if claim else "",
    }


def resume(session: Session, name: str | None, *, sparse: bool = False) -> Placed:
    """The task this actor holds, its worktree finished where a crash left it half-made.

    Raises AnswerIsNo when it holds none (or several, without a name), StaleClaim when it was taken over, Held or
    InvalidInput where another or nobody holds what it never held.
    """
    snapshot = session.snapshot()
    mine = [
        record
        for record in snapshot.tasks.values()
        if record.state.state is State.CLAIMED
        and record.state.claim
        and record.state.claim.holder == session.actor
    ]
    if name or session.placement:
        record = session.holders_record(snapshot, name)
        if record not in mine:
            holder_fence(session, record)  # which refuses whoever has never held it in the right words
            raise not_held(record)
        mine = [record]
    if len(mine) != 1:
        held = ", ".join(str(record.id) for record in mine) or "no task"
        raise AnswerIsNo(f"{session.actor} holds {held}", hint="git fleet claim, or name the task to resume")
    fence = session.fence(mine[0].id)
    claim = mine[0].state.claim
    if fence is not None and claim is not None and fence != claim.fence:
        raise taken_over(mine[0])
    try:
        return place(session, mine[0], sparse=sparse)
    except Held as held:
        held.hint += f"; git fleet release {mine[0].id} gives the claim back"
        raise
