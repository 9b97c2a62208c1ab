"""Generated files: two tasks may both change the lock file, and main gets one that fits both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from git_fleet.app import generated
from git_fleet.app.checkouts import Checkouts
from git_fleet.app.integrate import Order, integrate
from git_fleet.app.session import Session
from git_fleet.core.config import Generated
from git_fleet.core.model import State
from git_fleet.core.results import Integration
from git_fleet.errors import NeedsPerson
from git_fleet.git.replay import merge
from git_fleet.git.repository import discover
from git_fleet.store.base import Store
from tests.support.clock import FakeClock
from tests.support.fleet import approved, claimed, handed_in, open_fleet, proposed, task
from tests.support.race import Puppet, until
from tests.support.repo import Repo
from tests.support.stores import open_store

LOCK = "cat deps/* | sort | nl > x.lock"  # a line of it changes with every line above
MATCHER = generated.matcher(["*.lock", "/gen/**"])


def config(run: str, *paths: str) -> str:
    listed = ", ".join(map(repr, paths or ("x.lock",)))
    return f'version = 1\ngates = "none"\n[[generated]]\npaths = [{listed}]\nrun = {run!r}\n'


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    files = {"fleet.toml": config(LOCK), "deps/m": "m\n", "x.lock": "     1\tm\n"}
    repo.commit("Set up", files)
    with open_fleet(repo, "w1", clock) as session:
        yield session


def integrated(session: Session) -> Integration:
    return integrate(session, Order(), lambda _: None)


def both_add(session: Session) -> None:
    """Two tasks that each add a dependency, and the lock file as each of them sees it."""
    approved(session, task("a", files=["deps/a"]), task("b", files=["deps/b"]))
    for name in ("a", "b"):
        claimed(session, name)
    for name in ("a", "b"):
        proposed(session, name, {f"deps/{name}": f"{name}\n", "x.lock": f"     1\t{name}\n     2\tm\n"})


def test_a_checkout_stays_taken_while_git_takes_in_what_a_command_made(
    session: Session, repo: Repo, tmp_path: Path
) -> None:
    """As after kill -9 of the integration: git goes on with the index there, and would be in the way of the next."""
    flag, began, pipe, script = (tmp_path / name for name in ("flag", "began", "pipe", "clean"))
    os.mkfifo(pipe)
    script.write_text(
        f"if [ -e '{flag}' ]; then mv '{flag}' '{began}'; cat '{pipe}' > /dev/null; fi; exec cat\n"
    )
    repo.run_git("config", "filter.slow.clean", f"sh '{script}'")
    files = {"fleet.toml": config(f"{LOCK}; touch '{flag}'"), ".gitattributes": "*.lock filter=slow\n"}
    main = repo.commit("A slow filter", files)
    both_add(session)

    def work(say: Callable[[object], None]) -> None:
        with open_fleet(repo, "lead") as lead:
            say("begun")
            integrated(lead)

    lead = Puppet(work)
    lead.hear()
    until(began.exists)
    lead.kill()
    pool = Checkouts(session.repo, session.around.cache_dir)
    with pool.checkout(main) as found:
        place = found.path.parent.name
    pipe.write_text("go on")
    assert place == "checkout-2"


# --- by the queue ---------------------------------------------------------------------------------


def test_two_tasks_that_change_the_lock_file_both_land_with_one_that_fits(
    session: Session, repo: Repo
) -> None:
    both_add(session)
    found = integrated(session)
    assert [each.id.task for each in found.integrated] == ["a", "b"]
    assert repo.run_git("show", "main^:x.lock") == "     1\ta\n     2\tm"
    assert repo.run_git("show", "main:x.lock") == "     1\ta\n     2\tb\n     3\tm"
    assert repo.run_git("show", "--format=", "--name-only", "main").split() == ["deps/b", "x.lock"]


def test_what_the_command_changes_elsewhere_stays_out(session: Session, repo: Repo) -> None:
    run = f"{LOCK}; echo spoilt > README.md; touch new ignored.lock; rm deps/m; git add -A"
    repo.commit("Another command", {"fleet.toml": config(run, "*.lock"), ".gitignore": "ignored.lock\n"})
    both_add(session)
    assert len(integrated(session).integrated) == 2
    assert repo.run_git("show", "main:README.md") == "# scratch"
    assert {path for path in repo.files("main") if "lock" in path or path == "new"} == {"x.lock"}
    assert "deps/m" in repo.files("main")


def test_files_that_the_command_adds_and_deletes_go_along(session: Session, repo: Repo) -> None:
    run = f"{LOCK}; git rm -q --ignore-unmatch gen/old; mkdir -p gen/deep; echo 1 > gen/deep/new; chmod +x gen/deep/new"
    repo.commit("Another command", {"fleet.toml": config(run, "x.lock", "gen/**"), "gen/old": "1\n"})
    both_add(session)
    assert len(integrated(session).integrated) == 2
    found = repo.files("main")
    assert [path for path in found if path.startswith("gen/")] == ["gen/deep/new"]
    assert found["gen/deep/new"].mode == "100755"


def test_the_command_runs_only_for_what_it_makes(session: Session, repo: Repo) -> None:
    repo.commit("Another command", {"fleet.toml": config("false")})
    approved(session, task("a", files=["deps/a"]))
    claimed(session, "a")
    proposed(session, "a", {"deps/a": "a\n"})
    assert [each.id.task for each in integrated(session).integrated] == ["a"]


def test_a_proposal_that_deletes_its_lock_file_gets_it_back(session: Session, repo: Repo) -> None:
    approved(session, task("a", files=["deps/a"]))
    claimed(session, "a", worktree=True)
    handed_in(session, "a", {"deps/a": "a\n", "x.lock": None})
    integrated(session)
    assert repo.run_git("show", "main:x.lock") == "     1\ta\n     2\tm"


def test_a_command_that_fails_sends_the_task_back_with_its_output(session: Session, repo: Repo) -> None:
    repo.commit(
        "Another command", {"fleet.toml": config("test ! -e deps/b || { echo no b; exit 3; }; " + LOCK)}
    )
    both_add(session)
    found = integrated(session)
    assert [each.id.task for each in found.integrated] == ["a"]
    (ejected,) = found.ejected
    assert (ejected.id.task, ejected.reason) == ("b", "gate")
    assert ejected.detail == "generated x.lock: exit code 3\nno b"
    assert session.record(session.snapshot(), "b").state.state is State.REWORK


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ('rm -rf "$PWD"', "generated x.lock: its command has removed its checkout"),
        ("rm -f x.lock; mkfifo x.lock", "generated x.lock: git update-index: "),
    ],
)
def test_a_command_that_breaks_its_checkout_harms_its_own_task_alone(
    run: str, said: str, session: Session, repo: Repo
) -> None:
    repo.commit("Another command", {"fleet.toml": config(f"if test -e deps/a; then {run}; else {LOCK}; fi")})
    both_add(session)
    found = integrated(session)
    assert [each.id.task for each in found.integrated] == ["b"]
    assert [each.id.task for each in found.ejected] == ["a"]
    assert found.ejected[0].detail.startswith(said)


def test_a_command_that_cannot_be_run_says_nothing_about_the_task(session: Session, repo: Repo) -> None:
    repo.commit("Another command", {"fleet.toml": config("no-such-command-here")})
    both_add(session)
    before = repo.rev("main")
    with pytest.raises(NeedsPerson, match=r"generated x\.lock: its command cannot be run"):
        integrated(session)
    assert repo.rev("main") == before
    assert session.record(session.snapshot(), "a").state.state is not State.REWORK


# --- main's side ----------------------------------------------------------------------------------


@pytest.fixture
def store(repo: Repo) -> Iterator[Store]:
    with open_store(repo) as store:
        yield store


def mixed(store: Store, repo: Repo, theirs: Mapping[str, str], main: Mapping[str, str]) -> dict[str, str]:
    """The files of a tree with `theirs`, its generated ones as in a tree with `main`."""
    theirs_tree, main_tree = (
        store.objects.write_files({path: text.encode() for path, text in files.items()})
        for files in (theirs, main)
    )
    tree = generated.main_side(store.objects, theirs_tree, main_tree, MATCHER)
    commit = repo.run_git("commit-tree", tree, "-m", "x")
    return {path: entry.content.decode() for path, entry in repo.files(commit).items()}


def test_generated_files_are_mains_and_all_others_stay(store: Store, repo: Repo) -> None:
    theirs = {"a": "theirs", "x.lock": "theirs", "sub/new.lock": "theirs", "gen/1": "theirs"}
    main = {"a": "main", "b": "main", "x.lock": "main", "gen/2": "main", "deep/er/y.lock": "main"}
    assert mixed(store, repo, theirs, main) == {
        "a": "theirs",
        "x.lock": "main",
        "gen/2": "main",
        "deep/er/y.lock": "main",
    }


def test_a_tree_with_nothing_else_in_it_is_empty_then(store: Store, repo: Repo) -> None:
    assert mixed(store, repo, {"gen/1": "theirs"}, {"a": "main"}) == {}


@pytest.mark.parametrize(
    ("theirs", "main", "expected"),
    [
        ({"gen": "a file"}, {"gen/1": "main"}, {"gen": "a file"}),
        ({"x.lock/in": "theirs"}, {"x.lock": "main"}, {"x.lock": "main"}),
        ({"x.lock": "theirs"}, {"x.lock/in": "main"}, {"x.lock/in": "main"}),
        ({"sub": "a file"}, {"sub/x.lock": "main"}, {"sub": "a file"}),
    ],
)
def test_what_is_not_generated_stays_in_the_way(
    theirs: dict[str, str],
    main: dict[str, str],
    expected: dict[str, str],
    store: Store,
    repo: Repo,
) -> None:
    assert mixed(store, repo, theirs, main) == expected


def test_a_proposal_so_changed_conflicts_in_no_generated_file_and_in_all_others_as_before(
    store: Store, repo: Repo
) -> None:
    start = repo.commit("Start", {"a": "1\n", "x.lock": "1\n"})
    theirs = repo.commit("Theirs", {"a": "theirs\n", "x.lock": "theirs\n"})
    repo.run_git("reset", "-q", "--hard", start)
    main = repo.commit("Main", {"a": "main\n", "x.lock": "main\n"})
    git = discover(repo.path).git()
    assert merge(git, main, theirs).conflicts == ("a", "x.lock")
    plain = generated.without(store.objects, theirs, main, MATCHER)
    assert merge(git, main, plain).conflicts == ("a",)


def test_what_main_has_already_brings_nothing(store: Store, repo: Repo) -> None:
    theirs = repo.commit("Theirs", {"a": "theirs\n", "x.lock": "theirs\n"})
    main = repo.commit("Main", {"a": "main\n", "x.lock": "main\n"})
    plain = generated.without(store.objects, theirs, main, MATCHER)
    assert merge(discover(repo.path).git(), main, plain).tree == store.objects.read_commit(main).tree


def test_an_entry_is_touched_by_any_of_its_files() -> None:
    locks, code = Generated(("*.lock",), "lock"), Generated(("/gen/**", "api.json"), "gen")
    assert generated.touched((locks, code), ["a", "sub/x.lock"]) == (locks,)
    assert generated.touched((locks, code), ["sub/api.json", "y.lock"]) == (locks, code)
    assert generated.touched((locks, code), ["gen"]) == ()
