"""The queue in its three modes: which candidates are gated, what lands together, what waits for what."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from git_fleet.app import lead
from git_fleet.app.integrate import Order, integrate, keep_integrating
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.model import State
from git_fleet.core.results import Integration
from git_fleet.errors import NeedsPerson
from git_fleet.store import evidence, gatelogs, log, names
from tests.support.clock import FakeClock
from tests.support.fleet import Table, accepted, approved, claimed, open_fleet, proposed, task, task_id
from tests.support.race import Puppet
from tests.support.repo import Repo

MODES: tuple[Mapping[str, Any], ...] = ({}, {"jobs": 4}, {"batch": True})


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A file outside of every checkout: a line for each run of the gate."""
    return tmp_path / "runs"


def declare(repo: Repo, check: str, runs: Path, more: str = "") -> None:
    gate = f'[[gate]]\nname = "check"\nrun = "echo >>{runs}; {check}"\n'
    repo.commit("Set up", {"fleet.toml": f"version = 1\n{more}\n{gate}"})


def counted(runs: Path) -> int:
    return runs.read_text().count("\n") if runs.exists() else 0


def hand_in(session: Session, *tables: Table, **contents: Mapping[str, str]) -> None:
    """These tasks approved and handed in, with the files that each writes."""
    approved(session, *tables)
    for table in tables:
        claimed(session, table["id"])
        proposed(session, table["id"], contents.get(table["id"]))


def run(session: Session, *targets: str, **fields: Any) -> Integration:
    return integrate(session, Order(targets, **fields), lambda _: None)


def ids(found: Integration) -> str:
    return "".join(each.id.task for each in found.integrated)


def state_of(session: Session, name: str) -> State:
    return session.record(session.snapshot(), name).state.state


def five(session: Session, red: str = "") -> None:
    """Five tasks; those named write a file that the gate `! grep` does not like."""
    tables = [task(name) for name in "abcde"]
    hand_in(session, *tables, **{name: {f"{name}/red": "red\n"} for name in red})


NO_RED = "! ls */red"


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_lands_the_same_and_ejects_the_same(
    session: Session, repo: Repo, runs: Path, mode: Mapping[str, Any]
) -> None:
    declare(repo, NO_RED, runs)
    five(session, "bd")
    found = run(session, **mode)
    assert ids(found) == "ace"
    assert [(each.id.task, each.reason) for each in found.ejected] == [("b", "gate"), ("d", "gate")]
    assert (
        found.gate_runs <= counted(runs) <= found.gate_runs + 2 * (mode.get("jobs", 1) - 1)
    )  # some were stopped
    assert [state_of(session, name) for name in "abcde"] == [
        State.INTEGRATED,
        State.REWORK,
        State.INTEGRATED,
        State.REWORK,
        State.INTEGRATED,
    ]
    assert repo.run_git("log", "--format=%s", "-3").splitlines() == [f"Work on p/{name}" for name in "eca"]
    assert repo.status() == []


def test_a_batch_that_is_green_is_gated_once_and_says_as_what(
    session: Session, repo: Repo, runs: Path
) -> None:
    declare(repo, NO_RED, runs)
    five(session)
    found = run(session, batch=True)
    assert (ids(found), found.gate_runs, counted(runs)) == ("abcde", 1, 1)
    notes = [
        tomllib.loads(evidence.read(session.store, each.commit or Oid("")) or "") for each in found.integrated
    ]
    top = found.integrated[-1].commit
    assert [note.get("gated_as") for note in notes] == [top] * 4 + [None]
    assert all([gate["name"] for gate in note["gate"]] == ["check"] for note in notes)


@pytest.mark.parametrize("mode", MODES)
def test_the_repositorys_gates_come_before_the_tasks_own(
    session: Session, repo: Repo, runs: Path, mode: Mapping[str, Any]
) -> None:
    declare(repo, NO_RED, runs)
    hand_in(session, task("a", accept=["true", "test -e a/new"]))
    (landed,) = run(session, **mode).integrated
    note = tomllib.loads(evidence.read(session.store, landed.commit or Oid("")) or "")
    assert [gate["name"] for gate in note["gate"]] == ["check", "accept 1", "accept 2"]


def test_a_batch_looks_for_the_red_one_by_halves(session: Session, repo: Repo, runs: Path) -> None:
    declare(repo, NO_RED, runs, "max_review = 99")
    names_ = [f"t{number:02}" for number in range(16)]
    hand_in(session, *(task(name) for name in names_), t11={"t11/red": "red\n"})
    found = run(session, batch=True)
    assert [each.id.task for each in found.ejected] == ["t11"]
    assert found.gate_runs <= 1 + 4 + 1  # the top, log₂ 16 halves, what is above laid anew


