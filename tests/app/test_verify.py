"""Verifiers at work: what they are told, what they may see, and what becomes of whatever they answer."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from git_fleet.app import handin, history, verdicts
from git_fleet.app.session import Session
from git_fleet.app.verify import Asked, verify
from git_fleet.core.answers import Answer, Ruling, candidates
from git_fleet.core.config import Command
from git_fleet.core.ids import Oid
from git_fleet.core.model import Finding, Proposal, State, TaskState
from git_fleet.core.results import Verification, Verified
from git_fleet.errors import Denied, InvalidInput, NeedsPerson
from git_fleet.store import names
from git_fleet.store.base import tip
from tests.support.documents import validate
from tests.support.fleet import approved, claimed, commit_on, on_task, open_fleet, task
from tests.support.race import Puppet, until
from tests.support.repo import Repo
from tests.support.worlds import assert_logs_are_legal

UPHELD = '{"verdict":"upheld"}'
REFUTED = '{"verdict":"refuted","findings":[{"text":"It is wrong.","path":"a/new"}]}'


def says(output: str, before: str = "") -> Command:
    """A verifier that prints this, whatever it is asked."""
    return ("sh", "-c", f"{before}\nprintf %s {shlex.quote(output)}")


def configured(repo: Repo, runs: Mapping[str, Command], gates: Sequence[str] = (), **policy: Any) -> None:
    """Verifiers by lens (each called v-LENS), gates, and the policy."""
    verifiers = [
        {"name": f"v-{lens}", "lens": lens, "run": run if isinstance(run, str) else list(run), "timeout_seconds": 60}
        for lens, run in runs.items()
    ]  # fmt: skip
    declared = [{"name": f"g{n}", "run": run} for n, run in enumerate(gates, 1)]
    tables: dict[str, Any] = {"version": 1, "policy": policy, "verifier": verifiers}
    tables |= {"gate": declared} if declared else {"gates": "none"}
    repo.commit("Configure", {"fleet.toml": tomli_w.dumps(tables)})


def handed(repo: Repo, name: str = "a", files: Mapping[str, str] | None = None, **more: Any) -> Proposal:
    """The task claimed and handed in by w1, without a worktree."""
    worker = open_fleet(repo, "w1")
    claimed(worker, name)
    commit = commit_on(worker, Oid(repo.rev("main")), files or {f"{name}/new": "new\n"})
    found = handin.Handin(commit="" if more.pop("report", False) else commit, **more)
    return handin.done(worker, name, found).proposal


def lead(repo: Repo, **env: str) -> Session:
    return open_fleet(repo, "lead", env=env)


def run(session: Session, *targets: str, **fields: Any) -> Verification:
    return verify(session, Asked(tuple(targets), **fields), lambda _: None)


def only(found: Verification) -> Verified:
    (one,) = found.tasks
    assert found.skipped == ()
    return one


def state(session: Session, name: str = "a") -> TaskState:
    return session.record(session.snapshot(), name).state


@pytest.fixture
def planned(repo: Repo) -> Repo:
    """An open plan of tasks a and b."""
    repo.commit("Start", {"lib/x": "x\n"})
    approved(open_fleet(repo, "ann"), task("a", reads=["lib/**"], prompt="Write it."), task("b"))
    return repo


# --- answers ------------------------------------------------------------------------------------------


def test_what_every_lens_upholds_is_verified(planned: Repo) -> None:
    configured(planned, {"correctness": says(UPHELD), "security": says(f"Fine.\n{UPHELD}\n")}, verdicts=2)
    proposal = handed(planned)
    session = lead(planned)
    found = only(run(session))
    assert (found.state, found.refuted, found.missing) == (State.VERIFIED, False, ())
    assert {(one.lens, one.verifier, one.verdict) for one in found.verdicts} == {
        ("correctness", "verifier:v-correctness", "upheld"),
        ("security", "verifier:v-security", "upheld"),
    }
    main = tip(session.store.refs.get(names.branch("main")))
    assert {(v.proposal, v.oid, v.onto) for v in state(session).verdicts} == {(1, proposal.oid, main)}
    assert_logs_are_legal(session)


def test_what_is_found_comes_to_the_next_worker_whole_and_its_output_is_kept(planned: Repo) -> None:
    configured(planned, {"correctness": says(REFUTED), "docs": says(UPHELD)}, verdicts=2)
    handed(planned)
    session = lead(planned)
    found = only(run(session))
    assert (found.refuted, found.reason) == (True, "verdict")
    (wrong,) = [one for one in found.verdicts if one.lens == "correctness"]
    assert history.texts(session, wrong.oid) == {"output": REFUTED}
    again = claimed(open_fleet(planned, "w2"), "a").state
    assert again.findings == (Finding("It is wrong.", "verifier:v-correctness/correctness", "a/new"),)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (says(""), "it printed nothing"),
        (says("<!DOCTYPE html><html>Bad gateway</html>"), "it printed HTML"),
        (says("{'verdict': 'upheld'}"), "no verdict is in what it printed, which ends \"{'verdict': 'upheld'}\""),
        (says('{"verdict":"upheld","verifier":"ann"}'), "it answers for verifier 'ann', and was asked about v-l"),
        (says('{"verdict":"upheld","lens":"x"}'), "it answers for lens 'x', and was asked about l"),
        (says(f'{{"verdict":"upheld","tree":"{"0" * 40}"}}'), "it answers for tree '00000000000000000000000000000000000"),
        (says(UPHELD, "exec 2>&1; echo broken; trap 'exit 3' EXIT"), "it ended with exit code 3: "),
        (says(UPHELD, "kill -TERM $$"), "it was ended by Terminated (signal 15)"),
        (("no-such-agent", "-p"), "cannot be started: No such file or directory"),
        ("exit 127", "it ended with exit code 127"),
        (("sh", "-c", "head -c 11000000 /dev/zero"), "it printed more than 10 MiB"),
        (says(f"{UPHELD}\n{REFUTED}"), "it says both 'refuted' and 'upheld'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_whatever_is_unclear_counts_as_refuted_and_says_why(
    planned: Repo, command: Command, reason: str
) -> None:
    configured(planned, {"l": command}, verdicts=1)
    handed(planned)
    found = only(run(lead(planned)))
    assert found.refuted
    assert [one.verdict for one in found.verdicts] == ["inconclusive"]
    (told,) = found.verdicts[0].findings
    assert told.text.startswith(f"no verdict, which counts as refuted: {reason}")
    assert "\n" not in told.text


def test_one_that_runs_out_of_time_is_ended_and_counts_as_refuted(planned: Repo, tmp_path: Path) -> None:
    text = {
        "name": "slow",
        "lens": "l",
        "run": f"echo $$ >{shlex.quote(str(tmp_path / 'pid'))}; cat </dev/zero >/dev/null",
    }
    tables = {"version": 1, "gates": "none", "verifier": [{**text, "timeout_seconds": 0.2}]}
    planned.commit("Configure", {"fleet.toml": tomli_w.dumps(tables)})
    handed(planned)
    found = only(run(lead(planned)))
    assert found.verdicts[0].findings[0].text.endswith("it ran out of time (0.2 s)")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_an_agents_envelope_is_opened(planned: Repo) -> None:
    inner = f"I looked at everything.\n```json\n{json.dumps(json.loads(REFUTED), indent=2)}\n```\n"
    envelope = json.dumps(
        {"type": "result", "is_error": False, "result": inner, "usage": {"input_tokens": 9}}
    )
    configured(planned, {"l": says(envelope)})
    handed(planned)
    assert [found.text for found in only(run(lead(planned))).verdicts[0].findings] == ["It is wrong."]


# --- what they are told and may see -----------------------------------------------------------------


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
    (planned.path / "found.md").write_text("# Found\n")
    handin.done(worker, "q/audit", handin.Handin(result="One leak.", artifacts=("found.md",)))
    assert only(run(lead(planned))).state is State.VERIFIED
    request = json.loads(kept.read_bytes())
    validate(request, "verify-request")
    assert request["proposal"]["commit"] is None
    assert [(each["name"], each["text"]) for each in request["artifacts"]] == [("found.md", "# Found\n")]


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


# --- what comes before them -----------------------------------------------------------------------------


def test_a_red_gate_goes_back_and_no_verifier_is_asked(planned: Repo, tmp_path: Path) -> None:
    configured(
        planned, {"l": says(UPHELD, f"touch {shlex.quote(str(tmp_path / 'asked'))}")}, ["echo no; exit 1"]
    )
    handed(planned)
    session = lead(planned)
    found = only(run(session))
    assert (found.refuted, found.reason, found.verdicts) == (True, "gate", ())
    assert found.detail == "gate g1: exit code 1\nno"
    assert not (tmp_path / "asked").exists()
    assert state(session).findings == (Finding("gate g1: exit code 1\nno", "gate"),)
    assert_logs_are_legal(session)


def test_what_is_out_of_scope_goes_back_before_its_gates_run(planned: Repo, tmp_path: Path) -> None:
    configured(planned, {"l": says(UPHELD)}, [f"touch {shlex.quote(str(tmp_path / 'gated'))}"])
    handed(planned, files={"a/new": "new\n", "b/theirs": "mine\n"})
    found = only(run(lead(planned)))
    assert (found.refuted, found.reason) == (True, "scope")
    assert "b/theirs" in found.detail
    assert not (tmp_path / "gated").exists()


def test_a_gate_of_the_repository_that_cannot_run_says_nothing_about_a_task(planned: Repo) -> None:
    configured(planned, {"l": says(UPHELD)}, ["no-such-command-anywhere"])
    handed(planned)
    with pytest.raises(NeedsPerson, match="gate g1 cannot be run"):
        run(lead(planned))
    assert state(lead(planned)).state is State.PROPOSED


# --- who is asked, and when -----------------------------------------------------------------------------


def test_different_lenses_run_side_by_side(planned: Repo, tmp_path: Path) -> None:
    """Each waits for the other; one after the other they would run out of time."""
    one, two = (shlex.quote(str(tmp_path / name)) for name in ("one", "two"))
    os.mkfifo(tmp_path / "one")
    os.mkfifo(tmp_path / "two")
    configured(
        planned,
        {
            "x": says(UPHELD, f"echo >{one}; read line <{two}"),
            "y": says(UPHELD, f"read line <{one}; echo >{two}"),
        },
        verdicts=2,
    )
    handed(planned)
    assert only(run(lead(planned))).state is State.VERIFIED


def test_each_lens_has_a_checkout_of_its_own(planned: Repo, tmp_path: Path) -> None:
    where = shlex.quote(str(tmp_path / "where"))
    configured(planned, {lens: says(UPHELD, f"pwd >>{where}; echo {lens} >a/new") for lens in "xyz"})
    handed(planned)
    assert only(run(lead(planned))).state is State.VERIFIED
    assert len(set((tmp_path / "where").read_text().splitlines())) == 3


def _verify_in(path: Path) -> None:
    run(open_fleet(path, "lead"))


def test_after_a_kill_only_the_lenses_without_an_answer_are_asked(planned: Repo, tmp_path: Path) -> None:
    log, gate = (shlex.quote(str(tmp_path / name)) for name in ("log", "gate"))
    os.mkfifo(tmp_path / "gate")
    slow = says(UPHELD, f"echo slow >>{log}; test -e {log}.again || read line <{gate}")
    configured(planned, {"quick": says(UPHELD, f"echo quick >>{log}"), "slow": slow}, verdicts=2)
    handed(planned)
    session = lead(planned)
    puppet = Puppet(lambda _: _verify_in(planned.path))
    until(lambda: [v.lens for v in state(session).verdicts] == ["quick"])
    puppet.kill()
    assert state(session).state is State.PROPOSED
    (tmp_path / "log.again").touch()
    assert only(run(session)).state is State.VERIFIED
    asked = (tmp_path / "log").read_text().split()
    assert sorted(asked) == ["quick", "slow", "slow"]
    (tmp_path / "gate").write_text("\n")  # lets go of the one that the killed process left
    assert_logs_are_legal(session)


def test_a_kill_between_the_last_answer_and_the_conclusion_is_made_good(planned: Repo) -> None:
    configured(planned, {"l": says(UPHELD, "exit 1")}, verdicts=1)
    handed(planned)
    session = lead(planned)
    record = session.record(session.snapshot(), "a")
    verdict = verdicts.new_verdict(record, "l", "verifier:v-l", Ruling.UPHELD, None)
    verdicts.add(session, record, verdict, Answer(Ruling.UPHELD), {})
    assert only(run(session)).state is State.VERIFIED


def test_one_who_is_interrupted_leaves_no_verifier_behind(planned: Repo, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    slow = says(
        UPHELD,
        f"echo $$ >{shlex.quote(str(pid))}.new; mv {shlex.quote(str(pid))}.new {shlex.quote(str(pid))}; exec tail -f /dev/null",
    )
    ready = f"until test -e {shlex.quote(str(pid))}; do :; done"
    configured(planned, {"quick": says(UPHELD, ready), "slow": slow}, verdicts=2)
    handed(planned)
    session = lead(planned)

    def interrupted(line: str) -> None:
        if "quick: upheld" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(session, Asked(), interrupted)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_what_is_handed_in_again_meanwhile_gets_no_verdict(planned: Repo) -> None:
    configured(planned, {"l": says(UPHELD)}, verdicts=1)
    handed(planned)
    session = lead(planned)

    def meanwhile(line: str) -> None:
        if "asks" in line:
            on_task(open_fleet(planned, "w1"), "withdraw", "a")
            handed(planned, files={"a/new": "newer\n"})

    found = verify(session, Asked(), meanwhile)
    assert (found.tasks, [each.reason for each in found.skipped]) == (
        (),
        ["p/a was handed in again meanwhile"],
    )
    assert (state(session).state, state(session).verdicts) == (State.PROPOSED, ())
    assert only(run(session)).state is State.VERIFIED


def test_only_some_lenses_are_asked(planned: Repo) -> None:
    configured(planned, {"x": says(UPHELD), "y": says(UPHELD)}, verdicts=2)
    handed(planned)
    session = lead(planned)
    found = only(run(session, lenses=("y",)))
    assert (found.state, found.missing) == (State.PROPOSED, ("x",))
    with pytest.raises(InvalidInput, match="no verifier has the lens 'z'; there are: x, y"):
        run(session, lenses=("z",))
    assert only(run(session)).state is State.VERIFIED


def test_a_verified_task_is_asked_about_again_on_demand(planned: Repo, tmp_path: Path) -> None:
    log = shlex.quote(str(tmp_path / "log"))
    configured(planned, {"x": says(UPHELD, f"echo x >>{log}")}, verdicts=1)
    handed(planned)
    session = lead(planned)
    run(session)
    assert [each.reason for each in run(session, "a").skipped] == ["it is verified; --again asks once more"]
    assert only(run(session, "a", again=True)).state is State.VERIFIED
    assert (tmp_path / "log").read_text() == "x\nx\n"
    assert_logs_are_legal(session)


def test_without_names_everything_that_is_handed_in_is_looked_at(planned: Repo) -> None:
    configured(planned, {"l": says(UPHELD, "test -e a/new || exit 1")}, verdicts=1)
    handed(planned)
    handed(planned, "b")
    found = run(lead(planned))
    assert [(each.id.task, each.state) for each in found.tasks] == [
        ("a", State.VERIFIED),
        ("b", State.REWORK),
    ]
    assert run(lead(planned), "p").tasks == ()


def test_a_lens_that_only_a_person_can_answer_for_is_waited_for(planned: Repo) -> None:
    configured(planned, {"l": says(UPHELD)}, require=["legal"])
    handed(planned)
    found = only(run(lead(planned)))
    assert (found.state, found.missing) == (State.PROPOSED, ("legal",))
    (left,) = run(lead(planned)).skipped
    assert left.reason == "it waits for a person (git fleet verdict p/a --lens legal)"


def test_without_a_verifier_nobody_is_asked(planned: Repo) -> None:
    configured(planned, {})
    handed(planned)
    with pytest.raises(InvalidInput, match="no verifier is configured"):
        run(lead(planned), "a")


def test_the_worker_is_denied_and_what_others_made_is_looked_at(planned: Repo) -> None:
    configured(planned, {"l": says(UPHELD)})
    handed(planned)
    worker = open_fleet(planned, "w1")
    with pytest.raises(Denied, match="you act as w1"):
        run(worker, "a")
    assert [each.id.task for each in run(worker).skipped] == ["a"]
    assert state(worker).state is State.PROPOSED


def test_a_verifier_with_the_workers_name_is_denied(planned: Repo) -> None:
    tables = {
        "version": 1,
        "gates": "none",
        "verifier": [{"name": "w1", "lens": "l", "run": ["echo", UPHELD]}],
    }
    planned.commit("Configure", {"fleet.toml": tomli_w.dumps(tables)})
    handed(planned)
    with pytest.raises(Denied, match="w1 worked on p/a"):
        run(lead(planned), "a")
