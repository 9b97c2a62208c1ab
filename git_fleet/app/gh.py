"""The few things that are asked of GitHub's command line. Argument lists only, nothing to answer, a time limit."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from git_fleet.core.trailers import clean

AUTH = 4
_SECONDS = 60.0
_WAIT = ("rate limit", "abuse detection", "submitted too quickly")
"""What the server says to who asks too much."""


class Failed(Exception):
    """gh did not do it. `for_all` says that nothing else will work either: nobody has logged in, it does not answer, or
    the server wants to be left alone for a while. `then`: what to do about it."""

    def __init__(self, why: str, *, for_all: bool = False, then: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.for_all = for_all
        self.then = then


class Issue(NamedTuple):
    """An issue as gh knows it. `reopened` is None where gh does not say."""

    closed: bool
    reopened: bool | None
    comments: tuple[str, ...]


class Gh(Struct, frozen=True):
    """The program, the folder it works in, and its environment."""

    program: str
    folder: Path
    env: Mapping[str, str]

    def issue(self, reference: str) -> Issue:
        """How an issue is now. Raises Failed."""
        try:
            printed = self.run("issue", "view", reference, "--json", "state,stateReason,comments")
        except Failed as error:
            if 'Unknown JSON field: "stateReason"' not in error.why:
                raise
            printed = self.run("issue", "view", reference, "--json", "state,comments")  # before gh 2.50
        try:
            found: Any = json.loads(printed)
            comments = tuple(str(one["body"]) for one in found["comments"])
            reopened = found["stateReason"] == "REOPENED" if "stateReason" in found else None
            return Issue(found["state"] == "CLOSED", reopened, comments)
        except (ValueError, LookupError, TypeError) as error:
            raise Failed(f"gh issue view did not answer with state and comments: {error}") from error

    def close(self, reference: str, comment: str) -> None:
        """Close an issue, with a comment unless that is "". Raises Failed."""
        self.run("issue", "close", reference, *(("--comment", comment) if comment else ()))

    def run(self, *arguments: str, text: str = "") -> str:
        """What it prints when called so, with `text` as its standard input. Raises Failed."""
        try:
            done = subprocess.run(
                [self.program, *arguments],
                cwd=self.folder,
                env=dict(self.env),
                input=text.encode("utf-8", "backslashreplace"),
                capture_output=True,
                check=False,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(
                f"gh did not end within {_SECONDS:g} s", for_all=True, then="gh auth status"
            ) from error
        except OSError as error:
            raise Failed(f"gh cannot be started: {error.strerror}", for_all=True) from error
        if done.returncode:
            said = clean(done.stderr.decode("utf-8", "replace")).strip().split("\n")
            why = next((line for line in said if line), "") or f"gh ended with {done.returncode}"
            if any(words in why.lower() for words in _WAIT):
                raise Failed(why, for_all=True, then="gh api rate_limit")
            login = done.returncode == AUTH
            raise Failed(why, for_all=login, then="gh auth login" if login else "")
        return done.stdout.decode("utf-8", "replace")


def find(folder: Path, env: Mapping[str, str]) -> Gh | None:
    """gh as it is on PATH; None where it is not installed. What git told a hook is not for it."""
    program = shutil.which("gh", path=env.get("PATH", ""))
    if program is None:
        return None
    kept = {name: value for name, value in env.items() if not name.startswith("GIT_")}
    return Gh(program, folder, {**kept, "GH_PROMPT_DISABLED": "1", "NO_COLOR": "1"})
