"""`git fleet verify` and `verdict`, as typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from git_fleet.app.documents import load_config
from git_fleet.core.answers import candidates
from git_fleet.core.model import Ruling
from tests.cli.conftest import Fleet
from tests.project.source import ROOT
from tests.support.repo import Repo

VERIFIERS = """\
version = 1
gates = "none"
policy = { verdicts = 2 }

[[verifier]]
name = "skeptic"
lens = "correctness"
run = ["sh", "-c", 'cat VERDICT 2>/dev/null || echo "$0"', '{"verdict":"upheld","summary":"It counts."}']

[[verifier]]
name = "guard"
lens = "security"
run = ["echo", '{"verdict":"refuted","findings":[{"text":"it logs\\nthe token","path":"cli.py","label":"auth","outside":true}]}']
"""


@pytest.fixture
def handed_in(approved: Fleet, repo: Repo) -> Fleet:
    """Task 42 is handed in, and waits for two lenses."""
    repo.commit("Verifiers", {"fleet.toml": VERIFIERS})
    approved.ok("claim", "42", "--worker", "w1")
    worktree = Repo(Path(approved.ok("path", "42").strip()))
    worktree.commit("Count", {"cli.py": "print(1)\n"})
    approved.ok("done", cwd=worktree.path)
    return approved


def test_verifying_from_the_first_word_to_the_next_attempt(handed_in: Fleet) -> None:
    assert "next: git fleet verify" in handed_in.ok("status")
    denied = handed_in("verify", "42", "--worker", "w1")
    assert (denied.code, denied.err.splitlines()[0]) == (
        4,
        "git-fleet: whoever made a proposal cannot verify it: you act as w1",
    )
    for targets in ((), ("42",)):
        assert handed_in("verify", *targets, cwd=Path(handed_in.ok("path", "42").strip())).code == 4
    found = handed_in("verify")
    assert found.code == 1
    table, *rest = found.out.split("✗")
    assert sorted(re.sub(r"  +", "  ", line).strip() for line in table.splitlines()) == [
        "TASK  LENS  VERDICT  BY  WHAT",
        "app/42  correctness  upheld  verifier:skeptic  It counts.",
        "app/42  security  refuted  verifier:guard  1 finding",
    ]
    assert "".join(rest).splitlines() == [
        " app/42 goes back to rework (verdict)",
        "    security: cli.py: it logs (outside the task [auth])",
        "      the token",
    ]
    claim = handed_in.json("claim", "claim", "42", "--worker", "w2")
    assert [(one["text"], one["source"], one["outside"]) for one in claim["findings"]] == [
        ("it logs\nthe token", "verifier:guard/security", True)
    ]


def test_verdicts_as_json_and_a_persons_own(handed_in: Fleet, repo: Repo) -> None:
    upholding = VERIFIERS.replace("refuted", "upheld").replace("verdicts = 2", "verdicts = 3")
    repo.commit("Kinder", {"fleet.toml": upholding})
    found = handed_in.json("verify", "verify")
    (task,) = found["tasks"]
    assert (task["state"], task["missing"], task["reason"]) == ("proposed", [], None)
    assert {one["verifier"]: one["verdict"] for one in task["verdicts"]} == {
        "verifier:skeptic": "upheld",
        "verifier:guard": "upheld",
    }
    refused = handed_in("verdict", "42", "--lens", "taste")
    assert (refused.code, "say --upheld or --refuted" in refused.err) == (2, True)
    own = handed_in.json("verify", "verdict", "42", "--lens", "taste", "--upheld")
    assert own["tasks"][0]["state"] == "verified"
    assert "- app/42 is left: it is verified; --again asks once more" in handed_in.ok("verify", "42")


def test_a_person_refutes(handed_in: Fleet) -> None:
    said = handed_in(
        "verdict", "42", "--lens", "correctness", "--refuted", "--finding", "counts done ones too"
    )
    assert said.code == 1
    assert "correctness: counts done ones too" in said.out


def test_there_may_be_nothing_to_verify(approved: Fleet) -> None:
    assert approved.ok("verify") == "nothing is handed in\n"
    said = approved("verify", "42")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("git-fleet: app/42 is pending: there is nothing to verify\n")


def test_what_readme_shows_of_verifiers_is_true() -> None:
    section = (ROOT / "README.md").read_text().partition("\n## Verifiers\n")[2].partition("\n## ")[0]
    (toml,) = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    config, _ = load_config(toml.encode(), "fleet.toml")
    assert (config.policy.verdicts, config.policy.require) == (1, ("security",))
    assert config.verifiers[0].run[-1] == "{prompt}"
    (answer,) = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    assert [one["verdict"] for one in candidates(answer)] == [Ruling.REFUTED]
