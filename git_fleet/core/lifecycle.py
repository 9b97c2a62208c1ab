"""The life of a task: one table, and nothing else decides (DESIGN section 4).

`TABLE[state][event]` is the next state. Where the next state depends on more than the two, the
entry is a small function named for its rule. An event the table does not have raises
`IllegalEvent` and changes nothing. `after` folds one event into a state; doctor folds a whole log
with it and compares.

The plan's own life is the second, smaller table `PLAN_TABLE`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from git_fleet.core.ids import Oid
from git_fleet.core.model import (
    Claim,
    Finding,
    PlanLog,
    PlanState,
    Proposal,
    State,
    TaskState,
    Usage,
    Verdict,
)
from git_fleet.errors import IllegalEvent, StaleClaim

MAX_FINDINGS = 20
MAX_TEXT = 400
_MAX_STORED = 1200  # of a text, in the ASCII that JSON makes of it: a state has 16 KiB in all
_MAX_STORED_FINDINGS = 6000  # verdicts, where there are any, included
_MAX_STORED_VERDICTS = 4000
_MAX_NAME = 100  # of a lens and a verifier
ATTEMPTS = "attempts"
CUT = "…"


class Event(Struct, frozen=True):
    """One thing that happened, before it has an object id.

    `fields` are the event's own values, already typed (`Claim`, `Proposal`, tuples of `Finding`,
    text …); core/codec.py turns them into JSON and back.
    """

    name: str
    at: datetime
    actor: str
    fields: Mapping[str, Any] = field(default_factory=dict)


Rule = Callable[[TaskState, Event], State]


def _released(state: TaskState, event: Event) -> State:
    """Back to pending, or to rework if anything was handed in or saved."""
    kept = state.proposal or state.salvaged or event.fields.get("salvaged")
    return State.REWORK if kept else State.PENDING


def _taken_over(state: TaskState, event: Event) -> State:
    """A claimed task may be claimed again only after its lease expired."""
    if state.claim is not None and event.at < state.claim.expires_at:
        raise IllegalEvent(f"held by {state.claim.holder} until {state.claim.expires_at.isoformat()}")
    return State.CLAIMED


def _blocked(state: TaskState, event: Event) -> State:
    """The holder blocks with its own code; anyone blocks with `attempts` once the lease expired."""
    if event.fields.get("code") == ATTEMPTS:
        _taken_over(state, event)
    else:
        _require_fence(state, event)
    return State.BLOCKED


def _out_of_attempts(_: TaskState, event: Event) -> State:
    if event.fields.get("code") != ATTEMPTS:
        raise IllegalEvent("a task in rework is blocked only when its attempts are used up")
    return State.BLOCKED


# `usage` is legal in every state: what an agent has used is known once it has ended, and it may have handed in by then.
S = State
TABLE: dict[State, dict[str, State | Rule]] = {
    S.PENDING: {"claim": S.CLAIMED, "revised": S.PENDING, "accept": S.PENDING, "cancel": S.CANCELLED},
    S.CLAIMED: {
        "progress": S.CLAIMED,
        "renew": S.CLAIMED,
        "revised": S.CLAIMED,
        "done": S.PROPOSED,
        "block": _blocked,
        "release": _released,
        "claim": _taken_over,
        "cancel": S.CANCELLED,
    },
    S.PROPOSED: {
        "verdict": S.PROPOSED,
        "uphold": S.VERIFIED,
        "accept": S.VERIFIED,
        "refute": S.REWORK,
        "reject": S.REWORK,
        "eject": S.REWORK,
        "withdraw": S.REWORK,
        "cancel": S.CANCELLED,
    },
    S.VERIFIED: {
        "integrate": S.INTEGRATED,
        "reverify": S.PROPOSED,
        "refute": S.REWORK,
        "reject": S.REWORK,
        "eject": S.REWORK,
        "withdraw": S.REWORK,
        "park": S.PARKED,
        "cancel": S.CANCELLED,
    },
    S.PARKED: {"accept": S.VERIFIED, "reject": S.REWORK, "cancel": S.CANCELLED},
    S.REWORK: {
        "claim": S.CLAIMED,
        "block": _out_of_attempts,
        "shelve": S.PENDING,
        "revised": S.REWORK,
        "cancel": S.CANCELLED,
    },
    S.BLOCKED: {"unblock": S.REWORK, "shelve": S.PENDING, "cancel": S.CANCELLED},
    S.INTEGRATED: {"revert": S.REVERTED},
    S.REVERTED: {"reopen": S.PENDING},
    S.CANCELLED: {"reopen": S.PENDING},
}

for _state, _row in TABLE.items():
    _row["usage"] = _state

HOLDER_EVENTS = frozenset({"progress", "renew", "usage", "done", "release", "withdraw"})
"""Events that only the holder of the latest claim may write; they carry its fence. (`block` too,
unless its code is `attempts`.)"""

COMMANDS = frozenset(
    {
        "claim", "progress", "renew", "done", "block", "release", "withdraw", "unblock", "shelve", "accept",
        "reject", "integrate", "cancel", "reopen",
    }
)  # fmt: skip
"""Events that somebody can bring about by the command of that name."""


def next_state(state: TaskState, event: Event) -> State:
    """The state after `event`. Raises IllegalEvent or StaleClaim; changes nothing.

    An `integrate` event marked `completing` is legal from any state: main already contains the
    commit, and main is the commit point (DESIGN section 3).
    """
    if event.name == "integrate" and event.fields.get("completing"):
        return State.INTEGRATED
    entry = TABLE[state.state].get(event.name)
    if entry is None:
        rules = TABLE[state.state].items()
        allowed = ", ".join(
            sorted(name for name, rule in rules if name in COMMANDS and rule is not _out_of_attempts)
        )
        possible = f" (possible: {allowed})" if allowed else ""
        raise IllegalEvent(f"{event.name} is not possible while the task is {state.state.phrase}{possible}")
    if event.name in HOLDER_EVENTS:
        _require_fence(state, event)
    return entry if isinstance(entry, State) else entry(state, event)


def _require_fence(state: TaskState, event: Event) -> None:
    claim = state.claim
    if claim is None or claim.fence is None or event.fields.get("fence") != claim.fence:
        by = f" by {claim.holder} at {claim.acquired_at.isoformat()}" if claim else ""
        raise StaleClaim(f"{event.name}: this claim has ended; the task was taken over{by}")


def after(state: TaskState, event: Event) -> TaskState:
    """The whole state after `event`: the table's next state, and what the event carries."""
    moved = replace(state, state=next_state(state, event))
    effect = _EFFECTS.get(event.name)
    return effect(moved, event.fields) if effect else moved


