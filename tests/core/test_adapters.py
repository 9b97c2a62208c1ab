"""What the known agents print, read: short transcripts of the real programs in transcripts/, and what they may do
that nobody has recorded."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core.adapters import AGENTS, ANY, MAX_ANSWER, Hearing, adapter_named, adapter_of, heard
from git_fleet.core.config import Command
from git_fleet.core.dialects import MAX_WORDS
from git_fleet.core.model import Usage

TRANSCRIPTS = Path(__file__).parent / "transcripts"


def played(name: str) -> tuple[Hearing, list[bool]]:
    """A transcript heard to its end, and which of its lines were signs of life."""
    hearing = Hearing(adapter_named(name.partition("-")[0]))
    lines = (TRANSCRIPTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return hearing, [hearing.hear(line) for line in lines]


def told(agent: str, *events: dict[str, Any] | str) -> Hearing:
    """These lines heard of an agent."""
    hearing = Hearing(adapter_named(agent))
    for event in events:
        hearing.hear(event if isinstance(event, str) else json.dumps(event))
    return hearing


# --- what the real programs printed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("claude-ok", Usage(3000, 84, 0.0149)),  # 2000 and, apart, 600 from the cache and 400 into it
        ("codex-ok", Usage(2000, 84)),  # 600 of them from the cache
        ("gemini-ok", Usage(2000, 84)),  # 600 of them from the cache
        ("opencode-ok", Usage(2000, 84, 0.001568)),  # two steps of 700 and, apart, 300 from the cache
    ],
)
def test_two_answers_of_the_same_model_are_the_same_usage_whoever_counts_them(
    name: str, usage: Usage
) -> None:
    hearing, alive = played(name)
    assert hearing.usage == usage
    assert hearing.answer.strip() == "hello from mock"
    assert (hearing.failure, hearing.limited, hearing.spoke) == ("", False, True)
    assert all(alive)


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("claude-ok", "Bash: echo hi > new"),
        ("codex-ok", "/bin/bash -lc 'echo hi > new'"),
        ("gemini-ok", "run_shell_command: echo hi > new"),
        ("opencode-ok", "bash: echo hi > new"),
    ],
)
def test_it_is_told_what_an_agent_is_at(name: str, at: str) -> None:
    hearing, _ = played(name)
    assert hearing.last_words.splitlines()[-2:] == [at, "hello from mock"]


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("claude-limited", "API Error: Request rejected (429) · Too many requests, slow down"),
        ("codex-limited", "exceeded retry limit, last status: 429 Too Many Requests"),
    ],
)
def test_a_rate_limit_is_a_failure_that_may_go_better_later(name: str, failure: str) -> None:
    hearing, _ = played(name)
    assert (hearing.failure, hearing.limited) == (failure, True)
    assert hearing.last_words.splitlines()[-1] == failure


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("claude-error", "API Error: 400 no such model"),
        ("claude-dead", "API Error: Unable to connect to API (ConnectionRefused)"),
        ("codex-error", "no such model"),
        ("gemini-error", "it says that it failed"),
        ("opencode-error", "no such model"),
    ],
)
def test_an_error_is_a_failure_and_no_rate_limit(name: str, failure: str) -> None:
    """Claude calls it a `success`, with `is_error`."""
    hearing, _ = played(name)
    assert (hearing.failure, hearing.limited) == (failure, False)
    assert hearing.usage == (Usage(4000, 196) if name == "gemini-error" else Usage())


@pytest.mark.parametrize(
    ("name", "tries"),
    [("codex-dead", [False] * 2), ("claude-dead", [False]), ("gemini-limited", [False] * 4)],
)
def test_trying_again_to_reach_the_model_is_no_sign_of_life(name: str, tries: list[bool]) -> None:
    _, alive = played(name)
    assert [sign for sign in alive if not sign] == tries


def test_plain_text_is_a_sign_of_life_of_who_prints_no_events() -> None:
    assert [Hearing(agent).hear("Looking at it") for agent in (*AGENTS, ANY)] == [True] * 5
    assert not Hearing(ANY).hear(" ")


def test_who_only_tries_again_has_not_failed_yet() -> None:
    hearing, _ = played("codex-dead")
    assert hearing.failure == ""
    assert hearing.words.startswith("Reconnecting...")


# --- sums -------------------------------------------------------------------------------------------------


def answer(key: str, tokens: int) -> dict[str, Any]:
    return {
        "type": "assistant",
        "message": {"id": key, "usage": {"input_tokens": tokens, "output_tokens": 1}},
    }


def claude_sum(tokens: int, cost: float) -> dict[str, Any]:
    return {
        "type": "result",
        "result": "done",
        "total_cost_usd": cost,
        "modelUsage": {"big": {"inputTokens": tokens, "outputTokens": 5}, "small": {"inputTokens": 1}},
    }


def test_an_answer_that_claude_prints_in_two_parts_counts_once() -> None:
    assert told("claude", answer("m1", 10), answer("m2", 20), answer("m1", 10)).usage == Usage(30, 2)


def test_the_sum_at_the_end_stands_in_the_place_of_what_was_counted_on_the_way() -> None:
    hearing = told("claude", answer("m1", 10), answer("m2", 20), claude_sum(100, 0.5))
    assert hearing.usage == Usage(101, 5, 0.5)
    for event in (answer("m3", 7), claude_sum(150, 0.7)):  # it goes on, say with what it had left to run
        hearing.hear(json.dumps(event))
    assert hearing.usage == Usage(151, 5, 0.7)


def test_the_usage_of_a_codex_session_is_not_added_up() -> None:
    turn = {
        "type": "turn.completed",
        "usage": {"input_tokens": 10, "cached_input_tokens": 4, "output_tokens": 3},
    }
    later = {
        "type": "turn.completed",
        "usage": {"input_tokens": 25, "cached_input_tokens": 9, "output_tokens": 8},
    }
    assert told("codex", turn, later).usage == Usage(25, 8)


def step(key: str, *, reasoning: int = 0) -> dict[str, Any]:
    tokens = {"input": 7, "output": 2, "reasoning": reasoning, "cache": {"read": 3, "write": 1}}
    return {"type": "step_finish", "part": {"id": key, "tokens": tokens, "cost": 0.25}}


def test_the_steps_of_opencode_are_added_up_each_once() -> None:
    assert told("opencode", step("a"), step("b", reasoning=4), step("b", reasoning=4)).usage == Usage(
        22, 8, 0.5
    )


def test_thousands_of_steps_are_neither_forgotten_nor_kept_one_by_one() -> None:
    hearing = told("opencode", *(step(f"s{number}") for number in range(3000)))
    assert hearing.usage == Usage(33_000, 6_000, 750.0)


def test_what_gemini_thinks_is_output() -> None:
    stats = {"total_tokens": 150, "input_tokens": 100, "output_tokens": 20, "cached": 60, "input": 40}
    assert told("gemini", {"type": "result", "status": "success", "stats": stats}).usage == Usage(100, 50)


@pytest.mark.parametrize("bad", [-1, True, "9", None, 1.5, [], {}, float("nan"), float("inf"), 10**400])
def test_no_number_that_an_agent_prints_does_harm(bad: object) -> None:
    used = told(
        "claude",
        {
            "type": "result",
            "total_cost_usd": bad,
            "modelUsage": {"m": {"inputTokens": bad, "outputTokens": 1}},
        },
    ).usage
    assert 0 <= used.input_tokens <= 10**15
    assert 0 <= used.cost_usd < 1e9
    assert used.output_tokens == 1


# --- the final text ---------------------------------------------------------------------------------------


def test_the_final_text_is_what_comes_behind_the_last_tool() -> None:
    def piece(text: str) -> dict[str, Any]:
        return {"type": "message", "role": "assistant", "content": text, "delta": True}

    tool = {"type": "tool_use", "tool_name": "read_file", "parameters": {"file_path": "a"}}
    asked = {"type": "message", "role": "user", "content": "Do it"}
    assert (
        told("gemini", asked, piece("Let me look."), tool, piece("All "), piece("good.\n")).answer
        == "All good.\n"
    )
    assert told("gemini", asked, piece("Let me look."), tool).answer == "Let me look."


def test_a_final_text_is_kept_to_a_size() -> None:
    assert len(told("claude", {"type": "result", "result": "x" * (MAX_ANSWER + 5)}).answer) == MAX_ANSWER


def test_what_was_asked_for_as_json_is_the_final_text() -> None:
    result = {"type": "result", "result": "I made it.", "structured_output": {"verdict": "upheld"}}
    assert told("claude", result).answer == '{"verdict": "upheld"}'


def test_a_piece_may_be_the_end_of_a_line_alone() -> None:
    pieces = ("```toml\n", "version = 1\n", "\n", "\n", "[[task]]\n", "```", "")
    said = told("gemini", *({"type": "message", "role": "assistant", "content": piece} for piece in pieces))
    assert said.answer == "".join(pieces)


@pytest.mark.parametrize("around", [("", ""), ("Loaded cached credentials.\n[WARN] old\n", "Bye.\n")])
@pytest.mark.parametrize("name", ["claude-document", "claude-list", "gemini-document"])
def test_an_answer_that_stands_in_one_document_is_found_as_well(name: str, around: tuple[str, str]) -> None:
    """`--output-format json`; with `--verbose` Claude makes it a list of all its events."""
    document = (TRANSCRIPTS / f"{name}.json").read_text(encoding="utf-8")
    said = heard(adapter_named(name.partition("-")[0]), document.join(around))
    assert (said.answer, said.failure, said.spoke) == ("hello from mock", "", True)


@pytest.mark.parametrize("printed", ["Yes.\nNo.\n", '{\n "verdict": "upheld"\n}\n', '["a", 1]', "[1,\n", ""])
def test_what_is_no_event_is_no_answer(printed: str) -> None:
    said = heard(adapter_named("claude"), printed)
    assert (said.answer, said.spoke) == ("", False)


@pytest.mark.parametrize("line", ["[", "{", '{"', '["', "[{}, "])
def test_however_many_documents_seem_to_begin_little_is_tried(line: str) -> None:
    began = time.process_time()
    assert not heard(adapter_named("claude"), f"{line}\n" * 200_000).spoke
    assert time.process_time() - began < 20  # two or three on an idle machine, where hours would be


# --- how it went ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "fails", "recovers"),
    [
        ("claude", {"type": "result", "subtype": "error_max_turns", "is_error": True}, claude_sum(1, 0.1)),
        ("codex", {"type": "error", "message": "broken pipe"}, {"type": "turn.completed"}),
        (
            "gemini",
            {"type": "error", "severity": "error", "message": "x"},
            {"type": "result", "status": "success"},
        ),
        ("opencode", {"type": "error", "error": {"name": "APIError"}}, step("a")),
    ],
)
def test_a_good_end_makes_up_for_an_error_before_it(
    agent: str, fails: dict[str, Any], recovers: dict[str, Any]
) -> None:
    assert told(agent, fails).failure
    assert not told(agent, fails, recovers).failure
    assert told(agent, recovers, fails).failure


def test_that_a_limit_was_looked_up_is_no_limit() -> None:
    """Claude says with each answer how near the limit is; that line alone has `rate_limit` in it."""
    near = {"type": "rate_limit_event", "rate_limit_info": {"status": "allowed_warning"}}
    over = {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected"}}
    failed = {"type": "result", "is_error": True, "result": "it crashed"}
    assert not told("claude", near, failed).limited
    assert told("claude", over).limited
    assert told("claude", over, {**failed, "result": "You are out of it"}).limited
    assert not told("claude", over, answer("m1", 1)).limited


def test_a_limit_is_found_in_what_stands_between_the_events() -> None:
    said = "Attempt 3 failed: status 429, too many requests"
    assert told("gemini", {"type": "init"}, said).limited
    assert not told("gemini", said, {"type": "result", "status": "success"}).limited


def test_a_limit_that_was_got_over_is_none() -> None:
    said, crash = "Attempt 1 failed with status 429", "TypeError: it crashed"
    goes_on = {"type": "message", "role": "assistant", "content": "Now for"}
    assert told("gemini", {"type": "init"}, said, crash).limited
    assert not told("gemini", {"type": "init"}, said, goes_on, crash).limited
    again = {"type": "error", "message": "Reconnecting... 429 Too Many Requests"}
    works = {"type": "item.started", "item": {"type": "command_execution", "command": "make"}}
    ends = {"type": "turn.failed", "error": {"message": "it crashed"}}
    assert told("codex", again, ends).limited
    assert not told("codex", again, works, ends).limited


def test_what_an_agent_says_of_limits_is_none() -> None:
    text = {"type": "text", "part": {"text": "I added a rate limit: 429 Too many requests"}}
    assert not told("opencode", text, {"type": "error", "error": {"message": "it crashed"}}).limited


def test_of_any_other_command_nothing_is_read_but_the_words_of_a_rate_limit() -> None:
    result = {"type": "result", "result": "hello", "is_error": True, "total_cost_usd": 1.0}
    hearing = told("any", result)
    assert (hearing.answer, hearing.failure, hearing.usage, hearing.spoke) == ("", "", Usage(), False)
    assert not hearing.limited
    assert told("any", "Error: Too many requests").limited


def test_words_are_one_harmless_line() -> None:
    said = told("any", "\x1b[2Jone\x07\ttwo" + " x" * 500).words
    assert said.startswith("[2Jone two x x")
    assert len(said) == MAX_WORDS
    assert "\x1b" not in said


def test_the_last_lines_tell_what_it_is_at_though_the_last_says_nothing() -> None:
    tail = (TRANSCRIPTS / "claude-ok.jsonl").read_text().splitlines()[1:3]  # the tool, and what came of it
    assert adapter_named("claude").words("\n".join(tail)) == "Bash: echo hi > new"
    assert adapter_named("claude").words('half","a":1}\n{"type": "assis') == ""
    assert adapter_named("claude").words("npm warn old") == "npm warn old"
    assert ANY.words('{"n": 1}') == '{"n": 1}'


# --- whose command it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (("claude", "-p", "{prompt}"), "claude"),
        (("/usr/local/bin/codex", "exec", "{prompt}"), "codex"),
        (("env", "-u", "HOME", "A=1", "gemini", "-p", "{prompt}"), "gemini"),
        (("npx", "-y", "@anthropic-ai/claude-code@latest", "-p", "{prompt}"), "claude"),
        (("npx", "opencode-ai", "run", "{prompt}"), "opencode"),
        (("timeout", "-k", "5", "30m", "nice", "-n", "5", "codex", "exec", "{prompt}"), "codex"),
        (("node", "/opt/x/gemini.js", "-p", "{prompt}"), "gemini"),
        (("sh", "-c", 'cd src && exec claude -p "$1"', "sh", "{prompt}"), "claude"),
        (("bash", "-lc", "opencode run hello"), "opencode"),
        (("bash", "--norc", "-c", "opencode run hello"), "opencode"),
        ('claude -p "$(cat "$FLEET_CLAIM")"', "claude"),
        ("git fleet prompt | codex exec --json -", "codex"),
        (("bwrap", "--ro-bind", "/", "/", "--chdir", "/x", "claude", "-p", "{prompt}"), "claude"),
        (("bwrap", "--bind", "/h/.config/opencode", "/o", "/bin/codex", "exec", "{prompt}"), "codex"),
        (
            ("docker", "run", "--rm", "-v", ".:/w", "image", "sh", "-c", 'gemini -p "$1"', "sh", "{prompt}"),
            "gemini",
        ),
        ("op run --env-file=.env -- opencode run hello", "opencode"),
        (("docker", "run", "--rm", "image", "{prompt}"), "any"),
        (("my-agent", "--model", "claude", "{prompt}"), "any"),
        (("my-agent", "{prompt}"), "any"),
        (("sh", "agent.sh", "claude"), "any"),
        (("python3", "-m", "agent", "codex"), "any"),
        ("echo 'unbalanced", "any"),
        ((), "any"),
        ("", "any"),
    ],
)
def test_an_adapter_is_chosen_by_the_program_of_a_command(run: Command, name: str) -> None:
    assert adapter_of(run).name == name


def test_every_known_agent_is_found_by_its_own_command() -> None:
    assert [adapter_of(agent.run) for agent in AGENTS] == list(AGENTS)
    assert [adapter_of(agent.asks) for agent in AGENTS] == list(AGENTS)


# --- hostile lines ----------------------------------------------------------------------------------------

TYPES = [
    "assistant", "user", "system", "result", "rate_limit_event", "item.completed", "turn.completed", "turn.failed",
    "error", "message", "tool_use", "text", "step_finish", "agent_message", "todo_list", "file_change", "api_retry",
]  # fmt: skip
KEYS = st.sampled_from([
    "type", "message", "content", "usage", "id", "result", "is_error", "subtype", "modelUsage", "total_cost_usd", "item",
    "text", "error", "stats", "part", "tokens", "cache", "cost", "changes", "items", "data", "role", "input", "name",
])  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from([*AGENTS, ANY]),
    st.lists(st.tuples(st.sampled_from(TYPES), st.dictionaries(KEYS, JSON, max_size=5)), max_size=4),
)
def test_whatever_an_agent_prints_is_read_without_harm(
    agent: Any, events: list[tuple[str, dict[str, Any]]]
) -> None:
    hearing = Hearing(agent)
    for kind, event in events:
        line = json.dumps({**event, "type": kind})
        hearing.hear(line)
        agent.words(line)
    used = hearing.usage
    assert min(used.input_tokens, used.output_tokens, used.cost_usd) >= 0
    assert len(hearing.words) <= MAX_WORDS
    assert hearing.words.isprintable()


@pytest.mark.parametrize("line", ["{", '{"a":' * 100_000, "[" * 100_000, "{}", "null", "\0", "\ud800", ""])
def test_a_line_that_is_no_event_is_plain_text(line: str) -> None:
    hearing = told("claude", line)
    assert (hearing.spoke, hearing.usage) == (False, Usage())
