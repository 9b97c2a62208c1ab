"""Setup and teardown, by real commands: once, again after a death, and never behind a worker's back."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import plan, prompt, provision, slots, tidy, work
from git_fleet.app.isolation import shared_cache
from git_fleet.app.placing import Placed
from git_fleet.app.session import Session
from git_fleet.core.results import Cleaned
from git_fleet.git import contents
from tests.support.clock import FakeClock
from tests.support.fleet import approved, handed_in, integrated, on_task, open_fleet, task, working_on
from tests.support.repo import Repo

COUNT = 'echo run >>"$FLEET_CACHE/ran"'
WAITS = f'{COUNT}; cat "$FLEET_CACHE/gate$(grep -c run "$FLEET_CACHE/ran")" >"$FLEET_CACHE/through"'
"""The n-th run waits until somebody has opened and closed the pipe `gate<n>`."""


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


def configured(repo: Repo, *, setup: str = "", teardown: str = "", more: str = "", head: str = "") -> None:
    """Commit a fleet.toml with these commands."""
    lines = [
        "version = 1",
        'gates = "none"',
        head,
        "[worker]",
        f"setup = '''{setup}'''",
        f"teardown = '''{teardown}'''",
        more,
    ]
    repo.commit("Configure", {"fleet.toml": "\n".join(lines) + "\n", ".gitignore": "made/\n*.log\n"})


def planned(session: Session, **fields: object) -> None:
    approved(session, task("a", **fields), task("b"))


def claim(session: Session, name: str = "a") -> Placed:
    got = claiming.claim(session, claiming.Request(task=name))
    assert isinstance(got, claiming.Claimed), got
    return claiming.place(session, got)


def cache(session: Session) -> Path:
    (found,) = session.around.cache_dir.glob("*/shared")
    return found


def runs(session: Session) -> int:
    ran = cache(session) / "ran"
    return len(ran.read_text().splitlines()) if ran.exists() else 0


def read(path: Path | None, name: str) -> str:
    assert path is not None
    return (path / name).read_text()


# --- setup ---------------------------------------------------------------------------------------


def test_setup_runs_once_in_each_new_worktree(repo: Repo, session: Session) -> None:
    configured(repo, setup=f"{COUNT}; mkdir made; pwd >made/where")
    planned(session)
    first = claim(session)
    assert (first.trouble, first.notes, runs(session)) == ("", (), 1)
    assert read(first.path, "made/where") == f"{first.path}\n"
    claiming.resume(session, "a")
    assert runs(session) == 1
    claim(session, "b")
    assert runs(session) == 2


def test_setup_runs_before_the_next_attempt_only_where_the_worktree_is_new(
    repo: Repo, session: Session
) -> None:
    configured(repo, setup=COUNT)
    planned(session)
    path = claim(session).path
    handed_in(session, "a")
    on_task(session, "reject", "a", findings=(), reason="no")
    assert claim(session).path == path
    assert runs(session) == 1
    assert path is not None
    for file in sorted(path.rglob("*"), reverse=True):
        file.unlink() if not file.is_dir() else file.rmdir()
    path.rmdir()
    claiming.resume(session, "a")
    assert runs(session) == 2


def test_a_changed_command_runs_again(repo: Repo, session: Session) -> None:
    configured(repo, setup=COUNT)
    planned(session)
    claim(session)
    configured(repo, setup=f"{COUNT}; true")
    claiming.resume(session, "a")
    assert runs(session) == 2


def test_setup_gets_the_environment_of_the_worker_and_no_secrets(repo: Repo, clock: FakeClock) -> None:
    configured(repo, setup="env >made.log", more='[env]\nDB = "app_{slot}"\n')
    with open_fleet(repo, "w1", clock, env={"API_TOKEN": "secret", "LANG": "C.UTF-8"}) as session:
        planned(session)
        placed = claim(session)
    seen = dict(line.split("=", 1) for line in read(placed.path, "made.log").splitlines())
    assert {name: seen[name] for name in placed.env} == dict(placed.env)
    assert (seen["DB"], seen["FLEET_TASK"], seen["LANG"]) == ("app_1", "a", "C.UTF-8")
    assert "API_TOKEN" not in seen
    assert Path(seen["FLEET_CACHE"]).is_relative_to(session.around.cache_dir)


def test_the_cache_is_one_for_all_worktrees_and_not_below_git(repo: Repo, session: Session) -> None:
    configured(repo)
    planned(session)
    one, other = claim(session), claim(session, "b")
    assert one.env["FLEET_CACHE"] == other.env["FLEET_CACHE"]
    folder = Path(one.env["FLEET_CACHE"])
    assert folder.is_dir()
    assert ".git" not in folder.parts
    assert one.env["FLEET_SCRATCH"] != other.env["FLEET_SCRATCH"]


def test_a_setup_that_fails_leaves_the_claim_and_its_worker_is_told(repo: Repo, session: Session) -> None:
    configured(
        repo,
        setup=f'{COUNT}; echo fetching; printf "no \\033[31mnetwork\\n"; test -e "$FLEET_CACHE/up" || exit 7',
    )
    planned(session)
    placed = claim(session)
    assert placed.record.state.state == "claimed"
    (note,) = placed.notes
    assert note == placed.trouble
    log = session.repo.fleet_dir / "logs" / "p" / "a" / "setup.log"
    assert note == (
        f"setup failed: exit code 7: no network; its log: {log}; git fleet claim --resume runs it again"
    )
    assert log.read_text().startswith("fetching\n")
    assert "exit code 7" in prompt.prompt(session, "a").text
    (cache(session) / "up").touch()
    again = claiming.resume(session, "a")
    assert (again.trouble, again.notes, runs(session)) == ("", (), 2)
    assert "exit code 7" not in prompt.prompt(session, "a").text


def test_a_setup_out_of_time_has_failed(repo: Repo, session: Session) -> None:
    configured(repo, setup="exec sleep 60", head="lease_seconds = 1")
    planned(session)
    assert claim(session).trouble.startswith("setup failed: ran out of time (1 s); its log: ")


def test_what_setup_leaves_that_git_sees_is_said(repo: Repo, session: Session) -> None:
    configured(repo, setup="mkdir made; touch made/x left")
    planned(session)
    placed = claim(session)
    assert (placed.trouble, placed.notes) == ("", ("setup left what git does not ignore: left",))


def test_each_profile_has_its_own_setup(repo: Repo, session: Session) -> None:
    configured(repo, setup="touch plain.log", more="[worker.deep]\nsetup = 'touch deep.log'\n")
    planned(session, worker="deep")
    deep, plain = claim(session).path, claim(session, "b").path
    assert deep is not None
    assert plain is not None
    assert [(path / "deep.log").exists() for path in (deep, plain)] == [True, False]
    assert [(path / "plain.log").exists() for path in (deep, plain)] == [False, True]


# --- killed --------------------------------------------------------------------------------------


def in_another_process(work: Callable[[], object]) -> int:
    """Run it in a fork of this process, which ends with it: the process id. It ends with 0 when all is well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def gates(session: Session) -> list[Path]:
    """The pipes that the first and the second run of WAITS wait at."""
    folder = shared_cache(session.around.cache_dir, session.repo)
    found = [folder / "gate1", folder / "gate2"]
    for gate in found:
        os.mkfifo(gate)
    return found