@pytest.mark.parametrize("case", ["red", "parked", "conflict"])
def test_where_main_stops_is_a_commit_that_was_gated(
    session: Session, repo: Repo, runs: Path, case: str
) -> None:
    more = 'park = ["c/**"]' if case == "parked" else ""
    declare(repo, f"git rev-parse HEAD >>{runs}.commits; {NO_RED}", runs, more)
    five(session, "c" if case == "red" else "")
    if case == "conflict":
        repo.commit("By hand", {"c/new": "other\n"})
    run(session, batch=True, stop_on_conflict=True)
    gated = Path(f"{runs}.commits").read_text().split()
    moves = repo.run_git("reflog", "show", "--format=%H", "main").split()
    landed = [commit for commit in moves if "Fleet-Task" in repo.run_git("show", "-s", "--format=%B", commit)]
    assert landed
    assert set(landed) <= set(gated)
    assert state_of(session, "e") is (State.PROPOSED if case == "conflict" else State.INTEGRATED)


def test_candidates_are_gated_at_the_same_time(
    session: Session, repo: Repo, runs: Path, tmp_path: Path
) -> None:
    """Each gate waits until both have begun: one after the other they would never end."""
    pipe = tmp_path / "begun"
    wait = f"touch {pipe}-$(git rev-parse HEAD); while test $(ls {pipe}-* | wc -l) -lt 2; do sleep 0.01; done"
    declare(repo, wait, runs)
    hand_in(session, task("a"), task("b"))
    assert ids(run(session, jobs=2)) == "ab"


def test_a_red_candidate_is_no_part_of_those_above_it(session: Session, repo: Repo, runs: Path) -> None:
    declare(repo, NO_RED, runs)
    five(session, "a")
    found = run(session, jobs=5)
    assert ids(found) == "bcde"
    for each in found.integrated:
        assert "a/red" not in repo.files(each.commit or "")


@pytest.mark.parametrize("mode", MODES)
def test_what_conflicts_with_a_red_candidate_alone_lands(
    session: Session, repo: Repo, runs: Path, mode: Mapping[str, Any]
) -> None:
    declare(repo, NO_RED, runs)
    repo.commit("A file", {"shared": "one\n"})
    both = {"files": ["/shared", "/a/**", "/b/**"], "overlap": "accept"}
    hand_in(
        session,
        task("a", **both),
        task("b", **both),
        a={"shared": "of a\n", "a/red": "red\n"},
        b={"shared": "of b\n"},
    )
    found = run(session, **mode)
    assert (ids(found), [each.id.task for each in found.ejected]) == ("b", ["a"])
    assert (repo.path / "shared").read_text() == "of b\n"


@pytest.mark.parametrize("mode", MODES)
def test_an_accept_command_is_its_own_tasks_in_every_mode(
    session: Session, repo: Repo, runs: Path, mode: Mapping[str, Any]
) -> None:
    declare(repo, "true", runs)
    hand_in(
        session,
        task("a", accept=["test -e a/new"]),
        task("b", accept=["test -e not-there"]),
        task("c", accept=["test -e c/new"]),
        task("d", accept=["no-such-command-at-all"]),
    )
    found = run(session, **mode)
    assert ids(found) == "ac"
    assert [each.id.task for each in found.ejected] == ["b", "d"]
    assert "cannot be run" in found.ejected[1].detail


@pytest.mark.parametrize("mode", MODES)
def test_a_gate_that_cannot_be_run_stops_every_mode(
    session: Session, repo: Repo, mode: Mapping[str, Any]
) -> None:
    repo.commit("Set up", {"fleet.toml": 'version = 1\n[[gate]]\nname = "g"\nrun = ["no-such-program"]\n'})
    five(session)
    before = repo.rev("main")
    with pytest.raises(NeedsPerson, match="cannot be run"):
        run(session, **mode)
    assert repo.rev("main") == before
    assert state_of(session, "a") is State.PROPOSED


@pytest.mark.parametrize("mode", MODES)
def test_what_parks_is_gated_and_in_nobodys_way(
    session: Session, repo: Repo, runs: Path, mode: Mapping[str, Any]
) -> None:
    declare(repo, NO_RED, runs, 'park = ["b/**"]')
    five(session)
    found = run(session, **mode)
    assert ids(found) == "acde"
    assert [each.id.task for each in found.skipped] == ["b"]
    assert state_of(session, "b") is State.PARKED
    assert "b/new" not in repo.files("main")
    assert counted(runs) >= 2
    accepted(session, "b", "looked at")
    assert ids(run(session, **mode)) == "b"


