"""What a verifier is told, and what it may see."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from git_fleet.app import handin
from git_fleet.core.answers import candidates
from git_fleet.core.model import State
from git_fleet.errors import InvalidInput
from tests.support import verifiers
from tests.support.documents import validate
from tests.support.fleet import approved, claimed, open_fleet, task
from tests.support.repo import Repo
from tests.support.verifiers import UPHELD, configured, handed, lead, only, run, says, state


@pytest.fixture
def planned(repo: Repo) -> Repo:
    """An open plan of tasks a and b."""
    return verifiers.planned(repo)


def test_a_verifier_gets_the_task_the_diff_and_the_gates_in_a_clean_checkout(
    planned: Repo, tmp_path: Path
) -> None:
    kept = tmp_path / "request.json"
    look = f"cat >{shlex.quote(str(kept))}; git rev-parse HEAD >{shlex.quote(str(tmp_path / 'head'))}; cat a/new >&2"
    configured(planned, {"l": says(UPHELD, look)}, ["echo all is well"])
    proposal = handed(planned, message="Write it\n\nAt last.", result="Written.")
    planned.commit("Change the library", {"lib/x": "y\n", "z": "z\n"})
    assert only(run(lead(planned))).state is State.VERIFIED
    assert (tmp_path / "head").read_text().strip() == proposal.commit
    request = json.loads(kept.read_bytes())
    validate(request, "verify-request")
    assert request["task"]["prompt"] == "Write it."
    assert (request["proposal"]["commit"], request["proposal"]["worker"]) == (proposal.commit, "w1")
    assert (request["proposal"]["message"], request["proposal"]["result"]) == (
        "Write it\n\nAt last.",
        "Written.",
    )
    assert request["main"] == {"branch": "main", "commit": planned.rev("main"), "changed": ["lib/x"]}
    assert request["diff"]["paths"] == [{"path": "a/new", "status": "A"}]
    assert "+++ b/a/new\n@@ -0,0 +1 @@\n+new\n" in request["diff"]["text"]
    assert [(gate["name"], gate["outcome"], gate["tail"]) for gate in request["gates"]] == [
        ("g1", "pass", "all is well")
    ]
    assert list(candidates(json.dumps(request))) == []  # who prints it back has not answered yet
    assert f'"token": "{request["answer"]["token"]}"' in request["answer"]["instructions"]


def test_each_verifier_and_each_time_has_a_token_of_its_own(planned: Repo, tmp_path: Path) -> None:
    keep = 'import json, sys; print(json.load(sys.stdin)["answer"]["token"], file=open(sys.argv[1], "a"))'
    look = f"python3 -c {shlex.quote(keep)} {shlex.quote(str(tmp_path / 'tokens'))}"
    configured(planned, {"one": says(UPHELD, look), "two": says(UPHELD, look)}, verdicts=2)
    handed(planned)
    assert only(run(lead(planned))).state is State.VERIFIED
    run(lead(planned), "a", again=True)
    assert len(set((tmp_path / "tokens").read_text().split())) == 4


def test_a_long_diff_is_cut_and_says_so(planned: Repo, tmp_path: Path) -> None:
    kept = tmp_path / "request.json"
    configured(planned, {"l": says(UPHELD, f"cat >{shlex.quote(str(kept))}")})
    handed(planned, files={"a/new": "line\n" * 200_000})
    assert only(run(lead(planned))).state is State.VERIFIED
    diff = json.loads(kept.read_bytes())["diff"]
    assert (diff["cut"], len(diff["text"])) == (True, 512 * 1024)
    assert diff["bytes"] > 1_000_000


def test_one_that_does_not_read_what_it_is_told_is_heard_all_the_same(planned: Repo) -> None:
    configured(planned, {"l": says(UPHELD, "exec <&-")})
    handed(planned, files={"a/new": "line\n" * 200_000})
    assert only(run(lead(planned))).state is State.VERIFIED


def test_a_report_is_verified_by_its_artifacts(planned: Repo, tmp_path: Path) -> None:
    kept = tmp_path / "request.json"
    configured(planned, {"l": says('{"verdict":"upheld","commit":null}', f"cat >{shlex.quote(str(kept))}")})
    approved(open_fleet(planned, "ann"), task("audit", output="report"), plan="q")
    worker = open_fleet(planned, "w1")
    claimed(worker, "q/audit")
    artifacts = {"found.md": b"# Found\n", "picture": b"\xff\x00", "long": b"line\n" * 20_000}
    for name, data in artifacts.items():
        (planned.path / name).write_bytes(data)
    handin.done(worker, "q/audit", handin.Handin(result="One leak.", artifacts=tuple(artifacts)))
    assert only(run(lead(planned))).state is State.VERIFIED
    request = json.loads(kept.read_bytes())
    validate(request, "verify-request")
    assert request["proposal"]["commit"] is None
    assert [(each["name"], each["bytes"], each["text"]) for each in request["artifacts"]] == [
        ("found.md", 8, "# Found\n"),
        ("long", 100_000, None),
        ("picture", 2, None),
    ]


def test_placeholders_are_filled_in_lists_and_nothing_of_others_gets_into_a_shell(
    planned: Repo, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    script = f'printf "%s\\n" "$@" >{shlex.quote(str(told))}; echo \'{UPHELD}\''
    configured(
        planned,
        {"l": ("sh", "-c", script, "sh", "{title}", "at={commit}", "{lens}/{task}#{number}", "{prompt}")},
    )
    approved(open_fleet(planned, "ann"), task("c", title="$(touch pwned) `id`"), plan="q")
    proposal = handed(planned, "c")
    assert only(run(lead(planned))).state is State.VERIFIED
    lines = told.read_text().splitlines()
    assert lines[:3] == ["$(touch pwned) `id`", f"at={proposal.commit}", "l/c#1"]
    assert lines[3].startswith("You verify work")
    assert f'- "commit": "{proposal.commit}"' in lines


def test_a_prompt_of_any_length_fits_into_an_argument(planned: Repo) -> None:
    script = f"test \"${{#1}}\" -lt 130000 && echo '{UPHELD}'"
    configured(planned, {"l": ("sh", "-c", script, "sh", "{prompt}")})
    wide = "\U0001f680" * 90_000
    approved(
        open_fleet(planned, "ann"), task("c", prompt=wide, accept=[f"true {wide[:20_000]}"] * 3), plan="q"
    )
    handed(planned, "c")
    assert only(run(lead(planned))).state is State.VERIFIED


def test_a_shell_command_is_run_as_it_is_written(planned: Repo) -> None:
    configured(planned, {"l": "case '{prompt}' in '{'*) echo '{\"verdict\":\"upheld\"}';; esac"})
    handed(planned)
    assert only(run(lead(planned))).state is State.VERIFIED


def test_a_prompt_in_the_middle_of_an_argument_is_refused_before_anything_runs(planned: Repo) -> None:
    configured(planned, {"l": ("sh", "-c", "agent '{prompt}'")}, ["touch /nonexistent/x"])
    handed(planned)
    with pytest.raises(InvalidInput, match=r"\{prompt\} must be an argument of its own"):
        run(lead(planned))
    assert state(lead(planned)).state is State.PROPOSED


def test_a_verifier_has_its_login_and_nothing_of_a_worker_or_of_the_agent_that_called(
    planned: Repo, tmp_path: Path
) -> None:
    configured(planned, {"l": says(UPHELD, f"env >{shlex.quote(str(tmp_path / 'env'))}")})
    handed(planned)
    session = lead(
        planned, ANTHROPIC_API_KEY="k1", OPENAI_API_KEY="k2", CLAUDE_CONFIG_DIR="/c", CLAUDECODE="1",
        CLAUDE_CODE_ENTRYPOINT="cli", CODEX_SANDBOX="1", FLEET_WORKER="w9", FLEET_FENCE="f" * 40, FLEET_TASK="b",
        FLEET_PLAN="p", FLEET_SCRATCH="/s", GITHUB_TOKEN="secret", GIT_DIR_X="1",
    )  # fmt: skip
    assert only(run(session)).state is State.VERIFIED
    seen = dict(line.partition("=")[::2] for line in (tmp_path / "env").read_text().splitlines())
    assert (seen["ANTHROPIC_API_KEY"], seen["OPENAI_API_KEY"], seen["CLAUDE_CONFIG_DIR"]) == (
        "k1",
        "k2",
        "/c",
    )
    fleet = {
        name: value for name, value in seen.items() if name.startswith("FLEET_") and name != "FLEET_GATE"
    }
    assert fleet == {"FLEET_ROLE": "verifier", "FLEET_VERIFIER": "v-l", "FLEET_LENS": "l"}
    assert {"CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CODEX_SANDBOX", "GITHUB_TOKEN", "GIT_DIR_X"} & set(
        seen
    ) == set()
