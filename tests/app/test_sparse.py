"""A sparse worktree from claim to main: what is not checked out is not deleted, and nothing of it is handed in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import conflicts, handin, placing, snapshots, tidy
from git_fleet.app import prompt as prompting
from git_fleet.app.handin import Handin
from git_fleet.app.integrate import Order, integrate
from git_fleet.app.placing import Placed
from git_fleet.app.running import fresh
from git_fleet.app.session import Session
from tests.support.clock import FakeClock
from tests.support.dying import killed_at_every_step
from tests.support.fleet import approved, open_fleet, task
from tests.support.repo import Repo

SPARSE = 'version = 1\ngates = "none"\n[worker]\nsparse = true\n'
FILES = {
    "fleet.toml": SPARSE,
    "root.txt": "r\n",
    "a/x": "1\n2\n3\n",
    "a/deep/y": "y\n",
    "a/deep/z": "z\n",
    "b/x": "b\n",
    "c/x": "c\n",
    "c/deep/x": "c\n",
}
OWNED = {"cone": ["a/**"], "no cone": ["a/x", "a/later/*.txt"]}


@pytest.fixture(params=OWNED)
def owned(request: pytest.FixtureRequest) -> list[str]:
    return OWNED[request.param]


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    repo.commit("Files", FILES)
    with open_fleet(repo, "w1", clock) as session:
        yield session


def begun(session: Session, name: str = "a", *, sparse: bool = False) -> Placed:
    got = claiming.claim(session, claiming.Request(task=name))
    assert isinstance(got, claiming.Claimed), got
    return claiming.place(session, got, sparse=sparse)


def at(placed: Placed) -> Repo:
    assert placed.path is not None
    return Repo(placed.path)


def there(repo: Repo) -> set[str]:
    return {path for path in FILES if (repo.path / path).exists()}


def handed_in(session: Session, repo: Repo) -> dict[str, str]:
    """The proposal's changes, as `git diff --name-status` has them."""
    proposal = session.record(session.snapshot(), "a").state.proposal
    assert proposal is not None
    assert proposal.commit is not None
    lines = repo.run_git("diff", "--no-renames", "--name-status", f"main...{proposal.commit}").splitlines()
    return {path: status for status, _, path in (line.partition("\t") for line in lines)}


def test_it_holds_what_the_task_owns_and_reads_and_others_hold_everything(
    session: Session, repo: Repo, owned: list[str]
) -> None:
    approved(session, task("a", files=owned, reads=["/c/x"]), task("b", worker="full"))
    placed = begun(session)
    here = there(at(placed))
    assert {"fleet.toml", "root.txt", "a/x", "c/x"} <= here
    assert not {"b/x", "c/deep/x"} & here
    assert at(placed).status() == []
    assert any("git sparse-checkout add FOLDER" in note for note in placed.notes)
    assert "`git sparse-checkout add FOLDER`" in prompting.prompt(session, "a").text
    assert there(repo) == {*FILES}
    assert repo.status() == []
    repo.run_git("worktree", "add", "--quiet", "--detach", "../plain")
    assert there(Repo(repo.path.parent / "plain")) == {*FILES}


def test_a_change_is_handed_in_exactly_and_lands_and_the_worktree_goes(
    session: Session, repo: Repo, owned: list[str]
) -> None:
    approved(session, task("a", files=owned))
    one = at(begun(session))
    one.write("a/x", "1\ntwo\n3\n")
    one.write("a/later/new.txt", "new\n")
    handin.done(session, "a", Handin(all_changes=True))
    assert handed_in(session, repo) == {"a/x": "M", "a/later/new.txt": "A"}
    assert len(integrate(session, Order(), lambda _: None).integrated) == 1
    assert {*repo.files("main")} == {*FILES, "README.md", "a/later/new.txt"}
    assert there(repo) == {*FILES}
    tidy.cleanup(session)
    assert not one.path.exists()


def test_without_commits_the_work_tree_is_handed_in_as_it_is(
    session: Session, repo: Repo, owned: list[str]
) -> None:
    repo.commit("mode", {"fleet.toml": f'mode = "lead-commits"\n{SPARSE}'})
    approved(session, task("a", files=owned))
    one = at(begun(session))
    one.write("a/x", "changed\n")
    one.write("a/later/new.txt", "new\n")
    handin.done(session, "a", Handin())
    assert handed_in(session, repo) == {"a/x": "M", "a/later/new.txt": "A"}


def test_one_that_starts_over_is_sparse_still(session: Session, owned: list[str]) -> None:
    approved(session, task("a", files=owned))
    one = at(begun(session))
    one.commit("work", {"a/x": "changed\n", "a/later/new.txt": "new\n"})
    assert fresh.start_over(session, session.record(session.snapshot(), "a"))
    assert (one.path / "a/x").read_text() == FILES["a/x"]
    assert not {"b/x", "c/x"} & there(one)
    assert one.status() == []


