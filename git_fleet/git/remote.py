"""Another repository, as git reaches it by the name of a remote: what its refs are, taking from it, pushing to it.

Never a prompt, never a hook, never longer than a time-out. What a failed push did is for the caller to find out by
listing again: nothing is read off git's words but what is shown to a person.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from git_fleet.core.ids import Oid
from git_fleet.errors import InvalidInput, Unreachable
from git_fleet.git.process import last_words
from git_fleet.git.refs import ABSENT, Update
from git_fleet.git.repository import Repository

_SECONDS = 120.0  # for one git; a server that is slow to answer is not down
_CONNECT_SECONDS = 20
_SHOWN_LINES = 6
_ANY = tuple(range(-64, 256))  # every way in which git may end

# What people have configured for their own pushes and fetches is not for ours.
_PLAIN = (
    *("-c", "push.followTags=false", "-c", "push.gpgSign=false", "-c", "push.recurseSubmodules=no"),
    *("-c", "push.negotiate=false", "-c", "push.pushOption="),
    *("-c", "fetch.writeCommitGraph=false", "-c", "fetch.prune=false"),
    *("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.askPass="),
    *("-c", "http.lowSpeedLimit=100", "-c", f"http.lowSpeedTime={_CONNECT_SECONDS}"),
)
_SSH_OPTIONS = f"-oBatchMode=yes -oConnectTimeout={_CONNECT_SECONDS}"


class Remote:
    """The repository that the remote `name` of `repo` is. `seconds` is how long one git may take.

    Raises InvalidInput when there is no such remote.
    """

    def __init__(self, repo: Repository, name: str, *, seconds: float = _SECONDS) -> None:
        found = repo.settings(f"remote.{name}.url", "core.sshcommand")
        url = found.get(f"remote.{name}.url", "")
        if not url or name.startswith("-"):
            raise InvalidInput(
                f"fleet.toml says that the remote {name!r} decides, and there is no such remote here",
                hint=f"git remote add {name} URL"
                + ("; if this is its server, work and look in a clone" if repo.bare else ""),
            )
        self.name, self.url = name, url
        self._git = repo.git(repo.main_worktree() if _is_relative(url) else None)
        self._seconds = seconds
        self._env = _without_prompts(found.get("core.sshcommand", ""))

    def list_refs(self, *patterns: str) -> dict[str, Oid]:
        """All its refs that match, by full name: one question, one answer. Raises Unreachable."""
        out = self._asked("ls-remote", "--quiet", "--refs", self.name, *patterns)
        pairs = (line.split("\t", 1) for line in os.fsdecode(out).split("\n")[:-1])
        return {ref: Oid(value) for value, ref in pairs}

    def fetch(self, refs: Sequence[str]) -> None:
        """Have the objects that these refs (full names) reach there; no ref moves here. Raises Unreachable, also when
        one of them is gone: list again to tell."""
        if not refs:
            return
        quiet = (
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-show-forced-updates",
        )
        wanted = "".join(f"{ref}\n" for ref in refs).encode()
        self._asked(
            *("fetch", *quiet, "--no-recurse-submodules", "--refmap=", "--stdin", self.name), given=wanted
        )

    def push(self, updates: Iterable[Update]) -> str:
        """Push all of these or none, each ref from exactly its old value. "" when the server says that it is
        done; else what was said, and what became of it is not known.

        A ref that is only verified is compared with what the server has as the push begins.
        """
        leases, refspecs = [], []
        for update in updates:
            lease = "" if update.old is ABSENT else str(update.old)
            leases.append(f"--force-with-lease={update.ref}:{lease}")
            refspecs.append(f"{'' if update.new is ABSENT else update.new}:{update.ref}")
        switches = ("--quiet", "--porcelain", "--atomic", "--no-verify", "--no-recurse-submodules")
        own = ("-c", f"remote.{self.name}.mirror=false")
        done = self._git.run(
            *(*_PLAIN, *own, "push", *switches, *leases, self.name, *refspecs),
            env=self._env,
            seconds=self._seconds,
            ok=_ANY,
        )
        return "" if done.code == 0 else said_by(done.err) or f"exit code {done.code}"

    def _asked(self, *args: str, given: bytes | None = None) -> bytes:
        done = self._git.run(*_PLAIN, *args, input=given, env=self._env, seconds=self._seconds, ok=_ANY)
        if done.code:
            raise unreachable(self.name, _why(done.err) or f"exit code {done.code}")
        return done.out


def _is_relative(url: str) -> bool:
    """Whether git takes it for a path from the folder it runs in: from the root of a worktree, as people write it."""
    return not url.startswith("/") and ":" not in url.partition("/")[0]


def unreachable(name: str, words: str) -> Unreachable:
    """The error when the server cannot be asked, with what still works."""
    return Unreachable(
        f"the remote {name} cannot be reached: {words}",
        hint="git fleet status shows what was known last; work that is claimed goes on, and can be committed",
    )


def said_by(stderr: bytes) -> str:
    """What a server had to say about a push, for people: its own lines where there are some."""
    lines = [line.strip() for line in os.fsdecode(stderr).splitlines()]
    own = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    shown = [line for line in own if line][:_SHOWN_LINES] or [last_words(os.fsdecode(stderr))]
    return _for_people(shown)


def _why(stderr: bytes) -> str:
    """Why a server could not be asked: the cause comes first, then what git makes of it."""
    lines = [line.strip() for line in os.fsdecode(stderr).splitlines() if line.strip()]
    words = [line.removeprefix("fatal:").removeprefix("error:").strip().rstrip(".") for line in lines[:2]]
    return _for_people(words)


def _for_people(lines: Sequence[str]) -> str:
    from git_fleet.core.guardrail import printable  # slow to import, and needed where something failed

    return printable("; ".join(lines))


def _without_prompts(ssh_command: str) -> dict[str, str]:
    """Variables under which neither git nor ssh asks anybody. A person's own ssh command is kept, and told the
    same if it is ssh."""
    env = {"SSH_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never"}
    chosen = os.environ.get("GIT_SSH_COMMAND") or ssh_command
    if not chosen and not os.environ.get("GIT_SSH"):
        chosen = "ssh"
    words = _words(chosen)
    if words and Path(words[0]).name == "ssh":
        env["GIT_SSH_COMMAND"] = f"{chosen} {_SSH_OPTIONS}"
    return env


def _words(command: str) -> list[str]:
    import shlex  # as above

    try:
        return shlex.split(command)
    except ValueError:
        return []
