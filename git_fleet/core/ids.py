"""Names of things: object ids, plan and task ids, actor names. Parsed at the border, typed past it."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple, NewType

from git_fleet.errors import InvalidInput

Oid = NewType("Oid", str)
"""A full object id in lower-case hex: 40 characters (SHA-1) or 64 (SHA-256)."""

_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MAX_ID = 100  # a ref component is a file name: 255 bytes with room for `.lock` and suffixes


class TaskId(NamedTuple):
    """A task's full id; prints as `plan/task`, which is what output always shows."""

    plan: str
    task: str

    def __str__(self) -> str:
        return f"{self.plan}/{self.task}"


def is_oid(text: str) -> bool:
    """Whether `text` is an object id: 40 or 64 lower-case hex digits."""
    return _OID.fullmatch(text) is not None


def oid(text: str) -> Oid:
    """`text` as an object id. Raises InvalidInput when it is none."""
    if not is_oid(text):
        raise InvalidInput(f"not an object id: {text!r}")
    return Oid(text)


def check_id(text: str, what: str = "id") -> str:
    """A plan or task id, folded to lower case. Raises InvalidInput (rule: DESIGN section 2)."""
    folded = text.strip().lower()
    problem = ""
    if not _ID.fullmatch(folded):
        problem = "must match [a-z0-9][a-z0-9._-]*"
    elif ".." in folded or folded.endswith((".lock", ".")):
        problem = "must not contain '..' nor end in '.' or '.lock' (git refuses such ref names)"
    elif len(folded) > _MAX_ID:
        problem = f"must have at most {_MAX_ID} characters"
    if problem:
        raise InvalidInput(f"{what} {text!r}: {problem}", hint="an id looks like tasks-app or 42")
    return folded


def parse_task_id(text: str) -> TaskId:
    """`plan/task` in full. Raises InvalidInput."""
    plan, slash, task = text.partition("/")
    if not slash:
        raise InvalidInput(f"task id {text!r}: expected plan/task")
    return TaskId(check_id(plan, "plan id"), check_id(task, "task id"))


def slugify(title: str, limit: int = 40) -> str:
    """A branch-name-safe slug of a title: lower case, words joined by '-', at most `limit` long."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    if len(words) > limit:
        words = words[:limit].rsplit("-", 1)[0] if "-" in words[:limit] else words[:limit]
    return words.strip("-") or "task"
