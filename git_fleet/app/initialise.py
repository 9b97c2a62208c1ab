"""Setting a repository up for a fleet, and taking that out again.

`init` looks at the repository and proposes a commented fleet.toml, installs the hooks, and says what has to
be committed. What is there already stays as it is, so that it can be run again at any time.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from git_fleet import resources
from git_fleet.app import agentsetup, install, suggestions
from git_fleet.app.agentsetup import Setup
from git_fleet.app.checkouts import Checkouts
from git_fleet.app.configs import CONFIG_FILE
from git_fleet.app.install import Action, InstallReport
from git_fleet.app.session import Session
from git_fleet.core.config import Config, Generated
from git_fleet.core.results import FoundGate, InitReport
from git_fleet.errors import GitFailed, InvalidInput
from git_fleet.git.repository import Repository
from git_fleet.store import names


def propose(session: Session, root: Path) -> tuple[str, tuple[FoundGate, ...]]:
    """The text of a fleet.toml for the repository whose work tree is `root`, and the gates found there.

    Raises InvalidInput while there is no commit yet, or for a branch whose name is no text.
    """
    if not session.main.isprintable():
        raise InvalidInput(
            f"the branch {session.main!a} cannot be named in {CONFIG_FILE}, which is UTF-8 text",
            hint="git branch -m gives it another name",
        )
    found = suggestions.gates(root)
    return config_text(session.main, found, suggestions.generated(root)), found


def initialise(
    session: Session, *, config_hooks: bool = False, agents: bool = False, dry_run: bool = False
) -> InitReport:
    """Propose fleet.toml where there is none, and install the hooks (`config_hooks`: by configuration); with `agents`
    also what coding agents read, and their own hooks.

    Raises InvalidInput in a bare repository, in a linked worktree and while there is no commit, and what
    `install.install` raises; then nothing has changed.
    """
    root = _root(session.repo)
    text, found = propose(session, root)
    if _has_config(session, root):
        text = ""
    report = install.plan_install(session.repo, config_hooks=config_hooks)
    setup = _for_agents(session.repo, root, agents=agents)
    if not dry_run:
        if text:
            _write_new(root / CONFIG_FILE, text)
        report = install.install(session.repo, config_hooks=config_hooks)
        agentsetup.apply(root, setup)
    notes = [*report.notes, *setup.notes, *_notes(session, found if text else None)]
    if agents:
        plugin = shlex.quote(str(resources.claude_plugin()))
        notes.append(f"for claude -w to take tasks: claude --plugin-dir {plugin}")
        notes.append(
            "Codex and Gemini CLI use what is in .codex and .gemini only in folders that they are told to trust"
        )
    more = agentsetup.to_commit(session.repo, root, setup, notes)
    return InitReport(
        config=text,
        gates=found if text else (),
        hooks=tuple(_hook_lines(report)),
        commands=tuple(_commands(session, root, report, more, new=bool(text))),
        notes=tuple(notes),
        agents=setup.lines,
    )


def _for_agents(repo: Repository, root: Path, *, agents: bool) -> Setup:
    if agents:
        return agentsetup.plan(repo, root)
    return agentsetup.shim_only(repo) if agentsetup.in_use(root) else Setup((), ())


def uninstall(session: Session, *, dry_run: bool = False) -> InitReport:
    """Take the hooks out and put those back that were there before, and remove the checkouts for gates.
    fleet.toml and all that the fleet knows stay. Raises GitFailed and Busy."""
    repo = session.repo
    root = repo.main_worktree() or repo.worktree
    setup = agentsetup.plan_out(repo, root) if root else Setup((), ())
    report = install.plan_uninstall(repo) if dry_run else install.uninstall(repo)
    if root and not dry_run:
        agentsetup.apply(root, setup)
    gone, used = Checkouts(repo, session.around.cache_dir).take_down(dry_run=dry_run)
    notes = list(setup.notes)
    notes += [f"the checkout for gates {path} {'would go' if dry_run else 'is removed'}" for path in gone]
    notes += [f"the checkout for gates {path} stays: a gate works in it" for path in used]
    notes.append(f"{CONFIG_FILE} and refs/fleet/ stay; git fleet init puts the hooks back")
    if (repo.fleet_dir / "open").exists():
        notes.append(
            "a plan is open: from now on nothing refuses a commit on its base but git fleet integrate sees it"
        )
    commands = tuple(_commit_out(repo, root, report, setup))
    return InitReport("", (), tuple(_hook_lines(report)), commands, tuple(notes), setup.lines)


def _root(repo: Repository) -> Path:
    """The work tree to set up. Raises InvalidInput where that cannot be done."""
    if repo.worktree is None:
        what = "a bare repository" if repo.bare else "git's own folder"
        raise InvalidInput(
            f"{repo.git_dir} is {what}: there is no work tree to set up",
            hint="cd to the work tree; of a bare repository: git worktree add ../main main",
        )
    main = repo.main_worktree()
    if repo.is_linked and main is not None:
        raise InvalidInput(
            f"{repo.worktree} is a linked worktree; a repository is set up in its main one",
            hint=f"cd {shlex.quote(str(main))} && git fleet init",
        )
    return repo.worktree


def _has_config(session: Session, root: Path) -> bool:
    """Whether there is a fleet.toml, in the work tree or on main."""
    if (root / CONFIG_FILE).exists() or (root / CONFIG_FILE).is_symlink():
        return True
    return next(session.store.objects.read_many([f"{names.branch(session.main)}:{CONFIG_FILE}"])) is not None


def _write_new(path: Path, text: str) -> None:
    """Raises GitFailed. A file that has come to be there meanwhile stays."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return
    except OSError as error:
        raise GitFailed(
            f"cannot write {path}: {error.strerror}",
            hint="make the folder writable for you, or free some space; then run the command again",
        ) from error


