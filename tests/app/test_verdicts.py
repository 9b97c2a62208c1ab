"""Verdicts in a task's log: who may give one, what follows, and when they count no more."""

from __future__ import annotations

import pytest

from git_fleet.app import verdicts, work
from git_fleet.app.session import Session, open_session
from git_fleet.core.answers import Answer
from git_fleet.core.ids import Oid
from git_fleet.core.model import Finding, Ruling, State, Verdict
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import Denied, FleetError, IllegalEvent, InvalidInput, Stale
from tests.support.clock import FakeClock
from tests.support.fleet import (
    approved,
    claimed,
    commit_on,
    handed_in,
    on_task,
    open_fleet,
    proposed,
    surroundings,
    task,
    working_on,
)
from tests.support.repo import Repo
from tests.support.worlds import assert_logs_are_legal

TWO = """\
version = 1
gates = "none"
policy = { verdicts = 2, require = ["security"] }

[[generated]]
paths = ["*.lock"]
run = "true"
"""


def read(session: Session, name: str = "a") -> TaskRecord:
    return session.record(session.snapshot(), name)


def answered(session: Session, lens: str, ruling: Ruling, *texts: str) -> TaskRecord:
    """A verifier's answer on p/a as the log has it."""
    record = read(session)
    verdict = verdicts.new_verdict(
        record, lens, f"verifier:v-{lens}", ruling, verdicts.base_tip(session, record)
    )
    findings = tuple(Finding(text, verdict.source) for text in texts)
    return verdicts.add(session, record, verdict, Answer(ruling, findings), {"output": b"said\n"})


@pytest.fixture
def waiting(repo: Repo) -> Session:
    """The lead; p/a waits for two lenses, handed in by w1 after w0 had given it back."""
    repo.commit("Policy", {"fleet.toml": TWO, "a/old": "old\n", "lib/x": "x\n", "other": "o\n"})
    approved(open_fleet(repo, "ann"), task("a", reads=["lib/**"]))
    first = open_fleet(repo, "w0")
    claimed(first, "a")
    work.release(first, "a")
    worker = open_fleet(repo, "w1")
    claimed(worker, "a")
    proposed(worker, "a")
    return open_fleet(repo, "lead")


# --- who may ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("worker", "env", "how"),
    [
        ("w1", {}, "you act as w1"),
        ("W1", {}, "you act as W1"),
        ("w0", {}, "you act as w0"),
        ("lead", {"FLEET_WORKER": "w1"}, "FLEET_WORKER says that you are w1"),
        ("lead", {"FLEET_TASK": "a", "FLEET_PLAN": "p"}, "FLEET_TASK says that you work on p/a"),
        ("lead", {"FLEET_TASK": "a"}, "FLEET_TASK says that you work on p/a"),
        ("lead", {"FLEET_TASK": "p/a"}, "FLEET_TASK says that you work on p/a"),
        ("lead", {"FLEET_FENCE": "the fence"}, "FLEET_FENCE is of a claim of p/a"),
    ],
)
def test_whoever_made_a_proposal_can_neither_verify_nor_accept_it(
    waiting: Session, repo: Repo, worker: str, env: dict[str, str], how: str
) -> None:
    record = read(waiting)
    claim = record.state.claim
    assert claim is not None
    if "FLEET_FENCE" in env:
        env = {"FLEET_FENCE": str(claim.fence)}
    with pytest.raises(Denied) as denied:
        verdicts.require_other(open_fleet(repo, worker, env=env), record)
    assert denied.value.message == f"whoever made a proposal cannot verify it: {how}"
    repo.commit("Policy", {"fleet.toml": TWO.replace("] }", '], human = ["approve"] }')})
    with pytest.raises(Denied) as denied:
        work.accept(open_fleet(repo, worker, env=env), "a", "")
    assert denied.value.message == f"whoever made a proposal cannot accept it: {how}"
    assert "git fleet accept p/a" in denied.value.hint
    assert read(waiting) == record


