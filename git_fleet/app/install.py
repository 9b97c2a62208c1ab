"""Setting up git's hooks, and taking them out again, beside whoever else has hooks there.

Where git looks for hooks decides how (DESIGN section 8):

- **a folder outside the work tree** (`.git/hooks`, or a set `core.hooksPath`): our shim takes the
  hook's place; a hook that is there is kept as `HOOK.pre-fleet`, which the shim runs. Where the
  pre-commit framework (or prek) owns the place, ours goes where it runs foreign hooks, `HOOK.legacy`:
  in its own place the framework, installed again, would call us and we it.
- **a folder of the work tree** (a relative `core.hooksPath`, husky): its scripts are tracked files and
  every worktree has its own copy. They get a few lines that call the shim in `<git dir>/fleet/hooks/`,
  to be committed once. husky's own folder is generated: the lines go where it expects its user's.
- **configuration** (`hook.*`, git ≥ 2.54, when asked for): the shims in `<git dir>/fleet/hooks/`,
  whatever `core.hooksPath` says and whoever else is there.

What will be done is worked out first (`plan_install`), by looking alone; doing it goes one file after
the other, each by one rename, so that at no moment a hook that was there is not run.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from git_fleet.app import hookfiles
from git_fleet.app.hookfiles import HOOKS, KEPT, TEMPORARY, Owner
from git_fleet.errors import FleetError, GitFailed, InvalidInput, NeedsPerson, disk_error
from git_fleet.git.process import git_version
from git_fleet.git.repository import Repository

CONFIG_HOOKS_SINCE = (2, 54)
_LEGACY, _OLD = ".legacy", ".old"
_NOT_HUSKYS = "reference-transaction"  # husky starts no such hook; git itself does, from husky's folder


class Action(StrEnum):
    """What happens to one file (or, for `configure` and `unset`, to the configuration)."""

    KEEP = "keep"  # it is as it should be
    INSTALL = "install"
    UPDATE = "update"
    CHAIN = "chain"  # install, and keep the hook that was there
    INSERT = "insert"  # our lines into a script of the work tree
    CONFIGURE = "configure"
    RESTORE = "restore"  # put the hook back that was there
    REMOVE = "remove"
    TAKE_OUT = "take out"  # our lines out of a script of the work tree
    UNSET = "unset"


class Step(NamedTuple):
    """One thing to do, or done, for one hook. `plain`: as a shim that needs no Python."""

    action: Action
    hook: str
    path: Path
    plain: bool = False


class InstallReport(Struct, frozen=True):
    """What was done, or would be. `folder` is where git looks for hooks; `to_commit` are files of the
    work tree that other worktrees get only by a commit; `notes` are sentences for people."""

    folder: Path
    steps: tuple[Step, ...]
    to_commit: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether there was anything to do."""
        return any(step.action is not Action.KEEP for step in self.steps)


class HookProblem(NamedTuple):
    """One thing that is wrong with the hooks, for doctor: a stable code, a sentence, the next command."""

    code: str
    text: str
    fix: str


class _Layout(NamedTuple):
    """Where git looks for hooks (`folder`) and where scripts of the work tree get our lines (`scripts`;
    None: the folder is not in a work tree)."""

    folder: Path
    scripts: Path | None
    configured: str
    configured_for: str

    @property
    def husky(self) -> bool:
        return self.scripts is not None and self.scripts != self.folder

    def script(self, hook: str) -> Path:
        """The file of the work tree that should call our shim."""
        return (self.scripts if self.scripts and hook != _NOT_HUSKYS else self.folder) / hook


def plan_install(repo: Repository, *, config_hooks: bool = False) -> InstallReport:
    """What `install` would do. Raises as it does; changes nothing."""
    layout = _layout(repo)
    if config_hooks or _configured(repo):
        return _plan_config(repo, layout)
    if layout.folder == Path(os.devnull):
        raise InvalidInput(
            "core.hooksPath is /dev/null: git runs no hooks here", hint="git config --unset core.hooksPath"
        )
    if layout.scripts is not None:
        return _plan_scripts(repo, layout)
    steps = [step for hook in HOOKS for step in _plan_file(layout.folder, hook)]
    shared = (
        f"core.hooksPath is set for {layout.configured_for}: {layout.folder} serves other repositories too"
    )
    notes = (shared,) if layout.configured_for not in ("", "this repository") else ()
    return InstallReport(layout.folder, tuple(steps), notes=notes)


