"""Looking over everything that should hold, and putting right what can be put right safely.

Looking writes nothing. With `fix`, each finding's own repair runs right after its check, so that the
checks after it see the repaired state; no repair destroys anything. What is merely worth knowing (a lease
that ran out, a commit by hand) is a note and keeps nobody from being healthy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from msgspec import Struct, field

from git_fleet.app.checks import claims, knowledge, landings, logs, machine, remote, setup, signed
from git_fleet.app.checks.finding import Check, Finding, SnapshotCheck
from git_fleet.app.session import Session
from git_fleet.core.results import Diagnosis, Problem
from git_fleet.errors import FleetError

ON_THE_REPOSITORY: tuple[Check, ...] = (
    setup.git_itself,
    setup.history_whole,
    setup.hooks,
    setup.wall,
    machine.lock_files,
    logs.task_logs,
    logs.plan_logs,
    logs.other_documents,
    knowledge.files,
    remote.offline_claims,
    remote.untold,
    remote.went_back,
    remote.refusals,
    remote.server_locks,
)
ON_THE_FLEET: tuple[SnapshotCheck, ...] = (
    setup.configuration,
    claims.guard_helped,
    landings.intent,
    claims.plans_between,
    claims.closed_plans,
    claims.kept_work,
    claims.overlaps,
    claims.leases,
    landings.proposals,
    landings.integrated,
    landings.foreign_commits,
    machine.open_file,
    machine.task_worktrees,
    machine.missing_worktrees,
)
AT_LAST: tuple[Check, ...] = (machine.left_slots,)
"""After the worktrees: forgetting one gives its slot back."""


class _Round(Struct):
    """What has been found so far."""

    fix: bool
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    def take(self, check: Callable[[], Iterator[Finding]]) -> None:
        """Run one check and, where wanted, the repairs it brings."""
        try:
            found = list(check())
        except (FleetError, OSError) as error:
            if any(str(error) in problem.text for problem in self.problems):
                return  # what stops several checks is one problem
            hint = error.hint if isinstance(error, FleetError) else ""
            found = [Finding("check-failed", str(error), hint or "git fsck")]
        for finding in found:
            problem = Problem(finding.code, finding.text, finding.fix)
            if finding.note:
                self.notes.append(problem)
            else:
                self.problems.append(self._repaired(problem, finding) if self.fix else problem)

    def _repaired(self, problem: Problem, finding: Finding) -> Problem:
        if finding.repair is None:
            return problem
        try:
            finding.repair()
        except (FleetError, OSError) as error:
            return Problem(problem.code, f"{problem.text}; it could not be repaired: {error}", problem.fix)
        return Problem(problem.code, problem.text, problem.fix, fixed=True)


def probe(session: Session, name: str) -> Diagnosis:
    """What the server of the remote `name` ("": the one that fleet.toml names) lacks of what is needed for it to
    decide. Raises InvalidInput when there is no such remote."""
    found = _Round(False)
    found.take(partial(remote.probe, session, remote.named(session, name)))
    return Diagnosis(not found.problems, tuple(found.problems), tuple(found.notes))


def doctor(session: Session, *, fix: bool, signatures: bool = False) -> Diagnosis:
    """Everything that is wrong, and what helps; with `fix`, what can be is put right. With `signatures` every
    event's is looked at, too: that takes some ms each.

    A check that cannot be made is a problem, never an exception.
    """
    found = _Round(fix)
    found.take(partial(remote.reached, session))
    for check in (*ON_THE_REPOSITORY, *([signed.signatures] if signatures else [])):
        found.take(partial(check, session))
    _look_at_the_fleet(session, found)
    for check in AT_LAST:
        found.take(partial(check, session))
    ok = all(problem.fixed for problem in found.problems)
    return Diagnosis(ok, tuple(found.problems), tuple(found.notes))


def _look_at_the_fleet(session: Session, found: _Round) -> None:
    """The checks that need the whole fleet read; when that is impossible, the logs' checks said why."""
    for check in ON_THE_FLEET:
        try:
            snapshot = session.snapshot()  # again each time: a repair may have changed it
        except FleetError as error:
            if not found.problems:
                found.problems.append(Problem("unreadable", error.message, error.hint))
            return
        found.take(partial(check, session, snapshot))
