"""`pr`: what is handed in, as one pull request per task (DESIGN section 11, *Forges*).

    branch     pushed as it was handed in, by a lease; what others pushed there is left alone
    request    found by its branch, else opened; our part of its text is kept up to date
    links      to the plan's other pull requests, in one comment that a marker tells apart

Nothing is remembered here: every step looks first at what is there, so a run that was killed is done again, and one that
is done changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from git_fleet.app import gh, requests, sharing
from git_fleet.app.session import Session
from git_fleet.core import pulltext
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import State, TaskState
from git_fleet.core.progress import Report
from git_fleet.core.pulls import Fate, Published, Pull, Request
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.core.trailers import read_revert, read_stamp
from git_fleet.errors import InvalidInput
from git_fleet.git import upstream
from git_fleet.git.flocks import alone
from git_fleet.git.refnames import is_ref_name
from git_fleet.git.refs import ABSENT, Value
from git_fleet.git.upstream import Push
from git_fleet.store import log, names, proposals
from git_fleet.store.base import tip

_HANDED_IN = (State.PROPOSED, State.VERIFIED, State.PARKED)
_GOES_ON = (Fate.TO_OPEN, Fate.CURRENT)
_LOCK = "pulls.lock"


class Wanted(Struct, frozen=True):
    """What is asked for: tasks or plans (none: everything handed in), as drafts, or only said."""

    targets: tuple[str, ...] = ()
    draft: bool = False
    dry_run: bool = False


def chosen(
    session: Session, snapshot: Snapshot, targets: Sequence[str], states: tuple[State, ...]
) -> list[TaskRecord]:
    """The tasks that are meant, of those that have handed in a commit, are in one of these states, and are known to
    the remote where one decides.

    Raises InvalidInput for a target that does not exist, and for a task named that is none of those.
    """
    offline = sharing.unsettled(session.store)
    fitting = [it for it in snapshot.tasks.values() if it.state.state in states and _commit(it.state)]
    fitting = [it for it in fitting if it.id not in offline]
    if not targets:
        return fitting
    picked: dict[TaskId, TaskRecord] = {}
    for target in targets:
        if target in snapshot.plans:
            picked |= {it.id: it for it in fitting if it.id.plan == target}
            continue
        record = session.record(snapshot, target)
        if record.id in offline:
            raise InvalidInput(f"{record.id} was claimed offline", hint="git fleet sync settles it")
        if record not in fitting:
            raise InvalidInput(
                f"{record.id} is {record.state.state.phrase}, and nothing of it waits to be merged",
                hint=f"git fleet explain {record.id}",
            )
        picked[record.id] = record
    return list(picked.values())


def _commit(state: TaskState) -> Oid | None:
    return state.proposal.commit if state.proposal else None


def remote_of(session: Session, base: str) -> str:
    """The remote that a base branch is on. Raises InvalidInput where there is none."""
    remote = upstream.remote_for(session.repo, base)
    if not remote:
        raise InvalidInput("there is no remote to push to", hint="git remote add origin URL")
    return remote


def program(session: Session) -> gh.Gh | None:
    """gh, where it is installed."""
    folder: Path = session.repo.main_worktree() or session.repo.common_dir
    return gh.find(folder, session.around.env)


def branch_of(session: Session, record: TaskRecord) -> str:
    """The branch that a task has there: the first one of its present life, so that another attempt goes on in the same
    pull request."""
    found: str | None = None
    for entry in log.history(session.store.objects, record.tip):
        claim = entry.event.fields.get("claim")
        if entry.event.name == "reopen":
            found = None
        elif entry.event.name == "claim" and claim is not None and found is None:
            found = claim.branch
    return found or f"fleet/{record.id}"


def publish(session: Session, wanted: Wanted, report: Report) -> Published:
    """Push what is handed in and open a pull request for each task, through gh where it is installed.

    Raises InvalidInput for targets that do not exist and without a remote, GitFailed when that cannot be reached.
    """
    snapshot = session.snapshot()
    records = chosen(session, snapshot, wanted.targets, _HANDED_IN)
    if not records:
        return Published("", (), program(session) is not None)
    found = [_pull(session, snapshot, record) for record in records]
    remote = remote_of(session, found[0].base)
    session.repo.fleet_dir.mkdir(exist_ok=True)
    found_gh = program(session)
    hub = _Hub(session, snapshot, found_gh, wanted, report) if found_gh is not None else None
    with alone(session.repo.fleet_dir / _LOCK):  # two at once would both open and comment
        if hub is not None:
            found = [hub.each(pull, hub.look) for pull in found]
        found = _push(session, remote, found, dry_run=wanted.dry_run)
        if hub is not None and not wanted.dry_run:
            found = hub.all(found)
    return Published(remote, tuple(found), hub is not None, hub.then if hub else "")


def _pull(session: Session, snapshot: Snapshot, record: TaskRecord) -> Pull:
    """What a task's pull request is to be."""
    state, plan = record.state, snapshot.plans[record.id.plan].approved
    if state.proposal is None or state.proposal.commit is None or plan is None:
        raise AssertionError("what is published is of an approved plan, and a commit")
    proposal = proposals.whole(session.store, state.proposal)
    body = pulltext.body(record.task, plan.title, proposal, state.verdicts, _gates(session, record))
    title = pulltext.title(record.task, proposal)
    branch, commit = branch_of(session, record), state.proposal.commit
    return Pull(
        record.id,
        branch,
        plan.base,
        commit,
        title=title,
        body=body,
        detail=_forged(session, plan.base, commit),
    )