def test_nor_from_its_worktree_under_another_name(repo: Repo) -> None:
    repo.commit("Policy", {"fleet.toml": TWO})
    worker = open_fleet(repo, "w1")
    approved(worker, task("a"), task("b"))
    inside = working_on(worker, "a")
    handed_in(worker, "a")
    for name in (None, "somebody"):
        session = open_session(inside, surroundings(FakeClock()), worker=name)
        with session:
            with pytest.raises(Denied, match="this is the worktree of p/a"):
                verdicts.require_other(session, read(session))
            with pytest.raises(Denied, match="cannot accept it: this is the worktree of p/a"):
                work.accept(session, "a", "")
    elsewhere = open_session(working_on(worker, "b"), surroundings(FakeClock()), worker="somebody")
    with elsewhere, pytest.raises(Denied, match="this worktree is w1's"):
        work.accept(elsewhere, "a", "")


def test_nor_may_a_verifier_have_a_makers_name(waiting: Session) -> None:
    with pytest.raises(Denied, match="w1 worked on p/a"):
        verdicts.require_other(waiting, read(waiting), "skeptic", "w1")
    verdicts.require_other(waiting, read(waiting), "skeptic")


def test_a_worker_of_another_task_may(waiting: Session, repo: Repo) -> None:
    env = {"FLEET_WORKER": "w2", "FLEET_TASK": "b", "FLEET_PLAN": "p", "FLEET_FENCE": "0" * 40}
    repo.commit("Policy", {"fleet.toml": TWO.replace("] }", '], human = ["approve"] }')})
    another = open_fleet(repo, "w2", env=env)
    verdicts.require_other(another, read(waiting))
    assert work.accept(another, "a", "").record.state.state is State.VERIFIED


# --- a person's ---------------------------------------------------------------------------------------


def test_people_uphold_what_waits_for_them(waiting: Session) -> None:
    first = verdicts.give(waiting, "a", Ruling.UPHELD, "docs", (), "Reads well.")
    assert first.state.state is State.PROPOSED
    second = verdicts.give(waiting, "a", Ruling.UPHELD, "security", ())
    assert second.state.state is State.VERIFIED
    assert {(one.lens, one.verifier, one.verdict) for one in verdicts.given(waiting, second)} == {
        ("docs", "person:Test Person", "upheld"),
        ("security", "person:Test Person", "upheld"),
    }
    assert_logs_are_legal(waiting)


def test_what_a_person_refutes_comes_to_the_next_worker(waiting: Session, repo: Repo) -> None:
    refuted = verdicts.give(waiting, "a", Ruling.REFUTED, "security", ("It logs the token.",))
    assert (refuted.state.state, refuted.state.reason) == (State.REWORK, "verdict")
    again = claimed(open_fleet(repo, "w2"), "a")
    assert again.state.findings == (Finding("It logs the token.", "person:Test Person/security"),)


@pytest.mark.usefixtures("waiting")
def test_an_agent_gives_no_persons_verdict_unless_the_policy_lets_it(repo: Repo) -> None:
    for sign in ("CLAUDECODE", "FLEET_VERIFIER", "FLEET_GATE", "FLEET_ROLE", "FLEET_LENS"):
        agent = open_fleet(repo, "robot", env={sign: "1"})
        with pytest.raises(Denied, match=f"verdict is a person's to do, and {sign} says"):
            verdicts.give(agent, "a", Ruling.UPHELD, "docs", ())
    repo.commit("Policy", {"fleet.toml": TWO.replace("] }", '], human = ["approve"] }')})
    agent = open_fleet(repo, "robot", env={"CLAUDECODE": "1"})
    record = verdicts.give(agent, "a", Ruling.UPHELD, "docs", ())
    assert record.state.verdicts[-1].verifier == "worker:robot"


