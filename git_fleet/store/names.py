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
refs/notes/fleet/evidence                notes on integrated commits
"""

from __future__ import annotations

from git_fleet.core.ids import TaskId

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
EVIDENCE = "refs/notes/fleet/evidence"
FLEET = "refs/fleet/"


def plan_note(plan: str) -> str:
    """The notes ref of a plan's text."""
    return PLAN_NOTES + plan


def plan_log(plan: str) -> str:
    """The log of a plan."""
    return PLAN_LOGS + plan


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
    return f"refs/heads/{name}"