def killed_in_setup(repo: Repo, clock: FakeClock, gate: Path) -> TextIOWrapper:
    """Claim task a in a process that is killed while its setup waits at the gate: the gate, held open."""

    def work() -> None:
        with open_fleet(repo, "w1", clock) as session:
            claim(session)

    pid = in_another_process(work)
    held = gate.open("w")  # returns when the setup reads
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return held


def test_a_setup_whose_git_fleet_was_killed_is_waited_for_and_runs_again(
    repo: Repo, session: Session, clock: FakeClock
) -> None:
    configured(repo, setup=WAITS)
    planned(session)
    first, second = gates(session)
    held = killed_in_setup(repo, clock, first)
    assert runs(session) == 1

    def resume() -> None:
        held.close()  # this process's copy
        with open_fleet(repo, "w1", clock) as other:
            assert claiming.resume(other, "a").trouble == ""

    pid = in_another_process(resume)
    held.close()
    second.open("w").close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert runs(session) == 2
    claiming.resume(session, "a")
    assert runs(session) == 2


def test_a_setup_that_never_ends_does_not_hold_up_the_next_claim_for_ever(
    repo: Repo, session: Session, clock: FakeClock
) -> None:
    configured(repo, setup=WAITS, head="lease_seconds = 1")
    planned(session)
    with killed_in_setup(repo, clock, gates(session)[0]):
        placed = claiming.resume(session, "a")
    assert placed.trouble == "setup: another one of this worktree has not ended after 1 s"
    assert runs(session) == 1


