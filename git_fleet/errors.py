"""The one error tree. Each class carries the exit code of DESIGN section 15.

Messages say what and where; the hint is the next *safe* command, kept apart so that faces can
show it differently (text, JSON, MCP).
"""

from __future__ import annotations

import errno
from typing import ClassVar


class FleetError(Exception):
    """Base of every error git-fleet raises on purpose.

    `code` is the stable word for machines, `exit_code` the process status, `hint` the next safe
    command or an empty string.
    """

    code: ClassVar[str] = "bug"
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class AnswerIsNo(FleetError):
    """The question was understood and the answer is no: nothing ready, a gate failed, collisions."""

    code = "no"
    exit_code = 1


class InvalidInput(FleetError):
    """What was given cannot be used: usage, a broken plan, not a repository."""

    code = "invalid"
    exit_code = 2


class Ambiguous(InvalidInput):
    """A short id that fits more than one task."""

    code = "ambiguous"


class NothingChanged(InvalidInput):
    """What would be handed in changes nothing."""

    code = "no-changes"


class UnknownFormat(InvalidInput):
    """A stored document that this program cannot read."""

    code = "unknown-format"


class UnknownVersion(UnknownFormat):
    """A stored document of a format version this program does not know: another git-fleet wrote it."""


class LostRace(FleetError):
    """Somebody else was first; nothing was changed. Base of held, stale and busy."""

    code = "lost-race"
    exit_code = 3


class Held(LostRace):
    """Someone else has it: the ref that must not exist exists, the lease is another's."""

    code = "held"


class Stale(LostRace):
    """It moved since it was read."""

    code = "stale"


class Busy(LostRace):
    """A lock file exists right now; trying again may help."""

    code = "busy"


class StaleClaim(LostRace):
    """The actor's claim was taken over or has ended: its fence is not the task's latest claim."""

    code = "stale-claim"


class IllegalEvent(LostRace):
    """The life-cycle table does not allow this event in this state. Nothing was changed."""

    code = "illegal-event"


class Denied(FleetError):
    """Refused by policy or hook."""

    code = "denied"
    exit_code = 4


class Collides(Denied):
    """A hand-in waits until the work that it collides with is integrated (`overlap = "watch"`)."""

    code = "collides"


class Refused(Denied):
    """The git server that decides between machines said no, though nobody was faster. `said` are its words."""

    code = "refused"

    def __init__(self, message: str, *, hint: str = "", said: str = "") -> None:
        super().__init__(message, hint=hint)
        self.said = said


class NeedsPerson(FleetError):
    """A person has to look: conflict, dirty main, a read-only or full disk."""

    code = "needs-person"
    exit_code = 5


class GitFailed(FleetError):
    """git could not do it, and it is not about who came first (full disk, read-only, corrupt)."""

    code = "git-failed"
    exit_code = 5


class Unreachable(FleetError):
    """The git server that decides between machines cannot be reached, or does not answer."""

    code = "unreachable"
    exit_code = 5


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_PATH = (errno.ENAMETOOLONG, errno.ELOOP)
_NOT_OURS = (errno.EROFS, errno.EACCES, errno.EPERM)
FREE_SPACE = "free some space, then run the same command again"
MAKE_WRITABLE = "make it writable for you, then run the same command again"


def disk_error(error: OSError) -> FleetError | None:
    """What a person can do about a file that could not be written or read: a full disk, missing rights, a path
    that no disk takes.

    None for what is nobody's disk: then it is a bug.
    """
    place = error.filename2 or error.filename
    where = f" ({place})" if place else ""
    if error.errno in _FULL:
        return NeedsPerson(f"no space left on the disk{where}", hint=FREE_SPACE)
    if error.errno in _NOT_OURS:
        return NeedsPerson(f"{error.strerror}{where}", hint=MAKE_WRITABLE)
    if error.errno in _NO_PATH:
        short = f" ({str(place)[:100]}…)" if place and len(str(place)) > 100 else where
        return InvalidInput(f"{error.strerror}{short}", hint="name another file or folder")
    return None
