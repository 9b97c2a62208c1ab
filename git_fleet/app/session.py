"""One actor at work on one repository: the doors to it, who acts, what time it is.

Faces build a session (they alone look at environment and terminal) and hand it to the use cases. A
long-lived session keeps git children, parsed plans and the last snapshot; a one-shot reads afresh.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct, field
from msgspec.structs import replace

from git_fleet.app import abroad, configs, sharing
from git_fleet.app.surroundings import AGENT_VARIABLES, Surroundings, check_worker, generated_worker
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId, parse_task_id
from git_fleet.core.ready import Index, claimable_state
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import Denied, InvalidInput, StaleClaim, Unreachable
from git_fleet.git.objects import open_objects
from git_fleet.git.refnames import is_ref_name
from git_fleet.git.refs import Refs
from git_fleet.git.repository import Repository, discover
from git_fleet.store import fleet, guard, names, pairings, tasks, worktree
from git_fleet.store.base import Store
from git_fleet.store.cache import Cache
from git_fleet.store.worktree import Placement

_SETTINGS = ("fleet.worker", "fleet.main", "fleet.knowledge", "fleet.workspace", "user.name")


class Session(Struct, weakref=True):
    """An open repository and the one who acts on it. `reading` says that nothing is decided: what is known of
    a remote may then be `refresh_seconds` old."""

    store: Store
    around: Surroundings
    actor: str
    placement: Placement | None
    long_lived: bool = False
    reading: bool = False
    _known: fleet.Known = field(default_factory=fleet.Known)
    _configs: dict[Oid | None, Config] = field(default_factory=dict)
    _settled: dict[str, Config] = field(default_factory=dict)
    _indexes: dict[tuple[object, ...], Index] = field(default_factory=dict)
    _recent: Snapshot | None = None
    _read_at: datetime | None = None
    _unfinished: list[TaskId] = field(default_factory=list)
    _under_way: set[TaskId] = field(default_factory=set)
    untold: dict[TaskId, guard.Untold] = field(default_factory=dict)  # see app/decided.py
    _bases: dict[str, str] = field(default_factory=dict)
    _asked: dict[str, str] = field(default_factory=dict)  # of git, once; a copy of the session knows it, too

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not (self.reading or isinstance(error, Unreachable)):
            sharing.tell_trouble(self.store, self.around.warn)
        self.store.refs.close()
        self.store.objects.close()

    @property
    def repo(self) -> Repository:
        """The repository."""
        return self.store.repo

    def now(self) -> datetime:
        """The moment, to the millisecond (what is stored must be what was decided on)."""
        moment = self.around.now()
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def snapshot(self) -> Snapshot:
        """The whole fleet, read now."""
        self._settled.clear()
        self._look_around()
        return self._noted(fleet.read_snapshot(self.store, self.now(), known=self._known)) or self.snapshot()

    def snapshot_of(self, name: str | None) -> Snapshot:
        """What there is to know of the one task that `name`, or the worktree we stand in, says in full, and of
        its plan, read now; the whole fleet for a short name, which any plan may have."""
        task = _in_full(name) if name else self.here() if self.placement else None
        if task is None:
            return self.snapshot()
        self._look_around()
        found = fleet.read_task(self.store, self.now(), task, known=self._known)
        return self._noted(found) or self.snapshot_of(name)

    def _look_around(self) -> None:
        """Before all is read: what others may have changed, as far as it must be known."""
        self._settled.clear()
        sharing.refresh(self.store, self.patience, self.around.warn)

    def _noted(self, found: Snapshot) -> Snapshot | None:
        """None where a plan has a base that was not known to be the remote's: then what was read is too old."""
        self._bases |= {plan.id: plan.approved.base for plan in found.plans.values() if plan.approved}
        if sharing.follow(self.store, self._bases.values()):
            return self.snapshot()
        return abroad.looked_up(
            found, self.repo.worktree or self.repo.common_dir, self.around.env, self.beside
        )

    def beside(self, place: Path, main: str) -> Session:
        """A session that reads another repository of the workspace; `main` as `open_session` has it."""
        return open_session(place, self.around, worker="reader", reading=True, main=main)

    @property
    def patience(self) -> float:
        """How old, in seconds, what is known of a remote may be."""
        try:
            return self.config().refresh_seconds if self.reading else 0.0
        except InvalidInput:  # said by those who need it
            return Config().refresh_seconds

    def recent_snapshot(self, *, fresh: bool) -> Snapshot:
        """The last snapshot at a new moment where a long-lived session keeps one, else a new one.

        What is kept is at most `refresh_seconds` old, since limits are checked in it.
        """
        self._settled.clear()
        patience = timedelta(seconds=self.config().refresh_seconds)
        old = self._read_at is None or self.now() - self._read_at > patience
        if self._recent is None or fresh or old or not self.long_lived:
            self._recent = self.snapshot()
            self._read_at = self._recent.at
            index = self.index(self._recent)
            tasks = self._recent.tasks
            self._unfinished = [it for it in index.order if it in tasks and not tasks[it].state.state.ended]
            self._under_way = {task for task, record in tasks.items() if record.state.state.active}
        self._recent = replace(self._recent, at=self.now())
        return self._recent

    def unfinished(self, snapshot: Snapshot) -> Iterator[TaskRecord]:
        """The tasks that had not ended when the recent snapshot was read, in the order of offering."""
        return (snapshot.tasks[task] for task in self._unfinished if task in snapshot.tasks)

    def under_way(self, snapshot: Snapshot) -> Iterator[TaskRecord]:
        """The active tasks, as far as is known since the recent snapshot was read: few among thousands."""
        return (snapshot.tasks[task] for task in self._under_way if task in snapshot.tasks)

    def remember(self, record: TaskRecord, guard: Oid | None) -> None:
        """Take our own claim over into the snapshot that is kept."""
        if self.long_lived and self._recent is not None:
            self._recent = replace(self._recent.replacing([record]), guard=guard)
            self._under_way.add(record.id)

    def reread_around(self, snapshot: Snapshot, record: TaskRecord) -> Snapshot | None:
        """`snapshot` with what a claim of `record` rests on read again: the guard, the task, its
        overlaps and needs, the plans' logs, in this order, without starting a process.

        None when the guard, a plan or the task itself has moved. A plan approved meanwhile that
        overlaps the task has moved the task (rule *revised*), so the plans that were known are
        enough to look at.
        """
        around = [*sorted(self.index(snapshot).overlaps.of(record.id)), *record.task.needs_ids]
        others = [found for task in around if (found := snapshot.record(task)) is not None]
        refs = [names.GUARD, *(names.task_log(found.id) for found in (record, *others))]
        logs = [plan for plan in snapshot.plans.values() if plan.tip is not None]
        refs += [names.plan_log(plan.id) for plan in logs]
        read = list(self.store.objects.read_many(refs))
        tips = [entry.oid if entry else None for entry in read]
        held = [snapshot.guard, record.tip]
        if tips[1] != record.tip:
            self._set_aside(tasks.from_object(record.task, read[1]))
        if tips[:2] != held or tips[2 + len(others) :] != [plan.tip for plan in logs]:
            return None
        moved = [
            tasks.from_object(other.task, entry)
            for other, entry in zip(others, read[2:], strict=False)
            if (entry.oid if entry else None) != other.tip
        ]
        return snapshot.replacing(moved) if moved else snapshot

    def _set_aside(self, record: TaskRecord) -> None:
        """Take over that a task has moved, where it cannot be claimed as it is now. (One that can is
        left as it was read: it may have moved because its plan did.)"""
        if self._recent is not None and not claimable_state(record, self._recent, self.around.host):
            self._recent = self._recent.replacing([record])
            self._under_way.add(record.id)

    @property
    def main(self) -> str:
        """The default base: the branch that `main` in fleet.toml names, as the branch has it that
        `git config fleet.main` names, else main or master, else the one the main worktree is on.
        Raises InvalidInput when there is none yet. (That fleet.toml is broken, say those who need it.)"""
        if "main" not in self._asked:
            self._asked["main"] = self._base()
        return self._asked["main"]

    def setting(self, name: str) -> str:
        """What git's configuration says of one of `_SETTINGS`; "" when nothing. All are read at once."""
        if name not in self._asked:
            self._asked = self.store.objects.signer.ask_with(*_SETTINGS) | self._asked
        return self._asked[name]

    def _base(self) -> str:
        found = self._main_branch()
        try:
            named = self.config(found).main
        except InvalidInput:
            return found
        return named if named and self.store.objects.read_ref(names.branch(named)) else found

    def _main_branch(self) -> str:
        configured = self.setting("fleet.main")
        for name in [configured] if configured else ["main", "master"]:
            ref = names.branch(name)
            if is_ref_name(ref) and self.store.objects.read_ref(ref):
                return name
        git = self.repo.git()
        head = git.text("symbolic-ref", "-q", "HEAD", ok=(0, 1))
        if not configured and head and git.run("rev-parse", "-q", "--verify", head, ok=(0, 1)).code == 0:
            return head.removeprefix("refs/heads/")
        raise InvalidInput(
            f"there is no branch {configured or 'main'} with a commit yet",
            hint='make a first commit (git commit --allow-empty -m "First commit"), or name the branch: git config fleet.main BRANCH',
        )

    def config(self, base: str | None = None) -> Config:
        """fleet.toml as the tip of `base` (default: main) has it; defaults where there is none.

        It is looked up once for each reading of the fleet: a claim asks for it seven times.
        """
        name = base or self.main
        if name not in self._settled:
            found = configs.of_branch(self.store, name)
            oid = found.oid if found else None
            if oid not in self._configs:
                self._configs[oid] = configs.parsed(self.store, found)
            self._settled[name] = self._configs[oid]
        return self._settled[name]

    def config_in(self, commit: Oid) -> Config:
        """fleet.toml as a commit has it. Raises InvalidInput when it says what is not allowed."""
        return configs.of_commit(self.store, commit)

    def base_of(self, task: TaskId) -> str | None:
        """The short name of the branch that the task's plan is integrated onto, as last read; None when
        nothing of the plan is approved."""
        if task.plan not in self._bases:
            self.snapshot_of(str(task))
        return self._bases.get(task.plan)

    def config_of(self, task: TaskId) -> Config:
        """The configuration that a task lives by: that of the branch its plan is integrated onto."""
        return self.config(self.base_of(task))

    def keep_config(self, base: str) -> None:
        """Remember that the configuration of `base` is valid (writing commands call this), so that
        the commands after it need not load a validator."""
        configs.keep(self.store, base)

    def index(self, snapshot: Snapshot) -> Index:
        """What follows from the plans that count; kept while their revisions stay the same."""
        counting = [record for record in snapshot.plans.values() if record.state.counts]
        generated = self.config().generated_paths
        key = (generated, *((r.id, r.log.revision, r.log.incoming) for r in counting))
        if key not in self._indexes:
            self._indexes.clear()
            recall = pairings.remembering(self.store.cache, key, keep=not self.reading)
            self._indexes[key] = Index(counting, generated, recall)
        return self._indexes[key]

    def here(self) -> TaskId:
        """The task of the worktree we stand in. Raises InvalidInput elsewhere."""
        if self.placement is None:
            raise InvalidInput(
                "this is not a task's worktree", hint="name the task, or cd to $(git fleet path TASK)"
            )
        return TaskId(self.placement.plan, self.placement.task)

    def fence(self, task: TaskId) -> Oid | None:
        """The fence this actor holds for `task`: the worktree's and the environment's must agree.

        Raises StaleClaim when they do not. None when neither says anything (the task's holder may
        still act by name).
        """
        found = {Oid(self.placement.fence)} if self.placement and self.here() == task else set()
        env = self.around.env
        if (
            env.get("FLEET_FENCE")
            and env.get("FLEET_PLAN") == task.plan
            and env.get("FLEET_TASK") == task.task
        ):
            found.add(Oid(env["FLEET_FENCE"]))
        if len(found) > 1:
            raise StaleClaim(
                f"FLEET_FENCE and this worktree name different claims of {task}", hint=f"git fleet log {task}"
            )
        return next(iter(found), None)

    def holders_record(self, snapshot: Snapshot, name: str | None) -> TaskRecord:
        """The task that a holder's verb means: `name`, or the one whose worktree we stand in.

        Raises StaleClaim without a name in a worktree that is not the task's which the environment
        names: whoever was started for one task and strayed into another's folder means neither for sure.
        """
        env = self.around.env
        if not name and env.get("FLEET_FENCE"):
            here = self.here()
            meant = f"{env.get('FLEET_PLAN', here.plan)}/{env.get('FLEET_TASK', here.task)}"
            if meant != str(here):
                raise StaleClaim(
                    f"this is the worktree of {here}, and FLEET_TASK says that you work on {meant}",
                    hint=f"cd to the worktree that git fleet path {meant} prints, or name the task",
                )
        return self.record(snapshot, name)

    def require_person(self, verb: str, task: TaskId | None = None) -> None:
        """Raises Denied when `verb` is a person's and an agent's environment is set. The branch that the
        plan of `task` is integrated onto says what is a person's; without a task the default base does."""
        config = self.config_of(task) if task else self.config()
        if verb not in config.policy.human:
            return
        sign = next((name for name in AGENT_VARIABLES if self.around.env.get(name)), None)
        if sign:
            raise Denied(
                f"{verb} is a person's to do, and {sign} says that an agent is acting",
                hint="ask the person who owns the plan; policy.human in fleet.toml lists what only they may do",
            )

    def person(self) -> str:
        """The person's name, as git knows it, for what a person does."""
        if "person" not in self._asked:
            self._asked["person"] = self.setting("user.name") or self.actor
        return self._asked["person"]

    def record(self, snapshot: Snapshot, name: str | None) -> TaskRecord:
        """The task `name`, or the one whose worktree we stand in."""
        return snapshot.resolve(name) if name else snapshot.resolve(str(self.here()))

    def reread(self, record: TaskRecord) -> TaskRecord:
        """The task's log as it is now, as far as it is known here."""
        self.store.refs.reload()
        return tasks.reread(self.store, record.task)


