"""SSH signatures of commits, as git makes and checks them (git-config(1), `gpg.format = ssh`).

A signature is a header of the commit, and what is signed is the commit without it. git itself signs only while it
makes a commit of objects that are stored; ours may still be drafts. So `ssh-keygen` is called as git does it, with
what git's configuration says, and `git verify-commit` takes what comes out.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from git_fleet.errors import GitFailed, InvalidInput
from git_fleet.git.repository import Repository

_HEADERS = {"sha1": b"gpgsig", "sha256": b"gpgsig-sha256"}
_NAMESPACE = "git"
_ON = frozenset({"true", "yes", "on", "1", ""})
_LITERAL = ("key::", "ssh-", "ecdsa-", "sk-")
_SETTINGS = ("fleet.sign", "gpg.format", "user.signingkey", "gpg.ssh.program")
_FILES = ("gpg.ssh.allowedsignersfile", "gpg.ssh.revocationfile", "gpg.ssh.program")
ALLOWED = "allowed_signers"
"""In `<git dir>/fleet/`: whose keys count where git's configuration names no file."""


class Signer:
    """Signs commits of the fleet where `git config fleet.sign` says so. What it needs is asked once, when first
    there is something to sign."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo

    @cached_property
    def _settings(self) -> Mapping[str, str]:
        return self._repo.settings(*_SETTINGS)

    def ask_with(self, *names: str) -> dict[str, str]:
        """What git's configuration says of these, "" for nothing, and of what is needed here: one process for both."""
        found = self._repo.settings(*names, *_SETTINGS)
        self._settings = {name: found[name] for name in _SETTINGS if name in found}
        return {name: found.get(name, "") for name in names}

    def __call__(self, data: bytes) -> bytes:
        """The stored form of a commit, signed if it is to be. Raises InvalidInput where the configuration cannot be
        used, GitFailed when there is no signature in the end: nothing goes out unsigned."""
        if self._settings.get("fleet.sign", "false").lower() not in _ON:
            return data
        if self._settings.get("gpg.format") != "ssh":
            raise InvalidInput(
                "fleet.sign is set, and the fleet signs with SSH keys alone", hint="git config gpg.format ssh"
            )
        key = self._settings.get("user.signingkey", "")
        if not key:
            raise InvalidInput(
                "fleet.sign is set, and no key is named",
                hint="git config user.signingkey ~/.ssh/id_ed25519.pub",
            )
        return _with_header(data, self._signature(data, key), self._repo.object_format)

    def _signature(self, data: bytes, key: str) -> bytes:
        import tempfile  # slow to import, and hardly ever needed

        program = self._settings.get("gpg.ssh.program", "ssh-keygen")
        with tempfile.TemporaryDirectory(prefix="git-fleet-") as folder:
            words = ["-f", str(Path(key).expanduser())]
            if key.startswith(_LITERAL):
                public = Path(folder, "key.pub")
                public.write_text(key.removeprefix("key::") + "\n", encoding="utf-8")
                words = ["-f", str(public), "-U"]
            done = _run([program, "-Y", "sign", "-n", _NAMESPACE, *words], data)
        if done.returncode or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
            raise GitFailed(
                f"an event could not be signed with {key}: {_last_line(done.stderr)}",
                hint="ssh-add adds the key to the agent; git config fleet.sign false signs nothing",
            )
        return done.stdout


class Signers(Struct, frozen=True):
    """Whose keys count: git's allowed signers file, where one may act as a name that its line has as a principal;
    `revoked` are keys that count no more, "" for no such file."""

    program: str
    file: Path
    revoked: str
    object_format: str

    def doubt(self, data: bytes, name: str, at: datetime) -> str:
        """Why the commit `data` of the moment `at` is not signed by whoever may act as `name`; "" when it is."""
        payload, signature = split(data, self.object_format)
        if not signature:
            return "is not signed"
        import tempfile  # as above

        with tempfile.NamedTemporaryFile(prefix="git-fleet-") as file:
            file.write(signature)
            file.flush()
            when = f"-Overify-time={at.astimezone(UTC):%Y%m%d%H%M%S}"
            words = [self.program, "-Y", "verify", "-n", _NAMESPACE, "-f", str(self.file), "-I", name, when]
            words += ["-s", file.name, *(["-r", self.revoked] if self.revoked else [])]
            done = _run(words, payload)
        return (
            ""
            if done.returncode == 0
            else f"is signed, but not with a key of {name}, or is not what was signed"
        )


def signers(repo: Repository) -> Signers | None:
    """Whose keys count here: by `gpg.ssh.allowedSignersFile`, else by `fleet/allowed_signers` in the git dir; None
    where there is neither. Raises InvalidInput for a file that is named and not there."""
    found = repo.settings(*_FILES)
    configured = found.get(_FILES[0], "")
    root = repo.main_worktree() or repo.common_dir  # a worker could change the copy in its own worktree
    file = root / Path(configured).expanduser() if configured else repo.fleet_dir / ALLOWED
    if not file.is_file():
        if not configured:
            return None
        raise InvalidInput(
            f"gpg.ssh.allowedSignersFile names {file}, which is not there",
            hint="a line for each: NAME[,NAME]… ssh-ed25519 AAAA…",
        )
    revoked = found.get(_FILES[1], "")
    program = found.get(_FILES[2], "ssh-keygen")
    return Signers(program, file, str(Path(revoked).expanduser()) if revoked else "", repo.object_format)


def split(data: bytes, object_format: str) -> tuple[bytes, bytes]:
    """The stored form of a commit without its signature, and the signature, empty where there is none."""
    head, blank, message = data.partition(b"\n\n")
    kept: list[bytes] = []
    signature: list[bytes] = []
    inside = False
    for line in head.split(b"\n"):
        if line.startswith(_HEADERS[object_format] + b" "):
            inside = True
            signature.append(line.partition(b" ")[2])
        elif inside and line.startswith(b" "):
            signature.append(line[1:])
        else:
            inside = False
            kept.append(line)
    return b"\n".join(kept) + blank + message, b"\n".join(signature)


def _with_header(data: bytes, signature: bytes, object_format: str) -> bytes:
    head, blank, message = data.partition(b"\n\n")
    folded = signature.rstrip(b"\n").replace(b"\n", b"\n ")
    return b"%b\n%b %b%b%b" % (head, _HEADERS[object_format], folded, blank, message)


def _run(words: list[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    """A time is said in local time there, so that is UTC."""
    try:
        return subprocess.run(
            words, input=data, capture_output=True, env={**os.environ, "TZ": "UTC"}, check=False
        )
    except OSError as error:
        raise InvalidInput(
            f"{words[0]} cannot be started: {error.strerror}", hint="install OpenSSH 8.2 or newer"
        ) from error


def _last_line(said: bytes) -> str:
    return (os.fsdecode(said).strip().splitlines() or ["it said nothing"])[-1]
