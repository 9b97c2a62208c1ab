"""Every event of every log is signed by whoever it says it is by (`doctor --signatures`)."""

from __future__ import annotations

from collections.abc import Iterator

from git_fleet.app import trust
from git_fleet.app.checks import logs
from git_fleet.app.checks.finding import Finding
from git_fleet.app.session import Session
from git_fleet.store import names

_FIX = (
    "git fleet log TASK shows it; a person who trusts it says so: git fleet reject TASK, or hand it in anew"
)


def signatures(session: Session) -> Iterator[Finding]:
    """What is forged is a problem. What is unsigned is one where fleet.toml asks for signatures, else a note."""
    strict = session.config().policy.signed
    who = trust.required(session)
    tips = session.store.refs.read(names.TASK_LOGS, names.PLAN_LOGS, names.LEAD)
    for ref, chain in logs.chains(session.store, tips).items():
        name = ref.removeprefix(names.TASK_LOGS).removeprefix(names.FLEET)
        task = names.task_of_log(ref) if ref.startswith(names.TASK_LOGS) else None
        found = list(trust.doubts(session.store.objects, who, reversed(chain.entries), task))
        forged = [one for one in found if not one[1].endswith("not signed")]
        yield from (
            Finding("signature-forged", f"the log of {name}: {trust.told(*one)}", _FIX) for one in forged
        )
        bare = [one for one in found if one not in forged]
        if bare:
            more = f", and {len(bare) - 1} more" if len(bare) > 1 else ""
            text = f"the log of {name}: {trust.told(*bare[0])}{more}"
            yield Finding("signature-missing", text, "git config fleet.sign true", note=not strict)
