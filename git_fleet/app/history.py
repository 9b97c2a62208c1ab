"""The story so far of a task or a plan: its log as lines, and the texts that events hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from git_fleet.app import outputs
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid, TaskId, parse_task_id
from git_fleet.core.model import Usage
from git_fleet.core.results import AgentOutput, LogLine, Story
from git_fleet.core.trailers import one_line
from git_fleet.errors import InvalidInput
from git_fleet.store import archive, gatelogs, log
from git_fleet.store.log import Entry

_SHORT = 12  # characters of an object id


def history(session: Session, name: str | None) -> Story:
    """The events of a task (None: the one of this worktree) or of a plan, oldest first, and where the whole
    logs of a task's gates are.

    Tasks of a closed plan are found by their full id. Raises InvalidInput for an unknown name.
    """
    task, newest = _find(session, name)
    entries = log.history(session.store.objects, newest)
    logs = gatelogs.listing(session.store, task) if task else ()
    return Story(tuple(map(_line, entries)), logs)


def outputs_of(session: Session, name: str | None) -> tuple[TaskId, tuple[AgentOutput, ...]]:
    """The task, and what its agents printed on this machine, the oldest first. As `history` finds it.

    Raises InvalidInput for an unknown name, and for a plan.
    """
    task, _ = _find(session, name)
    if task is None:
        raise InvalidInput(
            f"{name} is a plan: --output shows what the agents of one task printed",
            hint=f"git fleet siblings {name} lists its tasks",
        )
    found = []
    for path in outputs.output(session.repo.fleet_dir, task):
        written = outputs.last_written(path)
        if written is not None:  # else it has gone just now
            attempt, _, number = path.stem.partition("-")
            at = datetime.fromtimestamp(written, UTC)
            found.append(AgentOutput(int(attempt), int(number), at, str(path), "".join(outputs.read(path))))
    return task, tuple(found)


def texts(session: Session, event: Oid) -> dict[str, str]:
    """The texts that belong to an event, by name: log chunks, findings, gate output. At most 64 KiB."""
    entry = log.read(session.store.objects, event)
    found = log.texts(session.store.objects, entry)
    return {name: data.decode("utf-8", "replace") for name, data in found.items()}


def _find(session: Session, name: str | None) -> tuple[TaskId | None, Oid | None]:
    """The task that `name` means (None for a plan), and the newest event of the log; None for a task that
    nobody has touched."""
    snapshot = session.snapshot()
    if name is not None and name in snapshot.plans:
        return None, snapshot.plans[name].tip
    try:
        record = session.record(snapshot, name)
    except InvalidInput:
        ended = _ended(session, name or "")
        if ended is None:
            raise
        return ended
    return record.id, record.tip


def _ended(session: Session, name: str) -> tuple[TaskId, Oid] | None:
    """The log that is no approved task's: of a closed plan, or of a task taken out of its plan."""
    try:
        task = parse_task_id(name)
    except InvalidInput:
        return None
    found = archive.tip_of(session.store, task)
    return (task, found) if found else None


def _line(entry: Entry) -> LogLine:
    event = entry.event
    tell = _TELLERS.get(event.name, _reason)
    try:
        summary = tell(event.fields)
    except (KeyError, AttributeError, TypeError) as error:  # doctor says more about it
        summary = f"damaged: {error!r}"
    return LogLine(one_line(event.name), event.at, one_line(event.actor), one_line(summary), entry.oid)


Fields = Mapping[str, Any]


def _reason(fields: Fields) -> str:
    """What most events say: a reason, and what was found."""
    findings = "; ".join(
        f"{finding.path}: {finding.text}".removeprefix(": ") for finding in fields.get("findings", ())
    )
    why = ": ".join(part for part in (fields.get("reason", ""), findings) if part)
    return "; ".join(part for part in (why, _kept(fields)) if part)


def _kept(fields: Fields) -> str:
    return f"work kept as {fields['salvaged'][:_SHORT]}" if fields.get("salvaged") else ""


def _claim(fields: Fields) -> str:
    claim = fields["claim"]
    where = f" on {claim.branch}" if claim.branch else ""
    parts = [f"attempt {claim.attempt}{where}, until {claim.expires_at:%Y-%m-%d %H:%M:%S} UTC", _kept(fields)]
    return "; ".join(part for part in parts if part)


def _renewal(fields: Fields) -> str:
    until = fields.get("expires_at")
    return f"until {until:%Y-%m-%d %H:%M:%S} UTC" if until else ""


def _done(fields: Fields) -> str:
    proposal = fields["proposal"]
    what = f"commit {proposal.commit[:_SHORT]}" if proposal.commit else "a report"
    said = fields.get("summary") or proposal.message
    left = _reason({"findings": fields.get("findings", ())})
    return (
        f"proposal {proposal.number}, {what}"
        + (f": {said}" if said else "")
        + (f"; left alone: {left}" if left else "")
    )


def _block(fields: Fields) -> str:
    return f"{fields['code']}: {_reason(fields)}".removesuffix(": ")


def _verdict(fields: Fields) -> str:
    verdict = fields["verdict"]
    said = _reason(fields)
    return f"{verdict.verdict} by {verdict.verifier} ({verdict.lens}), proposal {verdict.proposal}" + (
        f"; {said}" if said else ""
    )


def _usage(fields: Fields) -> str:
    used: Usage = fields["usage"]
    cost = f", ${used.cost_usd:.2f}" if used.cost_usd else ""
    return f"{used.input_tokens:,} tokens in, {used.output_tokens:,} out{cost}"


def _accept(fields: Fields) -> str:
    parts = [
        f"proposal {fields['number']}" if "number" in fields else "",
        f"by {fields['by']}" if "by" in fields else "",
        fields.get("reason", ""),
    ]
    return ", ".join(part for part in parts if part)


def _integrate(fields: Fields) -> str:
    commit = fields.get("commit")
    said = f"commit {commit[:_SHORT]}" if commit else "nothing to commit"
    if fields.get("via") == "forge":
        return f"{said}; merged as {fields.get('url', 'a pull request')}"
    return said + ("; main had it already" if fields.get("completing") else "")


def _approval(fields: Fields) -> str:
    note = fields.get("revision") or fields.get("incoming")
    parts = [f"revision {note[:_SHORT]}" if note else "", fields.get("reason", "")]
    return "; ".join(part for part in parts if part)


_TELLERS: dict[str, Callable[[Fields], str]] = {
    "claim": _claim,
    "progress": lambda fields: str(fields.get("status", "")),
    "renew": _renewal,
    "usage": _usage,
    "done": _done,
    "block": _block,
    "verdict": _verdict,
    "accept": _accept,
    "uphold": _accept,
    "integrate": _integrate,
    "approving": _approval,
    "approve": _approval,
    "revised": _approval,
}
"""What an event says beside its name; the others give a reason (`_reason`)."""