@pytest.mark.parametrize("text", ["", "{", '{"v":2,"setup":"x"}', '{"v":1,"setup":1}', "[]", "\xff"])
def test_a_mark_that_cannot_be_read_counts_for_nothing(repo: Repo, session: Session, text: str) -> None:
    configured(repo, setup=COUNT)
    planned(session)
    path = claim(session).path
    assert path is not None
    mark = contents.git_dir_of(path) / provision.FILE
    mark.write_bytes(text.encode("latin-1"))
    assert provision.problem(mark.parent) == ""
    claiming.resume(session, "a")
    assert runs(session) == 2


# --- teardown ------------------------------------------------------------------------------------


def ended(session: Session) -> Path:
    """Task a has a worktree, is integrated, and its worker has gone home."""
    planned(session)
    path = working_on(session, "a")
    handed_in(session, "a")
    integrated(session, "a")
    return path


def clean(session: Session, *, teardown: bool = True, dry_run: bool = False) -> Cleaned:
    (found,) = tidy.cleanup(session, ["a"], teardown=teardown, dry_run=dry_run)
    return found


def test_teardown_runs_in_the_worktree_before_it_goes(repo: Repo, session: Session) -> None:
    out = repo.path.parent / "out"
    configured(
        repo, teardown=f'pwd >>"{out}"; echo "$FLEET_TASK $DB" >>"{out}"', more='[env]\nDB = "app_{slot}"\n'
    )
    path = ended(session)
    assert clean(session, dry_run=True).kept == ""
    assert not out.exists()
    assert clean(session).kept == ""
    assert out.read_text() == f"{path}\na app_1\n"
    assert not path.exists()


def test_a_worktree_whose_teardown_fails_stays_until_it_passes_or_is_left_out(
    repo: Repo, session: Session
) -> None:
    configured(repo, teardown="echo cannot drop app_1; exit 3")
    path = ended(session)
    log = session.repo.fleet_dir / "logs" / "p" / "a" / "teardown.log"
    before = repo.refs()
    kept = clean(session)
    assert (kept.kept, kept.text) == (
        "teardown",
        f"teardown failed: exit code 3: cannot drop app_1; its log: {log}",
    )
    assert (repo.refs(), len(slots.list_slots(session.around.state_dir))) == (before, 1)
    assert path.is_dir()
    assert log.read_text() == "cannot drop app_1\n"
    assert clean(session, teardown=False).kept == ""
    assert not path.exists()
    assert not log.exists()


def test_what_teardown_leaves_is_not_lost(repo: Repo, session: Session) -> None:
    configured(repo, teardown="echo precious >dump.sql")
    path = ended(session)
    assert clean(session).kept == "dirty"
    assert (path / "dump.sql").read_text() == "precious\n"


def test_teardown_does_not_run_where_work_would_be_lost_anyway(repo: Repo, session: Session) -> None:
    configured(repo, teardown="touch torn.log")
    path = ended(session)
    (path / "mine").write_text("not committed")
    assert clean(session).kept == "dirty"
    assert not (path / "torn.log").exists()


def test_without_its_slot_nobody_guesses_what_to_take_down(repo: Repo, session: Session) -> None:
    configured(repo, teardown="touch torn.log")
    path = ended(session)
    slots.free(session.around.state_dir, common_dir=session.repo.common_dir, worktree=path)
    kept = clean(session)
    assert kept.text == "teardown: its slot is not on record any more, so what to take down is not known"
    assert not (path / "torn.log").exists()
    assert clean(session, teardown=False).kept == ""


def test_a_folder_deleted_by_hand_has_nothing_to_tear_down(repo: Repo, session: Session) -> None:
    configured(repo, teardown="exit 1")
    path = ended(session)
    subprocess.run(["rm", "-rf", path], check=True)
    assert clean(session).kept == ""


def test_a_closed_plans_worktrees_are_torn_down_too(repo: Repo, session: Session) -> None:
    out = repo.path.parent / "out"
    configured(repo, teardown=f'echo "$FLEET_PLAN" >>"{out}"')
    path = ended(session)
    work.cancel(session, "b", "")
    plan.close(session, "p")
    clean(session)
    assert (out.read_text(), path.exists()) == ("p\n", False)