def install(repo: Repository, *, config_hooks: bool = False) -> InstallReport:
    """Install the hooks, or bring them up to date. Doing it again changes nothing.

    `config_hooks` puts them into git's configuration instead; a repository set up so stays so.
    Raises InvalidInput (hooks turned off, git too old for `config_hooks`), NeedsPerson (two foreign
    hooks claim one place), GitFailed (cannot write).
    """
    report = plan_install(repo, config_hooks=config_hooks)
    apply(repo, report)
    return report


def plan_wall(repo: Repository, *, plain: bool) -> InstallReport:
    """What puts the wall into a repository that others push to, beside a hook that is there. Raises NeedsPerson."""
    folder = _layout(repo).folder
    return InstallReport(folder, tuple(_plan_file(folder, hookfiles.WALL, plain=plain)))


def plan_wall_out(repo: Repository) -> InstallReport:
    """What takes the wall out again."""
    folder = _layout(repo).folder
    return InstallReport(folder, tuple(_plan_out(folder, hookfiles.WALL)))


def plan_uninstall(repo: Repository) -> InstallReport:
    """What `uninstall` would do."""
    layout = _layout(repo)
    steps: list[Step] = []
    for folder in dict.fromkeys((repo.common_dir / "hooks", layout.folder)):
        steps += [step for hook in HOOKS for step in _plan_out(folder, hook)]
    scripts = [(hook, layout.script(hook)) for hook in HOOKS if layout.scripts is not None]
    taken = [Step(Action.TAKE_OUT, hook, path) for hook, path in scripts if _has_block(path)]
    steps += taken
    configured = _commands(repo)
    for hook in HOOKS:
        if configured.get(hook):
            steps.append(Step(Action.UNSET, hook, repo.common_dir / "config"))
        shim = _shim(repo, hook)
        if hookfiles.owner(shim) is Owner.OURS:
            steps.append(Step(Action.REMOVE, hook, shim))
    return InstallReport(layout.folder, tuple(steps), _tracked(repo, taken))


def uninstall(repo: Repository) -> InstallReport:
    """Take our hooks out, whichever way they got in, and put those back that were there before.

    Raises GitFailed when it cannot write.
    """
    report = plan_uninstall(repo)
    apply(repo, report)
    return report


def inspect(repo: Repository) -> list[HookProblem]:
    """What is wrong with the hooks as they are; empty when they are in place. Changes nothing."""
    try:
        report = plan_install(repo)
    except FleetError as error:
        return [HookProblem("hooks-conflict", error.message, error.hint)]
    named: dict[str, list[str]] = {}
    for step in report.steps:
        if step.action is Action.REMOVE:
            text = f"another tool put itself in the place of our {step.hook} and does not run it"
            named.setdefault(f"hooks-displaced\0{text}", [])
        elif step.action is Action.UPDATE:
            named.setdefault("hooks-outdated\0hooks of another version or place of git-fleet", []).append(
                step.hook
            )
        elif step.action is not Action.KEEP:
            named.setdefault("hooks-missing\0hooks are not installed", []).append(step.hook)
    problems = [
        HookProblem(code, text + (f": {', '.join(dict.fromkeys(hooks))}" if hooks else ""), "git fleet init")
        for (code, _, text), hooks in ((key.partition("\0"), hooks) for key, hooks in named.items())
    ]
    return problems + list(_without_folder(repo))


def _without_folder(repo: Repository) -> Iterator[HookProblem]:
    """Worktrees in which a relative core.hooksPath leads nowhere, as husky's before it ran there."""
    layout = _layout(repo)
    if not layout.configured or Path(layout.configured).is_absolute() or _configured(repo):
        return
    for entry in repo.git().paths("worktree", "list", "--porcelain", "-z"):
        worktree = Path(entry.removeprefix("worktree "))
        if (
            entry.startswith("worktree ")
            and worktree.is_dir()
            and not (worktree / layout.configured).is_dir()
        ):
            yield HookProblem(
                "hooks-absent",
                f"no hooks run in {worktree}: core.hooksPath is {layout.configured}, and it has no such folder",
                f"list {layout.configured}/ in .worktreeinclude, or run there what makes it",
            )


