"""A stand-in for GitHub's command line: a program on PATH that answers from files and writes down how it was called."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_PROGRAM = """\
import fcntl, json, os, pathlib, signal, sys
folder = pathlib.Path(__file__).parent
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps({"argv": sys.argv[1:], "git": sorted(n for n in os.environ if n.startswith("GIT_"))}) + "\\n")
if (folder / "fails").exists():
    code, _, text = (folder / "fails").read_text().partition(" ")
    sys.exit(sys.stderr.write(text) and int(code))
if (folder / "hangs").exists():
    signal.pause()
if sys.argv[1] in ("pr", "api"):
    exec((folder / "pulls.py").read_text())
    sys.exit()
verb, reference, rest = sys.argv[2], sys.argv[3], sys.argv[4:]
with (folder / "lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    path = folder / (reference.rpartition("/")[2] + ".json")
    if not path.exists():
        sys.exit("no such issue")
    issue = json.loads(path.read_text())
    if verb == "view":
        if (folder / "old").exists() and "stateReason" in rest[1].split(","):
            sys.exit('Unknown JSON field: "stateReason"\\nAvailable fields:\\n  assignees\\n  comments\\n  state\\n  url')
        print(json.dumps({key: issue[key] for key in rest[1].split(",")}))
    else:
        if rest:
            issue["comments"].append({"body": rest[1]})
            path.write_text(json.dumps(issue))
            if (folder / "half").exists():
                sys.exit("gone away")
        path.write_text(json.dumps({**issue, "state": "CLOSED"}))
"""

_PULLS = """\
import re, subprocess
URL = "https://github.com/o/r/pull/"
words = [word for word in sys.argv[1:] if not word.startswith("--")]
options = dict(word[2:].partition("=")[::2] for word in sys.argv[1:] if word.startswith("--"))
allowed = {"list": {"head", "state", "limit", "json"}, "create": {"head", "base", "title", "body-file", "draft"},
           "view": {"json"}, "comment": {"body-file"}}
if words[0] == "pr" and (options.keys() - allowed[words[1]] or any(word.startswith("-") for word in words)):
    sys.exit("unknown flag")
text = sys.stdin.read()
path = folder / "pulls.json"

def die(when):
    at = folder / "dies"
    if at.exists():
        number, _, then = at.read_text().partition(" ")
        if then == when and len((folder / "calls").read_text().splitlines()) == int(number):
            os.kill(os.getppid(), signal.SIGKILL)
            sys.exit(1)

def head(branch):
    done = subprocess.run(["git", "rev-parse", "-q", "--verify", "refs/heads/" + branch], capture_output=True,
                          cwd=(folder / "remote").read_text(), text=True)
    return done.stdout.strip()

die("before")
with (folder / "lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    pulls = json.loads(path.read_text()) if path.exists() else []
    if words[:2] == ["pr", "list"]:
        fields = options["json"].split(",")
        if (folder / "old").exists() and "headRefOid" in fields:
            sys.exit('Unknown JSON field: "headRefOid"')
        found = [one for one in pulls if one["headRefName"] == options["head"]]
        for one in found:
            if one["state"] == "OPEN":
                one["headRefOid"] = head(one["headRefName"])
        print(json.dumps([{key: one[key] for key in fields} for one in found[::-1]]))
    elif words[:2] == ["pr", "create"]:
        if any(one["state"] == "OPEN" and one["headRefName"] == options["head"] for one in pulls):
            sys.exit("a pull request for this branch already exists")
        if not head(options["head"]):
            sys.exit("Head sha can't be blank")
        number = len(pulls) + 1
        pulls.append({"number": number, "url": URL + str(number), "state": "OPEN", "isCrossRepository": False,
                      "headRefName": options["head"], "baseRefName": options["base"], "title": options["title"],
                      "body": text, "headRefOid": "", "mergeCommit": None, "statusCheckRollup": [], "comments": [],
                      "draft": "draft" in options})
        print(URL + str(number))
    elif words[:2] == ["pr", "view"]:
        print(json.dumps({"comments": pulls[int(words[2].removeprefix(URL)) - 1]["comments"]}))
    elif words[:2] == ["pr", "comment"]:
        url = words[2]
        comments = pulls[int(url.removeprefix(URL)) - 1]["comments"]
        number = sum(len(one["comments"]) for one in pulls) + 100
        comments.append({"url": url + "#issuecomment-" + str(number), "body": text, "viewerDidAuthor": True,
                         "authorAssociation": "OWNER"})
    elif words[0] == "api" and options["method"] == "PATCH" and options["hostname"] == "github.com":
        body = json.loads(text)["body"]
        pull = re.fullmatch("repos/o/r/pulls/([0-9]+)", words[1])
        comment = re.fullmatch("repos/o/r/issues/comments/([0-9]+)", words[1])
        if pull:
            pulls[int(pull[1]) - 1]["body"] = body
        for one in (each for pull in pulls for each in pull["comments"]):
            if comment and one["url"].endswith("#issuecomment-" + comment[1]):
                one["body"] = body
    else:
        sys.exit("unknown command")
    path.write_text(json.dumps(pulls))
die("after")
"""


@dataclass(frozen=True)
class StandIn:
    """What the stand-in is told and has been told."""

    folder: Path

    def issue(
        self, number: int, state: str = "OPEN", reason: str = "", comments: tuple[str, ...] = ()
    ) -> None:
        """Let it know an issue."""
        found = {"state": state, "stateReason": reason, "comments": [{"body": text} for text in comments]}
        (self.folder / f"{number}.json").write_text(json.dumps(found))

    def now(self, number: int) -> dict[str, Any]:
        """The issue by now."""
        found: dict[str, Any] = json.loads((self.folder / f"{number}.json").read_text())
        return found

    def pulls(self) -> list[dict[str, Any]]:
        """The pull requests by now."""
        path = self.folder / "pulls.json"
        found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        return found

    def change(self, number: int, **fields: Any) -> None:
        """Let a pull request be different."""
        pulls = self.pulls()
        pulls[number - 1] |= fields
        (self.folder / "pulls.json").write_text(json.dumps(pulls))

    def fails(self, code: int, text: str) -> None:
        """Let every call end with this."""
        (self.folder / "fails").write_text(f"{code} {text}")

    def calls(self) -> list[list[str]]:
        """How it was called, without the name of the program."""
        return [call["argv"] for call in self._calls()]

    def saw(self) -> set[str]:
        """Variables of git that it was given."""
        return {name for call in self._calls() for name in call["git"]}

    def _calls(self) -> list[dict[str, Any]]:
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Put it in front of whatever is on PATH."""
    folder.mkdir()
    program = folder / "gh"
    program.write_text(f"#!{sys.executable}\n{_PROGRAM}")
    program.chmod(0o755)
    (folder / "pulls.py").write_text(_PULLS)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return StandIn(folder)


def without(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A PATH with git and nothing else that matters."""
    import shutil

    folder.mkdir()
    git = shutil.which("git")
    assert git is not None
    (folder / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(folder))
