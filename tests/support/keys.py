"""SSH keys of the fleet's people and agents, and who signs with which."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.repo import Repo


def new_key(folder: Path, name: str) -> Path:
    """A new key pair without a passphrase: its private half."""
    path = folder / f"key-{name}"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def allow(file: Path, key: Path, names: str) -> None:
    """Let the key act as these names (`a,b`), from now on."""
    public = key.with_name(f"{key.name}.pub").read_text(encoding="utf-8")
    with file.open("a", encoding="utf-8") as allowed:
        allowed.write(f'"{names}" {public}')


def sign_with(repo: Repo, key: Path | None) -> None:
    """Sessions opened after this sign with the key, or do not sign."""
    repo.run_git("config", "fleet.sign", "true" if key else "false")
    repo.run_git("config", "gpg.format", "ssh")
    repo.run_git("config", "user.signingkey", str(key or ""))
