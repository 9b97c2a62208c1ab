"""Where everything is stored: the ref names of format version 1 (DESIGN section 3).

refs/notes/fleet/plan/<plan>             note on the plan's base commit: the plan as TOML
refs/fleet/plan/<plan>                   log of the plan
refs/fleet/task/<plan>/<task>            log of the task; the tip is its state
refs/fleet/proposal/<plan>/<task>/<n>    the n-th proposal
refs/fleet/proposal/<plan>/<task>/<n>.gates  what the gates printed about it
refs/fleet/guard                         the last claim of a task that overlaps another
refs/fleet/lead                          the lead's lease and intents (log)
refs/fleet/bucket                        the claim token bucket
refs/fleet/snapshot/<plan>/<task>        the last saved work tree of a claimed task
refs/fleet/salvage/<plan>/<task>/<n>     work kept from a lost or abandoned claim
refs/fleet/archive/<plan>                logs of a closed plan, folded
refs/fleet/knowledge                     what was learned (core/learnings.py)
refs/notes/fleet/evidence                notes on integrated commits

Of a workspace, in its own repository (store/wide.py):

refs/notes/fleet/workspace/plan/<plan>   note: the workspace's plan as TOML
refs/fleet/workspace/plan/<plan>         log of that plan
refs/fleet/workspace/changeset/<plan>/<changeset>  log of a change set

With a remote that decides (`remote` in fleet.toml) all of these but snapshots and salvages are the remote's, and
what it has is mirrored below refs/fleet-remote/<remote>/. Below refs/fleet/ is then what is here alone:

refs/fleet/task/<plan>/<task>            events that the remote has not got yet, on top of what it has
refs/fleet/proposal/<plan>/<task>/<n>    a proposal that it has not got yet
refs/fleet/knowledge                     what was learned and the remote has not got yet
refs/fleet/offline/<plan>/<task>         the claim event of a claim made while it could not be reached
refs/fleet/lost/<plan>/<task>/<event>    events that were never told in time: somebody else was first
refs/fleet/gone/<plan>/<task>/<event>    events that the remote had, and has no more
"""

from __future__ import annotations

from git_fleet.core.ids import Oid, TaskId

PLAN_NOTES = "refs/notes/fleet/plan/"
PLAN_LOGS = "refs/fleet/plan/"
TASK_LOGS = "refs/fleet/task/"
PROPOSALS = "refs/fleet/proposal/"
GATES = ".gates"
SNAPSHOTS = "refs/fleet/snapshot/"
SALVAGE = "refs/fleet/salvage/"
ARCHIVE = "refs/fleet/archive/"
GUARD = "refs/fleet/guard"
LEAD = "refs/fleet/lead"
BUCKET = "refs/fleet/bucket"
KNOWLEDGE = "refs/fleet/knowledge"
EVIDENCE = "refs/notes/fleet/evidence"
FLEET = "refs/fleet/"
NOTES = "refs/notes/fleet/"
OFFLINE = "refs/fleet/offline/"
LOST = "refs/fleet/lost/"
GONE = "refs/fleet/gone/"
HERE_ALONE = (SNAPSHOTS, SALVAGE, OFFLINE, LOST, GONE)
"""What no other machine is told of."""
MIRRORS = "refs/fleet-remote/"
WIDE_NOTES = "refs/notes/fleet/workspace/plan/"
WIDE_LOGS = "refs/fleet/workspace/plan/"
CHANGESETS = "refs/fleet/workspace/changeset/"
_BRANCHES = "refs/heads/"
_MIRRORED = ((NOTES, "notes/"), (_BRANCHES, "heads/"), (FLEET, ""))
TAKEN = (f"{FLEET}notes/", f"{FLEET}heads/")
"""What a mirror would take for notes and branches; nothing of ours is there."""


def plan_note(plan: str) -> str:
    """The notes ref of a plan's text."""
    return PLAN_NOTES + plan


def plan_log(plan: str) -> str:
    """The log of a plan."""
    return PLAN_LOGS + plan


def wide_note(plan: str) -> str:
    """The notes ref of the text of a workspace's plan."""
    return WIDE_NOTES + plan


def wide_log(plan: str) -> str:
    """The log of a workspace's plan."""
    return WIDE_LOGS + plan


def changeset_log(plan: str, changeset: str) -> str:
    """The log of a change set."""
    return f"{CHANGESETS}{plan}/{changeset}"


def task_log(task: TaskId) -> str:
    """The log of a task."""
    return TASK_LOGS + str(task)


def task_of_log(ref: str) -> TaskId:
    """The task whose log `ref` is."""
    plan, _, task = ref.removeprefix(TASK_LOGS).partition("/")
    return TaskId(plan, task)


def proposal(task: TaskId, number: int) -> str:
    """The n-th proposal of a task."""
    return f"{PROPOSALS}{task}/{number}"


def gate_logs(task: TaskId, number: int) -> str:
    """What the gates printed about the n-th proposal of a task."""
    return proposal(task, number) + GATES


def snapshot(task: TaskId) -> str:
    """The last saved work tree of a task."""
    return SNAPSHOTS + str(task)


def salvage(task: TaskId, number: int) -> str:
    """The n-th salvage of a task."""
    return f"{SALVAGE}{task}/{number}"


def shown_by(ref: str) -> str:
    """The command that shows the salvage at `ref`."""
    task, _, number = ref.removeprefix(SALVAGE).rpartition("/")
    return f"git fleet salvage show {task} {number}"


def archive(plan: str) -> str:
    """The folded logs of a closed plan."""
    return ARCHIVE + plan


def branch(name: str) -> str:
    """A branch's full ref name."""
    return f"{_BRANCHES}{name}"


def offline(task: TaskId) -> str:
    """The mark of a claim that the remote has not heard of."""
    return OFFLINE + str(task)


def lost(ref: str, tip: Oid) -> str:
    """Where the events up to `tip` are kept that lost against those of the log `ref`."""
    return f"{LOST}{_short(ref)}/{tip[:12]}"


def gone(ref: str, tip: Oid) -> str:
    """Where the events up to `tip` are kept that the log `ref` had on the remote once."""
    return f"{GONE}{_short(ref)}/{tip[:12]}"


def _short(ref: str) -> str:
    return ref.removeprefix(TASK_LOGS).removeprefix(FLEET)


def task_of(ref: str) -> TaskId | None:
    """The task that a log, a proposal or a mark of a claim made offline is of."""
    kind = next((kind for kind in (TASK_LOGS, PROPOSALS, OFFLINE) if ref.startswith(kind)), None)
    if kind is None:
        return None
    plan, task = ref.removeprefix(kind).split("/")[:2]
    return TaskId(plan, task)


def mirrors(remote: str) -> str:
    """What stands before all that is known of a remote's refs."""
    return f"{MIRRORS}{remote}/"


def mirrored(remote: str, ref: str) -> str:
    """Where the value of the remote's ref is kept here."""
    before, after = next(pair for pair in _MIRRORED if ref.startswith(pair[0]))
    return mirrors(remote) + after + ref.removeprefix(before)


def of_mirror(remote: str, ref: str) -> str:
    """The remote's ref whose value is kept at `ref`: the inverse of `mirrored`."""
    rest = ref.removeprefix(mirrors(remote))
    before, after = next(pair for pair in _MIRRORED if rest.startswith(pair[1]))
    return before + rest.removeprefix(after)
