"""What a forge's checks say, as outcomes of gates."""

from __future__ import annotations

from typing import Any

import pytest

from git_fleet.core.pulls import Outcome, checks


def ran(name: str, conclusion: str = "SUCCESS", status: str = "COMPLETED", at: str = "") -> dict[str, Any]:
    return {
        "__typename": "CheckRun",
        "name": name,
        "status": status,
        "conclusion": conclusion,
        "startedAt": at,
    }


@pytest.mark.parametrize(
    ("conclusion", "outcome"),
    [("SUCCESS", "pass"), ("NEUTRAL", "pass"), ("SKIPPED", "pass"), ("FAILURE", "fail"), ("TIMED_OUT", "fail"),
     ("CANCELLED", "error"), ("ACTION_REQUIRED", "error"), ("STALE", "error"), ("", "error")],
)  # fmt: skip
def test_only_what_has_failed_speaks_about_the_proposal(conclusion: str, outcome: str) -> None:
    (check,) = checks([ran("t", conclusion)])
    assert str(check.outcome) == outcome
    (check,) = checks([ran("t", conclusion, status="IN_PROGRESS")])
    assert check.outcome is Outcome.PENDING


def test_of_several_runs_of_one_check_the_last_counts() -> None:
    found = checks([ran("t", "SUCCESS", at="2026-01-02"), ran("t", "FAILURE", at="2026-01-01"), ran("u")])
    assert [(it.name, str(it.outcome)) for it in found] == [("t", "pass"), ("u", "pass")]


def test_an_old_gh_gives_every_key_of_both_kinds() -> None:
    both = {"__typename": "", "name": "", "context": "lint", "state": "ERROR", "status": "", "conclusion": ""}
    (check,) = checks([both])
    assert (check.name, check.outcome) == ("lint", Outcome.ERROR)
    assert checks(None) == ()