Fields = Mapping[str, Any]


def _claim(state: TaskState, fields: Fields) -> TaskState:
    claim: Claim = fields["claim"]
    return replace(state, claim=claim, attempt=claim.attempt, code="", reason="", summary="", **_kept(fields))


def _kept(fields: Fields) -> dict[str, Any]:
    """What an event says about saved work."""
    return {key: fields[key] for key in ("salvages", "salvaged") if key in fields}


def _renewed(state: TaskState, fields: Fields) -> TaskState:
    claim = state.claim
    if claim is not None and "expires_at" in fields:
        claim = replace(claim, expires_at=fields["expires_at"])
    summary = cut(fields.get("status") or state.summary)
    usage = state.usage + fields.get("usage", Usage())
    return replace(state, claim=claim, summary=summary, usage=usage)


def _done(state: TaskState, fields: Fields) -> TaskState:
    proposal: Proposal = fields["proposal"]
    usage = state.usage + fields.get("usage", Usage())
    summary = cut(fields.get("summary") or state.summary)
    return replace(
        state,
        proposal=replace(proposal, message=cut(proposal.message)),
        salvaged=None,  # the proposal is newer than what was saved
        verdicts=(),
        findings=(),
        conflict=False,
        summary=summary,
        usage=usage,
    )


def _block(state: TaskState, fields: Fields) -> TaskState:
    return replace(state, code=cut(fields["code"]), reason=cut(fields.get("reason", "")), **_kept(fields))


def _verdict(state: TaskState, fields: Fields) -> TaskState:
    """One verdict for each lens: a later one takes the place of the earlier, with what that found.

    What an upholding one found, and what is outside the task, is not for its worker: it stays in the event.
    """
    given: Verdict = fields["verdict"]
    verdict = replace(given, lens=cut(given.lens, _MAX_NAME), verifier=cut(given.verifier, _MAX_NAME))
    replaced = {v.source for v in state.verdicts if v.lens == verdict.lens}
    verdicts = (*(v for v in state.verdicts if v.lens != verdict.lens), verdict)
    while _stored_verdicts(verdicts) > _MAX_STORED_VERDICTS:
        verdicts = verdicts[1:]
    kept = tuple(found for found in state.findings if found.source not in replaced)
    findings: tuple[Finding, ...] = fields.get("findings", ()) if verdict.verdict != "upheld" else ()
    inside = tuple(found for found in findings if not found.outside)
    now = replace(state, verdicts=verdicts, findings=kept)
    return replace(now, findings=_findings(now, {"findings": inside or findings}))


def _stored_verdicts(verdicts: tuple[Verdict, ...]) -> int:
    """How many bytes verdicts take in an event: their texts, two object ids each, and the keys."""
    return sum(_stored(verdict.lens + verdict.verifier) + 224 for verdict in verdicts)


def _reverify(state: TaskState, _: Fields) -> TaskState:
    """Asked anew: what was said of it on an older main counts no more."""
    return replace(state, verdicts=(), findings=())


