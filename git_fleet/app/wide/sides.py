"""One repository's side of a change set: led, built in memory, gated by its own gates, moved (DESIGN section 18)."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from git_fleet.app import choosing, homing, trust
from git_fleet.app.checkouts import Checkouts
from git_fleet.app.gating import Gating, Judgement
from git_fleet.app.landing import land, require_way
from git_fleet.app.lead import Leading
from git_fleet.app.preparing import prepare
from git_fleet.app.queue import Entry, Queue
from git_fleet.app.session import Session
from git_fleet.app.stacking import Stack
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import PlanState, State
from git_fleet.core.progress import Report
from git_fleet.core.results import Ejected
from git_fleet.core.snapshot import Snapshot
from git_fleet.core.workspace import Part as Outcome
from git_fleet.core.workspace import Repo
from git_fleet.errors import InvalidInput, Stale
from git_fleet.git.drafts import Drafts
from git_fleet.store import archive, names, plans, proposals
from git_fleet.store.base import tip
from git_fleet.store.wide import Part


class Side(Struct):
    """A repository that has tasks in the change set, while we lead there. `rework` are the ids here of
    the tasks that go back when a gate between the repositories is red; `queue` has the candidates, once built."""

    repo: Repo
    session: Session
    lead: Leading
    tasks: tuple[TaskId, ...]
    changeset: str
    rework: tuple[str, ...] = ()
    queue: Queue | None = None
    snapshot: Snapshot | None = None
    outcomes: list[Outcome] = field(default_factory=list)

    def look(self) -> Snapshot:
        """The fleet there, read now. Raises InvalidInput when it has not all the tasks; those that have landed may be of
        a plan that is closed since."""
        self.snapshot = self.session.snapshot()
        for task in self.tasks:
            if task not in self.snapshot.tasks and self._state(task) is not State.INTEGRATED:
                raise InvalidInput(
                    f"{self.repo.name}: no approved plan there has {task}",
                    hint=f"git fleet workspace approve {task.plan}",
                )
        return self.snapshot

    @property
    def moved(self) -> bool:
        """Whether its main has all of it, as last looked at."""
        return self.snapshot is not None and all(self._state(task) is State.INTEGRATED for task in self.tasks)

    @property
    def base(self) -> str:
        """The branch that its plan is integrated onto, a short name."""
        record = self.look().plans[self.tasks[0].plan]
        if record.log.revision is None:
            raise InvalidInput(f"{self.repo.name}: plan {record.id} is not approved")
        return (
            record.approved or plans.revision(self.session.store, record.id, record.log.revision).plan
        ).base

    def main(self) -> Oid:
        """Where that branch is. Raises InvalidInput when it is gone."""
        found = tip(self.session.store.refs.get(names.branch(self.base)))
        if found is None:
            raise InvalidInput(f"{self.repo.name}: there is no branch {self.base}")
        return found

    # --- building --------------------------------------------------------------------------------

    def build(self, held: ExitStack, report: Report) -> None:
        """Lay what has not landed on main, in memory until `held` is closed. Raises as `integrate` does."""
        drafts = held.enter_context(Drafts(self.session.store.objects))
        session = replace(self.session, store=replace(self.session.store, objects=drafts))
        held.enter_context(self.lead.working_as(session))
        base, main = self.base, self.main()
        snapshot = self.look()
        config = session.config_in(main)
        wanted = [snapshot.tasks[task] for task in self.tasks]
        records = [record for record in wanted if record.state.state is not State.INTEGRATED]
        chosen, unsigned = trust.counting(session, records, signed=config.policy.signed)
        if chosen:
            choosing.require_gates(config, chosen)
        pool = Checkouts(session.repo, session.around.cache_dir)
        gating = Gating(session, config, pool, report)
        stack = held.enter_context(Stack(session, drafts, pool, config, main))
        queue = Queue(session, snapshot, config, base, main, drafts, stack, gating, report, lead=self.lead)
        queue.changeset = self.changeset
        proposals.have(session.store, chosen)
        queue.waiting.extend(choosing.in_order(session, snapshot, chosen, ()))
        queue.fill(None)
        queue.tally.skipped += unsigned
        drafts.save()
        self.queue = queue

    def judge(self) -> None:
        """Ask the repository's own gates about each candidate."""
        queue = self._built
        for entry in queue.undecided:
            if entry.layer is not None:
                entry.outcome = queue.attended(partial(queue.gating.judge, entry.layer))

    @property
    def _built(self) -> Queue:
        if self.queue is None:
            raise AssertionError("it is built before")
        return self.queue

    def refused(self) -> list[str]:
        """What keeps it from landing, a few words for each task; that is written to the tasks' logs: back to rework,
        parked, or left as it is."""
        queue = self._built
        bad = [entry for entry in queue.entries if not _stands(entry)]
        for entry in bad:
            queue.close(entry)
        found = [
            Outcome(self.repo.name, str(each.id), "ejected", why=_reason(each))
            for each in queue.tally.ejected
        ]
        found += [
            Outcome(self.repo.name, str(each.id), "skipped", why=each.reason) for each in queue.tally.skipped
        ]
        if queue.waiting:
            why = "what it would stand on changes fleet.toml, which lands by itself"
            found += [Outcome(self.repo.name, str(record.id), "skipped", why=why) for record in queue.waiting]
        self.outcomes += found
        return [f"{each.repo}: {each.task} {each.why}" for each in found]

    def send_back(self, finding: str) -> None:
        """Those of its tasks that the plan says so of go back to rework: a gate between the repositories was red. The
        next claim of each gets `finding`."""
        queue = self._built
        for entry in [each for each in queue.entries if each.record.id.task in self.rework]:
            entry.outcome = Ejected(entry.record.id, "gate", (), finding)
            queue.close(entry)
        found = [each for each in queue.tally.ejected if each.id.task in self.rework]
        self.outcomes += [
            Outcome(self.repo.name, str(each.id), "ejected", why=_reason(each)) for each in found
        ]

    @property
    def candidate(self) -> Oid:
        """The commit that main would get."""
        return self._built.stack.top

    def prepare(self) -> Part:
        """What is to become true here, all of it written as objects. Raises NeedsPerson when the worktree that has
        main checked out is in the way, or its branch here cannot follow the remote's, Stale when main has moved."""
        queue = self._built
        homing.catch_up(queue.session, queue.ref, queue.main)
        require_way(queue.session, queue.ref, queue.main, self.candidate)
        landings = []
        for entry in queue.entries:
            if entry.layer is not None and entry.layer.lands and isinstance(entry.outcome, Judgement):
                queue.keep_logs(entry.record, entry.outcome)
                landings.append(prepare(queue.session, entry.layer, entry.outcome))
        unmoved = queue.rests_on(queue.entries)
        queue.drafts.save()
        return Part(self.repo.name, queue.ref, queue.main, self.candidate, tuple(landings), unmoved)

    # --- moving ----------------------------------------------------------------------------------

    def stands(self, part: Part) -> bool:
        """Whether nothing has moved here since the intent."""
        expected = {part.ref: part.old, **part.unmoved}
        expected |= {names.task_log(each.task): each.tip for each in part.landings}
        now = self.session.store.refs.read(*expected)
        return all(now.get(ref) == oid for ref, oid in expected.items()) and self._whole(part)

    def _whole(self, part: Part) -> bool:
        """Whether the intent speaks of every task that has not landed, the commits are there still, and so is what it
        needs of other repositories."""
        told = {each.task for each in part.landings}
        open_ = {task for task in self.tasks if self._state(task) is not State.INTEGRATED}
        wanted = [*(each.commit for each in part.landings), *(each.event for each in part.landings)]
        there = all(found is not None for found in self.session.store.objects.read_many(wanted))
        return there and open_ == told and not any(map(self._misses, open_))

    def _misses(self, task: TaskId) -> bool:
        snapshot = self.snapshot or self.look()
        return bool(snapshot.missing_elsewhere(snapshot.tasks[task].task))

    def _state(self, task: TaskId) -> State | None:
        snapshot = self.snapshot or self.look()
        record = snapshot.tasks.get(task)
        if record is not None:
            return record.state.state
        plan = snapshot.plans.get(task.plan)
        closed = plan is not None and plan.state is PlanState.CLOSED
        return archive.ended(self.session.store, task) if closed else None

    def move(self, part: Part, report: Report) -> None:
        """Main, the tasks' events, the evidence. Raises as `land`."""
        if part.landings:
            land(self.lead, part.ref, part.old, part.new, part.landings, part.unmoved)
        if self.queue is not None:  # what has nothing to commit ends without one
            for entry in self.queue.entries:
                if _stands(entry) and entry.layer is not None and entry.layer.commit is None:
                    self.queue.close(entry)
            if self.queue.over:
                raise Stale(f"{self.repo.name}: a task has moved")
        found = [Outcome(self.repo.name, str(each.task), "integrated", each.commit) for each in part.landings]
        self.outcomes += found
        report(f"{self.repo.name}: {part.ref.removeprefix(names.branch(''))} is at {part.new[:12]}")


def _stands(entry: Entry) -> bool:
    return entry.stands and isinstance(entry.outcome, Judgement)


def _reason(ejected: Ejected) -> str:
    first = ejected.detail.partition("\n")[0]
    return f"back to rework ({ejected.reason}): {first}"
