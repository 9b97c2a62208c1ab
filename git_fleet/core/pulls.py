"""Pull requests of tasks, and what became of them: values, and what a forge's checks say as gates."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from git_fleet.core.ids import Oid, TaskId

KIND = "forge"
"""The kind of a gate that somebody else's server has run."""


class Fate(StrEnum):
    """What became of a task's pull request.

    Publishing: `to_open`, `opened`, `updated` (its branch, text or links), `current` (nothing to do). Looking: `open`,
    `rework` (a red check sent the task back), `to_record`, `recorded` (merged there, integrated here), `merged` (there,
    and not recorded: `detail` says why). Both: `closed` (unmerged), `absent`, `failed`.
    """

    TO_OPEN = "to_open"
    OPENED = "opened"
    UPDATED = "updated"
    CURRENT = "current"
    OPEN = "open"
    REWORK = "rework"
    TO_RECORD = "to_record"
    RECORDED = "recorded"
    MERGED = "merged"
    CLOSED = "closed"
    ABSENT = "absent"
    FAILED = "failed"


class Outcome(StrEnum):
    """What a check says: as a gate's outcome, or that it has not ended yet. Only a failure speaks about the proposal."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    ERROR = "error"
    PENDING = "pending"


class Check(Struct, frozen=True):
    """A check of a pull request's head, as a gate of kind `forge`. Name and address are untrusted."""

    name: str
    outcome: Outcome
    url: str = ""


class Request(Struct, frozen=True):
    """A pull request as the forge has it. `head` is None where an old gh does not say, `merge` while it is not merged
    (or the forge does not say as what); `state` is OPEN, MERGED or CLOSED."""

    number: int
    url: str
    state: str
    branch: str
    base: str
    body: str = ""
    head: Oid | None = None
    merge: Oid | None = None
    checks: tuple[Check, ...] = ()


class Pull(Struct, frozen=True):
    """A task's pull request: `branch` onto `base`, at `commit`. `url` is "" where there is none, `pushed` says that
    the branch was (with --dry-run: would be) pushed. `landed` is the commit it has become on the base, `how` that was
    recognised: trailers, commit or tree; `below` is the base just before, where that is not `landed`'s first parent."""

    task: TaskId
    branch: str
    base: str
    commit: Oid
    fate: Fate = Fate.TO_OPEN
    url: str = ""
    title: str = ""
    body: str = ""
    pushed: bool = False
    detail: str = ""
    checks: tuple[Check, ...] = ()
    landed: Oid | None = None
    below: Oid | None = None
    how: str = ""


class Published(Struct, frozen=True):
    """What `pr` came to. `gh` says whether that program is there, `then` is the command to go on with; `before` and
    `after` are the base where recording moved it, else None."""

    remote: str
    pulls: tuple[Pull, ...]
    gh: bool
    then: str = ""
    before: Oid | None = None
    after: Oid | None = None


_RUN = {"SUCCESS": Outcome.PASS, "NEUTRAL": Outcome.PASS, "SKIPPED": Outcome.PASS, "FAILURE": Outcome.FAIL,
        "TIMED_OUT": Outcome.FAIL}  # fmt: skip
_STATUS = {"SUCCESS": Outcome.PASS, "FAILURE": Outcome.FAIL, "PENDING": Outcome.PENDING,
           "EXPECTED": Outcome.PENDING}  # fmt: skip


def checks(rollup: Any) -> tuple[Check, ...]:
    """The checks in gh's `statusCheckRollup`: check runs, and statuses. Of several runs of one the last counts.

    Raises TypeError, ValueError or AttributeError for what is no such list.
    """
    latest: dict[tuple[str, str], tuple[str, Check]] = {}
    for one in rollup or ():
        if one.get("__typename") == "StatusContext" or (one.get("context") and not one.get("name")):
            name, workflow = str(one.get("context")), ""
            outcome = _STATUS.get(str(one.get("state")), Outcome.ERROR)
        else:
            name, workflow = str(one.get("name")), str(one.get("workflowName") or "")
            ended = one.get("status") == "COMPLETED"
            outcome = _RUN.get(str(one.get("conclusion")), Outcome.ERROR) if ended else Outcome.PENDING
        url = str(one.get("detailsUrl") or one.get("targetUrl") or "")
        began = str(one.get("startedAt") or "")
        full = f"{workflow} / {name}" if workflow else name
        known = latest.get((workflow, name))
        if known is None or began >= known[0]:
            latest[workflow, name] = (began, Check(full, outcome, url))
    return tuple(check for _, check in latest.values())
