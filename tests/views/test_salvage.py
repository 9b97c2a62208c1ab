"""Kept work as text, and that nothing in it steers a terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.keeping import Applied, KeptCommit, KeptShown, KeptWork, SnapshotTaken
from git_fleet.core.reviewing import ChangedPath
from git_fleet.views import salvage
from git_fleet.views.look import PLAIN

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVIL = "evil\x1b[2J\u202e"
OID = Oid("ab" * 20)


def kept(number: int = 1, *, text: str = "w1", commits: int = 2, uncommitted: bool = True) -> KeptWork:
    return KeptWork(
        id=TaskId("app", "42"),
        number=number,
        ref="refs/fleet/salvage/app/42/1" if number else "refs/fleet/snapshot/app/42",
        start=OID,
        base=Oid("cd" * 20),
        worker=text,
        at=AT,
        worktree=f"/w/{text}",
        branch="feature/42",
        commits=commits,
        uncommitted=uncommitted,
        files=3,
    )


def test_the_list_is_a_table_and_the_next_command() -> None:
    works = [kept(), kept(0, commits=0), kept(2, commits=0, uncommitted=False)]
    assert salvage.listing(works, AT + timedelta(minutes=5), PLAIN) == (
        "TASK    N         SAVED   WORKER  COMMITS  FILES  FROM\n"
        "app/42  1         5m ago  w1           2+      3  /w/w1\n"
        "app/42  snapshot  5m ago  w1            +      3  /w/w1\n"
        "app/42  2         5m ago  w1            0      3  /w/w1\n"
        "next: git fleet salvage show app/42 2"
    )
    assert salvage.listing([], AT, PLAIN) == "nothing is kept"


def test_one_is_told_whole() -> None:
    commits = (KeptCommit(OID, "One", "Ann", AT, made=False), KeptCommit(OID, "Work", "w1", AT, made=True))
    paths = (ChangedPath("a", 1, 2), ChangedPath("b", 0, 0, binary=True))
    shown = KeptShown(kept(), commits, paths, commits[:1], "diff\n-a\n+b\n", cut=True)
    assert salvage.show(shown, PLAIN) == (
        "app/42: salvage 1\n"
        "  saved 2026-01-02 03:04:05 UTC, by w1\n"
        "  from /w/w1 on feature/42\n"
        f"  work goes on from {OID}, kept at refs/fleet/salvage/app/42/1\n"
        "\n"
        "2 commits:\n"
        "  ababababab One (Ann)\n"
        "  ababababab Work\n"
        "\n"
        "2 files changed:\n"
        "  a  +1 -2\n"
        "  b  binary\n"
        "\n"
        "also kept (amended, reset away, staged, or of earlier snapshots):\n"
        "  ababababab One (Ann)\n"
        "\n"
        "diff\n-a\n+b\n"
        f"the diff is longer; all of it: git diff {'cd' * 20} {OID}\n"
        "\n"
        "next: git fleet salvage apply app/42 1"
    )


def test_what_is_long_is_counted() -> None:
    commits = tuple(KeptCommit(OID, "One", "Ann", AT, made=False) for _ in range(33))
    paths = tuple(ChangedPath(f"{n}", 1, 2) for n in range(32))
    text = salvage.show(KeptShown(kept(), commits, paths, ()), PLAIN)
    assert "  and 3 more\n" in text
    assert "  and 2 more\n" in text


def test_what_was_applied_and_what_is_left_to_do() -> None:
    done = Applied(kept(), paths=("a", "b"))
    assert salvage.applied(done, PLAIN) == (
        "app/42: salvage 1 is applied: 2 files changed, staged and not committed\nnext: git diff --cached"
    )
    conflict = Applied(kept(0), paths=("a", "b"), conflicts=("b",))
    assert salvage.applied(conflict, PLAIN) == (
        "app/42: snapshot is applied: 2 files changed, staged and not committed\n"
        "conflict: b\n"
        "next: edit them, then git add; git reset --hard takes it all back"
    )
    assert salvage.applied(Applied(kept(), branch="rescued"), PLAIN) == (
        "app/42: salvage 1 is the new branch rescued now\nnext: git switch rescued"
    )


def test_a_snapshot_says_what_it_did() -> None:
    task = TaskId("app", "42")
    taken = SnapshotTaken(task, kept(0), written=True, left_out=("core",))
    assert salvage.snapshot(taken, PLAIN) == (
        "app/42: saved at refs/fleet/snapshot/app/42, 3 files changed since the base\nnot in it: core"
    )
    again = SnapshotTaken(task, kept(0), written=False, left_out=())
    assert salvage.snapshot(again, PLAIN) == "app/42: nothing has changed since 2026-01-02 03:04:05 UTC"
    assert salvage.snapshot(SnapshotTaken(task, None, False, ()), PLAIN) == "app/42: nothing to save yet"


def test_nothing_that_others_wrote_steers_the_terminal() -> None:
    work = kept(text=EVIL)
    commit = (KeptCommit(OID, EVIL, EVIL, AT, made=False),)
    shown = KeptShown(work, commit, (ChangedPath(EVIL, 1, 1),), commit, EVIL)
    texts = [
        salvage.listing([work], AT, PLAIN),
        salvage.show(shown, PLAIN),
        salvage.applied(Applied(work, paths=(EVIL,), conflicts=(EVIL,)), PLAIN),
        salvage.applied(Applied(work, branch=EVIL), PLAIN),
        salvage.snapshot(SnapshotTaken(work.id, work, True, (EVIL,)), PLAIN),
    ]
    assert all(char.isprintable() or char == "\n" for text in texts for char in text)
