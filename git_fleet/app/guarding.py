"""The wall of a repository that others push to: its hook put in and taken out, and who may do what there.

The hook (`hooks/pre-receive`) decides by git and POSIX sh who may move which ref. Where git-fleet is installed it
has what is pushed looked at as well (app/receiving.py), unless it was installed `plain`. Who pushes is looked up in
`<git dir>/fleet/allowed`, which is made once and then belongs to whoever keeps the server.
"""

from __future__ import annotations

import os
from pathlib import Path

from git_fleet.app import hookfiles, install
from git_fleet.app.install import Action
from git_fleet.core.results import WallReport
from git_fleet.errors import GitFailed, InvalidInput, disk_error
from git_fleet.git.repository import Repository, discover

ALLOWED = "allowed"

_HEAD = """\
# Who may push what to this repository (git fleet guard --server). Made once; it is yours to change.
#
#   base BRANCH…                 moved by a lead alone, and only forward: main, and every other that is nobody's task
#   lead PUSHER                  plans, main, notes, every log; may delete what the fleet has stored
#   worker PUSHER [NAME]…        its own branches and logs, the guard, the bucket
#   verifier PUSHER [NAME]…      verdicts, on proposals of others
#
# PUSHER is the first that is set of FLEET_PUSHER, REMOTE_USER, GITOLITE_USER, GL_USER and USER where the push
# arrives. One account for all keys: give each key a name, in that account's .ssh/authorized_keys
#   command="FLEET_PUSHER=w1 git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"",restrict ssh-ed25519 AAAA…
# Whoever can set these variables, or write here by path, is whoever it says it is: let nobody in but by a key or
# a web server that asks for a password.
#
# NAME is what it calls itself (git fleet --worker NAME; a verifier's verdicts are by verifier:NAME or person:NAME);
# without one, PUSHER. Both are patterns of the shell: * and ? stand for what may be there, ? for a space too. A BRANCH
# is none. What follows a # after a blank is a remark.
# Who is in no line may push what is neither the fleet's, nor a base, nor the branch of a task.

"""


def guard(start: Path, *, plain: bool, dry_run: bool) -> WallReport:
    """Put the wall into the bare repository at `start`, or bring it up to date; `plain`: the rules for refs alone.

    A hook that is there is kept and runs after ours. Raises InvalidInput where there is no bare repository,
    NeedsPerson where two hooks of others claim the place, GitFailed when it cannot write.
    """
    repo = _bare(start)
    report = install.plan_wall(repo, plain=plain)
    allowed = repo.fleet_dir / ALLOWED
    missing = not allowed.exists()
    head = repo.head_branch() or "refs/heads/main"
    if not dry_run:
        if missing:
            _write(allowed, f"{_HEAD}base {head.removeprefix('refs/heads/')}\n")
        install.apply(repo, report)
    changes = _changes(report)
    notes = () if _known(allowed) else (f"nobody may push anything of the fleet yet: name them in {allowed}",)
    return WallReport(
        str(repo.git_dir),
        "rules" if plain else "contents",
        str(allowed),
        changes + ((f"made {allowed}",) if missing else ()),
        notes,
    )


def take_out(start: Path, *, dry_run: bool) -> WallReport:
    """Take the wall out again, and put the hook back that was there. `allowed` stays. Raises as `guard`."""
    repo = _bare(start)
    report = install.plan_wall_out(repo)
    if not dry_run:
        install.apply(repo, report)
    allowed = repo.fleet_dir / ALLOWED
    notes = (f"{allowed} stays; nothing reads it any more",) if allowed.exists() else ()
    return WallReport(str(repo.git_dir), "", str(allowed), _changes(report), notes)


def _bare(start: Path) -> Repository:
    if not start.is_dir():
        raise InvalidInput(
            f"no such folder: {start}", hint="git fleet guard --server BARE_REPO, on the server"
        )
    repo = discover(start)
    if not repo.bare:
        raise InvalidInput(
            f"{start} is not a bare repository: nobody pushes to it",
            hint="git fleet init guards a repository that is worked in",
        )
    return repo


def _changes(report: install.InstallReport) -> tuple[str, ...]:
    words = {
        Action.INSTALL: "installed {}",
        Action.UPDATE: "brought {} up to date",
        Action.CHAIN: f"installed {{}}; the one that was there is {hookfiles.WALL}{hookfiles.KEPT}, and runs after it",
        Action.RESTORE: "put {} back as it was before",
        Action.REMOVE: "removed {}",
    }
    return tuple(words[step.action].format(step.path) for step in report.steps if step.action in words)


def _known(allowed: Path) -> bool:
    """Whether anybody is named at all."""
    if not allowed.exists():
        return False
    roles = {line.split()[0] for line in allowed.read_text("utf-8", "replace").splitlines() if line.split()}
    return bool(roles & {"lead", "worker", "verifier"})


def _write(path: Path, text: str) -> None:
    """A file of nobody's yet: never over one that has come meanwhile."""
    try:
        path.parent.mkdir(exist_ok=True)
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8"
        ) as file:
            file.write(text)
    except FileExistsError:
        return
    except OSError as error:
        failed = GitFailed(f"cannot write {path}: {error.strerror}")
        raise disk_error(error) or failed from error


def strength(repo: Repository) -> str:
    """What guards this repository against pushes: "contents", "rules", "outdated" (of another version or place of
    git-fleet), or "" for nothing of ours."""
    hook = next((step.path for step in install.plan_wall_out(repo).steps), None)
    if hook is None:
        return ""
    text = hook.read_bytes() if hook.is_file() else b""
    for plain, name in ((False, "contents"), (True, "rules")):
        if text == hookfiles.shim(hookfiles.WALL, plain=plain):
            return name
    return "outdated"
