"""The claim protocol holds in every interleaving of small worlds, and needs each of its rules."""

from __future__ import annotations

import pytest

from tests.races.claim_model import LISTING, RULES, World, explore

SMALL = [
    ("approved", "claim a, claim x"),
    ("approved", "claim a, claim x, claim x"),
    ("none", "claim a, claim x, approve Q"),
    ("approved", "claim a, claim x, close Q"),
    ("approved", "claim a, take a, claim x"),
    ("approved", "claim x, take x, close Q"),
    ("approved", "claim a, claim x, free a, free x"),
    ("approved", "claim a, claim x, fail a, shelve a"),
    ("none", "claim a, claim x, free a, approve Q"),
    ("approved", "claim a, claim x, free x, close Q"),
]
LARGE = [
    ("none", "claim a, claim x, claim x, approve Q"),
    ("approved", "claim a, claim x, claim x, close Q"),
    ("approved", "claim a, take a, claim x, free a"),
]
LISTED = [
    ("approved", "claim a, claim x"),
    ("approved", "claim a, claim x, close Q"),
    pytest.param("none", "claim a, claim x, approve Q", marks=pytest.mark.slow),
]
BREAKS_LISTED = {
    "guard known": ("approved", "claim x, take a, claim a"),
    "plan known": ("none", "claim a, claim x, approve Q"),
    "plan again": ("none", "claim a, claim x, approve Q"),
}
BREAKS = {
    "helping": ("approved", "claim a, claim x, claim x"),
    "rereading": ("none", "claim a, claim x, approve Q"),
    "approving": ("none", "claim a, claim x, approve Q"),
    "revised": ("none", "claim a, claim x, approve Q"),
    "guard-first": ("approved", "claim a, claim x, claim x"),
    "closing": ("approved", "claim a, claim x, close Q"),
}


def _world(
    plan: str,
    kinds: str,
    *,
    crash: bool = False,
    without: tuple[str, ...] = (),
    tries: int = 3,
    lists: bool = False,
) -> World:
    return World(plan, tuple(kinds.split(", ")), crash, without, tries, lists)


@pytest.mark.parametrize(("plan", "kinds"), SMALL)
def test_overlapping_tasks_are_never_both_active_whoever_dies_when(plan: str, kinds: str) -> None:
    found = explore(_world(plan, kinds, crash=True, tries=1))
    assert found.holds, found.broken


@pytest.mark.slow
@pytest.mark.parametrize(("plan", "kinds"), LARGE)
def test_overlapping_tasks_are_never_both_active_with_more_processes(plan: str, kinds: str) -> None:
    found = explore(_world(plan, kinds, crash=True, tries=1))
    assert found.holds, found.broken


@pytest.mark.parametrize("rule", RULES)
def test_without_any_one_rule_the_protocol_breaks(rule: str) -> None:
    plan, kinds = BREAKS[rule]
    for crash in (False, True):
        found = explore(_world(plan, kinds, crash=crash, without=(rule,)))
        if not found.holds:
            return
    pytest.fail(f"{rule} is not needed in {kinds}")


@pytest.mark.parametrize(("plan", "kinds"), LISTED)
def test_the_same_holds_of_claims_that_read_a_servers_listing(plan: str, kinds: str) -> None:
    found = explore(_world(plan, kinds, tries=1, lists=True))
    assert found.holds, found.broken


@pytest.mark.slow
@pytest.mark.parametrize("rule", LISTING)
def test_without_any_one_rule_a_listing_misleads(rule: str) -> None:
    plan, kinds = BREAKS_LISTED[rule]
    assert not explore(_world(plan, kinds, tries=1, lists=True, without=(rule,))).holds