def test_a_person_answers_for_a_lens_that_is_asked_for_in_any_spelling(waiting: Session, repo: Repo) -> None:
    first = verdicts.give(waiting, "a", Ruling.UPHELD, "SECURITY", ())
    assert [v.lens for v in first.state.verdicts] == ["security"]
    repo.commit("Policy", {"fleet.toml": TWO.replace("verdicts = 2", "verdicts = 1")})
    session = open_fleet(repo, "lead")
    with pytest.raises(
        InvalidInput, match="nobody asks for the lens 'secruity'; there are: security"
    ) as refused:
        verdicts.give(session, "a", Ruling.UPHELD, "secruity", ())
    assert refused.value.hint == "git fleet verdict p/a --lens security --upheld"


def test_where_more_lenses_are_asked_for_than_are_named_a_person_names_one(waiting: Session) -> None:
    verdicts.give(waiting, "a", Ruling.UPHELD, "taste", ())
    again = verdicts.give(waiting, "a", Ruling.UPHELD, "Taste", ())
    assert [v.lens for v in again.state.verdicts] == ["taste"]
    done = verdicts.give(waiting, "a", Ruling.UPHELD, "security", ())
    assert done.state.state is State.VERIFIED


def test_the_branch_of_the_plan_says_what_is_a_persons(repo: Repo) -> None:
    """Another branch lets agents do everything."""
    repo.commit("Policy", {"fleet.toml": 'version = 1\ngates = "none"\n'})
    repo.run_git("branch", "dev")
    repo.commit("Policy", {"fleet.toml": 'version = 1\ngates = "none"\npolicy = { human = [] }\n'})
    approved(open_fleet(repo, "ann"), task("a"), base="dev")
    worker = open_fleet(repo, "w1")
    claimed(worker, "a")
    proposed(worker, "a")
    agent = open_fleet(repo, "robot", env={"CLAUDECODE": "1"})
    for act in (
        lambda: verdicts.give(agent, "a", Ruling.UPHELD, "docs", ()),
        lambda: work.accept(agent, "a", ""),
        lambda: work.reject(agent, "a", ("no",)),
    ):
        with pytest.raises(Denied, match="is a person's to do, and CLAUDECODE says"):
            act()


@pytest.mark.parametrize(
    ("lens", "ruling", "error", "hint"),
    [
        ("two words", Ruling.UPHELD, "a word of letters", "git fleet verdict p/a --lens LENS --upheld"),
        (
            "docs",
            Ruling.REFUTED,
            "needs a reason",
            'git fleet verdict p/a --lens docs --refuted --finding "…"',
        ),
    ],
)
def test_a_verdict_that_says_nothing_useful_is_refused(
    waiting: Session, lens: str, ruling: Ruling, error: str, hint: str
) -> None:
    with pytest.raises(InvalidInput, match=error) as refused:
        verdicts.give(waiting, "a", ruling, lens, ())
    assert refused.value.hint == hint


@pytest.mark.usefixtures("waiting")
def test_a_person_who_worked_on_it_may_not(repo: Repo) -> None:
    repo.run_git("config", "user.name", "w1")
    with pytest.raises(Denied, match="w1 worked on p/a"):
        verdicts.give(open_fleet(repo, "lead"), "a", Ruling.UPHELD, "docs", ())
    with pytest.raises(Denied, match="cannot accept it: w1 worked on p/a"):
        work.accept(open_fleet(repo, "lead"), "a", "")


def test_nobody_answers_for_what_is_not_handed_in(waiting: Session) -> None:
    on_task(waiting, "accept", "a")
    with pytest.raises(IllegalEvent, match="p/a is verified") as refused:
        verdicts.give(waiting, "a", Ruling.UPHELD, "docs", ())
    assert "git fleet verify p/a --again" in refused.value.hint


# --- what follows ---------------------------------------------------------------------------------------


