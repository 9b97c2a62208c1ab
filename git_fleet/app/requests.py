"""Pull requests, asked of GitHub's command line: found, opened, their text and our one comment written.

What is given to gh is an option with its value in one word, an address that we have checked, or standard input: no
branch, title or text can be taken for an option. What it answers is checked before it is used.
"""

from __future__ import annotations

import json
import re
from typing import Any

from msgspec import Struct

from git_fleet.app.gh import Failed, Gh
from git_fleet.core.ids import Oid, is_oid
from git_fleet.core.pulls import Request, checks

_URL = re.compile(r"https://([A-Za-z0-9.-]+(?::\d+)?)/([A-Za-z0-9._-]+/[A-Za-z0-9._-]+)/pull/(\d+)")
_COMMENT = re.compile(r"#issuecomment-(\d+)$")
_FIELDS = ("number", "url", "state", "isCrossRepository", "headRefName", "baseRefName", "body", "mergeCommit")
_SINCE = "headRefOid"  # not known to the oldest gh
_MOST = 30  # pull requests from one branch; the newest come first
_OURS = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})


class Comment(Struct, frozen=True):
    """A comment on a pull request; `number` is its id there, "" where gh does not say."""

    number: str
    body: str


def of_branch(gh: Gh, branch: str, base: str, *, looking: bool = False) -> Request | None:
    """The pull request from this branch of the repository itself: an open one onto `base`, else the newest onto it,
    else the newest; None without any. With `looking` its checks are asked for, too. Raises gh.Failed."""
    found = [one for one in _list(gh, branch, looking=looking) if one.branch == branch]
    here = [one for one in found if one.base == base] or found
    opened = [one for one in here if one.state == "OPEN"]
    return max(opened or here, key=lambda one: one.number, default=None)


def _list(gh: Gh, branch: str, *, looking: bool) -> list[Request]:
    wanted = (*_FIELDS, *(("statusCheckRollup",) if looking else ()))
    asked = ("pr", "list", f"--head={branch}", "--state=all", f"--limit={_MOST}")
    try:
        printed = gh.run(*asked, f"--json={','.join((*wanted, _SINCE))}")
    except Failed as error:
        if f'Unknown JSON field: "{_SINCE}"' not in error.why:
            raise
        printed = gh.run(*asked, f"--json={','.join(wanted)}")
    try:
        return [_request(one) for one in json.loads(printed) if not one["isCrossRepository"]]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Failed(f"gh pr list did not answer with pull requests: {error}") from error


def _request(one: dict[str, Any]) -> Request:
    merge = (one["mergeCommit"] or {}).get("oid", "")
    if not _URL.fullmatch(one["url"]):
        raise ValueError(f"{one['url']!r} is no address of a pull request")
    return Request(
        int(one["number"]),
        one["url"],
        str(one["state"]),
        str(one["headRefName"]),
        str(one["baseRefName"]),
        str(one["body"]).replace("\r\n", "\n"),
        _oid(one.get(_SINCE)),
        _oid(merge),
        checks(one.get("statusCheckRollup")),
    )


def _oid(text: object) -> Oid | None:
    return Oid(text) if isinstance(text, str) and is_oid(text) else None


def create(gh: Gh, branch: str, base: str, title: str, body: str, *, draft: bool) -> str:
    """Open one from a branch that has been pushed: its address. Raises gh.Failed."""
    options = (f"--head={branch}", f"--base={base}", f"--title={title}", "--body-file=-")
    printed = gh.run("pr", "create", *options, *(("--draft",) if draft else ()), text=body)
    url = next((word for word in reversed(printed.split()) if _URL.fullmatch(word)), "")
    if not url:
        raise Failed("gh pr create did not answer with the address of a pull request")
    return url


def describe(gh: Gh, url: str, body: str) -> None:
    """Give it this text. (`gh pr edit` asks for projects, which many may not.) Raises gh.Failed."""
    host, repository, number = _parts(url)
    _patch(gh, host, f"repos/{repository}/pulls/{number}", body)


def comments(gh: Gh, url: str) -> list[Comment]:
    """Its comments by us and by others who may write to the repository, oldest first: a stranger's is never taken for
    ours. Raises gh.Failed."""
    _parts(url)
    printed = gh.run("pr", "view", url, "--json=comments")
    try:
        return [
            Comment(
                found[1] if (found := _COMMENT.search(str(one.get("url")))) else "",
                str(one["body"]).replace("\r\n", "\n"),
            )
            for one in json.loads(printed)["comments"]
            if one.get("viewerDidAuthor") or one.get("authorAssociation") in _OURS
        ]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Failed(f"gh pr view did not answer with comments: {error}") from error


def comment(gh: Gh, url: str, body: str) -> None:
    """Write a comment. Raises gh.Failed."""
    _parts(url)
    gh.run("pr", "comment", url, "--body-file=-", text=body)


def rewrite(gh: Gh, url: str, which: Comment, body: str) -> None:
    """Give a comment another text. Raises gh.Failed."""
    host, repository, _ = _parts(url)
    if not which.number:
        raise Failed("this gh does not say which comment is ours, so it cannot be changed")
    _patch(gh, host, f"repos/{repository}/issues/comments/{which.number}", body)


def _patch(gh: Gh, host: str, path: str, body: str) -> None:
    gh.run("api", f"--hostname={host}", "--method=PATCH", path, "--input=-", text=json.dumps({"body": body}))


def _parts(url: str) -> tuple[str, str, str]:
    found = _URL.fullmatch(url)
    if found is None:
        raise Failed(f"{url!r} is no address of a pull request")
    host, repository, number = found.groups()
    return host, repository, number