def open_session(
    start: Path,
    around: Surroundings,
    *,
    worker: str | None,
    long_lived: bool = False,
    bulk: bool | None = None,
    known: fleet.Known | None = None,
    reading: bool = False,
    main: str = "",
) -> Session:
    """A session for the repository that `start` is in; `main` stands for what `git config fleet.main` says.

    `bulk` (as `long_lived`, unless it is said) has libgit2 read and write objects. `known` is what sessions of one
    process have read of this repository, and share.
    The actor is `worker`, else FLEET_WORKER, else the worktree's worker, else `git config
    fleet.worker`, else one generated for this process. Raises InvalidInput outside a repository, Unreachable when
    the remote that decides was never reached from here and cannot be.
    """
    repo = discover(start)
    store = Store(
        repo,
        Refs(repo, durable=True, persistent=long_lived),
        open_objects(repo, bulk=long_lived if bulk is None else bulk, durable=True),
        Cache(repo.fleet_dir / "cache"),
    )
    placement = worktree.read(repo.git_dir)
    actor = worker or around.env.get("FLEET_WORKER") or (placement.worker if placement else "")
    asked = {} if actor else store.objects.signer.ask_with(*_SETTINGS)
    actor = actor or asked["fleet.worker"] or generated_worker(around)
    session = Session(
        store,
        around,
        check_worker(actor),
        placement,
        long_lived,
        reading,
        _known=known or fleet.Known(),
        _asked=asked | ({"fleet.main": main} if main else {}),
    )
    remote = sharing.remote_of(
        repo, lambda: configs.text(store, session._main_branch()), lambda: session.config().remote
    )
    if remote:
        base = session.main
        session.store = sharing.share(store, remote, base=base, persistent=long_lived)
        session._settled.clear()
    return session


def _in_full(name: str) -> TaskId | None:
    """The task that a name with its plan means, spelled as `Snapshot.resolve` takes it; None for any other."""
    try:
        return parse_task_id(name.strip().lstrip("#"))
    except InvalidInput:
        return None
