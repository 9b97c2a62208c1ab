"""The repository as it was set up: git itself, hooks, configuration."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from msgspec.structs import replace

from git_fleet.app import agentsetup, guarding, install
from git_fleet.app.checks.finding import Finding
from git_fleet.app.configs import CONFIG_FILE
from git_fleet.app.session import Session
from git_fleet.core.snapshot import Snapshot
from git_fleet.errors import FleetError
from git_fleet.git.process import MINIMUM_VERSION, git_version
from git_fleet.store import names


def git_itself(_: Session) -> Iterator[Finding]:
    """git is new enough."""
    version = git_version()
    if version[:2] < MINIMUM_VERSION:
        found, needed = (".".join(map(str, numbers)) for numbers in (version, MINIMUM_VERSION))
        yield Finding("git-version", f"git {found} is too old", f"install git {needed} or newer")


def history_whole(session: Session) -> Iterator[Finding]:
    """A shallow clone answers questions about ancestry wrongly at its edge."""
    if session.repo.is_shallow:
        text = "this is a shallow clone: what lies before its edge cannot be integrated"
        yield Finding("shallow", text, "git fetch --unshallow", note=True)


def wall(session: Session) -> Iterator[Finding]:
    """What guards a repository that others push to: as it is installed, or of another version of git-fleet."""
    place = session.repo.git_dir
    found = guarding.strength(session.repo)
    if found == "outdated":
        text = f"the wall of {place} is of another version or place of git-fleet"
        yield Finding("wall-outdated", text, f"git fleet guard --server {shlex.quote(str(place))}")
    elif found:
        what = "who may move which ref" + (", and by what events" if found == "contents" else "")
        yield Finding("wall", f"pushes to {place} are guarded: {what}", "", note=True)


def hooks(session: Session) -> Iterator[Finding]:
    """The hooks are in place, and nobody has pushed them aside. Where nobody works but all push, the wall is."""
    if session.repo.bare and guarding.strength(session.repo):
        return
    for problem in install.inspect(session.repo):
        found = Finding(*problem)
        if session.repo.worktree is None:  # here init refuses
            fix = f"git worktree add ../main {session.main}, and git fleet init there; or, where others push to it, git fleet guard --server ."
            found = replace(found, fix=fix)
        yield found
    root = session.repo.main_worktree() or session.repo.worktree
    if root is not None and agentsetup.in_use(root) and agentsetup.shim_only(session.repo).changes:
        text = "what agents' own hooks call is missing, or of another version or place of git-fleet"
        yield Finding("agent-hooks", text, "git fleet init")


def configuration(session: Session, snapshot: Snapshot) -> Iterator[Finding]:
    """fleet.toml is valid on every base, and what lies in the worktree is committed."""
    approved = [record.approved for record in snapshot.plans.values() if record.approved is not None]
    for base in dict.fromkeys([session.main, *(plan.base for plan in approved)]):
        try:
            session.config(base)
        except FleetError as error:
            yield Finding("config-invalid", f"on {base}: {error.message}", error.hint)
    yield from _uncommitted(session)


def _uncommitted(session: Session) -> Iterator[Finding]:
    """Only the base branch's fleet.toml counts; the one that people see is in the worktree."""
    root = session.repo.main_worktree()
    if root is None or not (root / CONFIG_FILE).is_file():
        return
    commit_it = f"git add {CONFIG_FILE} && git commit -m 'Configure git-fleet' -- {CONFIG_FILE}"
    committed = next(session.store.objects.read_many([f"{names.branch(session.main)}:{CONFIG_FILE}"]))
    if committed is None:
        text = f"{CONFIG_FILE} is not committed on {session.main}, so nothing in it counts"
        yield Finding("config-uncommitted", text, commit_it)
    elif committed.data != (root / CONFIG_FILE).read_bytes():
        text = f"{CONFIG_FILE} in {root} is not what {session.main} has; only that counts"
        yield Finding("config-differs", text, commit_it, note=True)