def _back(state: TaskState, fields: Fields) -> TaskState:
    """Back to rework, with what was found."""
    return replace(
        state,
        findings=_findings(state, fields),
        reason=cut(fields.get("reason", "")),
        conflict=fields.get("reason") == "conflict",
    )


def _accept(state: TaskState, _: Fields) -> TaskState:
    """Lifts a hold on a pending task; of a proposal it remembers that it need not be parked again."""
    if state.state is State.PENDING:
        return replace(state, lifted=True)
    return replace(state, unparked=state.proposal.number if state.proposal else 0, reason="")


def _findings(state: TaskState, fields: Fields) -> tuple[Finding, ...]:
    new: tuple[Finding, ...] = fields.get("findings", ())
    short = (
        replace(
            found, text=cut(found.text), source=cut(found.source), path=cut(found.path),
            label=cut(found.label, _MAX_NAME),
        )
        for found in new
    )  # fmt: skip
    kept = (*state.findings, *short)[-MAX_FINDINGS:]
    room = _MAX_STORED_FINDINGS - _stored_verdicts(state.verdicts)
    while sum(map(_size, kept)) > room:
        kept = kept[1:]  # the newest tell what to do now
    return kept


def _size(found: Finding) -> int:
    return _stored(found.text + found.source + found.path + found.label)


def _saved(state: TaskState, fields: Fields) -> TaskState:
    return replace(state, code="", reason="", **_kept(fields))


def _unblock(state: TaskState, _: Fields) -> TaskState:
    return replace(state, code="", reason="", forgiven=state.attempt)


def _landed(state: TaskState, fields: Fields) -> TaskState:
    return replace(state, landed=fields.get("commit"), conflict=False, **_kept(fields))


def _reopened(state: TaskState, _: Fields) -> TaskState:
    """As new, but attempts go on counting (branch names must not repeat) and kept work is kept."""
    return replace(
        TaskState(), attempt=state.attempt, forgiven=state.attempt, usage=state.usage,
        salvages=state.salvages, salvaged=state.salvaged, proposal=state.proposal,
    )  # fmt: skip


_EFFECTS: dict[str, Callable[[TaskState, Fields], TaskState]] = {
    "claim": _claim,
    "progress": _renewed,
    "renew": _renewed,
    "usage": lambda state, fields: replace(state, usage=state.usage + fields["usage"]),
    "done": _done,
    "block": _block,
    "release": _saved,
    "verdict": _verdict,
    "reverify": _reverify,
    "refute": _back,
    "reject": _back,
    "eject": _back,
    "withdraw": _back,
    "accept": _accept,
    "park": lambda state, fields: replace(state, reason=cut(fields.get("reason", ""))),
    "unblock": _unblock,
    "shelve": _saved,
    "cancel": lambda state, fields: replace(state, reason=cut(fields.get("reason", "")), **_kept(fields)),
    "integrate": _landed,
    "revert": lambda state, _: replace(state, landed=None),
    "reopen": _reopened,
}


def cut(text: str, characters: int = MAX_TEXT) -> str:
    """Short enough for a state, its end marked by CUT where it was longer; whole it is in the event (a
    proposal's message in the proposal)."""
    most = _MAX_STORED * characters // MAX_TEXT
    short = text[: characters - 1]
    if len(text) <= characters and _stored(text) <= most:
        return text
    while _stored(short) > most:
        short = short[: -max(1, len(short) // 10)]
    return short + CUT


def _stored(text: str) -> int:
    """How many bytes `text` takes in an event."""
    return len(json.dumps(text))


P = PlanState
PLAN_TABLE: dict[PlanState, dict[str, PlanState]] = {
    P.DRAFT: {
        "approving": P.APPROVING,
        "close": P.CLOSED,
    },  # no task of it can be claimed: nothing to wait for
    P.APPROVING: {"approving": P.APPROVING, "approve": P.OPEN, "draft": P.DRAFT},
    P.OPEN: {"approving": P.APPROVING, "pause": P.PAUSED, "closing": P.CLOSING},
    P.PAUSED: {"approving": P.APPROVING, "resume": P.OPEN, "closing": P.CLOSING},
    P.CLOSING: {"closing": P.CLOSING, "reopen-plan": P.OPEN, "close": P.CLOSED},
    P.CLOSED: {},
}


def after_plan(log: PlanLog, event: Event) -> PlanLog:
    """The plan's state after `event`. Raises IllegalEvent.

    `approve` and `reopen-plan` go back to paused where the event says `paused`: a paused plan
    stays paused.
    """
    target = PLAN_TABLE[log.state].get(event.name)
    if target is None:
        raise IllegalEvent(f"{event.name} is not possible while the plan is {log.state}")
    if event.fields.get("paused") and target is P.OPEN:
        target = P.PAUSED
    revision: Oid | None = event.fields.get("revision", log.revision)
    incoming: Oid | None = event.fields.get("incoming") if target is P.APPROVING else None
    return PlanLog(target, revision, incoming, cut(event.fields.get("reason", "")))
