"""What follows from the verdicts on a proposal: uphold it, refute it, or wait (DESIGN section 9).

Each lens is one question, and answered once: by the verifier that is configured for it, or by a person.
`policy.verdicts` says how many lenses must uphold, `policy.require` names some that must be among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from git_fleet.core.config import Config, Policy
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Ruling, State, TaskState, Verdict


class Decision(StrEnum):
    """What the verdicts so far make of a proposal."""

    UPHOLD = "uphold"
    REFUTE = "refute"
    WAIT = "wait"


def needed(policy: Policy) -> int:
    """How many lenses must uphold a proposal before it may land; 0 where nothing is waited for."""
    return max(policy.verdicts, len(set(policy.require)))


def lenses_of(config: Config) -> tuple[str, ...]:
    """The lenses under which every proposal is to be looked at, each once: those of the configured
    verifiers, then required ones that only a person can answer for."""
    return tuple(dict.fromkeys([*(verifier.lens for verifier in config.verifiers), *config.policy.require]))


def decide(verdicts: Iterable[Verdict], policy: Policy, lenses: Iterable[str]) -> Decision:
    """What `verdicts`, all on one proposal and one for each lens, make of it. `lenses` are to be heard.

    The policy asks for some: once all have been heard, uphold when enough do and every required one does,
    else refute; refute before that when it can no longer come about. Where it asks for more lenses than
    there are, the others are a person's, and are waited for. The policy asks for none: a single one that
    does not uphold refutes, and it is upheld when all do.
    """
    upheld = {verdict.lens: verdict.verdict == Ruling.UPHELD for verdict in verdicts}
    expected = {*lenses, *policy.require}
    if not needed(policy):
        if not all(upheld.values()):
            return Decision.REFUTE
        return Decision.UPHOLD if upheld and expected <= upheld.keys() else Decision.WAIT
    others = upheld.keys() - expected
    to_come = len(expected - upheld.keys()) + max(0, needed(policy) - len(expected) - len(others))
    if not all(upheld.get(lens, True) for lens in policy.require):
        return Decision.REFUTE
    if sum(upheld.values()) + to_come < needed(policy):
        return Decision.REFUTE
    return Decision.WAIT if to_come else Decision.UPHOLD


def counting(state: TaskState) -> tuple[Verdict, ...]:
    """The verdicts on the task's latest proposal; others count for nothing."""
    proposal = state.proposal
    if proposal is None:
        return ()
    return tuple(
        verdict
        for verdict in state.verdicts
        if verdict.proposal == proposal.number and verdict.oid in (None, proposal.oid)
    )


def by_hand(verdict: Verdict) -> bool:
    """Whether a verdict is a person's (or an agent's who may give one), not a configured verifier's."""
    return not verdict.verifier.startswith("verifier:")


def decision(state: TaskState, config: Config) -> Decision:
    """What the verdicts on the task's latest proposal make of it under this configuration."""
    return decide(counting(state), config.policy, lenses_of(config))


def missing(state: TaskState, config: Config) -> tuple[str, ...]:
    """The lenses that have not been heard on the task's latest proposal."""
    heard = {verdict.lens for verdict in counting(state)}
    return tuple(lens for lens in lenses_of(config) if lens not in heard)


def persons_command(task: TaskId, state: TaskState, config: Config, verdict: str = "upheld") -> str:
    """What a person types to answer for the next lens that waits for one. Of some policies any lens will do."""
    asked = {verifier.lens for verifier in config.verifiers}
    lenses = sorted(missing(state, config), key=lambda lens: lens in asked)
    return f"git fleet verdict {task} --lens {lenses[0] if lenses else 'LENS'} --{verdict}"


def to_ask(state: TaskState, config: Config) -> bool:
    """Whether `git fleet verify` has something to do for a proposal: a verifier to ask, or the conclusion to
    draw that a killed one has left."""
    unheard = {*missing(state, config)}
    return decision(state, config) is not Decision.WAIT or any(
        verifier.lens in unheard for verifier in config.verifiers
    )


def why_not(state: TaskState, config: Config) -> str:
    """Why a task that is handed in may not land as far as verdicts go, "" when it may.

    One whose verdicts are all there, and whose log does not draw the conclusion yet, was left so by a
    `verify` that was killed; the next one draws it.
    """
    if state.state is not State.PROPOSED:
        return ""
    said = decision(state, config)
    if said is Decision.REFUTE:
        against = [verdict.lens for verdict in counting(state) if verdict.verdict != Ruling.UPHELD]
        return f"it is not upheld ({', '.join(against)}); git fleet verify takes it back"
    if not needed(config.policy):
        return ""
    if said is Decision.UPHOLD:
        return "it is upheld, which git fleet verify has yet to record"
    lenses = ", ".join(missing(state, config)) or "a person's"
    return f"it waits for verdicts ({lenses})"
