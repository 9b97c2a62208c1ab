"""Proposals onto main: one commit a task, in a deliberate order, and never a tree whose gates did not pass."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from git_fleet.app import gates, handin, install, landing, lead, preparing, queue, settling, work
from git_fleet.app.integrate import Order, integrate
from git_fleet.app.lead import Leading
from git_fleet.app.session import Session
from git_fleet.app.settling import settle
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import State, TaskState
from git_fleet.core.results import Integration
from git_fleet.core.snapshot import Snapshot
from git_fleet.core.trailers import read_stamp
from git_fleet.errors import Busy, Held, InvalidInput, NeedsPerson
from git_fleet.git.refs import Refs
from git_fleet.store import evidence, fleet, log, names, tasks
from tests.support.clock import FakeClock
from tests.support.fleet import (
    accepted,
    approved,
    claimed,
    handed_in,
    on_task,
    open_fleet,
    proposed,
    task,
    task_id,
    working_on,
)
from tests.support.repo import Content, Repo, make_repo

NO_GATES = 'version = 1\ngates = "none"\n'


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    """A fleet without gates."""
    repo.commit("Set up", {"fleet.toml": NO_GATES})
    with open_fleet(repo, "w1", clock) as session:
        yield session


def gated(repo: Repo, *commands: str) -> None:
    """From now on these shell commands are the gates."""
    tables = [f'[[gate]]\nname = "g{n}"\nrun = {run!r}\n' for n, run in enumerate(commands, 1)]
    repo.commit("Declare gates", {"fleet.toml": "\n".join(["version = 1", *tables])})


def ready(session: Session, name: str, files: Mapping[str, Content] | None = None) -> Oid:
    """The task claimed and handed in: the worker's commit."""
    claimed(session, name)
    proposal = proposed(session, name, files).state.proposal
    assert proposal is not None
    assert proposal.commit is not None
    return proposal.commit


def run(session: Session, *targets: str, **fields: Any) -> Integration:
    return integrate(session, Order(tuple(targets), **fields), lambda _: None)


def state(session: Session, name: str) -> TaskState:
    return session.record(session.snapshot(), name).state


def landed(found: Integration) -> str:
    return "".join(each.id.task for each in found.integrated)


def subjects(repo: Repo, *more: str) -> list[str]:
    """The commits on main since the first two, oldest first."""
    return repo.run_git("log", "--reverse", "--format=%s", *more, "main").splitlines()[2:]


# --- one commit a task ---------------------------------------------------------------------------


def test_main_gets_one_commit_a_task_with_its_trailers_and_evidence(session: Session, repo: Repo) -> None:
    approved(session, task("a"), task("b"))
    before = repo.rev("main")
    ready(session, "a")
    ready(session, "b")
    found = run(session)
    assert (found.main_before, found.main_after, landed(found)) == (before, repo.rev("main"), "ab")
    assert (found.ejected, found.skipped, found.gate_runs, found.warnings) == ((), (), 0, ())
    assert subjects(repo) == ["Work on p/a", "Work on p/b"]
    commit = found.integrated[0].commit
    assert commit == repo.rev("main~")
    message = repo.run_git("show", "--no-patch", "--format=%B", commit or "")
    proposal = state(session, "a").proposal
    assert proposal is not None
    assert read_stamp(message) == (task_id("a"), "w1", proposal.oid)
    assert (state(session, "a").state, state(session, "a").landed) == (State.INTEGRATED, commit)
    note = tomllib.loads(evidence.read(session.store, commit or Oid("")) or "")
    assert (note["plan"], note["task"], note["worker"], note["proposal"]) == ("p", "a", "w1", proposal.oid)
    assert lead.show(session).holder == ""
    assert repo.status() == []
    assert (repo.path / "b/new").read_text() == "new\n"