def test_another_folder_can_be_had(session: Session, owned: list[str]) -> None:
    approved(session, task("a", files=owned))
    one = at(begun(session))
    one.run_git("sparse-checkout", "add", "c/deep")
    assert "c/deep/x" in there(one)
    assert "b/x" not in there(one)
    assert one.status() == []


def test_main_is_merged_in_for_rework_with_a_conflict_and_what_is_not_here(
    session: Session, repo: Repo, owned: list[str]
) -> None:
    approved(
        session, task("a", files=owned, overlap="accept"), task("b", files=["a/x", "b/**"], overlap="accept")
    )
    one, other = at(begun(session)), at(begun(session, "b"))
    other.commit("b", {"a/x": "theirs\n", "b/x": "changed\n", "b/new": "n\n"})
    handin.done(session, "b", Handin())
    assert len(integrate(session, Order(), lambda _: None).integrated) == 1
    one.commit("a", {"a/x": "mine\n"})
    handin.done(session, "a", Handin())
    assert len(integrate(session, Order(), lambda _: None).ejected) == 1
    again = begun(session)
    assert again.path == one.path
    assert again.conflicts == ("a/x",)
    assert not (one.path / "b/new").exists()
    one.write("a/x", "both\n")
    one.run_git("add", "a/x")
    one.run_git("commit", "--quiet", "--no-edit")
    handin.done(session, "a", Handin())
    assert handed_in(session, repo) == {"a/x": "M"}
    assert len(integrate(session, Order(), lambda _: None).integrated) == 1
    assert repo.files("main")["b/x"].content == b"changed\n"


def test_a_take_over_goes_on_from_what_was_saved_and_is_sparse_too(
    session: Session, clock: FakeClock, owned: list[str]
) -> None:
    approved(session, task("a", files=owned))
    one = at(begun(session))
    one.write("a/x", "saved\n")
    one.write("a/later/new.txt", "new\n")
    snapshots.take(session, session.record(session.snapshot(), "a"))
    clock.advance(2 * 3600)
    with open_fleet(session.repo.common_dir.parent, "w2", clock) as other:
        two = at(begun(other))
        assert two.path != one.path
        assert (two.path / "a/x").read_text() == "saved\n"
        assert (two.path / "a/later/new.txt").read_text() == "new\n"
        assert "b/x" not in there(two)
        handin.done(other, "a", Handin())
        assert handed_in(other, two) == {"a/x": "M", "a/later/new.txt": "A"}


def test_a_file_out_of_scope_is_refused_as_elsewhere(session: Session, owned: list[str]) -> None:
    approved(session, task("a", files=owned))
    one = at(begun(session))
    one.run_git("sparse-checkout", "add", "b")
    one.commit("too much", {"b/x": "changed\n"})
    assert handin.done(session, "a", Handin()).outside == ("b/x",)
    (ejected,) = integrate(session, Order(), lambda _: None).ejected
    assert ejected.reason == "scope"


def test_what_is_left_out_collides_with_nobody(session: Session) -> None:
    approved(session, task("a"), task("b"))
    at(begun(session)).write("a/x", "changed\n")
    at(begun(session, "b")).write("b/x", "changed\n")
    assert conflicts.conflicts(session, ()).collisions == ()


def test_it_is_asked_for_by_one_claim_or_by_all(session: Session, repo: Repo) -> None:
    repo.commit("full", {"fleet.toml": 'version = 1\ngates = "none"\n[worker.small]\nsparse = true\n'})
    approved(session, task("a"), task("b"), task("c", worker="small"))
    assert there(at(begun(session))) == {*FILES}
    assert there(at(begun(session, "b", sparse=True))) == {"fleet.toml", "root.txt", "b/x"}
    assert "a/x" not in there(at(begun(session, "c")))


def test_one_that_was_killed_at_any_step_is_finished(session: Session, repo: Repo, clock: FakeClock) -> None:
    approved(session, task("a", files=OWNED["no cone"]))
    got = claiming.claim(session, claiming.Request(task="a"))
    assert isinstance(got, claiming.Claimed)

    def place() -> None:
        with open_fleet(repo, "w1", clock) as other:
            placing.resume(other, "a")

    for _ in killed_at_every_step(place):
        one = at(placing.resume(session, "a"))
        assert there(one) == {"fleet.toml", "root.txt", "a/x"}
        assert one.status() == []
        repo.run_git("worktree", "remove", "--force", "--force", str(one.path))
