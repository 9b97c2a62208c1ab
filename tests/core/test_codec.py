"""Events and states as canonical JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core import codec
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import (
    Claim,
    Finding,
    LeadState,
    Output,
    Overlap,
    Plan,
    PlanLog,
    PlanState,
    Proposal,
    Schedule,
    State,
    Task,
    TaskState,
    Usage,
    Verdict,
)
from git_fleet.errors import UnknownFormat

OID = Oid("a" * 40)
TIMES = st.integers(0, 4 * 10**12).map(
    lambda milliseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
)
TEXT = st.text(max_size=20)
OIDS = st.sampled_from([OID, Oid("b" * 64)])

STATES = st.builds(
    TaskState,
    state=st.sampled_from(State),
    attempt=st.integers(0, 9),
    claim=st.none() | st.builds(Claim, TEXT, OIDS, TIMES, TIMES, st.integers(1, 9), TEXT, TEXT, TEXT, OIDS),
    proposal=st.none() | st.builds(Proposal, st.integers(1, 9), OIDS, TEXT, st.none() | OIDS),
    verdicts=st.lists(
        st.builds(Verdict, TEXT, TEXT, TEXT, st.integers(1, 9), st.none() | OIDS, st.none() | OIDS),
        max_size=2,
    ).map(tuple),
    findings=st.lists(st.builds(Finding, TEXT, TEXT, TEXT, TEXT, st.booleans()), max_size=2).map(tuple),
    summary=TEXT,
    salvaged=st.none() | OIDS,
    usage=st.builds(Usage, st.integers(0, 9), st.integers(0, 9), st.just(0.25)),
)


@given(STATES)
def test_a_task_state_survives_the_way_through_json(state: TaskState) -> None:
    line = codec.canonical({"v": 1, **codec.encode(state)})
    document = codec.parse_document(line, "test")
    del document["v"]
    assert codec.decode_task_state(document, OID) == state


@given(STATES | st.builds(TaskState, summary=st.just("a\udcff.py")))
def test_an_event_gives_its_state_however_it_is_read(state: TaskState) -> None:
    line = codec.canonical({"v": 1, "event": "claim", "holder": ["x"], "state": codec.encode(state)}).encode()
    assert codec.read_task_state(line, OID, "test") == codec.decode_task_state(codec.encode(state), OID)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            b'{"state":{"mood":"bad"},"v":1}',
            "the state of event a{12} is not understood: Object contains unknown field `mood`",
        ),
        (b'{"state":{"usage":{"mood":"bad"}},"v":1}', "contains unknown field `mood` - at `..usage`"),
        (b'{"v":1}', "the state of event a{12} is not understood: Expected `object`"),
        (
            b'{"state":{"state":"odd"},"v":1}',
            "the state of event a{12} is not understood: Invalid enum value 'odd'",
        ),
        (
            b'{"state":{"claim":{}},"v":1}',
            "the state of event a{12} is not understood: Object missing required field",
        ),
        (
            b'{"state":{"claim":{"holder":"w","fence":null,"attempt":1,"acquired_at":"2026-01-01T00:00:00"}},"v":1}',
            "not understood: Expected `datetime` with a timezone component - at `..claim.acquired_at`",
        ),
        (rb'{"state":{"state":"\udcff"},"v":1}', "the state of event a{12} is not understood: "),
        (rb'{"state":{"\udcff":1},"v":1}', "the state of event a{12} is not understood: "),
        (b'{"state":{"attempt":"1"},"v":1}', "the state of event a{12} is not understood: Expected `int`"),
        (b'{"state":{},"v":2}', "event 7 has format version 2"),
        (b'{"state":{}', "event 7 is not a document"),
        (b"[" * 100_000, "event 7 is not a document"),
        (b"\xff", "event 7 is not a document"),
    ],
)
def test_an_event_whose_state_is_not_understood_says_why(line: bytes, said: str) -> None:
    with pytest.raises(UnknownFormat, match=said):
        codec.read_task_state(line, OID, "event 7")


PARTS = st.builds(Finding, TEXT, TEXT) | st.builds(Usage, st.integers(0, 9)) | TIMES | TEXT | st.booleans()


@given(
    STATES
    | PARTS
    | st.none()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.lists(PARTS)
    | st.dictionaries(TEXT, PARTS)
    | st.builds(PlanLog, st.sampled_from(PlanState), st.none() | OIDS)
    | st.builds(LeadState, TEXT, st.none() | OIDS, TEXT, TIMES)
)
def test_a_value_is_written_as_its_data_would_be(value: Any) -> None:
    data = {"it": value}
    plain = json.dumps(codec.encode(data), sort_keys=True, separators=(",", ":"))
    assert codec.canonical_object({"it": codec.canonical_value(value)}) == plain


@given(st.dictionaries(TEXT, TEXT))
def test_an_object_of_written_values_is_canonical(document: dict[str, str]) -> None:
    parts = {key: codec.canonical_value(value) for key, value in document.items()}
    assert codec.canonical_object(parts) == codec.canonical(document)


def test_a_claim_event_is_its_own_fence() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    state = TaskState(State.CLAIMED, 1, claim=Claim("w", None, now, now, 1))
    read = codec.decode_task_state(codec.encode(state), OID)
    assert read.claim is not None
    assert read.claim.fence == OID


def test_an_acquire_event_is_the_leads_fence_and_an_intent_event_its_intent() -> None:
    stored = codec.encode(LeadState("ann", None, "/r/.git"))
    assert codec.decode_lead_state(stored, "acquire", OID).fence == OID
    assert codec.decode_lead_state(stored, "intent", OID).intent == OID
    assert codec.decode_lead_state(stored, "renew", OID) == LeadState("ann", None, "/r/.git")


def test_plan_logs_survive() -> None:
    log = PlanLog(PlanState.APPROVING, OID, Oid("b" * 40), "why")
    assert codec.decode_plan_log(codec.encode(log), OID) == log


def test_a_parsed_plan_survives() -> None:
    task = Task(
        TaskId("p", "a"), "Do", "do", ("a/**",), ("b",), ("c",), ("l",), params=(("x", "y"),),
        output=Output.REPORT, overlap=Overlap.WATCH, group="a-{x}", hold=True,
    )  # fmt: skip
    plan = Plan("p", "P", "main", (task, Task(TaskId("p", "d"), "D", "d")), Schedule.WAVES)
    assert codec.decode_plan(codec.encode_plan(plan)) == plan


def test_times_are_utc_whatever_zone_they_came_from() -> None:
    east = datetime(2026, 1, 1, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert codec.format_time(east) == "2026-01-01T12:00:00.123Z"
    assert codec.parse_time("2026-01-01T12:00:00.123Z") == east.replace(microsecond=123000)


def test_a_time_without_a_zone_is_none() -> None:
    with pytest.raises(ValueError, match="says no zone"):
        codec.parse_time("2026-01-01T12:00:00.123")
    for name in ("acquired_at", "expires_at"):
        with pytest.raises(UnknownFormat, match=f"the {name} of an event is not understood"):
            codec.decode_fields({name: "2026-01-01T12:00:00.123"})


@pytest.mark.parametrize("line", ["", "no json", "[1]", '{"event":"x"}', '{"v":2,"event":"x"}', '{"v":"1"}'])
def test_a_document_of_another_version_or_none_at_all_is_refused(line: str) -> None:
    with pytest.raises(UnknownFormat, match="test"):
        codec.parse_document(line, "test")


def test_a_state_from_before_verdicts_were_bound_and_findings_labelled_is_read() -> None:
    stored = {
        "verdicts": [{"lens": "l", "verifier": "v", "verdict": "upheld", "proposal": 1}],
        "findings": [{"text": "t", "source": "s"}],
    }
    read = codec.decode_task_state(stored, OID)
    assert read.verdicts == (Verdict("l", "v", "upheld", 1),)
    assert read.findings == (Finding("t", "s"),)
    assert codec.encode(read) == stored  # and nobody notices that it was


def test_a_field_that_is_not_known_is_refused() -> None:
    with pytest.raises(UnknownFormat, match="mood"):
        codec.decode_task_state({"state": "pending", "mood": "bad"}, OID)