def test_the_conclusion_names_the_lenses_that_were_heard(waiting: Session) -> None:
    answered(waiting, "docs", Ruling.UPHELD)
    record = verdicts.settle(waiting, answered(waiting, "security", Ruling.UPHELD), waiting.config())
    assert record.state.state is State.VERIFIED
    event = assert_logs_are_legal(waiting)[record.id][-1].event
    assert (event.name, event.fields["by"], event.fields["number"]) == ("uphold", "docs, security", 1)


def test_a_conclusion_is_drawn_from_the_log_as_it_is_then(waiting: Session) -> None:
    """Between our reading and our writing somebody else refutes."""
    answered(waiting, "docs", Ruling.UPHELD)
    before = answered(waiting, "security", Ruling.UPHELD)
    answered(waiting, "security", Ruling.REFUTED, "wrong")
    assert verdicts.settle(waiting, before, waiting.config()).state.state is State.REWORK


def test_a_verdict_on_a_proposal_that_was_replaced_is_not_recorded(waiting: Session, repo: Repo) -> None:
    old = read(waiting)
    verdict = verdicts.new_verdict(old, "docs", "verifier:v", Ruling.UPHELD, None)
    on_task(waiting, "eject", "a", reason="gate")
    with pytest.raises(IllegalEvent):
        verdicts.add(waiting, old, verdict, Answer(Ruling.UPHELD), {})
    worker = open_fleet(repo, "w1")
    claimed(worker, "a")
    proposed(worker, "a", {"a/new": "newer\n"})
    with pytest.raises(Stale, match="p/a was handed in again meanwhile"):
        verdicts.add(waiting, old, verdict, Answer(Ruling.UPHELD), {})
    assert read(waiting).state.verdicts == ()


def test_an_answer_that_comes_late_does_not_replace_the_one_that_was_given_meanwhile(
    waiting: Session,
) -> None:
    """Two processes have asked the same question, and one has heard a refutation by now."""
    asked = read(waiting)
    answered(waiting, "docs", Ruling.REFUTED, "real bug")
    late = verdicts.new_verdict(asked, "docs", "verifier:v-docs", Ruling.UPHELD, None)
    left = verdicts.add(waiting, asked, late, Answer(Ruling.UPHELD), {})
    assert [one.verdict for one in left.state.verdicts] == ["refuted"]
    assert [found.text for found in left.state.findings] == ["real bug"]
    assert answered(waiting, "docs", Ruling.UPHELD).state.findings == ()  # it was asked again since


def test_a_persons_word_is_replaced_by_a_persons_alone(waiting: Session) -> None:
    verdicts.give(waiting, "a", Ruling.UPHELD, "docs", ())
    left = answered(waiting, "docs", Ruling.REFUTED, "no")
    assert [(v.verifier, v.verdict) for v in left.state.verdicts] == [("person:Test Person", "upheld")]
    assert left.state.findings == ()
    changed = verdicts.give(waiting, "a", Ruling.REFUTED, "docs", ("I looked again.",))
    assert (changed.state.state, [v.verdict for v in changed.state.verdicts]) == (State.REWORK, ["refuted"])


def test_old_verdicts_are_not_given_on_a_new_proposal(waiting: Session, repo: Repo) -> None:
    answered(waiting, "docs", Ruling.UPHELD)
    on_task(waiting, "eject", "a", reason="gate")
    worker = open_fleet(repo, "w1")
    claimed(worker, "a")
    record = proposed(worker, "a", {"a/new": "newer\n"})
    assert (record.state.verdicts, verdicts.given(waiting, record)) == ((), ())


def test_what_was_given_is_read_with_who_and_when(waiting: Session) -> None:
    answered(waiting, "docs", Ruling.REFUTED, "x" * 1500)
    record = answered(waiting, "docs", Ruling.UPHELD, "a nit")
    first, second = verdicts.given(waiting, record)
    assert (first.counts, second.counts) == (False, True)
    assert first.findings[0].text == "x" * 1500
    assert (second.verifier, second.at, second.proposal) == ("verifier:v-docs", waiting.now(), 1)
    assert second.onto == verdicts.base_tip(waiting, record)
    assert second.oid == record.tip