# --- where hooks are -----------------------------------------------------------------------------


def _layout(repo: Repository) -> _Layout:
    """Asks git itself, which knows every way to configure it."""
    top = repo.worktree or repo.git_dir
    git = repo.git(top, hooks=True)  # with hooks off the answer would be where we sent them
    folder = top / os.fsdecode(git.run("rev-parse", "--git-path", "hooks").out).removesuffix("\n")
    shown = os.fsdecode(git.run("config", "--show-scope", "core.hooksPath", ok=(0, 1)).out)
    scope, _, configured = shown.removesuffix("\n").partition("\t")
    whom = {"local": "this repository", "worktree": "this repository", "": ""}.get(
        scope, "all your repositories"
    )
    places = {place.resolve() for place in (repo.worktree, repo.main_worktree()) if place is not None}
    real = folder.resolve()  # .git/hooks may be a link into the work tree
    if real.is_relative_to(repo.common_dir.resolve()) or not any(map(real.is_relative_to, places)):
        return _Layout(folder, None, configured, whom)
    scripts = real.parent if real.name == "_" and (real / "h").is_file() else real
    return _Layout(real, scripts, configured, whom)


def _shim(repo: Repository, hook: str) -> Path:
    """Our shim where scripts of the work tree and the configuration find it."""
    return repo.fleet_dir / "hooks" / hook


def _configured(repo: Repository) -> bool:
    return any(_commands(repo).values())


def _commands(repo: Repository) -> dict[str, str]:
    """The commands configured for our hooks; those that have none are not in it."""
    names = {f"hook.git-fleet-{hook}.command": hook for hook in HOOKS}
    return {names[name]: command for name, command in repo.settings(*names).items()}


def _has_block(path: Path) -> bool:
    return path.is_file() and hookfiles.BEGIN.encode() in path.read_bytes()


def _tracked(repo: Repository, steps: list[Step]) -> tuple[Path, ...]:
    """Those of the changed scripts that git would commit. (128: a file of another worktree.)"""
    git = repo.git(repo.worktree)
    paths = (step.path for step in steps if step.action is not Action.KEEP)
    return tuple(path for path in paths if git.run("check-ignore", "-q", "--", path, ok=(0, 1, 128)).code)


# --- what to do ----------------------------------------------------------------------------------


def _plan_file(folder: Path, hook: str, *, plain: bool = False) -> Iterator[Step]:
    """One hook in a folder outside the work tree."""
    target, old = folder / hook, folder / (hook + _OLD)
    if hookfiles.owner(target) is Owner.FRAMEWORK:
        target = folder / (hook + _LEGACY)
    found = hookfiles.owner(target)
    if found in (Owner.NOBODY, Owner.OURS):
        yield _plan_shim(target, hook, plain=plain)
    else:
        kept = folder / (hook + KEPT)
        if os.path.lexists(kept) and not hookfiles.same_file(target, kept):
            raise NeedsPerson(
                f"{target} and {kept.name} beside it are both hooks of others; only one can be kept",
                hint=f"make one of the two, move the other away, then the same command again ({folder})",
            )
        yield Step(Action.CHAIN, hook, target, plain)
    if hookfiles.owner(old) is Owner.OURS:  # lefthook moved it there
        yield Step(Action.REMOVE, hook, old)


def _plan_shim(path: Path, hook: str, *, plain: bool = False) -> Step:
    """Our shim at a place that is free or ours."""
    if hookfiles.owner(path) is not Owner.OURS:
        return Step(Action.INSTALL, hook, path, plain)
    fresh = path.read_bytes() == hookfiles.shim(hook, plain=plain) and os.access(path, os.X_OK)
    return Step(Action.KEEP if fresh else Action.UPDATE, hook, path, plain)


