from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from git_fleet.app import doctor, history, install, plan
from git_fleet.app.checkouts import Checkouts
from git_fleet.app.gates import GateResult, Outcome, gate_environment, own_gates, run_gate, run_gates
from git_fleet.app.integrate import Order, integrate
from git_fleet.app.passes import Passes
from git_fleet.core import allowlist
from git_fleet.core.config import Command, Gate
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Task
from git_fleet.git.repository import discover
from tests.support.clock import FakeClock
from tests.support.fleet import approved, claimed, open_fleet, proposed, task
from tests.support.repo import Repo


def run(
    command: Command, folder: Path, *, timeout: float = 30.0, stop: threading.Event | None = None
) -> GateResult:
    gate = Gate("tests", command, timeout)
    return run_gate(gate, folder, env=allowlist.environment(os.environ), log=folder / "log", stop=stop)


def python(code: str, *args: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code, *args)


def test_an_exit_code_is_a_failure_with_its_output_kept(tmp_path: Path) -> None:
    found = run("echo out; echo err >&2; exit 3", tmp_path)
    assert (found.outcome, found.code, found.reason) == (Outcome.FAIL, 3, "exit code 3")
    assert found.log.read_text() == "out\nerr\n"
    assert found.tail == "out\nerr"
    assert 0 < found.seconds < 30


def test_a_crash_is_a_failure(tmp_path: Path) -> None:
    found = run("kill -SEGV $$", tmp_path)
    assert (found.outcome, found.code) == (Outcome.FAIL, -signal.SIGSEGV)
    assert "Segmentation fault" in found.reason


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("no-such-command-anywhere", "not found or cannot be executed (exit code 127)"),
        ("./plain", "not found or cannot be executed (exit code 126)"),
        (("no-such-command-anywhere",), "cannot be started: No such file or directory"),
        (("./plain",), "cannot be started: Permission denied"),
        (("./headless",), "cannot be started: Exec format error"),
        (("a\0b",), "cannot be started: embedded null byte"),
        ((), "cannot be started: its command is empty"),
    ],
)
def test_what_cannot_run_is_an_error_and_no_failure(command: Command, reason: str, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "headless").write_text("no program\n")
    (tmp_path / "headless").chmod(0o755)
    found = run(command, tmp_path)
    assert found.outcome is Outcome.ERROR
    assert found.reason.endswith(reason)


def test_a_list_is_not_judged_by_the_codes_of_shells(tmp_path: Path) -> None:
    assert run(python("raise SystemExit(127)"), tmp_path).outcome is Outcome.FAIL


def test_a_checkout_that_is_gone_is_an_error(tmp_path: Path) -> None:
    gate = Gate("tests", "true")
    found = run_gate(gate, tmp_path / "gone", env=dict(os.environ), log=tmp_path / "log")
    assert (found.outcome, found.reason) == (Outcome.ERROR, "its checkout is gone")


def test_out_of_time_is_a_failure(tmp_path: Path) -> None:
    found = run("echo ready; exec sleep 1000", tmp_path, timeout=0.2)
    assert (found.outcome, found.code, found.reason) == (Outcome.FAIL, None, "ran out of time (0.2 s)")
    assert found.tail == "ready"


