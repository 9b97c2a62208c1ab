"""The next command, in the order of what only a person can move."""

from __future__ import annotations

from pathlib import Path

from git_fleet.app import advice, install, lead, status
from git_fleet.app.session import Session
from git_fleet.core.model import Verdict
from git_fleet.store import lead as lead_log
from git_fleet.store.lead import Intent
from tests.support.fleet import (
    approved,
    claimed,
    on_plan,
    on_task,
    open_fleet,
    proposed,
    saved,
    task,
    working_on,
)
from tests.support.repo import Repo

JUDGED = "version = 1\npolicy = { verdicts = 1 }\n"


def advised(session: Session) -> str:
    return status.status(session, details=False).next_command


def test_from_the_first_plan_to_the_last_task(repo: Repo) -> None:
    session = open_fleet(repo)
    assert advised(session) == "git fleet init"
    install.install(session.repo)
    assert advised(session) == advice.NEW_PLAN
    record = saved(session, task("a"), task("b", needs=["a"]))
    assert advised(session) == "git fleet plan approve p"
    on_plan(session, "approving", incoming=record.note)
    assert advised(session) == "git fleet plan approve p"
    on_plan(session, "approve", revision=record.note)
    assert advised(session) == "git fleet claim"
    claimed(session, "a")
    assert advised(session) == "git fleet log p/a"
    proposed(session, "a")
    assert advised(session) == "git fleet integrate"
    on_task(session, "accept", "a")
    assert advised(session) == "git fleet integrate"
    on_task(session, "integrate", "a")
    assert advised(session) == "git fleet claim"
    on_task(session, "cancel", "b")
    assert advised(session) == "git fleet plan close p"
    on_plan(session, "closing")
    assert advised(session) == "git fleet plan close p"
    on_plan(session, "close")
    assert advised(session) == "git fleet plan import FILE, or git fleet plan new NAME"
    assert status.status(session).closed == 1


def test_without_a_work_tree_there_is_nothing_to_set_up(repo: Repo, tmp_path: Path) -> None:
    repo.run_git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    assert advised(open_fleet(tmp_path / "bare.git")) == advice.NEW_PLAN


def test_a_draft_that_names_no_files_is_edited_before_it_is_approved(repo: Repo) -> None:
    session = open_fleet(repo)
    drafted = {"id": "later", "title": "Left alone"}
    saved(session, task("a"), drafted)
    assert advised(session) == "git fleet plan edit p"
    approved(session, task("a"))
    claimed(session, "a")
    saved(session, task("a"), drafted)
    assert advised(session) == "git fleet plan edit p"
    saved(session, task("a"), task("later"))
    assert advised(session) == "git fleet plan approve p"


def test_a_draft_onto_a_branch_that_is_gone_is_edited_before_it_is_approved(repo: Repo) -> None:
    session = open_fleet(repo)
    repo.branch("next")
    saved(session, task("a"), base="next")
    assert advised(session) == "git fleet plan approve p"
    repo.run_git("branch", "-D", "next")
    (step,) = status.status(session).steps
    assert step.command == "git fleet plan edit p"
    assert step.why.endswith("there is no branch next")


def test_a_plan_broken_by_hand_is_edited(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    claimed(session, "a")
    base = repo.rev("main")
    notes = ("-c", "core.hooksPath=/dev/null", "notes", "--ref=fleet/plan/p")
    repo.run_git(*notes, "add", "-f", "-m", "no = toml = at all", base)
    assert advised(session) == "git fleet plan edit p"


def test_a_proposal_that_needs_a_verdict_is_for_a_person_to_accept(repo: Repo) -> None:
    repo.commit("policy", {"fleet.toml": JUDGED})
    session = open_fleet(repo)
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    assert advised(session) == "git fleet accept p/a"


def test_where_only_a_required_lens_is_open_the_next_command_answers_for_it(repo: Repo) -> None:
    verifier = '[[verifier]]\nname = "v"\nlens = "l"\nrun = ["true"]\n'
    policy = 'policy = { require = ["security"] }\n'
    repo.commit("verifier", {"fleet.toml": f'version = 1\ngates = "none"\n{policy}{verifier}'})
    session = open_fleet(repo)
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    assert advised(session) == "git fleet verify"
    on_task(session, "verdict", "a", verdict=Verdict("l", "verifier:v", "upheld", 1))
    assert advised(session) == "git fleet verdict p/a --lens security --upheld"


def test_verifiers_are_asked_before_anything_lands(repo: Repo) -> None:
    verifier = '[[verifier]]\nname = "v"\nlens = "l"\nrun = ["true"]\n'
    repo.commit("verifier", {"fleet.toml": f'version = 1\ngates = "none"\n{verifier}'})
    session = open_fleet(repo)
    approved(session, task("a"), task("b"))
    claimed(session, "a")
    proposed(session, "a")
    assert advised(session) == "git fleet verify"
    assert status.explain(session, "a").reasons[0].fix == "git fleet verify p/a, or git fleet accept p/a"
    on_task(session, "verdict", "a", verdict=Verdict("l", "verifier:v", "upheld", 1))
    assert advised(session) == "git fleet verify"  # which was killed before it drew the conclusion
    on_task(session, "uphold", "a")
    assert advised(session) == "git fleet integrate"


def test_what_waits_for_a_persons_verdict_says_so(repo: Repo) -> None:
    repo.commit("policy", {"fleet.toml": JUDGED})
    session = open_fleet(repo)
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    assert (
        status.explain(session, "a").reasons[0].fix
        == "git fleet verdict p/a --lens LENS --upheld, or git fleet accept p/a"
    )


def test_blocked_paused_and_held_tasks_need_a_person(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"), task("b", hold=True))
    claimed(session, "a")
    on_task(session, "block", "a", code="stuck", reason="no idea")
    assert advised(session) == "git fleet explain p/a"
    on_task(session, "shelve", "a")
    on_plan(session, "pause")
    assert advised(session) == "git fleet plan resume p"
    on_plan(session, "resume")
    on_task(session, "cancel", "a")
    assert advised(session) == "git fleet accept p/b"


def test_an_edited_plan_waits_for_its_approval(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    claimed(session, "a")
    saved(session, task("a"), task("b"))
    assert advised(session) == "git fleet plan approve p"


def test_an_unfinished_integration_comes_first(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    record = lead.acquire(session)
    main = repo.rev("main")
    intent = Intent("refs/heads/main", main, main, "", ())
    lead_log.begin(session.store, record, intent, actor="ann", now=session.now())
    assert advised(session) == "git fleet integrate"


def test_in_a_worktree_it_is_the_workers_next_step(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    inside = open_fleet(working_on(session, "a"), None)
    assert advised(inside) == 'git fleet done -m "…"'
    on_task(session, "block", "a", code="stuck", reason="no idea")
    assert advised(inside) == "git fleet explain p/a"
    on_task(session, "unblock", "a")
    claimed(open_fleet(repo, "w2"), "a")
    assert advised(inside) == "git fleet log p/a"