def _plan_scripts(repo: Repository, layout: _Layout) -> InstallReport:
    """Our lines in the scripts of the work tree, which call the shims."""
    shims = [_plan_shim(_shim(repo, hook), hook) for hook in HOOKS]
    scripts, notes = [], []
    for hook in HOOKS:
        path = layout.script(hook)
        text = path.read_bytes() if path.is_file() else None
        wanted = hookfiles.with_block(text, hook)
        if wanted is None:
            notes.append(
                f"{path} is no shell script: let it start {_shim(repo, hook)} with its arguments and input"
            )
        else:
            scripts.append(Step(Action.KEEP if text == wanted else Action.INSERT, hook, path))
    if layout.husky:
        notes.append(
            f"a new worktree has no {layout.configured} until husky ran there; list it in .worktreeinclude"
        )
    return InstallReport(layout.folder, (*shims, *scripts), _tracked(repo, scripts), tuple(notes))


def _plan_config(repo: Repository, layout: _Layout) -> InstallReport:
    """The shims, named in the configuration; native ones are taken out, or they would run twice."""
    found = git_version()
    if found[:2] < CONFIG_HOOKS_SINCE:
        raise InvalidInput(
            f"git {'.'.join(map(str, found))} has no hooks by configuration, which came with 2.54",
            hint="git fleet init, without --config-hooks",
        )
    steps = [_plan_shim(_shim(repo, hook), hook) for hook in HOOKS]
    configured = _commands(repo)
    for hook in HOOKS:
        done = configured.get(hook) == _command(repo, hook)
        steps.append(Step(Action.KEEP if done else Action.CONFIGURE, hook, repo.common_dir / "config"))
    for hook in HOOKS:
        steps += _plan_out(repo.common_dir / "hooks", hook)
    return InstallReport(layout.folder, tuple(steps))


def _plan_out(folder: Path, hook: str) -> Iterator[Step]:
    """One hook out of a folder: wherever ours has got to, the one before it takes its place."""
    kept = folder / (hook + KEPT)
    waiting = os.path.lexists(kept)
    for suffix in ("", _LEGACY, _OLD):
        target = folder / (hook + suffix)
        if hookfiles.owner(target) is Owner.OURS:
            yield Step(Action.RESTORE if waiting else Action.REMOVE, hook, target)
            waiting = False
    if hookfiles.owner(left := folder / (hook + TEMPORARY)) is Owner.OURS:
        yield Step(Action.REMOVE, hook, left)
    if waiting and not os.path.lexists(folder / hook):
        yield Step(Action.RESTORE, hook, folder / hook)
    elif waiting and hookfiles.same_file(folder / hook, kept):  # an installation stopped half-way
        yield Step(Action.REMOVE, hook, kept)


def _command(repo: Repository, hook: str) -> str:
    return shlex.quote(str(_shim(repo, hook)))


# --- doing it ------------------------------------------------------------------------------------


def apply(repo: Repository, report: InstallReport) -> None:
    """Do what was planned. Raises GitFailed when it cannot write."""
    for step in report.steps:
        try:
            _do(repo, step)
        except OSError as error:
            failed = GitFailed(f"cannot change {error.filename or step.path}: {error.strerror}")
            raise disk_error(error) or failed from error


def _do(repo: Repository, step: Step) -> None:
    action, hook, path, plain = step
    kept = path.with_name(hook + KEPT)
    if action in (Action.INSTALL, Action.UPDATE, Action.CHAIN):
        new = hookfiles.write_beside(path, hookfiles.shim(hook, plain=plain), 0o755)
        if action is Action.CHAIN:
            hookfiles.keep(path, kept)
        new.replace(path)
    elif action in (Action.INSERT, Action.TAKE_OUT):
        hookfiles.rewrite(path, hook, insert=action is Action.INSERT)
    elif action is Action.RESTORE:
        kept.replace(path)
    elif action is Action.REMOVE:
        path.unlink()
    elif action is Action.CONFIGURE:
        repo.git().run("config", "--replace-all", f"hook.git-fleet-{hook}.command", _command(repo, hook))
        repo.git().run("config", "--replace-all", f"hook.git-fleet-{hook}.event", hook)
    elif action is Action.UNSET:
        repo.git().run("config", "--remove-section", f"hook.git-fleet-{hook}")