_SAID = {
    Action.INSTALL: "installed",
    Action.UPDATE: "brought up to date",
    Action.CHAIN: "installed; the hook that was there is kept and run",
    Action.INSERT: "calls git-fleet now",
    Action.CONFIGURE: "configured",
    Action.RESTORE: "as it was before",
    Action.REMOVE: "removed",
    Action.TAKE_OUT: "calls git-fleet no more",
    Action.UNSET: "no longer configured",
}


def _hook_lines(report: InstallReport) -> Iterator[str]:
    for step in report.steps:
        if step.action in _SAID:
            yield f"{step.hook}: {_SAID[step.action]} ({step.path})"


def _commands(
    session: Session, root: Path, report: InstallReport, more: Sequence[str], *, new: bool
) -> Iterator[str]:
    """What commits the files that count only once they are on main."""
    files = [
        str(path.relative_to(root)) if path.is_relative_to(root) else str(path) for path in report.to_commit
    ]
    files += more
    if new or _uncommitted(session, root):
        files.insert(0, CONFIG_FILE)
    if files:
        listed = " ".join(map(shlex.quote, files))
        yield f"git add {listed} && git commit -m 'Set up git-fleet' -- {listed}"


def _commit_out(repo: Repository, root: Path | None, report: InstallReport, setup: Setup) -> Iterator[str]:
    if root is None:
        return
    paths = [str(path.relative_to(root)) for path in report.to_commit if path.is_relative_to(root)]
    gone = setup.files
    tracked = repo.git(root).paths("--literal-pathspecs", "ls-files", "-z", "--", *gone) if gone else []
    if paths or tracked:
        listed = " ".join(map(shlex.quote, [*paths, *tracked]))
        yield f"git commit -m 'Take git-fleet out of the {'repository' if tracked else 'hooks'}' -- {listed}"


def _uncommitted(session: Session, root: Path) -> bool:
    """Whether the fleet.toml that is there is not what main has."""
    place = root / CONFIG_FILE
    if not place.is_file():
        return False
    committed = next(session.store.objects.read_many([f"{names.branch(session.main)}:{CONFIG_FILE}"]))
    return committed is None or committed.data != place.read_bytes()


def _notes(session: Session, found: Sequence[FoundGate] | None) -> Iterator[str]:
    head = session.repo.head_branch()
    if head is None:
        yield f"HEAD is detached: {CONFIG_FILE} counts once it is committed on {session.main}"
    elif head != names.branch(session.main):
        yield f"you are on {head.removeprefix('refs/heads/')}: {CONFIG_FILE} counts once it is on {session.main}"
    if session.repo.is_shallow:
        yield "this is a shallow clone: git fetch --unshallow, before work begins"
    if found == ():
        yield f"no gate was found: declare one in {CONFIG_FILE}, or integrate will refuse"


# --- the text ------------------------------------------------------------------------------------

_HEAD = """\
# What git-fleet is to know about this repository. It counts as committed on the base branch; every key
# has a default, which is what the lines with `#` say.

version = 1
main = {main}

# mode = "branch"            # or "lead-commits": workers only edit, committing is left to the lead
# branch = {branch}
# worktree = {worktree}
# lease_seconds = {lease_seconds}       # a claim that is not renewed for so long can be taken over
# max_active = {max_active}             # tasks claimed at once
# max_review = {max_review}             # no new claims while so many proposals wait
# max_attempts = {max_attempts}           # then a person is asked
# protected = {protected}
# touch = []                 # empty files made in every worktree: opt-outs for tools that would interfere
"""
_GATES = """
# Gates: commands that must pass before a task lands. Each runs in a clean checkout of exactly what main
# would become: what is not in the repository has to be installed by the gate itself.
"""
_NO_GATES = """
# None was found. Until one is declared (or `gates = "none"`, above the first table) integrate refuses.

# [[gate]]
# name = "tests"
# run = "make test"
# timeout_seconds = 600
"""
_GENERATED = """
# Generated files belong to no task: any task may change them, and no two tasks collide over them.
"""


def config_text(main: str, gates: Sequence[FoundGate], generated: Sequence[Generated]) -> str:
    """A commented fleet.toml. Alternatives and generated files stand in comments, to be taken in by hand."""
    default = Config()
    plain = {
        "main": _toml(main),
        "branch": _toml(default.branch),
        "worktree": _toml(default.worktree),
        "protected": _toml(list(default.protected)),
    }
    numbers = {
        key: getattr(default, key) for key in ("lease_seconds", "max_active", "max_review", "max_attempts")
    }
    parts = [_HEAD.format(**plain, **numbers), _GATES]
    parts += [
        _table("gate", {"name": gate.name, "run": gate.run}, gate.reason, gate.alternative) for gate in gates
    ]
    if not gates:
        parts.append(_NO_GATES)
    if generated:
        parts.append(_GENERATED)
        parts += [
            _table("generated", {"paths": list(entry.paths), "run": entry.run}, "", commented=True)
            for entry in generated
        ]
    return "".join(parts)


def _table(name: str, values: dict[str, object], reason: str, commented: bool) -> str:
    lines = [f"[[{name}]]" + (f"  # {reason}" if reason else "")]
    lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
    return "\n" + "".join(f"{'# ' if commented else ''}{line}\n" for line in lines)


def _toml(value: object) -> str:
    """A string or a list of strings: JSON's way of writing them is TOML's too, for text without escapes
    beyond the basic plane."""
    return json.dumps(value, ensure_ascii=False)
