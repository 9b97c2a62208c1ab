"""What an agent should read first: in order, within the budget, from objects alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from git_fleet.app import context as finding
from git_fleet.app.session import Session
from git_fleet.core.context import Context, Why
from git_fleet.errors import InvalidInput
from tests.support.clock import FakeClock
from tests.support.fleet import approved, open_fleet, task
from tests.support.repo import Content, Repo

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 7\n"


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


def context_of(
    session: Session, repo: Repo, written: Mapping[str, Content | None], budget: int = 1000, **fields: object
) -> Context:
    repo.commit("files", dict(written))
    approved(session, task("a", **fields))
    return finding.context(session, "a", budget)


def shown(found: Context) -> list[tuple[str, str]]:
    return [(each.file.path, str(each.file.reason)) for each in found.files]


def test_what_it_owns_and_reads_comes_before_imports_and_history(session: Session, repo: Repo) -> None:
    for number in range(3):
        repo.commit(
            "together", {"a/one.py": f"import lib.used  # {number}\n", "docs/guide.md": f"{number}\n"}
        )
    repo.commit("alone", {"docs/other.md": "x"})
    files = {
        "a/two.py": "x = 1\n",
        "lib/__init__.py": "",
        "lib/used.py": "y = 1\n",
        "lib/unused.py": "import os\n",
        "cli.py": "from a import one\nimport a.two\n",
        "api/types.ts": "t",
    }
    found = context_of(session, repo, files, reads=["api/**"], title="Change two", prompt="See a/two.py.")
    assert shown(found) == [
        ("a/two.py", "owned"),
        ("a/one.py", "owned"),
        ("api/types.ts", "reads"),
        ("lib/used.py", "imported"),
        ("cli.py", "importer"),
        ("docs/guide.md", "history"),
    ]
    about = {each.file.path: each.file.about for each in found.files}
    assert about["lib/used.py"] == "by a/one.py"
    assert about["cli.py"] == "of a/one.py and 1 more"
    assert about["docs/guide.md"] == "3 commits with a/one.py (100%)"


def test_what_changes_most_often_comes_first(session: Session, repo: Repo) -> None:
    for number in range(2):
        repo.commit("again", {"a/z": str(number)})
    assert [path for path, _ in shown(context_of(session, repo, {"a/b": "b"}))] == ["a/z", "a/b"]


def test_a_file_that_does_not_fit_is_named_and_a_smaller_one_follows(session: Session, repo: Repo) -> None:
    files = {"a/1": "x" * 397, "a/2": "x" * 401, "a/3": "x" * 400, "a/4": "x", "a/huge": "x" * 20_000}
    found = context_of(session, repo, files, budget=200)
    assert [(each.file.path, each.tokens) for each in found.files] == [("a/1", 100), ("a/3", 100)]
    assert found.tokens == 200
    assert [(each.file.path, each.why, each.tokens) for each in found.left_out] == [
        ("a/2", Why.SIZE, 101),
        ("a/4", Why.SIZE, 1),
        ("a/huge", Why.SIZE, 5000),
    ]


def test_characters_are_counted_and_not_bytes(session: Session, repo: Repo) -> None:
    found = context_of(session, repo, {"a/1": "ü" * 8, "a/2": ""})
    assert [(each.file.path, each.tokens) for each in found.files] == [("a/1", 2), ("a/2", 0)]


def test_what_is_no_text_is_left_out_with_the_reason(session: Session, repo: Repo) -> None:
    repo.commit("config", {"fleet.toml": 'version = 1\n[[generated]]\npaths = ["a/lock"]\nrun = "true"\n'})
    files: dict[str, Content] = {"a/pic": b"\x89PNG\0", "a/lfs": LFS, "a/lock": "x", "a/latin": b"\xe4"}
    repo.commit("link", {"a/real": "x"})
    (repo.path / "a/link").symlink_to("real")
    repo.run_git("add", "a/link")
    found = context_of(session, repo, files)
    assert [path for path, _ in shown(found)] == ["a/latin", "a/real"]
    assert [(each.file.path, each.why, each.tokens) for each in found.left_out] == [
        ("a/lfs", Why.LFS, None),
        ("a/lock", Why.GENERATED, None),
        ("a/pic", Why.BINARY, None),
    ]


def test_patterns_that_match_nothing_are_told(session: Session, repo: Repo) -> None:
    found = context_of(session, repo, {"b": "x"}, files=["a/new.py"], reads=["b", "later/**"])
    assert (found.unmatched, shown(found)) == (("a/new.py", "later/**"), [("b", "reads")])


def test_the_base_is_read_and_not_the_work_tree_and_nothing_is_written(session: Session, repo: Repo) -> None:
    repo.commit("a", {"a/x.py": "raise SystemExit(open('ran', 'w'))\n", "cli.py": "import a.x\n"})
    approved(session, task("a"))
    repo.write("a/x.py", "changed, and not committed")
    before = {path: path.stat().st_mtime_ns for path in repo.path.rglob("*") if path.is_file()}
    found = finding.context(session, "a")
    assert found.commit == repo.rev("main")
    assert [each.tokens for each in found.files] == [9, 3]
    assert {path: path.stat().st_mtime_ns for path in repo.path.rglob("*") if path.is_file()} == before


def test_files_that_history_alone_knows_are_not_named(session: Session, repo: Repo) -> None:
    for number in range(3):
        repo.commit("together", {"a/x": str(number), "gone": str(number)})
    assert shown(context_of(session, repo, {"b": "x"} | {"gone": None})) == [("a/x", "owned")]


def test_a_task_that_is_not_there_is_refused(session: Session) -> None:
    with pytest.raises(InvalidInput):
        finding.context(session, "nope")