def _gates(session: Session, record: TaskRecord) -> list[str]:
    """The gates that upheld this proposal here, by the names of their logs."""
    passed: list[str] = []
    for entry in log.history(session.store.objects, record.tip):
        if entry.event.name == "done":
            passed = []
        elif entry.event.name == "uphold" and entry.event.fields.get("by") == "gates":
            passed = sorted(log.texts(session.store.objects, entry))
    return [name.removesuffix(".log").partition("-")[2] or name for name in passed]


def _forged(session: Session, base: str, commit: Oid) -> str:
    """Why this must not be merged as it is: a commit of a worker's says of itself what only an integration may."""
    known = session.store.refs.named(names.branch(base))
    out = session.repo.git().run("log", "-z", "--format=%H%n%B", commit, "--not", known, "--").out
    for entry in out.split(b"\0"):
        at, _, message = entry.decode("utf-8", "surrogateescape").partition("\n")
        if read_stamp(message) is not None or read_revert(message) is not None:
            return f"its commit {at[:12]} has Fleet trailers, which only an integration may write"
    return ""


def _push(session: Session, remote: str, found: list[Pull], *, dry_run: bool) -> list[Pull]:
    """Every branch as it was handed in; with `dry_run` nothing is pushed, and `pushed` says what would be."""
    bases = {plan.approved.base for plan in session.snapshot().plans.values() if plan.approved is not None}
    there = upstream.tips(session.repo, remote, [it.branch for it in found])
    plan: dict[str, Push] = {}
    seen: list[Pull] = []
    for pull in found:
        if pull.fate not in _GOES_ON:
            seen.append(pull)
            continue
        old = there.get(pull.branch, ABSENT)
        why = pull.detail or _why_not(session, pull, old, remote, taken=pull.branch in bases | plan.keys())
        if why:
            seen.append(replace(pull, fate=Fate.FAILED, detail=why))
            continue
        if old != pull.commit:
            plan[pull.branch] = Push(pull.branch, old, pull.commit)
        fate = Fate.UPDATED if pull.url and old != pull.commit else pull.fate
        seen.append(replace(pull, pushed=old != pull.commit, fate=fate))
    refused = {} if dry_run or not plan else upstream.push(session.repo, remote, list(plan.values()))
    return [
        replace(it, fate=Fate.FAILED, pushed=False, detail=f"not pushed: {refused[it.branch]}")
        if it.pushed and it.branch in refused
        else it
        for it in seen
    ]


def _why_not(session: Session, pull: Pull, old: Value, remote: str, *, taken: bool) -> str:
    """Why a branch must not be pushed: it is somebody else's, or has what would be lost there."""
    if taken:
        return f"the branch {pull.branch} is another one's"
    if not is_ref_name(names.branch(pull.branch)):
        return "its branch has a name that git does not take"
    if old is ABSENT or old == pull.commit:
        return ""
    at, objects = Oid(str(old)), session.store.objects
    if at in proposals.commits(session.store, pull.task):
        return ""  # an earlier proposal, which stays in its ref here
    known = next(objects.read_many([at])) is not None
    base = tip(session.store.refs.get(names.branch(pull.base)))
    if known and objects.is_ancestor(at, pull.commit) and not (base and objects.is_ancestor(at, base)):
        return ""  # its worker's own; one that is at a commit of the base may be anybody's, and would move
    return f"{remote} has {str(old)[:12]} on {pull.branch}, which is not of this task's: look at it (git fetch {remote})"


Step = Callable[[Pull], Pull]