def test_what_was_parked_lands_as_the_tree_that_passed_where_main_stood_still(
    session: Session, repo: Repo, runs: Path
) -> None:
    declare(repo, NO_RED, runs, 'park = ["a/**"]')
    hand_in(session, task("a"), task("b"))
    run(session, "a")
    accepted(session, "a")
    assert run(session, "a").gate_runs == 0  # that tree has passed
    assert counted(runs) == 1


def test_what_was_parked_is_gated_again_where_main_has_moved(
    session: Session, repo: Repo, runs: Path
) -> None:
    declare(repo, NO_RED, runs, 'park = ["a/**"]')
    hand_in(session, task("a"), task("b"))
    run(session)
    before = counted(runs)
    accepted(session, "a")
    assert (ids(run(session)), counted(runs)) == ("a", before + 1)


def test_a_proposal_that_touches_the_configuration_waits_for_a_person(
    session: Session, repo: Repo, runs: Path
) -> None:
    declare(repo, NO_RED, runs, 'park = ["fleet.toml"]')
    text = (repo.path / "fleet.toml").read_text()
    hand_in(session, task("a", files=["fleet.toml"]), a={"fleet.toml": text + "# more\n"})
    found = run(session)
    assert (ids(found), state_of(session, "a")) == ("", State.PARKED)


def test_a_known_pass_is_not_asked_again_unless_one_says_so(session: Session, repo: Repo, runs: Path) -> None:
    declare(repo, NO_RED, runs, 'park = ["a/**"]')
    hand_in(session, task("a"))
    run(session)
    accepted(session, "a")
    found = run(session, cache=False)
    assert (ids(found), found.gate_runs, counted(runs)) == ("a", 1, 2)


@pytest.mark.parametrize("mode", MODES)
def test_the_whole_log_is_beside_the_proposal(
    session: Session, repo: Repo, runs: Path, mode: Mapping[str, Any]
) -> None:
    declare(repo, "seq 1 30000; ! ls */red", runs)
    hand_in(session, task("a"), a={"a/red": "red\n"})
    run(session, **mode)
    (place,) = gatelogs.listing(session.store, task_id("a"))
    printed = repo.run_git("show", place)
    assert printed.startswith("1\n2\n")
    assert "30000\n" in printed
    tip = session.record(session.snapshot(), "a").tip
    assert tip is not None
    (short,) = log.texts(session.store.objects, log.read(session.store.objects, tip)).values()
    assert b"cut here" in short
    assert repo.rev(names.gate_logs(task_id("a"), 1))


def test_gates_of_candidates_that_count_no_more_are_stopped(session: Session, repo: Repo, runs: Path) -> None:
    """The candidate above the red one would hang for ever."""
    declare(repo, "if ls a/red; then test -e b/new && sleep 600; false; fi", runs)
    hand_in(session, task("a"), task("b"), a={"a/red": "red\n"})
    found = run(session, jobs=2)
    assert (ids(found), [each.id.task for each in found.ejected]) == ("b", ["a"])


@pytest.mark.parametrize("mode", MODES)
def test_a_dry_run_lays_everything_and_moves_nothing(
    session: Session, repo: Repo, runs: Path, mode: Mapping[str, Any]
) -> None:
    declare(repo, NO_RED, runs)
    five(session)
    refs = repo.refs()
    found = run(session, dry_run=True, **mode)
    assert (ids(found), found.gate_runs, counted(runs)) == ("abcde", 0, 0)
    assert repo.refs() == refs


# --- going on as more is handed in ---------------------------------------------------------------


def _hand_in(say: Callable[[object], None], place: Path, name: str, clock: FakeClock) -> None:
    with open_fleet(place, "w2", clock) as session:
        claimed(session, name)
        proposed(session, name)
    say("handed in")


def test_a_queue_that_watches_lands_what_is_handed_in_meanwhile_and_ends_with_the_plan(
    session: Session, repo: Repo, runs: Path, clock: FakeClock
) -> None:
    declare(repo, NO_RED, runs)
    hand_in(session, task("a"))
    approved(session, task("b"), plan="q")
    rounds = keep_integrating(session, Order(), lambda _: None)
    assert ids(next(rounds)) == "a"
    other = Puppet(_hand_in, repo.path, "b", clock)
    assert ids(next(rounds)) == "b"
    assert list(rounds) == []
    assert other.hear() == "handed in"
    other.kill()
    assert lead.show(session).holder == ""


def test_a_queue_that_watches_one_plan_does_not_wait_for_another(
    session: Session, repo: Repo, runs: Path
) -> None:
    declare(repo, NO_RED, runs)
    hand_in(session, task("a"))
    approved(session, task("b"), plan="q")
    assert [ids(found) for found in keep_integrating(session, Order(("p",)), lambda _: None)] == ["a"]
