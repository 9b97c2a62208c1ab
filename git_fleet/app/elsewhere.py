"""`pr --sync`: what became of pull requests, and a merge made there recorded as an integration.

The forge says which commit a pull request has become; whether that holds the task is seen here. It does when it carries
the trailers of the proposal, has its commit among its ancestors (a merge commit), or has the very tree that merging the
proposal gives (squashed; rebased, some commits further back). What it does not is left for a person.

Main moves first, and by the lead (invariants I3 and I4): forward to what the remote has, by the same intent as in
app/landing.py, with the tasks' `integrate` events; where main has it already, the events alone. They are marked
`completing`, which is legal in any state, and `via` says that it was the forge. Its checks are gates of kind `forge`:
the evidence names them, and with `rework` a red one sends its task back.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from git_fleet.app import gh, homing, placing, publishing, requests
from git_fleet.app.acting import act, same_proposal
from git_fleet.app.landing import land, require_way
from git_fleet.app.lead import Leading, leading
from git_fleet.app.session import Session
from git_fleet.app.settling import settle
from git_fleet.core import codec
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event, after
from git_fleet.core.model import Finding, Proposal, State
from git_fleet.core.progress import Report
from git_fleet.core.pulls import KIND, Fate, Outcome, Published, Pull, Request
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.trailers import read_stamp
from git_fleet.errors import Held, InvalidInput, Stale
from git_fleet.git import contents, replay, upstream
from git_fleet.git.refs import Update
from git_fleet.store import evidence, log, names, tasks
from git_fleet.store.base import tip
from git_fleet.store.lead import Landing

_STATES = tuple(state for state in State if not state.ended)
_EJECTED = (State.PROPOSED, State.VERIFIED)
_MOST = 100  # commits that a rebased pull request may have there
_TRIES = 20
VIA = "forge"


class Asked(Struct, frozen=True):
    """Tasks or plans (none: all), whether a red check sends its task back, or everything is only said."""

    targets: tuple[str, ...] = ()
    rework: bool = False
    dry_run: bool = False


def sync(session: Session, asked: Asked, report: Report) -> Published:
    """What became of the pull requests; those merged there are recorded, and main follows the remote.

    Raises InvalidInput for targets that do not exist, without a remote and without gh, Held when somebody else leads,
    NeedsPerson when main's worktree is in the way.
    """
    snapshot = session.snapshot()
    if snapshot.lead.intent is not None and not asked.dry_run:
        with (
            suppress(Held),
            leading(session) as lead,
        ):  # an interrupted one is ours to finish, a running one is not
            settle(lead)
        snapshot = session.snapshot()
    records = {it.id: it for it in publishing.chosen(session, snapshot, asked.targets, _STATES)}
    program = publishing.program(session)
    if program is None:
        raise InvalidInput("gh is not installed, and it alone can say", hint="install gh, then gh auth login")
    looked = _Look(session, program)
    plans = {plan.id: plan.approved.base for plan in snapshot.plans.values() if plan.approved is not None}
    pulls = [looked.at(record, plans[record.id.plan]) for record in records.values()]
    moves: list[tuple[Oid, Oid]] = []
    remote = ""
    for base in dict.fromkeys(pull.base for pull in pulls):
        remote = publishing.remote_of(session, base)
        merged = [it for it in pulls if it.base == base and it.fate is Fate.MERGED and not it.detail]
        if merged:
            done, moved = _Base(session, looked, asked, report, base, remote).record(merged)
            pulls = [done.get(it.task, it) for it in pulls]
            moves += [moved] if moved else []
    if asked.rework and not asked.dry_run:
        pulls = [_reworked(session, records[it.task], it, report) for it in pulls]
    before, after_ = moves[0] if len(moves) == 1 else (None, None)
    return Published(remote, tuple(pulls), True, looked.then, before, after_)


class _Look(Struct):
    """gh, asked about each task's pull request. After a failure that is everybody's, nothing else is tried."""

    session: Session
    program: gh.Gh
    refused: str = ""
    then: str = ""
    requests: dict[TaskId, Request] = field(default_factory=dict)

    def at(self, record: TaskRecord, base: str) -> Pull:
        """How it is now. `merged` with a detail cannot be recorded."""
        proposal = _proposal(record)
        branch = publishing.branch_of(self.session, record)
        pull = Pull(record.id, branch, base, _commit(proposal))
        if self.refused:
            return replace(pull, fate=Fate.FAILED, detail=self.refused)
        try:
            found = requests.of_branch(self.program, branch, base, looking=True)
        except gh.Failed as error:
            if error.for_all:
                self.refused, self.then = error.why, error.then
            return replace(pull, fate=Fate.FAILED, detail=error.why)
        if found is None:
            return replace(pull, fate=Fate.ABSENT)
        self.requests[record.id] = found
        pull = replace(pull, url=found.url, checks=found.checks)
        if found.state == "OPEN":
            return replace(pull, fate=Fate.OPEN, detail=_behind(found, pull))
        if found.state != "MERGED":
            return replace(pull, fate=Fate.CLOSED, detail=publishing.closed_unmerged(pull))
        away = f"merged into {found.base}, and its plan goes to {base}" if found.base != base else ""
        return replace(pull, fate=Fate.MERGED, detail=away)


def _behind(found: Request, pull: Pull) -> str:
    if found.head is None or found.head == pull.commit:
        return ""
    return f"it is at {found.head[:12]}, and what was handed in last is {pull.commit[:12]}: git fleet pr {pull.task}"


def _proposal(record: TaskRecord) -> Proposal:
    if record.state.proposal is None:
        raise AssertionError("what is looked at has been handed in")
    return record.state.proposal


def _commit(proposal: Proposal) -> Oid:
    if proposal.commit is None:
        raise AssertionError("what is looked at is a commit")
    return proposal.commit


class _Base(Struct):
    """One base branch, here and there, and the merged pull requests onto it."""

    session: Session
    looked: _Look
    asked: Asked
    report: Report
    base: str
    remote: str

    def record(self, merged: list[Pull]) -> tuple[dict[TaskId, Pull], tuple[Oid, Oid] | None]:
        """What became of each, and the base before and after where it moved."""
        there = upstream.tips(self.session.repo, self.remote, [self.base]).get(self.base)
        if there is None or not upstream.fetch(self.session.repo, self.remote, names.branch(self.base)):
            why = f"{self.remote} has no branch {self.base}, or it cannot be fetched"
            return {it.task: replace(it, detail=why) for it in merged}, None
        if self.asked.dry_run:
            return self._round(merged, there, None)
        with leading(self.session) as lead:
            for attempt in range(_TRIES):
                settle(lead)
                try:
                    return self._round(merged, there, lead)
                except Stale as moved:
                    if attempt == _TRIES - 1:
                        raise
                    self.report(f"{moved.message}; once more")
        raise AssertionError("unreachable: the last try returns or raises")

    def _round(
        self, merged: list[Pull], there: Oid, lead: Leading | None
    ) -> tuple[dict[TaskId, Pull], tuple[Oid, Oid] | None]:
        """One look at the tasks and the branch as they are now."""
        session, ref = self.session, names.branch(self.base)
        here = tip(session.store.refs.get(ref))
        if here is None:
            raise InvalidInput(f"there is no branch {self.base}", hint=f"git branch {self.base}")
        objects = session.store.objects
        ahead = objects.is_ancestor(there, here)
        apart = not ahead and not objects.is_ancestor(here, there)
        goal = here if ahead or apart else there
        snapshot = session.snapshot()
        done: dict[TaskId, Pull] = {}
        found: list[tuple[TaskRecord, Pull]] = []
        for pull in merged:
            record = snapshot.record(pull.task)
            if record is None or record.state.state.ended:
                done[pull.task] = replace(pull, detail="its task has ended meanwhile")
                continue
            seen = _recognised(session, record, self.looked.requests[pull.task], pull, goal, self.remote)
            if seen.landed is None and apart:
                push = f"git fleet lead acquire, then bring {self.remote}/{self.base} in"
                seen = replace(seen, detail=f"{self.base} here and at {self.remote} have gone apart: {push}")
            done[pull.task] = seen
            if seen.landed is not None:
                found.append((record, seen))
        moved = (here, goal) if goal != here and found else None
        if lead is not None and found:
            self._write(lead, found, here, goal)
            done |= {pull.task: replace(pull, fate=Fate.RECORDED) for _, pull in found}
        return done, moved

    def _write(self, lead: Leading, found: list[tuple[TaskRecord, Pull]], here: Oid, goal: Oid) -> None:
        """Main by an intent, or where it has the commits already, evidence and then events."""
        session, ref = self.session, names.branch(self.base)
        if goal != here:
            require_way(session, ref, here, goal)
        landings = [_landing(session, record, pull) for record, pull in found]
        lead.keep()
        if goal != here:
            land(lead, ref, here, goal, landings)
        else:
            notes = {landing.commit: landing.note for landing in landings}
            evidence.add(session.store, notes, actor=session.person(), at=session.now())
            try:
                moves = [Update(names.task_log(each.task), each.tip, each.event) for each in landings]
                session.store.transact(moves)
            except (Held, Stale) as lost:
                raise Stale("a task has moved", hint="git fleet pr --sync") from lost
            homing.catch_up(session, ref, goal)
        for _, pull in found:
            self.report(f"{pull.task}: integrated by {pull.url}")


def _recognised(
    session: Session, record: TaskRecord, found: Request, pull: Pull, goal: Oid, remote: str
) -> Pull:
    """The merged pull request with the commit on `goal` that holds the task, or why there is none."""
    proposal = _proposal(record)
    merge = found.merge if _is_on(session, found.merge, goal) else None
    merge = merge or _by_trailers(session, record, goal)
    if merge is None:
        return replace(pull, detail=f"merged, and {pull.base} at {goal[:12]} has no such commit")
    how, below = _how(session, record.id, proposal, merge)
    if not how and found.head not in (None, proposal.commit):
        upstream.fetch(session.repo, remote, f"refs/pull/{found.number}/head")  # what was pushed on top of it
        if _on_top(session, found, proposal):
            how, below = _how(session, record.id, replace(proposal, commit=found.head), merge)
    if not how:
        look = f"git show {merge[:12]}; then git fleet cancel {record.id}, or a new proposal"
        return replace(
            pull, detail=f"merged as {merge[:12]}, which is not proposal {proposal.number}: {look}"
        )
    undone = _undone(session, merge, goal)
    if undone:
        return replace(pull, detail=f"merged as {merge[:12]}, and taken back by {undone[:12]}")
    commit = _commit(proposal)
    return replace(pull, fate=Fate.TO_RECORD, commit=commit, landed=merge, below=below, how=how)


def _is_on(session: Session, commit: Oid | None, goal: Oid) -> bool:
    known = contents.existing_commits(session.repo.common_dir, [commit] if commit else [])
    return bool(known) and session.store.objects.is_ancestor(known[0], goal)


def _on_top(session: Session, found: Request, proposal: Proposal) -> bool:
    """Whether the head of the pull request is the proposal and more."""
    return (
        proposal.commit is not None
        and found.head is not None
        and _is_on(session, found.head, found.head)
        and (session.store.objects.is_ancestor(proposal.commit, found.head))
    )


def _by_trailers(session: Session, record: TaskRecord, goal: Oid) -> Oid | None:
    """The commit on `goal`, since the proposal's base, that carries the proposal's trailers: the newest."""
    proposal = _proposal(record)
    since = [f"^{proposal.base}"] if proposal.base else []
    out = session.repo.git().run("log", "-z", "--format=%H%n%B", goal, *since, "--").out
    for entry in filter(None, out.split(b"\0")):
        at, _, message = entry.decode("utf-8", "surrogateescape").partition("\n")
        if _stamped(message, record.id, proposal):
            return Oid(at)
    return None


def _stamped(message: str, task: TaskId, proposal: Proposal) -> bool:
    stamp = read_stamp(message)
    return stamp is not None and (stamp.task, stamp.proposal) == (task, proposal.oid)


def _how(session: Session, task: TaskId, proposal: Proposal, merge: Oid) -> tuple[str, Oid | None]:
    """By what the commit `merge` shows that it holds the proposal (trailers, commit, tree; "" when by nothing), and
    what main was before it, where that is not its first parent."""
    objects, commit = session.store.objects, _commit(proposal)
    found = objects.read_commit(merge)
    if _stamped(found.message, task, proposal):
        return "trailers", None
    if objects.is_ancestor(commit, merge):
        forwarded = bool(found.parents) and _is_first_line(session, commit, merge)
        return "commit", proposal.base if forwarded else None
    git = session.repo.git()
    own = int(git.text("rev-list", "--count", "--no-merges", commit, f"^{merge}", "--"))
    many = f"--max-count={min(own, _MOST) + 1}"
    line = git.text("rev-list", "--first-parent", many, merge, "--").split()[1:]
    # The furthest first: a rebased one's last commit is what merging gives on the one before it, too.
    for onto in map(Oid, reversed(line)):
        try:
            merged = replay.merge(git, onto, commit)
        except InvalidInput:
            break
        if merged.tree == found.tree:
            return "tree", onto if onto != found.parents[0] else None
    return "", None


def _is_first_line(session: Session, commit: Oid, merge: Oid) -> bool:
    """Whether main went forward to the proposal itself, without a merge commit."""
    line = session.repo.git().text("rev-list", "--first-parent", f"--max-count={_MOST}", merge, "--").split()
    return commit in line


def _undone(session: Session, merge: Oid, goal: Oid) -> str:
    """The commit after `merge` that says it takes it back, or ""."""
    said = f"This reverts commit {merge}"
    return session.repo.git().text(
        "log", "--max-count=1", "--fixed-strings", f"--grep={said}", "--format=%H", f"{merge}..{goal}", "--"
    )


def _landing(session: Session, record: TaskRecord, pull: Pull) -> Landing:
    """The task on its way to integrated: its event and its evidence, written as objects."""
    if record.tip is None or pull.landed is None:
        raise AssertionError("what lands has a commit and a log")
    state, proposal, now = record.state, _proposal(record), session.now()
    fields: dict[str, Any] = {
        "commit": pull.landed, "number": proposal.number, "completing": True, "via": VIA, "url": pull.url,
        **({"below": pull.below} if pull.below else {}),
    } | placing.rescue(session, record, leave=True).fields()  # fmt: skip
    event = Event("integrate", now, session.person(), fields)
    subject = tasks.subject(record.id, event)
    prepared = log.write(
        session.store.objects, event, after(state, event), parent=record.tip, subject=subject
    )
    note = evidence.text(
        {
            "plan": record.id.plan,
            "task": record.id.task,
            "worker": proposal.worker,
            "proposal": proposal.oid,
            "number": proposal.number,
            "attempt": state.attempt,
            "integrated_at": codec.format_time(now),
            "via": VIA,
            "url": pull.url,
            **({"below": pull.below} if pull.below else {}),
            "recognised_by": pull.how,
            "gate": [
                {"name": check.name, "outcome": str(check.outcome), "kind": KIND} for check in pull.checks
            ],
            "verdict": [
                {"lens": verdict.lens, "verifier": verdict.verifier, "verdict": verdict.verdict}
                for verdict in state.verdicts
            ],
        }
    )
    return Landing(record.id, proposal.number, pull.landed, record.tip, prepared, note)


def _reworked(session: Session, record: TaskRecord, pull: Pull, report: Report) -> Pull:
    """Its task sent back, where a check of the very commit that was handed in is red."""
    red = [check for check in pull.checks if check.outcome is Outcome.FAIL]
    if pull.fate is not Fate.OPEN or pull.detail or not red or record.state.state not in _EJECTED:
        return pull
    findings = tuple(Finding(f"{it.name} failed: {it.url}", f"{KIND}: {it.name}") for it in red)
    fields = {"reason": "gate", "findings": findings, "paths": [], "via": VIA}
    act(session, record, "eject", same_proposal(record, lambda _: fields), actor=session.person())
    report(f"{record.id}: back to rework ({len(red)} red at {pull.url})")
    return replace(pull, fate=Fate.REWORK)