def test_a_long_message_reaches_main_whole(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    Repo(working_on(session, "a")).commit("Work", {"a/1": "1"})
    told = "\n".join(f"Line {number} of what was done, and why." for number in range(500))
    handin.done(session, "a", handin.Handin(message=f"All of it\n\n{told}"))
    run(session)
    assert repo.run_git("show", "--no-patch", "--format=%s%n%n%b", "main").startswith(
        f"All of it\n\n{told}\n"
    )


def test_many_commits_of_several_people_become_one_that_names_them(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    tree = Repo(working_on(session, "a"))
    tree.write("a/1", "1")
    tree.run_git("add", "--all")
    who = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@x"}
    tree.run_git("commit", "--quiet", "-m", "First\n\nBecause.", env=who)
    tree.commit("Second", {"a/2": "2"})
    handin.done(session, "a", handin.Handin(message="All of it"))
    run(session)
    shown = repo.run_git("show", "--no-patch", "--format=%an|%cn|%s|%b", "main")
    assert shown.startswith("Ann|Test Person|All of it|* First\n\nBecause.\n\n* Second\n")
    assert "Co-authored-by: Test Person <person@example.invalid>" in shown


def test_file_names_modes_and_links_survive_to_main(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    tree = Repo(working_on(session, "a"))
    names_ = ("a/ space ", "a/new\nline", 'a/"quoted"', "a/\udcff", "a/-n", "a/:(top)")
    for name in names_:
        tree.write(name, b"\x00\xff")
    tree.write("a/run", "#!/bin/sh\n", executable=True)
    (tree.path / "a/link").symlink_to("../README.md")
    handin.done(session, "a", handin.Handin(all_changes=True))
    run(session)
    files = repo.files("main")
    assert all(files[name] == ("100644", b"\x00\xff") for name in names_)
    assert files["a/run"].mode == "100755"
    assert files["a/link"] == ("120000", b"../README.md")
    assert repo.status() == []
    assert (repo.path / "a/\udcff").read_bytes() == b"\x00\xff"


def test_a_sha256_repository_works_from_end_to_end(tmp_path: Path, clock: FakeClock) -> None:
    files = {"README.md": "x\n", "fleet.toml": 'version = 1\n[[gate]]\nname = "t"\nrun = "test -f a/x"\n'}
    repo = make_repo(tmp_path / "repo", files, object_format="sha256")
    with open_fleet(repo, "w1", clock, long_lived=True) as session:
        approved(session, task("a"), task("b", files=["/a/x"]))
        working_on(session, "a")
        handed_in(session, "a", {"a/x": "1"})
        assert landed(run(session)) == "a"
        working_on(session, "b")
        assert len(repo.rev("main")) == 64
        assert evidence.read(session.store, repo.rev("main"))


def test_a_worker_that_merged_main_itself_brings_only_its_own(session: Session, repo: Repo) -> None:
    approved(session, task("a"), task("b"))
    tree = Repo(working_on(session, "a"))
    tree.commit("First", {"a/1": "1"})
    ready(session, "b")
    run(session)
    tree.run_git("merge", "--quiet", "--no-edit", "main")
    handed_in(session, "a", {"a/2": "2"})
    run(session, "a")
    changed = repo.run_git("diff", "--name-only", "main~", "main").splitlines()
    assert changed == ["a/1", "a/2"]


def test_work_goes_onto_the_plans_own_base(session: Session, repo: Repo) -> None:
    repo.branch("maint")
    approved(session, task("a"), base="maint")
    main = repo.rev("main")
    ready(session, "a")
    found = run(session, "p")
    assert (repo.rev("main"), repo.rev("maint")) == (main, found.main_after)
    assert repo.status() == []


# --- what, and in which order --------------------------------------------------------------------


def test_the_order_is_deliberate_not_that_of_finishing(session: Session, repo: Repo) -> None:
    tasks = task("a", reads=["/d/**"]), task("b"), task("c"), task("d"), task("e", needs=["c"])
    approved(session, *tasks)
    for name in "adcb":
        ready(session, name)
    assert landed(run(session)) == "cbda"
    assert [line[-1] for line in subjects(repo)] == [*"cbda"]


def test_a_persons_own_order_comes_first(session: Session) -> None:
    approved(session, task("a"), task("b"), task("c"))
    for name in "abc":
        ready(session, name)
    assert landed(run(session, first=("c", "p/b"))) == "cba"


def test_an_order_that_names_what_is_not_handed_in_is_refused(session: Session, repo: Repo) -> None:
    approved(session, task("a"), task("b"))
    ready(session, "a")
    before = repo.rev("main")
    with pytest.raises(InvalidInput, match="--order names p/b, which is not handed in"):
        run(session, first=("b",))
    assert repo.rev("main") == before


def test_targets_are_plans_or_tasks_and_what_is_not_ready_is_skipped(session: Session) -> None:
    approved(session, task("a"), task("b"), task("c"))
    approved(session, task("z"), plan="q")
    for name in ("p/a", "p/b", "q/z"):
        ready(session, name)
    found = run(session, "b", "c")
    assert landed(found) == "b"
    assert [(str(each.id), each.reason) for each in found.skipped] == [("p/c", "it is pending")]
    assert landed(run(session, "q")) == "z"
    assert landed(run(session)) == "a"
    with pytest.raises(InvalidInput, match="no task 'nope'"):
        run(session, "nope")


def test_a_task_waits_for_what_it_needs(session: Session) -> None:
    approved(session, task("a"), task("b", needs=["a"]))
    ready(session, "a")
    run(session, "a")
    ready(session, "b")
    on_task(session, "revert", "a")
    found = run(session)
    assert [(str(each.id), each.reason) for each in found.skipped] == [("p/b", "it needs p/a first")]
    assert state(session, "b").state is State.PROPOSED


def test_plans_of_different_bases_are_not_integrated_in_one_run(session: Session, repo: Repo) -> None:
    repo.branch("maint")
    approved(session, task("a"))
    approved(session, task("b"), plan="q", base="maint")
    ready(session, "a")
    ready(session, "b")
    with pytest.raises(InvalidInput, match="different branches: main, maint"):
        run(session)


def test_what_waits_for_verdicts_is_left_alone(session: Session, repo: Repo) -> None:
    repo.commit("Verify", {"fleet.toml": NO_GATES + "policy = { verdicts = 1 }\n"})
    approved(session, task("a"), task("b"))
    ready(session, "a")
    ready(session, "b")
    accepted(session, "b")
    found = run(session)
    assert landed(found) == "b"
    assert found.skipped[0].reason.startswith("it waits for verdicts")


def test_nothing_to_do_is_no_error(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    found = run(session)
    assert (found.integrated, found.main_after) == ((), repo.rev("main"))


# --- ejected -------------------------------------------------------------------------------------


def test_a_conflict_goes_back_to_rework_with_its_paths_and_the_others_go_on(
    session: Session, repo: Repo
) -> None:
    repo.commit("More", {"x": "old\n"})
    both = {"files": ["/x"], "overlap": "accept"}
    approved(session, task("a", **both), task("b", **both), task("c"))
    for name in "abc":
        ready(session, name, {"x": f"{name}\n"} if name != "c" else None)
    found = run(session)
    assert landed(found) == "ac"
    (ejected,) = found.ejected
    assert (str(ejected.id), ejected.reason, ejected.paths) == ("p/b", "conflict", ("x",))
    after = state(session, "b")
    assert (after.state, after.conflict) == (State.REWORK, True)
    assert [(each.source, each.path) for each in after.findings] == [("conflict", "x")]
    assert repo.files("main")["x"].content == b"a\n"


def test_one_who_wants_to_look_stops_at_the_first_conflict(session: Session, repo: Repo) -> None:
    repo.commit("More", {"x": "old\n"})
    both = {"files": ["/x"], "overlap": "accept"}
    approved(session, task("a", **both), task("b", **both), task("c"))
    for name in "abc":
        ready(session, name, {"x": f"{name}\n"} if name != "c" else None)
    found = run(session, stop_on_conflict=True)
    assert (landed(found), [each.id.task for each in found.ejected]) == ("a", ["b"])
    assert state(session, "c").state is State.PROPOSED


def test_paths_that_are_not_the_tasks_eject_it_and_are_named(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    before = repo.rev("main")
    ready(session, "a", {"a/x": "1", "b/y": "1", "fleet.toml": NO_GATES + "# \n"})
    (ejected,) = run(session).ejected
    assert (ejected.reason, ejected.paths) == ("scope", ("b/y", "fleet.toml"))
    assert repo.rev("main") == before
    assert state(session, "a").state is State.REWORK


def test_generated_paths_are_everybodys(session: Session, repo: Repo) -> None:
    text = NO_GATES + '[[generated]]\npaths = ["x.lock"]\nrun = "true"\n'
    repo.commit("Generate", {"fleet.toml": text})
    approved(session, task("a"))
    ready(session, "a", {"a/x": "1", "x.lock": "1"})
    assert landed(run(session)) == "a"


def test_a_rework_after_a_conflict_lands(session: Session, repo: Repo) -> None:
    repo.commit("More", {"x": "old\n"})
    both = {"files": ["/x"], "overlap": "accept"}
    approved(session, task("a", **both), task("b", **both))
    working_on(session, "b")
    handed_in(session, "b", {"x": "b\n"})
    ready(session, "a", {"x": "a\n"})
    assert landed(run(session)) == "a"
    path = working_on(session, "b")
    assert "<<<<<<< " in (path / "x").read_text()
    handed_in(session, "b", {"x": "both\n"})
    assert landed(run(session)) == "b"
    assert repo.files("main")["x"].content == b"both\n"


# --- gates ---------------------------------------------------------------------------------------


def test_gates_judge_exactly_the_tree_that_main_gets(session: Session, repo: Repo) -> None:
    gated(repo, "test -f a/new", 'test "$(git log -1 --format=%s)" = "Work on p/a" && echo fine')
    approved(session, task("a", accept=["test ! -e b"]))
    ready(session, "a")
    found = run(session)
    assert (landed(found), found.gate_runs) == ("a", 3)
    note = tomllib.loads(evidence.read(session.store, repo.rev("main")) or "")
    assert [(gate["name"], gate["outcome"]) for gate in note["gate"]] == [
        ("g1", "pass"),
        ("g2", "pass"),
        ("accept 1", "pass"),
    ]
    entries = log.history(session.store.objects, session.record(session.snapshot(), "a").tip)
    uphold = next(entry for entry in entries if entry.event.name == "uphold")
    assert uphold.event.fields["by"] == "gates"
    assert log.texts(session.store.objects, uphold)["2-g2.log"] == b"fine\n"


def test_a_red_gate_sends_the_task_back_with_the_end_of_its_output(session: Session, repo: Repo) -> None:
    gated(repo, "true", "for n in $(seq 200); do echo line $n; done; test ! -e a/new || exit 3", "false")
    approved(session, task("a"), task("b"))
    ready(session, "a")
    before = repo.rev("main")
    found = run(session)
    (ejected,) = found.ejected
    assert (ejected.reason, found.gate_runs, repo.rev("main")) == (
        "gate",
        3,
        before,
    )  # and main, which passes
    assert ejected.detail.startswith("gate g2: exit code 3\n")
    (finding,) = state(session, "a").findings
    assert finding.text.startswith("gate g2: exit code 3\n…")
    assert finding.text.endswith("line 200")
    entries = log.history(session.store.objects, session.record(session.snapshot(), "a").tip)
    assert log.texts(session.store.objects, entries[-1])["2-g2.log"].startswith(b"line 1\n")


def test_a_task_is_gated_on_top_of_those_that_landed_before_it(session: Session, repo: Repo) -> None:
    gated(repo, "test ! -e a/new || test ! -e b/new")
    approved(session, task("a"), task("b"))
    ready(session, "a")
    ready(session, "b")
    found = run(session)
    assert (landed(found), [each.id.task for each in found.ejected]) == ("a", ["b"])


def test_what_a_gate_leaves_behind_changes_no_merge(session: Session, repo: Repo) -> None:
    repo.commit("More", {"x": "old\n"})
    gated(repo, "echo '* merge=union' > .gitattributes")
    both = {"files": ["/x"], "overlap": "accept"}
    approved(session, task("a", **both), task("b", **both))
    ready(session, "a", {"x": "a\n"})
    ready(session, "b", {"x": "b\n"})
    assert [each.reason for each in run(session).ejected] == ["conflict"]


def test_a_gate_that_cannot_be_run_says_nothing_about_the_task(session: Session, repo: Repo) -> None:
    gated(repo, "no-such-command-here")
    approved(session, task("a"))
    ready(session, "a")
    before = repo.rev("main")
    with pytest.raises(NeedsPerson, match="gate g1 cannot be run"):
        run(session)
    assert (repo.rev("main"), state(session, "a").state) == (before, State.PROPOSED)
    assert lead.show(session).holder == ""


@pytest.mark.parametrize("command", ["no-such-command-here", "exit 126"])
def test_an_accept_command_that_cannot_be_run_stops_its_own_task_alone(
    session: Session, repo: Repo, command: str
) -> None:
    gated(repo, "true")
    approved(session, task("a", accept=["true", command]), task("b"))
    ready(session, "a")
    ready(session, "b")
    found = run(session)
    assert (landed(found), [(each.id.task, each.reason) for each in found.ejected]) == ("b", [("a", "gate")])
    assert "gate accept 2: cannot be run" in found.ejected[0].detail
    assert state(session, "a").state is State.REWORK


def test_gates_are_read_from_the_base_and_never_from_the_proposal(session: Session, repo: Repo) -> None:
    gated(repo, "grep -q run fleet.toml")
    approved(session, task("a", files=["/fleet.toml"]))
    ready(session, "a", {"fleet.toml": NO_GATES})
    assert [each.reason for each in run(session).ejected] == ["gate"]


def test_without_any_gate_nothing_is_integrated(session: Session, repo: Repo) -> None:
    repo.commit("Forget gates", {"fleet.toml": "version = 1\n"})
    approved(session, task("a"), task("b", accept=["true"]), task("r", output="report"))
    before = ready(session, "a") and repo.rev("main")
    with pytest.raises(InvalidInput, match="no gate is declared") as caught:
        run(session)
    assert 'gates = "none"' in caught.value.hint
    assert repo.rev("main") == before
    ready(session, "b")
    claimed(session, "r")
    on_report(session)
    assert landed(run(session, "b", "r")) == "br"


def on_report(session: Session) -> None:
    handin.done(session, "r", handin.Handin(result="nothing found"))


# --- without a commit ----------------------------------------------------------------------------


def test_a_report_ends_integrated_without_a_commit(session: Session, repo: Repo) -> None:
    approved(session, task("r", output="report"), task("b", needs=["r"]))
    before = repo.rev("main")
    claimed(session, "r")
    on_report(session)
    found = run(session)
    assert [(each.id.task, each.commit) for each in found.integrated] == [("r", None)]
    assert (repo.rev("main"), state(session, "r").state) == (before, State.INTEGRATED)
    claimed(session, "b")


def test_what_main_has_already_ends_integrated_without_a_commit(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    ready(session, "a", {"a/x": "1"})
    repo.commit("The same", {"a/x": "1"})
    before = repo.rev("main")
    found = run(session)
    assert [(each.id.task, each.commit) for each in found.integrated] == [("a", None)]
    assert (repo.rev("main"), state(session, "a").landed) == (before, None)


def upheld_by(session: Session, name: str) -> list[str]:
    record = session.record(session.snapshot(), name)
    events = [entry.event for entry in log.history(session.store.objects, record.tip)]
    return [event.fields["by"] for event in events if event.name == "uphold"]


@pytest.mark.parametrize("accept", ["test -e main-has-it", "exit 3"])
def test_what_main_has_already_passes_the_gates_on_main_as_it_is(
    session: Session, repo: Repo, accept: str
) -> None:
    gated(repo, "test -e a/x")
    approved(session, task("a", accept=[accept]), task("b"))
    ready(session, "a", {"a/x": "1"})
    repo.commit("The same", {"a/x": "1", "main-has-it": ""})
    found = run(session)
    passed = accept != "exit 3"
    assert landed(found) == ("a" if passed else "")
    assert state(session, "a").state is (State.INTEGRATED if passed else State.REWORK)
    assert (found.gate_runs, upheld_by(session, "a")) == (2, ["gates"] if passed else [])


@pytest.mark.parametrize(
    ("accept", "outcome"), [([], "nobody"), (["test -e README.md"], "gates"), (["false"], "")]
)
def test_a_report_is_judged_by_its_own_commands_alone(
    session: Session, repo: Repo, accept: list[str], outcome: str
) -> None:
    gated(repo, "false")
    approved(session, task("r", output="report", accept=accept))
    claimed(session, "r")
    on_report(session)
    assert landed(run(session)) == ("r" if outcome else "")
    assert upheld_by(session, "r") == ([outcome] if outcome else [])


def test_where_nothing_is_checked_the_log_says_so(session: Session) -> None:
    approved(session, task("a"))
    ready(session, "a")
    run(session)
    assert upheld_by(session, "a") == ["nobody"]


def test_the_fleet_is_read_as_often_for_many_tasks_as_for_one(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_snapshot, readings = fleet.read_snapshot, Counter[str]()

    def counting(*args: Any, **kwargs: Any) -> Snapshot:
        readings[names_] += 1
        return read_snapshot(*args, **kwargs)

    approved(session, task("x"), *(task(name, needs=["x"]) for name in "abcd"))
    for names_ in ("x", "abcd"):
        for name in names_:
            ready(session, name)
        with monkeypatch.context() as patched:
            patched.setattr(fleet, "read_snapshot", counting)
            assert landed(run(session)) == names_
    assert readings["x"] == readings["abcd"]


# --- parked --------------------------------------------------------------------------------------


def test_what_a_person_has_to_look_at_is_parked_until_then(session: Session, repo: Repo) -> None:
    repo.commit("Park", {"fleet.toml": NO_GATES + 'park = ["a/secret*"]\n'})
    approved(session, task("a"), task("b"))
    ready(session, "a", {"a/secret": "1"})
    ready(session, "b")
    found = run(session)
    assert landed(found) == "b"
    assert "a/secret" in found.skipped[0].reason
    assert state(session, "a").state is State.PARKED
    accepted(session, "a", "looked at it")
    assert landed(run(session)) == "a"


# --- main is in the way --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["changed", "staged", "untracked", "ignored", "merging"])
def test_a_worktree_of_main_that_is_in_the_way_stops_it_before_anything_moves(
    session: Session, repo: Repo, how: str
) -> None:
    gated(repo, f"echo ran >> {repo.path.parent}/gates")
    approved(session, task("a"))
    ready(session, "a", {"a/x": "1"})
    if how == "untracked":
        repo.write("a/x", "mine")
    elif how == "ignored":
        (repo.path / ".git" / "info").mkdir(exist_ok=True)
        (repo.path / ".git" / "info" / "exclude").write_text("x\n")
        repo.write("a/x", "mine")
    elif how == "merging":
        (repo.path / ".git" / "MERGE_HEAD").write_text(f"{repo.rev('main~')}\n")
    else:
        repo.write("README.md", "mine")
        if how == "staged":
            repo.run_git("add", "README.md")
    before, refs = repo.status(), repo.refs()
    with pytest.raises(NeedsPerson) as caught:
        run(session)
    assert caught.value.exit_code == 5
    assert repo.status() == before
    moved = {ref for ref, value in repo.refs().items() if refs.get(ref) != value}
    assert moved == {names.LEAD}  # taken for a moment, and given up
    assert lead.show(session).holder == ""
    assert not (repo.path.parent / "gates").exists()  # told before a long wait, not after


def test_what_is_not_in_the_way_stays_as_it_is(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    ready(session, "a")
    repo.write("notes", "mine")
    assert landed(run(session)) == "a"
    assert repo.status() == ["?? notes"]


def test_main_is_moved_wherever_it_is_checked_out_or_nowhere(session: Session, repo: Repo) -> None:
    approved(session, task("a"), task("b"))
    repo.run_git("checkout", "--quiet", "-b", "topic")
    ready(session, "a")
    assert landed(run(session)) == "a"
    assert not (repo.path / "a").exists()
    elsewhere = repo.path.parent / "elsewhere"
    repo.run_git("worktree", "add", "--quiet", str(elsewhere), "main")
    ready(session, "b")
    assert landed(run(session)) == "b"
    assert (elsewhere / "b/new").exists()
    assert Repo(elsewhere).status() == []


# --- others meanwhile ----------------------------------------------------------------------------


@pytest.mark.parametrize("theirs", ["a/x", "a/y"])
def test_when_main_moves_meanwhile_the_task_is_replayed_and_gated_again(
    session: Session, repo: Repo, theirs: str
) -> None:
    lines = "1\n2\n3\n4\n5\n6\n"
    repo.commit("More", {"a/x": lines, "a/y": lines})
    marker, seen = repo.path.parent / "moved", repo.path.parent / "seen"
    move = f"cd {repo.path} && echo 0 | cat - {theirs} > new && mv new {theirs} && git commit -qam Meanwhile"
    gated(repo, f"test -e {marker} || (touch {marker}; {move})", f"head -n 1 {theirs} >> {seen}")
    approved(session, task("a"))
    ready(session, "a", {"a/x": lines + "mine\n"})
    found = run(session)
    assert (landed(found), found.gate_runs) == ("a", 4)
    assert seen.read_text() == "1\n0\n"
    assert subjects(repo)[-2:] == ["Meanwhile", "Work on p/a"]
    files = repo.files("main")
    assert files[theirs].content.startswith(b"0\n1\n")
    assert files["a/x"].content.endswith(b"6\nmine\n")
    assert repo.status() == []


def test_a_task_withdrawn_while_its_gates_run_does_not_land(
    session: Session, repo: Repo, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit("Gates", {"fleet.toml": 'version = 1\n[[gate]]\nname = "g"\nrun = "true"\n'})
    approved(session, task("a"))
    ready(session, "a")
    before, run_gates = repo.rev("main"), gates.run_gates

    def withdrawing(*args: Any, **kwargs: Any) -> Any:
        with open_fleet(repo, "w1", clock) as other:
            work.withdraw(other, "a", "found a bug")
        return run_gates(*args, **kwargs)

    monkeypatch.setattr(gates, "run_gates", withdrawing)
    found = run(session)
    assert (landed(found), repo.rev("main")) == ("", before)
    assert "rework" in found.skipped[0].reason


@pytest.mark.parametrize("one_lock", [False, True])
def test_a_task_rejected_at_the_last_moment_does_not_land(
    session: Session, repo: Repo, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, one_lock: bool
) -> None:
    monkeypatch.setattr(Refs, "locks_each", not one_lock)  # as with files, and as with a reftable
    approved(session, task("a"))
    ready(session, "a")
    before, prepare, left = repo.rev("main"), preparing.prepare, [True]

    def rejected(*args: Any, **kwargs: Any) -> Any:
        landing = prepare(*args, **kwargs)
        if left:
            left.pop()
            with open_fleet(repo, "w2", clock) as other:
                work.reject(other, "a", ("wait",))
        return landing

    monkeypatch.setattr(queue, "prepare", rejected)
    found = run(session)
    assert (landed(found), repo.rev("main")) == ("", before)
    assert not lead.show(session).intent_open
    assert state(session, "a").state is State.REWORK


def test_a_task_cannot_move_while_main_does(
    session: Session, repo: Repo, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a"))
    ready(session, "a")
    transact, refused = session.store.refs.transact, []

    def rejecting(updates: Any, **kwargs: Any) -> None:
        if any(update.ref == "refs/heads/main" for update in updates):
            with open_fleet(repo, "w2", clock) as other, pytest.raises(Busy) as busy:
                work.reject(other, "a", ("wait",))
            refused.append(busy.value)
        transact(updates, **kwargs)

    monkeypatch.setattr(session.store.refs, "transact", rejecting)
    assert landed(run(session)) == "a"
    assert len(refused) == 1


@pytest.mark.parametrize(
    "lock", ["refs/heads/main.lock", "refs/fleet/task/p/a.lock", "refs/notes/fleet/evidence.lock"]
)
def test_locks_that_a_killed_git_left_do_not_stop_main(session: Session, repo: Repo, lock: str) -> None:
    approved(session, task("a"))
    ready(session, "a")
    left = repo.path / ".git" / lock
    left.parent.mkdir(exist_ok=True)
    left.touch()
    assert landed(run(session)) == "a"
    assert not left.exists()
    assert evidence.read(session.store, repo.rev("main"))


def test_nor_does_one_of_the_leads_log_though_we_hold_locks_ourselves(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a"))
    ready(session, "a")
    prepare, lock = preparing.prepare, repo.path / ".git/refs/fleet/lead.lock"

    def killed(*args: Any, **kwargs: Any) -> Any:
        lock.touch()
        return prepare(*args, **kwargs)

    monkeypatch.setattr(queue, "prepare", killed)
    assert landed(run(session)) == "a"
    assert not lock.exists()


def test_only_the_lead_integrates(session: Session, repo: Repo, clock: FakeClock) -> None:
    approved(session, task("a"))
    ready(session, "a")
    other = repo.worktree(repo.path.parent / "other", "other")
    with open_fleet(other, "w2", clock) as second:
        lead.acquire(second)
        with pytest.raises(Held, match="leads until"):
            run(session)
        assert landed(run(second)) == "a"
        assert lead.show(second).mine


def test_with_the_hooks_in_place_the_lead_still_moves_main(session: Session, repo: Repo) -> None:
    install.install(session.repo)
    approved(session, task("a"))
    working_on(session, "a")
    handed_in(session, "a")
    assert landed(run(session)) == "a"
    assert repo.try_git("commit", "--allow-empty", "-m", "By hand").returncode != 0


def test_commits_that_no_integration_made_are_warned_about(session: Session, repo: Repo) -> None:
    approved(session, task("a"), plan="p")
    repo.commit("By hand")
    approved(session, task("b"), plan="q")  # begins later, and does not hide it
    ready(session, "a")
    (warning,) = run(session).warnings
    assert "main has 1 commit that no integration made" in warning
    assert "By hand" in warning
    assert "Work on" not in run(session).warnings[0]


# --- dry run -------------------------------------------------------------------------------------


def test_a_dry_run_shows_order_conflicts_and_commits_and_moves_nothing(session: Session, repo: Repo) -> None:
    gated(repo, "false")
    repo.commit("More", {"x": "old\n"})
    both = {"files": ["/x"], "overlap": "accept"}
    approved(session, task("a", **both), task("b", **both), task("c"), task("d", needs=["c"]), task("e"))
    ready(session, "a", {"x": "a\n"})
    ready(session, "b", {"x": "b\n"})
    ready(session, "c")
    claimed(session, "e")
    refs = repo.refs()
    found = run(session, "p", "e", dry_run=True)
    assert landed(found) == "ca"
    assert [(each.id.task, each.paths) for each in found.ejected] == [("b", ("x",))]
    assert [(each.id.task, each.reason) for each in found.skipped] == [("e", "it is claimed")]
    assert (found.gate_runs, found.main_before) == (0, repo.rev("main"))
    assert found.main_after == found.integrated[-1].commit
    assert repo.files(found.main_after)["x"].content == b"a\n"
    assert repo.refs() == refs


# --- interrupted ---------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


def _killed(session: Session, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """An integration that is killed: `before` main moves, right `after`, or with the `events` written and the
    worktree as it was, or when that has `followed`."""

    def dying(*_: object, **__: object) -> None:
        raise Killed

    transact = session.store.refs.transact

    def cut(updates: Any, **kwargs: Any) -> None:
        moving = any(update.ref == "refs/heads/main" for update in updates)
        if not moving or where == "after":
            transact(updates, **kwargs)
        if moving:
            raise Killed

    with monkeypatch.context() as patched:
        if where in ("before", "after"):
            patched.setattr(session.store.refs, "transact", cut)
        else:
            module, step = (landing, "_is_there") if where == "events" else (settling, "close")
            patched.setattr(module, step, dying)
        # A killed process gives nothing up and closes nothing.
        patched.setattr(lead, "release", dying)
        with pytest.raises(Killed):
            run(session)


@pytest.mark.parametrize("where", ["before", "after", "events", "followed"])
def test_an_interrupted_integration_is_completed_or_started_over_by_the_next(
    session: Session, repo: Repo, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    approved(session, task("a"), task("b"))
    ready(session, "a")
    before = repo.rev("main")
    _killed(session, monkeypatch, where)
    assert lead.show(session).intent_open
    moved = where != "before"
    assert (repo.rev("main") != before) == moved
    assert state(session, "a").state is (State.INTEGRATED if moved else State.PROPOSED)
    ready(session, "b")
    told: list[str] = []
    with open_fleet(repo, "w9", clock) as again:
        found = integrate(again, Order(), told.append)
    assert landed(found) == ("b" if moved else "ab")
    assert ("completed" if moved else "had not moved main") in told[0]
    assert not lead.show(session).intent_open
    assert subjects(repo) == ["Work on p/a", "Work on p/b"]
    assert repo.status() == []
    for name, commit in (("a", "main~"), ("b", "main")):
        assert state(session, name).landed == repo.rev(commit)
        assert evidence.read(session.store, repo.rev(commit))


def test_a_task_that_moved_on_after_main_did_is_integrated_all_the_same_and_its_work_kept(
    session: Session, repo: Repo, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a"))
    path = working_on(session, "a")
    handed_in(session, "a")
    record = session.record(session.snapshot(), "a")
    _killed(session, monkeypatch, "after")
    stale = on_task_as_read(session, record)
    assert stale.state is State.REWORK
    Repo(path).write("a/late", "precious")
    with open_fleet(repo, "w9", clock) as again:
        run(again)
    after = state(session, "a")
    assert (after.state, after.landed, after.salvages) == (State.INTEGRATED, repo.rev("main"), 1)
    assert repo.files(names.salvage(task_id("a"), 1))["a/late"].content == b"precious"


def on_task_as_read(session: Session, record: Any) -> TaskState:
    """The task withdrawn by one who did not see that main has moved."""
    record = tasks.reread(session.store, record.task)
    fence = record.state.claim.fence if record.state.claim else None
    event = Event("withdraw", session.now(), "w1", {"fence": fence})
    return tasks.append(session.store, record, event).state


def undone(session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> str:
    """Killed after main had moved, and then somebody commits in the worktree that has not followed: what
    landed."""
    repo.commit("More", {"a/old": "old"})
    approved(session, task("a"))
    ready(session, "a", {"a/new": "1", "a/old": "new"})
    _killed(session, monkeypatch, "after")
    made = repo.rev("main")
    repo.write("README.md", "fixed")
    repo.run_git("commit", "--quiet", "-am", "An innocent fix")
    assert "a/new" not in repo.files("main")
    with pytest.raises(NeedsPerson, match=r"took back what .*: a/new, a/old") as caught:
        run(session)
    assert f"git checkout {made[:12]} -- PATH" in caught.value.hint
    return made


def test_a_commit_that_takes_back_what_landed_by_accident_needs_a_person(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = undone(session, repo, monkeypatch)
    repo.run_git("checkout", made, "--", "a/new", "a/old")
    repo.run_git("commit", "--quiet", "-m", "Bring it back")
    run(session)
    assert (state(session, "a").state, state(session, "a").landed) == (State.INTEGRATED, made)
    assert repo.status() == []


def test_no_commit_takes_back_what_the_worktree_has_not_followed_where_hooks_are_in_place(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    install.install(session.repo)
    approved(session, task("a"))
    ready(session, "a")
    _killed(session, monkeypatch, "after")
    repo.write("README.md", "fixed")
    refused = repo.try_git("commit", "--quiet", "-am", "An innocent fix")
    assert refused.returncode != 0
    assert b"only its lead" in refused.stderr  # a run that was killed is nobody's lead by hand
    lead.acquire(session)
    refused = repo.try_git("commit", "--quiet", "-am", "An innocent fix")
    assert refused.returncode != 0
    assert b"the files here have not followed yet" in refused.stderr
    assert b"git fleet integrate finishes it" in refused.stderr
    repo.run_git("checkout", "--quiet", "main~", "--", "README.md")
    run(session)
    repo.commit("An innocent fix", {"README.md": "fixed"})


def test_what_was_taken_back_on_purpose_stays_so(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = undone(session, repo, monkeypatch)
    repo.run_git("commit", "--quiet", "--allow-empty", "-m", f"This reverts commit {made}.")
    run(session)
    assert not lead.show(session).intent_open


def test_later_commits_on_main_are_no_hindrance_to_completing(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a"))
    ready(session, "a", {"a/new": "1"})
    _killed(session, monkeypatch, "after")
    repo.run_git("reset", "--quiet", "--hard")
    repo.commit("Later", {"a/new": "2", "b": "1"})
    run(session)
    assert state(session, "a").state is State.INTEGRATED


def test_an_open_intent_is_settled_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    approved(session, task("a"))
    ready(session, "a")
    _killed(session, monkeypatch, "after")
    leading = Leading(session, lead.acquire(session))
    assert [settle(leading), settle(leading)] == ["complete", ""]
