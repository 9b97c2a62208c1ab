from __future__ import annotations

from datetime import timedelta

import pytest

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.results import (
    Ejected,
    Integration,
    Landed,
    LeadView,
    Skipped,
)
from git_fleet.views import landing, machine
from git_fleet.views.look import PLAIN, Look
from tests.support.clock import START
from tests.support.documents import validate
from tests.views.values import EVIL, OID

ONE, TWO, THREE, FOUR = (TaskId("app", name) for name in "1234")
NEW = Oid("ab" * 20)
INTEGRATION = Integration(
    OID,
    NEW,
    (Landed(ONE, NEW, OID), Landed(TWO, None, None)),
    (Ejected(THREE, "gate", ("a b.py",), "gate tests: exit code 1\nFAILED test_x"),),
    (Skipped(FOUR, "it needs app/3 first"),),
    2,
    ("main has a commit that no integration made",),
)


def test_an_integration_is_told_task_by_task() -> None:
    assert landing.integration(INTEGRATION, PLAIN, dry_run=False) == (
        "✓ app/1 is integrated  ababababab\n"
        "✓ app/2 is integrated  without a commit\n"
        "✗ app/3 goes back to rework (gate): a b.py\n"
        "    gate tests: exit code 1\n"
        "    FAILED test_x\n"
        "- app/4 is left: it needs app/3 first\n"
        "main moved 1234567890 → ababababab: 2 integrated, 1 back to rework, 2 gates run\n"
        "warning: main has a commit that no integration made"
    )


def test_a_rehearsal_says_would() -> None:
    shown = landing.integration(INTEGRATION, PLAIN, dry_run=True)
    assert "app/1 would be integrated" in shown
    assert "app/3 would go back to rework" in shown
    assert "main would be 1234567890 → ababababab" in shown


def test_nothing_handed_in_is_said() -> None:
    assert (
        landing.integration(Integration(OID, OID, (), (), (), 0), PLAIN, dry_run=False)
        == "nothing is handed in"
    )


def test_the_lead_is_named_with_its_place() -> None:
    value = LeadView("Ann", "/repo/.git", START, START + timedelta(hours=1), mine=False, intent_open=True)
    assert landing.lead(value, PLAIN) == (
        "Ann leads from /repo/.git, until 2026-01-01 13:00:00 UTC\n"
        "note: an integration was interrupted; git fleet integrate goes on"
    )
    for by_hand, run, by in (
        (True, None, ""),
        (False, 7, " by a run (process 7)"),
        (True, 0, " by a run (process unknown) and by hand"),
        (False, None, ", left by a run that was killed (git fleet lead release)"),
    ):
        value = LeadView("Ann", "/repo/.git", START, None, True, False, by_hand, run)
        assert landing.lead(value, PLAIN) == f"Ann leads from this worktree{by}"
        validate({"v": 1, **machine.lead(value)}, "lead")
    assert landing.lead(LeadView("", "", None, None, False, False), PLAIN).startswith("nobody leads")


@pytest.mark.parametrize("look", [PLAIN, Look(width=60)])
def test_no_text_of_others_steers_the_terminal(look: Look) -> None:
    value = Integration(OID, NEW, (), (Ejected(ONE, EVIL, (EVIL,), EVIL),), (Skipped(TWO, EVIL),), 0, (EVIL,))
    shown = [
        landing.integration(value, look, dry_run=False),
        landing.lead(LeadView(EVIL, EVIL, START, START, False, False), look),
    ]
    for view in shown:
        assert all(part.isprintable() for part in view.split("\n")), view


def test_every_document_is_what_its_schema_says() -> None:
    validate({"v": 1, **machine.integrate(INTEGRATION, dry_run=False)}, "integrate")
    validate({"v": 1, **machine.lead(LeadView("", "", None, None, False, False))}, "lead")
