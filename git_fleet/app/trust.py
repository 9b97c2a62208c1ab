"""Which events count where signatures are asked for (`policy.signed` in fleet.toml).

What an integration rests on is what a task's log says from its last hand-in on: the hand-in, the verdicts, the
conclusion. Each must be signed with a key whose owner may act as the one it says it is by. Events before it decide
nothing about what lands, so that signing may begin in the middle of a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from git_fleet.app import sharing
from git_fleet.app.session import Session
from git_fleet.core.ids import TaskId
from git_fleet.core.lifecycle import Event
from git_fleet.core.results import Skipped
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import InvalidInput
from git_fleet.git.objects import Objects
from git_fleet.git.signatures import Signers, signers
from git_fleet.store import log, tasks
from git_fleet.store.log import Entry

_UNSETTLED = "it was claimed offline, and git fleet sync has not settled it"


def required(session: Session) -> Signers:
    """Whose keys count. Raises InvalidInput where nobody's does."""
    found = signers(session.repo)
    if found is None:
        raise InvalidInput(
            "policy.signed asks for signatures, and nothing here says whose keys count",
            hint="git config gpg.ssh.allowedSignersFile FILE, with a line for each: NAME[,NAME]… ssh-ed25519 AAAA…",
        )
    return found


def doubts(
    objects: Objects, who: Signers, entries: Iterable[Entry], task: TaskId | None
) -> Iterator[tuple[Entry, str]]:
    """The events that are not signed by whoever they say they are by, or not for the `task` in whose log they are
    (None: it is another log), each with the reason."""
    for entry in entries:
        data, event = objects.read(entry.oid)[1], entry.event
        why = who.doubt(data, event.actor, event.at) or _borrowed(event)
        if not why and task is not None:
            why = tasks.misplaced(task, event, data)
        if why:
            yield entry, why


def _borrowed(event: Event) -> str:
    """Whose work or word it is, where that is somebody else than the one whose event it is: what is signed is only
    as good as its signer's right to say it."""
    said = {"done": ("proposal", "worker"), "verdict": ("verdict", "verifier")}.get(event.name)
    if said is None:
        return ""
    name = getattr(event.fields[said[0]], said[1])
    return "" if name == event.actor else f"speaks for {name}"


def told(entry: Entry, why: str) -> str:
    """The sentence about one of them."""
    return f"event {entry.oid[:12]} ({entry.event.name} by {entry.event.actor}) {why}"


def counting(
    session: Session, chosen: Sequence[TaskRecord], *, signed: bool
) -> tuple[list[TaskRecord], list[Skipped]]:
    """Those of `chosen` that may land: whose claim the remote knows, where one decides, and which rest on signed
    events alone, where that is asked for; why the others may not. Raises InvalidInput where nothing says whose keys
    count."""
    offline = sharing.unsettled(session.store)
    bad = [Skipped(record.id, _UNSETTLED) for record in chosen if record.id in offline]
    chosen = [record for record in chosen if record.id not in offline]
    if not signed or not chosen:
        return list(chosen), bad
    who = required(session)
    good: list[TaskRecord] = []
    for record in chosen:
        since = _since_hand_in(log.history(session.store.objects, record.tip))
        first = next(doubts(session.store.objects, who, since, record.id), None)
        if first is None:
            good.append(record)
        else:
            bad.append(Skipped(record.id, f"{told(*first)}, and does not count"))
    return good, bad


def _since_hand_in(entries: Sequence[Entry]) -> Sequence[Entry]:
    places = [place for place, entry in enumerate(entries) if entry.event.name == "done"]
    return entries[places[-1] :] if places else entries