class _Hub(Struct):
    """One run with gh. After a failure that is everybody's, nothing else is tried."""

    session: Session
    snapshot: Snapshot
    hub: gh.Gh
    wanted: Wanted
    report: Report
    refused: str = ""
    then: str = ""
    known: dict[TaskId, Request] = field(default_factory=dict)

    def look(self, pull: Pull) -> Pull:
        """The pull request that there is, before anything is pushed: the branch of a merged one may be gone."""
        known = requests.of_branch(self.hub, pull.branch, pull.base)
        if known is None:
            return pull
        self.known[pull.task] = known
        pull = replace(pull, url=known.url)
        if known.state == "MERGED":
            return replace(pull, fate=Fate.MERGED, detail=f"git fleet pr --sync {pull.task} records it")
        if known.state != "OPEN":
            return replace(pull, fate=Fate.CLOSED, detail=closed_unmerged(pull))
        if known.base != pull.base:
            return replace(
                pull, fate=Fate.FAILED, detail=f"it goes to {known.base}, and its plan to {pull.base}"
            )
        same = pulltext.merged_body(known.body, pull.task, pull.body) == known.body
        return replace(pull, fate=Fate.CURRENT if same else Fate.TO_OPEN)

    def all(self, found: list[Pull]) -> list[Pull]:
        """What became of each, and what to do about what is everybody's."""
        done = [self.each(pull, self._one) if _is_open(pull) else pull for pull in found]
        links = self._links(done)
        return [self.each(it, lambda it: self._link(it, links)) if _is_open(it) else it for it in done]

    def each(self, pull: Pull, step: Step) -> Pull:
        """One step of one task's. What it fails with is said of it."""
        if pull.detail or self.refused:
            return replace(pull, fate=Fate.FAILED, detail=pull.detail or self.refused)
        try:
            return step(pull)
        except gh.Failed as error:
            self._note(error)
            return replace(pull, fate=Fate.FAILED, detail=error.why)

    def _note(self, error: gh.Failed) -> None:
        if error.for_all:
            self.refused, self.then = error.why, error.then

    def _one(self, pull: Pull) -> Pull:
        """Its pull request, opened unless there is one; our part of its text as it is now."""
        known = self.known.get(pull.task)
        if known is None:
            draft = self.wanted.draft
            url = requests.create(self.hub, pull.branch, pull.base, pull.title, pull.body, draft=draft)
            self.report(f"{pull.task}: opened {url}")
            return replace(pull, url=url, fate=Fate.OPENED)
        body = pulltext.merged_body(known.body, pull.task, pull.body)
        if body == known.body:
            return pull
        requests.describe(self.hub, known.url, body)
        return replace(pull, fate=Fate.UPDATED)

    def _links(self, done: list[Pull]) -> list[tuple[TaskId, str]]:
        """The pull requests of all tasks of these plans, in the order of the plans."""
        known = {pull.task: pull.url for pull in done}
        plans = dict.fromkeys(pull.task.plan for pull in done)
        rows: list[tuple[TaskId, str]] = []
        for record in (it for plan in plans for it in self.snapshot.of_plan(plan)):
            if record.id not in known and _commit(record.state):
                known[record.id] = self._address(record)
            if known.get(record.id):
                rows.append((record.id, known[record.id]))
        return rows

    def _address(self, record: TaskRecord) -> str:
        plan = self.snapshot.plans[record.id.plan].approved
        if self.refused or plan is None:
            return ""
        try:
            found = requests.of_branch(self.hub, branch_of(self.session, record), plan.base)
        except gh.Failed as error:
            self._note(error)
            self.refused = error.why  # a comment without that link would be worse than none
            return ""
        return found.url if found else ""

    def _link(self, pull: Pull, links: list[tuple[TaskId, str]]) -> Pull:
        """Our one comment, written or changed; where there is nobody to link to, none is written."""
        others = [row for row in links if row[0].plan == pull.task.plan and row[0] != pull.task]
        text, mark = pulltext.siblings(pull.task, others), pulltext.siblings_marker(pull.task)
        ours = [it for it in requests.comments(self.hub, pull.url) if it.body.lstrip().startswith(mark)]
        if ours:
            if ours[0].body.strip() == text.strip():
                return pull
            requests.rewrite(self.hub, pull.url, ours[0], text)
        elif others:
            requests.comment(self.hub, pull.url, text)
        else:
            return pull
        return replace(pull, fate=Fate.UPDATED) if pull.fate is Fate.CURRENT else pull


def _is_open(pull: Pull) -> bool:
    return pull.fate in (*_GOES_ON, Fate.OPENED, Fate.UPDATED)


def closed_unmerged(pull: Pull) -> str:
    """What is said of a pull request that somebody closed."""
    return f"closed unmerged: gh pr reopen {pull.url}, or git fleet reject {pull.task} -m WHY"
