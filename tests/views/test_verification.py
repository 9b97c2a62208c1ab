"""Verdicts as text: untrusted, aligned, and nothing lost."""

from __future__ import annotations

from datetime import UTC, datetime

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Finding, State
from git_fleet.core.results import Given, Skipped, Verification, Verified
from git_fleet.views.look import PLAIN, Look
from git_fleet.views.verification import document, verification
from tests.support.documents import validate

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OID = Oid("a" * 40)
EVIL = "wrong\x1b[2J\nsecond line\u202e"


def given(lens: str, verdict: str, *findings: Finding, summary: str = "") -> Given:
    return Given(lens, "verifier:v", verdict, NOW, 1, OID, findings, summary, OID)


VALUE = Verification(
    (
        Verified(
            TaskId("p", "a"), "Do a", State.REWORK, 1, OID,
            (given("docs", "upheld", summary="Reads well.\nReally."), given("security", "refuted", Finding(EVIL, "s", "a/x"))),
            ("legal",), "verdict",
        ),
        Verified(TaskId("p", "b"), "Do b", State.REWORK, 2, OID, (), ("docs",), "gate", "gate g: exit code 1\nred"),
        Verified(TaskId("p", "c"), "Do c", State.VERIFIED, 1, None, (given("docs", "upheld", Finding("nit", "s", label="style")),), ()),
        Verified(TaskId("p", "d"), "Do d", State.PROPOSED, 1, OID, (), ("legal",)),
    ),
    (Skipped(TaskId("p", "e"), "it is claimed"),),
)  # fmt: skip


def test_a_row_for_each_lens_and_below_it_what_was_found() -> None:
    assert verification(VALUE, PLAIN).split("\n") == [
        "TASK  LENS      VERDICT  BY          WHAT",
        "p/a   docs      upheld   verifier:v  Reads well.",
        "p/a   security  refuted  verifier:v  1 finding",
        "p/c   docs      upheld   verifier:v  1 finding",
        "p/d   legal     waits",
        "✗ p/a goes back to rework (verdict)",
        "    security: a/x: wrong\\x1b[2J",
        "      second line\\u202e",
        "✗ p/b goes back to rework (gate)",
        "    gate g: exit code 1",
        "    red",
        "✓ p/c is verified",
        "    docs: nit [style]",
        "- p/d waits for more verdicts",
        "- p/e is left: it is claimed",
    ]


def test_what_no_verifier_was_asked_about_has_no_table() -> None:
    shown = verification(Verification(VALUE.tasks[1:2], ()), PLAIN)
    assert shown.split("\n")[0] == "✗ p/b goes back to rework (gate)"


def test_colours_are_for_those_who_see_them() -> None:
    assert "\x1b[31mrefuted\x1b[0m" in verification(VALUE, Look(0, colour=True))


def test_nothing_is_said_of_nothing() -> None:
    assert verification(Verification((), ()), PLAIN) == "nothing is handed in"


def test_the_document_is_what_its_schema_says() -> None:
    validate({"v": 1, **document(VALUE)}, "verify")
