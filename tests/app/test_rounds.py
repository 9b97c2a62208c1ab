"""What moves while the queue is at work: main, its gates, plans and tasks. Who is to blame, and who is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from git_fleet.app.integrate import Order, keep_integrating
from git_fleet.app.session import Session
from git_fleet.core.model import State
from git_fleet.errors import NeedsPerson
from tests.app.test_queue import MODES, NO_RED, counted, declare, five, hand_in, ids, run, state_of
from tests.support.clock import FakeClock
from tests.support.fleet import accepted, approved, claimed, open_fleet, proposed, task
from tests.support.repo import Repo

in_every_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


BREAKS = "echo >broken; git add broken; git commit -q -m 'By hand'"


def once(tmp_path: Path, repo: Repo, does: str) -> str:
    """A gate that passes; the first time it runs, a person does something in the main worktree meanwhile."""
    script, done = tmp_path / "gate.sh", tmp_path / "done"
    script.write_text(
        f"#!/bin/sh\nif test ! -e {done}; then\n  touch {done}\n  cd {repo.path} || exit 1\n  {does}\nfi >/dev/null\n"
    )
    script.chmod(0o755)
    return str(script)


# --- who is to blame -----------------------------------------------------------------------------


@in_every_mode
def test_nobody_is_sent_back_for_a_main_that_is_red_itself(
    session: Session, repo: Repo, runs: Path, mode: Mapping[str, Any]
) -> None:
    declare(repo, "! ls broken", runs)
    five(session)
    repo.commit("By hand", {"broken": "x\n"})
    with pytest.raises(NeedsPerson, match="gate check does not pass on main itself"):
        run(session, **mode)
    assert {state_of(session, name) for name in "abcde"} == {State.PROPOSED}


@in_every_mode
def test_a_proposal_that_breaks_the_gate_itself_goes_back_alone(
    session: Session, repo: Repo, mode: Mapping[str, Any]
) -> None:
    repo.write("check.sh", "#!/bin/sh\nexit 0\n", executable=True)
    repo.run_git("add", ".")
    repo.commit("Set up", {"fleet.toml": 'version = 1\n[[gate]]\nname = "check"\nrun = "./check.sh"\n'})
    hand_in(
        session,
        task("a", files=["/check.sh"]),
        task("b"),
        task("c"),
        a={"check.sh": "#!/bin/sh\nexit 0\n#\n"},
    )  # its mode is lost
    found = run(session, **mode)
    assert (ids(found), [each.id.task for each in found.ejected]) == ("bc", ["a"])
    assert "cannot be run" in found.ejected[0].detail


@in_every_mode
def test_an_accept_command_looks_at_its_own_commit(
    session: Session, repo: Repo, runs: Path, mode: Mapping[str, Any]
) -> None:
    declare(repo, "true", runs)
    hand_in(session, task("j", accept=["git log -1 --format=%B | grep -q 'Fleet-Task: j'"]), task("k"))
    assert ids(run(session, **mode)) == "jk"


@in_every_mode
def test_what_has_landed_is_told_when_a_person_is_needed(
    session: Session, repo: Repo, runs: Path, tmp_path: Path, mode: Mapping[str, Any]
) -> None:
    declare(repo, "! ls broken", runs, 'park = ["b/**"]')
    hand_in(session, task("a"), task("b", accept=[once(tmp_path, repo, BREAKS)]), task("c"))
    # Or it is met half-way: added, and not committed yet, or committed before the files had followed.
    met = r"does not pass on main itself|uncommitted changes|took back what [0-9a-f]{12} had brought"
    with pytest.raises(NeedsPerson, match=met) as caught:
        run(session, **mode)
    told = "(before that, p/a landed)" in caught.value.message or "took back what" in caught.value.message
    assert told == (state_of(session, "a") is State.INTEGRATED)


# --- what moves meanwhile ------------------------------------------------------------------------


@in_every_mode
def test_gates_that_a_person_commits_meanwhile_count(
    session: Session, repo: Repo, runs: Path, tmp_path: Path, mode: Mapping[str, Any]
) -> None:
    stricter = '[[gate]]\\nname = "strict"\\nrun = "! ls b/new"\\n'
    more = once(
        tmp_path,
        repo,
        f"printf '{stricter}' >>fleet.toml; git -c user.name=P -c user.email=p@x commit -qam Stricter",
    )
    declare(repo, more, runs)
    hand_in(session, task("a"), task("b"))
    found = run(session, **mode)
    assert (ids(found), [each.id.task for each in found.ejected]) == ("a", ["b"])
    assert "gate strict" in found.ejected[0].detail


@in_every_mode
def test_who_changes_the_gates_waits_for_a_person_and_all_after_it_pass_the_new_ones(
    session: Session, repo: Repo, runs: Path, mode: Mapping[str, Any]
) -> None:
    declare(repo, "true", runs)
    new = (repo.path / "fleet.toml").read_text() + '\n[[gate]]\nname = "strict"\nrun = "! ls b/new"\n'
    hand_in(session, task("a", files=["/fleet.toml"]), task("b"), task("c"), a={"fleet.toml": new})
    run(session, "a")
    assert state_of(session, "a") is State.PARKED
    accepted(session, "a")
    found = run(session, **mode)
    assert (ids(found), [each.id.task for each in found.ejected]) == ("ac", ["b"])
    assert "gate strict" in found.ejected[0].detail


def test_who_brings_a_gate_has_to_pass_it(session: Session, repo: Repo, runs: Path) -> None:
    declare(repo, "true", runs)
    new = (repo.path / "fleet.toml").read_text() + '\n[[gate]]\nname = "strict"\nrun = "false"\n'
    hand_in(session, task("a", files=["/fleet.toml"]), a={"fleet.toml": new})
    (ejected,) = run(session, "a").ejected
    assert ejected.detail == "gate strict: exit code 1"


def test_a_configuration_that_is_no_valid_one_goes_back(session: Session, repo: Repo, runs: Path) -> None:
    declare(repo, "true", runs)
    hand_in(session, task("a", files=["/fleet.toml"]), a={"fleet.toml": "version = 1\nnonsense = 1\n"})
    (ejected,) = run(session).ejected
    assert (ejected.reason, ejected.paths) == ("gate", ("fleet.toml",))
    assert "nonsense" in ejected.detail


def test_a_main_that_keeps_moving_only_makes_it_longer(
    session: Session, repo: Repo, runs: Path, tmp_path: Path
) -> None:
    """A person commits during every other gate, more often than a round that gets nowhere may be repeated."""
    script, number = tmp_path / "gate.sh", tmp_path / "number"
    script.write_text(
        f"#!/bin/sh\nx=$(cat {number} 2>/dev/null || echo 0); x=$((x+1)); echo $x >{number}\n"
        f"test $((x%2)) = 0 && exit 0\ncd {repo.path} && git commit -q --allow-empty -m 'By hand'\n"
    )
    script.chmod(0o755)
    declare(repo, str(script), runs, "max_review = 99\nmax_active = 99")
    names = [f"t{number:02}" for number in range(22)]
    hand_in(session, *map(task, names))
    found = run(session, cache=False)
    assert [each.id.task for each in found.integrated] == names
    assert found.main_after == repo.rev("main")


@in_every_mode
def test_what_is_needed_and_ends_without_a_commit_must_not_move_before_main_does(
    session: Session, repo: Repo, runs: Path, tmp_path: Path, mode: Mapping[str, Any]
) -> None:
    reject = f"env -u FLEET_GATE {sys.executable} -m git_fleet reject e --finding no"
    more = once(tmp_path, repo, "true")
    declare(repo, f"if ls f/new; then {more}; fi", runs)
    Path(more).write_text(Path(more).read_text().replace("  true\n", f"  {reject}\n"))
    hand_in(session, task("e"), task("f"), e={"e/same": "1\n"})
    repo.commit("The same", {"e/same": "1\n"})
    approved(session, task("e"), task("f", needs=["e"]))
    found = run(session, **mode)
    assert state_of(session, "f") is State.PROPOSED or state_of(session, "e") is State.INTEGRATED
    assert [each.id.task for each in found.integrated] in ([], ["e"], ["e", "f"])


@in_every_mode
def test_what_needs_a_task_above_a_red_one_is_laid_again_with_it(
    session: Session, repo: Repo, runs: Path, mode: Mapping[str, Any]
) -> None:
    declare(repo, NO_RED, runs)
    hand_in(session, task("x"), task("a"), task("b"), x={"x/red": "red\n"})
    approved(session, task("x"), task("a"), task("b", needs=["a"]))
    assert ids(run(session, first=("x",), **mode)) == "ab"


# --- truth of what is said -----------------------------------------------------------------------


def test_a_dry_run_stops_where_the_run_would(session: Session, repo: Repo, runs: Path) -> None:
    declare(repo, "true", runs)
    hand_in(session, task("a"), task("b"), task("c"), b={"b/f": "1\n"})
    repo.commit("By hand", {"b/f": "2\n"})
    rehearsed = run(session, dry_run=True, stop_on_conflict=True)
    done = run(session, stop_on_conflict=True)
    assert ids(rehearsed) == ids(done) == "a"
    assert [each.id for each in rehearsed.ejected] == [each.id for each in done.ejected]


def test_what_moves_main_nowhere_does_not_ask_for_a_clean_worktree(
    session: Session, repo: Repo, runs: Path
) -> None:
    declare(repo, "true", runs, 'park = ["a/**"]')
    hand_in(session, task("a"))
    repo.write("README.md", "not committed\n")
    assert ids(run(session)) == ""
    assert (state_of(session, "a"), counted(runs)) == (State.PARKED, 1)


def test_an_order_of_ones_own_is_for_those_that_are_there(session: Session, repo: Repo, runs: Path) -> None:
    declare(repo, "true", runs)
    approved(session, task("a"), task("b"), task("c"))
    for name in "ab":
        claimed(session, name)
        proposed(session, name)
    came = []
    for found in keep_integrating(session, Order(("p",), ("b",)), lambda _: None):
        came.append(ids(found))
        if len(came) == 1:
            claimed(session, "c")
            proposed(session, "c")
    assert came == ["ba", "c"]