def test_a_stopped_gate_is_no_failure(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    found = run("false", tmp_path, stop=stop)
    assert (found.outcome, found.stopped, found.reason) == (Outcome.ERROR, True, "was stopped")
    assert not run("no-such-command", tmp_path).stopped


def test_gates_get_of_env_what_names_no_place() -> None:
    own = {"DATABASE_URL": "postgresql:///app_{slot}", "PORT": "{port}", "MODE": "test", "JSON": "{}"}
    env = gate_environment({"PATH": "/bin", "GITHUB_TOKEN": "s"}, own)
    assert env == {"PATH": "/bin", "MODE": "test", "JSON": "{}"}


def test_a_tasks_accept_commands_are_gates_of_its_own() -> None:
    task = Task(id=TaskId("p", "t"), title="t", slug="t", accept=("./check", "true"))
    assert [(gate.name, gate.run) for gate in own_gates(task)] == [
        ("accept 1", "./check"),
        ("accept 2", "true"),
    ]


# --- several gates in a checkout ------------------------------------------------------------------


def run_all(
    repo: Repo,
    folder: Path,
    *wanted: Command,
    passes: Passes | None = None,
    env: dict[str, str] | None = None,
) -> tuple[GateResult, ...]:
    gates = [Gate(f"gate/{number}", command, 30.0) for number, command in enumerate(wanted, 1)]
    return run_gates(
        gates,
        Checkouts(discover(repo.path), folder / "cache"),
        repo.rev("main"),
        Oid(repo.run_git("rev-parse", "main^{tree}")),
        env=gate_environment(os.environ, env),
        log_dir=folder / "logs",
        passes=passes or Passes(folder / "passes"),
    )


def test_gates_run_in_order_up_to_the_first_that_does_not_pass(repo: Repo, tmp_path: Path) -> None:
    results = run_all(repo, tmp_path, "cat README.md", "exit 1", "true")
    assert [(each.name, each.outcome) for each in results] == [
        ("gate/1", Outcome.PASS),
        ("gate/2", Outcome.FAIL),
    ]
    assert results[0].log == tmp_path / "logs" / "1-gate-1.log"
    assert results[0].log.read_text() == "# scratch\n"


def test_each_gate_finds_the_checkout_clean(repo: Repo, tmp_path: Path) -> None:
    spoil = "echo changed > README.md; echo x > new; git add new"
    look = 'test -z "$(git status --porcelain)" && grep -q scratch README.md'
    first, second = run_all(repo, tmp_path, spoil, look)
    assert (first.outcome, set(first.changed)) == (Outcome.PASS, {"README.md", "new"})
    assert (second.outcome, second.changed) == (Outcome.PASS, ())


def test_a_gate_that_removes_its_checkout_does_not_spoil_the_next(repo: Repo, tmp_path: Path) -> None:
    first, second = run_all(repo, tmp_path, 'rm -rf "$PWD"', "cat README.md")
    assert (first.outcome, first.changed) == (Outcome.PASS, (".",))
    assert (second.outcome, second.tail) == (Outcome.PASS, "# scratch")


def test_a_running_gate_keeps_its_checkout_taken(repo: Repo, tmp_path: Path) -> None:
    """It inherits the lock, so the checkout is nobody else's even when whoever runs the gate is killed."""
    code = (
        "import contextlib, fcntl, os\n"
        "place = os.stat('../../checkout-1.lock')\n"
        "for fd in map(int, os.listdir('/dev/fd')):\n"
        "    with contextlib.suppress(OSError):\n"
        "        if os.path.samestat(os.fstat(fd), place):\n"
        "            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "            print('ours')"
    )
    (found,) = run_all(repo, tmp_path, python(code))
    assert found.tail == "ours"


def test_gates_of_several_candidates_run_at_once_each_in_a_checkout_of_its_own(
    repo: Repo, tmp_path: Path
) -> None:
    """Each gate waits until the others have begun."""
    commits = [repo.commit(f"Change {n}", {"n": f"{n}\n"}) for n in range(3)]
    meet = f"touch {tmp_path}/began$(cat n); until test -e {tmp_path}/began0 -a -e {tmp_path}/began1 -a -e {tmp_path}/began2; do :; done"
    gate = Gate("meet", f"{meet}; pwd; cat n", 60.0)
    pool, env = Checkouts(discover(repo.path), tmp_path / "cache"), gate_environment(os.environ)

    def one(number: int) -> str:
        tree = Oid(repo.run_git("rev-parse", f"{commits[number]}^{{tree}}"))
        logs, passes = tmp_path / f"logs{number}", Passes(tmp_path / "passes")
        (found,) = run_gates([gate], pool, commits[number], tree, env=env, log_dir=logs, passes=passes)
        return found.tail

    with ThreadPoolExecutor(3) as threads:
        tails = [tail.split("\n") for tail in threads.map(one, range(3))]
    assert [number for _, number in tails] == ["0", "1", "2"]
    assert len({folder for folder, _ in tails}) == 3


# --- passes on record -----------------------------------------------------------------------------


def count(folder: Path) -> str:
    """A gate that passes and leaves a trace outside of its checkout."""
    return f"echo ran >> {folder}/ran"


def runs(folder: Path) -> int:
    place = folder / "ran"
    return len(place.read_text().splitlines()) if place.exists() else 0


def test_a_gate_that_passed_is_not_run_again_on_the_same_tree(repo: Repo, tmp_path: Path) -> None:
    (first,) = run_all(repo, tmp_path, count(tmp_path))
    repo.commit("Another commit of the same tree", {})
    (second,) = run_all(repo, tmp_path, count(tmp_path))
    assert (first.cached, second.cached, second.outcome, second.code) == (False, True, Outcome.PASS, 0)
    assert second.seconds == pytest.approx(first.seconds, abs=0.001)
    repo.commit("Change something", {"README.md": "# other\n"})
    (third,) = run_all(repo, tmp_path, count(tmp_path))
    assert not third.cached
    assert runs(tmp_path) == 2


def test_when_all_passes_are_on_record_there_is_no_checkout(repo: Repo, tmp_path: Path) -> None:
    run_all(repo, tmp_path, "true")
    shutil.rmtree(tmp_path / "cache")
    run_all(repo, tmp_path, "true")
    assert not (tmp_path / "cache").exists()


def test_a_gate_behind_one_on_record_finds_a_clean_checkout(repo: Repo, tmp_path: Path) -> None:
    run_all(repo, tmp_path, "true", "touch left; exit 1")
    first, second = run_all(repo, tmp_path, "true", "test ! -e left")
    assert (first.cached, second.cached, second.outcome) == (True, False, Outcome.PASS)


@pytest.mark.parametrize("end", ["exit 1", "exit 127", "echo changed > README.md", 'rm -rf "$PWD"'])
def test_only_a_pass_that_left_its_tree_alone_is_on_record(end: str, repo: Repo, tmp_path: Path) -> None:
    for _ in range(2):
        (found,) = run_all(repo, tmp_path, f"{count(tmp_path)}; {end}")
        assert not found.cached
    assert runs(tmp_path) == 2


def test_a_pass_is_no_answer_in_another_environment(repo: Repo, tmp_path: Path) -> None:
    for mode in ("fast", "slow", "fast"):
        run_all(repo, tmp_path, count(tmp_path), env={"MODE": mode})
    assert runs(tmp_path) == 2


def test_without_the_cache_every_gate_runs_and_the_last_answer_counts(repo: Repo, tmp_path: Path) -> None:
    """A pass that a later run contradicts is believed no more."""
    flaky = f"{count(tmp_path)}; ! test -e {tmp_path}/broken"
    fresh = Passes(tmp_path / "passes", fresh=True)
    run_all(repo, tmp_path, flaky)
    assert not run_all(repo, tmp_path, flaky, passes=fresh)[0].cached
    assert run_all(repo, tmp_path, flaky)[0].cached
    (tmp_path / "broken").touch()
    assert run_all(repo, tmp_path, flaky, passes=fresh)[0].outcome is Outcome.FAIL
    assert run_all(repo, tmp_path, flaky)[0].outcome is Outcome.FAIL
    assert runs(tmp_path) == 4


# --- what they printed, in the end ----------------------------------------------------------------


def test_what_gates_printed_is_kept_whole_and_stays_when_the_plan_is_closed(
    repo: Repo, clock: FakeClock
) -> None:
    """The task's event has its end, the log says where the whole is, and doctor minds none of it."""
    run = "seq -w 0 99999"  # 600,000 bytes
    repo.commit("Declare a gate", {"fleet.toml": f'version = 1\n[[gate]]\nname = "g"\nrun = "{run}"\n'})
    with open_fleet(repo, "w1", clock) as session:
        install.install(session.repo)
        approved(session, task("a"))
        claimed(session, "a")
        proposed(session, "a")
        integrate(session, Order(), lambda _: None)
        plan.close(session, "p")
        (place,) = history.history(session, "p/a").gate_logs
        assert place == "refs/fleet/proposal/p/a/1.gates:1-g.log"
        assert repo.run_git("show", place) == "\n".join(f"{n:05}" for n in range(100_000))
        assert doctor.doctor(session, fix=False).problems == ()
