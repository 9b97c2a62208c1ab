"""What must survive on the way to main, both where a proposal is spliced and where git merges it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app import handin
from git_fleet.app.integrate import Order, integrate
from git_fleet.app.session import Session
from tests.support.clock import FakeClock
from tests.support.fleet import approved, open_fleet, task, working_on
from tests.support.repo import Repo

ways = pytest.mark.parametrize("meanwhile", [None, "a/else"], ids=["spliced", "merged"])
"""Main stays, or gets a file of its own below the task's folder and loses another: then git has to merge."""


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    text = "".join(f"line {number}\n" for number in range(50))
    repo.commit(
        "Set up",
        {
            "fleet.toml": 'version = 1\ngates = "none"\n',
            "a/moved": text,
            "a/crlf": "1\r\n2\r\n",
            "gone": "x\n",
        },
    )
    with open_fleet(repo, "w1", clock) as session:
        yield session


def land(session: Session, repo: Repo, meanwhile: str | None) -> str:
    """The task's hand-in brought to main: the new commit."""
    if meanwhile:
        repo.commit("Meanwhile", {meanwhile: "theirs\n", "gone": None})
    (landed,) = integrate(session, Order(), lambda _: None).integrated
    return landed.commit or ""


@ways
def test_contents_of_every_kind_survive(session: Session, repo: Repo, meanwhile: str | None) -> None:
    approved(session, task("a"))
    tree = Repo(working_on(session, "a"))
    tree.write("a/binary", bytes(range(256)) * 40)
    tree.write("a/latin-\udce9", b"caf\xe9\r\n")
    tree.write("a/crlf", "1\r\n2\r\n3\r\n")
    tree.write("a/run", "#!/bin/sh\n", executable=True)
    (tree.path / "a/link").symlink_to("../nowhere")
    tree.run_git("mv", "a/moved", "a/renamed")
    tree.run_git("add", "--all")
    tree.run_git("update-index", "--add", "--cacheinfo", f"160000,{repo.rev('main')},a/module")
    (tree.path / "a/module").mkdir()  # as of a submodule that is not checked out
    tree.commit("All kinds")
    handin.done(session, "a", handin.Handin())
    before, proposed = repo.rev("main"), tree.rev("HEAD")
    commit = land(session, repo, meanwhile)
    main = before if meanwhile is None else repo.rev(f"{commit}~")
    expected = repo.run_git("merge-tree", "--write-tree", main, proposed).split()[0]
    assert repo.run_git("rev-parse", f"{commit}^{{tree}}").strip() == expected
    files = repo.files(commit)
    assert files["a/binary"].content == bytes(range(256)) * 40
    assert files["a/latin-\udce9"].content == b"caf\xe9\r\n"
    assert files["a/crlf"].content == b"1\r\n2\r\n3\r\n"
    assert [files[f"a/{name}"].mode for name in ("run", "link", "module")] == ["100755", "120000", "160000"]
    assert ("a/moved" in files, "a/renamed" in files) == (False, True)


@ways
def test_author_dates_and_message_survive(session: Session, repo: Repo, meanwhile: str | None) -> None:
    approved(session, task("a"))
    tree = Repo(working_on(session, "a"))
    tree.write("a/new", "new\n")
    tree.run_git("add", "--all")
    tree.run_git(
        "commit", "--quiet", "--author", "Ünal Ö <u@example.org>", "--date", "2019-03-04T05:06:07+0530",
        "--message", "Süß\n\nbody\n\nReviewed-by: R <r@example.org>",
    )  # fmt: skip
    handin.done(session, "a", handin.Handin())
    commit = land(session, repo, meanwhile)
    shown = repo.run_git("show", "-s", "--format=%an <%ae> %ad%n%s%n%b", "--date=iso-strict", commit)
    assert shown.startswith(
        "Ünal Ö <u@example.org> 2019-03-04T05:06:07+05:30\nSüß\nbody\n\nReviewed-by: R <r@"
    )
    assert "Fleet-Task: a\n" in shown


@ways
def test_commits_are_signed_and_signed_off_where_the_repository_asks(
    session: Session, repo: Repo, meanwhile: str | None, tmp_path: Path
) -> None:
    key, allowed = tmp_path / "key", tmp_path / "allowed"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text()
    allowed.write_text(f"* {public}")
    approved(session, task("a"))
    Repo(working_on(session, "a")).commit("Work", {"a/new": "new\n"})
    handin.done(session, "a", handin.Handin())
    for name, value in {
        "gpg.format": "ssh",
        "user.signingKey": str(key),
        "gpg.ssh.allowedSignersFile": str(allowed),
        "commit.gpgSign": "true",
        "format.signOff": "true",
    }.items():
        repo.run_git("config", name, value)
    commit = land(session, repo, meanwhile)
    assert repo.run_git("show", "-s", "--format=%G?", commit).strip() == "G"
    name, address = repo.run_git("config", "user.name").strip(), repo.run_git("config", "user.email").strip()
    assert f"Signed-off-by: {name} <{address}>" in repo.run_git("show", "-s", "--format=%b", commit)