# --- when main moves --------------------------------------------------------------------------------


def moved(session: Session, **files: str) -> Oid:
    """A commit on top of main that sets these files (`__` for a slash)."""
    main = verdicts.base_tip(session, read(session))
    assert main is not None
    return commit_on(session, main, {name.replace("__", "/"): text for name, text in files.items()})


def verified(session: Session) -> TaskRecord:
    answered(session, "docs", Ruling.UPHELD)
    return verdicts.settle(session, answered(session, "security", Ruling.UPHELD), session.config())


def test_verdicts_count_until_main_changes_what_the_task_owns_or_reads(waiting: Session) -> None:
    record, config = verified(waiting), waiting.config()
    main = verdicts.base_tip(waiting, record)
    assert main is not None
    assert verdicts.overtaken(waiting, record, config, main) == ""
    assert verdicts.overtaken(waiting, record, config, moved(waiting, other="new\n")) == ""
    for path in ("a__old", "lib__x", "a__fresh"):
        why = verdicts.overtaken(waiting, record, config, moved(waiting, **{path: "new\n"}))
        assert why == f"main has changed {path.replace('__', '/')} since it was verified"


def test_generated_files_overtake_nobody(waiting: Session) -> None:
    record = verified(waiting)
    assert verdicts.overtaken(waiting, record, waiting.config(), moved(waiting, **{"a__x.lock": "1"})) == ""


def test_what_was_overtaken_is_asked_anew(waiting: Session) -> None:
    record = verdicts.reverify(waiting, verified(waiting), "main has changed a/old")
    assert (record.state.state, record.state.verdicts) == (State.PROPOSED, ())
    assert [one.counts for one in verdicts.given(waiting, record)] == [False, False]
    assert verified(waiting).state.state is State.VERIFIED
    assert [one.counts for one in verdicts.given(waiting, read(waiting))] == [False, False, True, True]
    assert_logs_are_legal(waiting)


def test_what_a_person_accepted_is_not_asked_anew(waiting: Session) -> None:
    record = on_task(waiting, "accept", "a")
    assert verdicts.overtaken(waiting, record, waiting.config(), moved(waiting, a__old="new\n")) == ""


def test_what_gates_upheld_is_asked_about_once_the_policy_wants_verdicts(
    waiting: Session, repo: Repo
) -> None:
    record = on_task(waiting, "uphold", "a", by="gates", number=1)
    main = moved(waiting, a__old="new\n")
    why = verdicts.overtaken(waiting, record, waiting.config(), main)
    assert why == "it was verified before verdicts were asked for"
    repo.commit("No policy", {"fleet.toml": 'version = 1\ngates = "none"\n'})
    assert verdicts.overtaken(waiting, record, open_fleet(repo, "lead").config(), main) == ""


def test_only_what_is_verified_is_overtaken(waiting: Session) -> None:
    record = answered(waiting, "docs", Ruling.UPHELD)
    assert verdicts.overtaken(waiting, record, waiting.config(), moved(waiting, a__old="new\n")) == ""
    with pytest.raises(FleetError):
        verdicts.reverify(waiting, record, "why")


def test_verdicts_stored_before_they_said_on_what_they_were_given_are_not_overtaken(
    waiting: Session,
) -> None:
    for lens in ("docs", "security"):
        on_task(waiting, "verdict", "a", verdict=Verdict(lens, "v", "upheld", 1))
    record = verdicts.settle(waiting, read(waiting), waiting.config())
    assert record.state.state is State.VERIFIED
    assert verdicts.overtaken(waiting, record, waiting.config(), moved(waiting, a__old="new\n")) == ""
