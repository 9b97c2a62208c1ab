"""What an agent has used, told while its proposal is verified and integrated: counted once, and in nobody's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_fleet.app import integrate, verify, work
from git_fleet.core.model import State, Usage
from tests.support.clock import FakeClock
from tests.support.fleet import approved, open_fleet, task
from tests.support.race import race, values
from tests.support.repo import Repo
from tests.support.verifiers import UPHELD, configured, handed, says
from tests.support.worlds import assert_logs_are_legal, assert_sound

TELLERS = 2
EACH = Usage(100, 10, 0.25)


def _work(number: int, place: Path, clock: FakeClock, claim: dict[str, str], times: int) -> None:
    """One verifies and then integrates, the others tell what the claim has used, again and again."""
    if number:
        with open_fleet(place, "w1", clock, env=claim) as session:
            for _ in range(times):
                work.use(session, "p/a", EACH)
        return
    with open_fleet(place, "lead", clock) as session:
        verified = verify.verify(session, verify.Asked(("p",)), lambda _: None)
        assert [one.state for one in verified.tasks] == [State.VERIFIED], verified
        landed = integrate.integrate(session, integrate.Order(("p",)), lambda _: None)
        assert [str(one.id) for one in landed.integrated] == ["p/a"], landed


@pytest.mark.parametrize("times", [1, 4, 8, 16])
def test_what_was_used_counts_once_though_it_is_verified_and_integrated_meanwhile(
    repo: Repo, clock: FakeClock, times: int
) -> None:
    configured(repo, {"truth": says(UPHELD)}, verdicts=1)
    session = open_fleet(repo, "person", clock)
    approved(session, task("a"))
    handed(repo)
    record = session.snapshot().resolve("p/a")
    assert record.state.claim is not None
    claim = {"FLEET_PLAN": "p", "FLEET_TASK": "a", "FLEET_FENCE": str(record.state.claim.fence)}
    values(race(1 + TELLERS, _work, repo.path, clock, claim, times))
    now = session.snapshot().resolve("p/a").state
    told = TELLERS * times
    assert now.state is State.INTEGRATED
    assert now.usage == Usage(told * EACH.input_tokens, told * EACH.output_tokens, told * EACH.cost_usd)
    assert repo.run_git("log", "--format=%(trailers:key=Fleet-Task,valueonly)", "main").split() == ["a"]
    assert_logs_are_legal(session)
    assert_sound(repo)
