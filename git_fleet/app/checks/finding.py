"""What a check has found."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from git_fleet.app.session import Session
from git_fleet.core.snapshot import Snapshot


class Finding(Struct, frozen=True):
    """One thing that is not as it should be: a stable code, a sentence, the command that helps.

    `repair` puts it right without destroying anything; it may raise FleetError, or find that somebody
    else was faster. A `note` is worth knowing and nothing wrong.
    """

    code: str
    text: str
    fix: str
    repair: Callable[[], object] | None = None
    note: bool = False


Check = Callable[[Session], Iterator[Finding]]
SnapshotCheck = Callable[[Session, Snapshot], Iterator[Finding]]
