"""`git fleet run` on a scratch repository, with agents that do as they are told.

    crew = Crew(repo, tmp_path)
    crew.plan(task("a"), task("b"), agents={"a": "work", "b": "crash"})
    found = crew.run("--workers", "2")          # the JSON document, checked against its schema
    with crew.running() as process: …           # or as a process to be watched and killed

What the agent of a task does is a script for sh, run in the task's worktree; `ACTS` names some. Everything runs
as it does for people: the program, the minder and the agents are processes of their own.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from git_fleet.app.surroundings import AGENT_VARIABLES
from git_fleet.cli import main
from git_fleet.cli.interrupts import ECHO_SECONDS
from tests.support.documents import validate
from tests.support.fleet import Table, plan_toml
from tests.support.repo import Repo, make_repo
from tests.support.worlds import assert_reachable

FLEET = (sys.executable, "-P", "-m", "git_fleet")
CONFIG = """\
version = 1
{more}
[[gate]]
name = "sound"
run = "! grep -rqs --include=new BROKEN ."

[worker]
run = ["sh", "{script}"]
{worker}
"""
ACTS: Mapping[str, str] = {
    "work": 'echo "working on $T"; mkdir -p "$T" && echo "made by $FLEET_WORKER" > "$T/new"',
    "commit": 'mkdir -p "$T" && echo new > "$T/new" && git add -A && git commit -qm "Do $T"',
    "nothing": "echo 'nothing to do'",
    "crash": "echo 'about to fail' >&2; exit 3",
    "red": 'mkdir -p "$T" && echo BROKEN > "$T/new"',
    "done": 'mkdir -p "$T" && echo new > "$T/new" && git add -A && git commit -qm x && git fleet done',
    "block": "git fleet block --code missing-api 'there is no such thing'",
    "wait": 'mkdir -p "$T" && echo begun > "$T/new" && touch "$BOX/$T.begun"; while [ ! -e "$BOX/$T.go" ]; do sleep 0.05; done',
}
"""What agents do, by name. `$T` is the task, `$BOX` a folder outside of the repository to leave signs in."""

_DISPATCH = """\
T=$FLEET_TASK; BOX={box}; export T BOX
echo "$T $FLEET_WORKER $$" >> "$BOX/starts"
[ -e "$BOX/acts/$T" ] || exit 9
. "$BOX/acts/$T"
"""
_OF_THEIR_OWN = frozenset({"run", "worker", "jobs", "integrate", "verify"})
_PATIENCE_SECONDS = 60.0
_MOST_SECONDS = 150.0


@dataclass
class Crew:
    """A repository with hooks, gates and agents; `worker` and `config` are more lines for fleet.toml."""

    repo: Repo
    folder: Path
    worker: str = "retries = 1"
    config: str = ""

    def __post_init__(self) -> None:
        self.box = self.folder / "box"
        (self.box / "acts").mkdir(parents=True)
        script = self.box / "agent.sh"
        script.write_text(_DISPATCH.format(box=self.box))
        text = CONFIG.format(script=script, worker=self.worker, more=self.config)
        self.repo.commit("Set up", {"fleet.toml": text})
        self.fleet("init")

    @classmethod
    def made(cls, folder: Path, *, worker: str = "retries = 1", config: str = "") -> Crew:
        """One on a repository of its own in this folder."""
        return cls(make_repo(folder / "repo"), folder, worker=worker, config=config)

    # --- the stage -------------------------------------------------------------------------------

    def act(self, task: str, does: str) -> None:
        """From now on the agent of this task does that: one of ACTS, or a script."""
        (self.box / "acts" / task).write_text(ACTS.get(does, does) + "\n")

    def plan(self, *tasks: Table, agents: Mapping[str, str] | None = None, **fields: Any) -> None:
        """Approve these tasks. Agents `work` unless `agents` says otherwise."""
        for each in tasks:
            self.act(each["id"], (agents or {}).get(each["id"], "work"))
        text = self.box / "plan.toml"
        text.write_text(plan_toml(*tasks, **fields))
        self.fleet("plan", "import", str(text))
        self.fleet("plan", "approve", "--yes")

    # --- the program -----------------------------------------------------------------------------

    @property
    def env(self) -> dict[str, str]:
        """The environment of a person at a terminal; git finds the program of this checkout."""
        found = {name: text for name, text in os.environ.items() if name not in AGENT_VARIABLES}
        found["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"
        return found | {"USER": "crew"}

    def fleet(self, *args: str, code: int = 0) -> str:
        """What `git fleet` prints; it must end with `code`.

        In this process, like a command of tests/cli, since a start of Python is most of what a command costs; one
        that starts others is a process of its own.
        """
        if _OF_THEIR_OWN.isdisjoint(args):
            with inside(self.repo.path, self.env):
                ended, out, err = in_process(args)
        else:
            done = subprocess.run(
                [*FLEET, *args], cwd=self.repo.path, env=self.env, capture_output=True, text=True, check=False
            )
            ended, out, err = done.returncode, done.stdout, done.stderr
        assert ended == code, (args, ended, out, err)
        return out

    def run(self, *args: str, code: int = 0) -> dict[str, Any]:
        """The document of a run that comes to its end by itself."""
        found: dict[str, Any] = json.loads(self.fleet("run", "--json", *args, code=code))
        validate(found, "run")
        return found

    def start(self, *args: str) -> subprocess.Popen[str]:
        """A run as a process, its lines on standard error."""
        return subprocess.Popen(
            [*FLEET, "run", *args],
            cwd=self.repo.path,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @contextmanager
    def running(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        """The same; killed with all its agents when the block ends, if it lives then."""
        process = self.start(*args)
        timer = threading.Timer(_MOST_SECONDS, process.kill)  # whoever reads its lines would wait for ever
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()
            self.end_agents()

    # --- looking ---------------------------------------------------------------------------------

    def states(self) -> dict[str, str]:
        """Every task's state, by its short id."""
        plans = json.loads(self.fleet("status", "--json"))["plans"]
        return {task["task_id"].partition("/")[2]: task["state"] for plan in plans for task in plan["tasks"]}

    def starts(self) -> list[tuple[str, str, int]]:
        """Each start of an agent: task, worker, process id."""
        try:
            lines = (self.box / "starts").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(task, worker, int(pid)) for task, worker, pid in map(str.split, lines)]

    def begun(self, task: str) -> None:
        """Wait until an agent that does `wait` has begun."""
        self.until((self.box / f"{task}.begun").exists)

    def go(self, task: str) -> None:
        """Let an agent that does `wait` end."""
        (self.box / f"{task}.go").touch()

    def until(self, condition: Callable[[], object], seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait for a condition; fails when it does not come about within that time."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "this does not come about"
            time.sleep(0.02)

    def a_moment(self) -> None:
        """Let so much time pass that the next Ctrl-C is not taken for an echo of the last, which has had its effect."""
        since = time.monotonic()
        self.until(lambda: time.monotonic() > since + ECHO_SECONDS)

    def alive(self) -> list[int]:
        """The processes of agents that still run (by their mark), minders left out."""
        import psutil

        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                claim = process.environ().get("FLEET_CLAIM", "")  # a file below this repository's git dir
                if claim.startswith(str(self.folder)) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found

    def end_agents(self) -> None:
        """No process outlives a test."""
        for pid in self.alive():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def sound(self) -> None:
        """`doctor` and `git fsck` have nothing to complain about, and main's gate passes on every commit of it."""
        document = json.loads(self.fleet("doctor", "--json"))
        assert document["ok"], document
        self.repo.run_git("fsck", "--no-dangling", "--no-progress")


def lines(process: subprocess.Popen[str]) -> Sequence[str]:
    """What a run that has ended printed for people."""
    _, err = process.communicate(timeout=_PATIENCE_SECONDS)
    return err.splitlines()


# --- many bad agents in one run ----------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """What came of it all: the run's document and the states, by task."""

    crew: Crew
    document: dict[str, Any]
    states: dict[str, str]
    alive: list[int]

    def assert_done(self, name: str, *, starts: int = 1) -> None:
        """Its task is integrated, by so many agents."""
        assert (self.states[name], self.starts(name)) == ("integrated", starts), self.reason(name)

    def assert_blocked(self, name: str, code: str, *, starts: int = 1) -> None:
        """Its task waits for a person, with this code."""
        assert (self.states[name], self.starts(name)) == ("blocked", starts)
        assert self.reason(name).startswith(f"{code}: ")

    def reason(self, name: str) -> str:
        """Why a task goes no further."""
        return next(str(e["reason"]) for e in self.document["tasks"] if e["task_id"] == f"p/{name}")

    def on_main(self, name: str) -> str:
        """What is on main of a task's work."""
        return self.crew.repo.run_git("show", f"main:{name}/new")

    def starts(self, name: str) -> int:
        """How often its agent was started."""
        return [task for task, _, _ in self.crew.starts()].count(name)

    def assert_kept(self, *texts: str) -> None:
        """These lines are in files that refs reach."""
        assert_reachable(self.crew.repo, *(f"{text}\n".encode() for text in texts))


def once(first: str, then: str) -> str:
    """An agent that does `first` when it is started first, and `then` later."""
    return f'if [ ! -e "$BOX/$T.once" ]; then touch "$BOX/$T.once"\n{first}\nelse\n{then}\nfi'


ENDLESS = "while :; do echo working; sleep 0.2; done"


def writes(text: str) -> str:
    """A line in the one file that these agents write."""
    return f'mkdir -p "$T" && echo "{text} of $T" > "$T/new"'


@contextmanager
def own_environment(folder: Path) -> Iterator[None]:
    """The sealed box of a test, for what many tests of a module share; its home is in that folder."""
    from tests.conftest import GITCONFIG, sealed

    home = folder / "home"
    (home / ".run").mkdir(parents=True, mode=0o700)
    (home / ".gitconfig").write_text(GITCONFIG, encoding="utf-8")
    with inside(Path.cwd(), sealed(home)):
        yield


@contextmanager
def inside(folder: Path, env: Mapping[str, str]) -> Iterator[None]:
    """This process in that folder, with exactly that environment, until the block ends."""
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(env)
        with chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def in_process(args: Sequence[str]) -> tuple[int, str, str]:
    """`git fleet` with these arguments, through its funnel: exit code, standard output and standard error."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = main.run(args)
    out.flush()
    err.flush()
    return code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()
