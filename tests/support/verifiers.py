"""Verifiers of a few words, and proposals for them to look at."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w

from git_fleet.app import handin
from git_fleet.app.session import Session
from git_fleet.app.verify import Asked, verify
from git_fleet.core.config import Command
from git_fleet.core.ids import Oid
from git_fleet.core.model import Proposal, TaskState
from git_fleet.core.results import Verification, Verified
from tests.support.fleet import approved, claimed, commit_on, open_fleet, task
from tests.support.repo import Repo

UPHELD = '{"verdict":"upheld"}'
REFUTED = '{"verdict":"refuted","findings":[{"text":"It is wrong.","path":"a/new"}]}'


def says(output: str, before: str = "") -> Command:
    """A verifier that prints this, whatever it is asked."""
    return ("sh", "-c", f"{before}\nprintf %s {shlex.quote(output)}")


def configured(repo: Repo, runs: Mapping[str, Command], gates: Sequence[str] = (), **policy: Any) -> None:
    """Verifiers by lens (each called v-LENS), gates, and the policy."""
    verifiers = [
        {"name": f"v-{lens}", "lens": lens, "run": run if isinstance(run, str) else list(run), "timeout_seconds": 60}
        for lens, run in runs.items()
    ]  # fmt: skip
    declared = [{"name": f"g{n}", "run": run} for n, run in enumerate(gates, 1)]
    tables: dict[str, Any] = {"version": 1, "policy": policy, "verifier": verifiers}
    tables |= {"gate": declared} if declared else {"gates": "none"}
    repo.commit("Configure", {"fleet.toml": tomli_w.dumps(tables)})


def handed(repo: Repo, name: str = "a", files: Mapping[str, str] | None = None, **more: Any) -> Proposal:
    """The task claimed and handed in by w1, without a worktree."""
    worker = open_fleet(repo, "w1")
    claimed(worker, name)
    commit = commit_on(worker, Oid(repo.rev("main")), files or {f"{name}/new": "new\n"})
    found = handin.Handin(commit="" if more.pop("report", False) else commit, **more)
    return handin.done(worker, name, found).proposal


def lead(repo: Repo, **env: str) -> Session:
    return open_fleet(repo, "lead", env=env)


def run(session: Session, *targets: str, **fields: Any) -> Verification:
    return verify(session, Asked(tuple(targets), **fields), lambda _: None)


def only(found: Verification) -> Verified:
    (one,) = found.tasks
    assert found.skipped == ()
    return one


def state(session: Session, name: str = "a") -> TaskState:
    return session.record(session.snapshot(), name).state


def planned(repo: Repo) -> Repo:
    """The repository with an open plan of tasks a and b."""
    repo.commit("Start", {"lib/x": "x\n"})
    approved(open_fleet(repo, "ann"), task("a", reads=["lib/**"], prompt="Write it."), task("b"))
    return repo
