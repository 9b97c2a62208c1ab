"""What coding agents' own hooks call: refuses an edit before it happens, points out a stop too early.

    git fleet hook agent pre-tool-use | post-tool-use | stop | session-start | session-end | worktree-create

Standard input is the agent's JSON (core/toolcalls.py). Exit code 2 refuses, with what, why and the next safe
command on standard error, which the agents show to their model; 0 lets pass. The shim (hooks/agent) decides most
calls without this module: it comes to edits, stops and new worktrees.

A path is judged by the worktree it lies in, wherever the session began: in a task's worktree by the task's files,
in the main worktree (or a worktree of a guarded base) by whether it leads. A session in a task's worktree
edits no other worktree of its repository. It is judged as it is written and as it leads through links, since some tools
take `..` away before they follow a link and others after. What is outside the repository is nobody's business here.

This is advice, not a wall: a shell command can write anything, and integration looks again. So unlike git's hooks,
whatever cannot be understood passes. Every tool call waits for this: the standard library alone, little of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

from git_fleet.core import guardrail, toolcalls
from git_fleet.core.guardrail import Ticket, printable
from git_fleet.core.toolcalls import Call
from git_fleet.errors import Denied, FleetError

REFUSED = 2
SIGN_FILE = "fleet-alive"  # store/worktree.py reads it
SAID_FILE = "fleet-stopped"  # of which claim and session a stop was pointed out
SEEN_FILE = "fleet-seen"  # at which tip of the task's log the claim was last seen to hold
LEAD = "refs/fleet/lead"
_MAX_INPUT = 64 * 1024 * 1024
_MAX_PATHS = 2_000
_SHOWN = 8
_NOT_UNDERSTOOD = (
    OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError, re.error, FleetError
)  # fmt: skip
"""What reading state that somebody broke can raise: of any kind, since values of any type may stand anywhere in it."""


class Place(NamedTuple):
    """Where a path lies: the worktree's root ("" inside git's own folder), its git dir, the common one, and the path
    from the root on."""

    root: str
    git_dir: str
    common: str
    rest: str


class Here(NamedTuple):
    """The folder that relative paths start from, the place the session began in, the environment."""

    folder: str
    session: Place | None
    environ: Mapping[str, str]


def main(argv: Sequence[str], stdin: BinaryIO, environ: Mapping[str, str]) -> int:
    """Run the hook `argv[0]` on the JSON in `stdin`: the exit code, 2 where it refuses."""
    event = EVENTS.get(_plain(argv[0]) if argv else "")
    if event is None:
        return 0
    try:
        call = toolcalls.call(_document(stdin))
        return event(call, _here(call, environ))
    except Denied as error:
        _say(f"refused: {error.message}", error.hint)
        return REFUSED
    except _NOT_UNDERSTOOD:
        return 0  # broken state is for doctor to tell; here work goes on


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _document(stdin: BinaryIO) -> Any:
    text = stdin.read(_MAX_INPUT + 1)
    return json.loads(text) if 0 < len(text) <= _MAX_INPUT else None


def _say(message: str, hint: str = "") -> None:
    lines = [f"git-fleet: {message}", *([f"next: {hint}"] if hint else [])]
    text = "\n  ".join(printable(line) for line in "\n".join(lines).split("\n"))
    print(text.encode("ascii", "backslashreplace").decode(), file=sys.stderr)


# --- where things are ----------------------------------------------------------------------------


def _here(call: Call, environ: Mapping[str, str]) -> Here:
    folder = call.cwd if os.path.isabs(call.cwd) else os.getcwd()
    began = environ.get("CLAUDE_PROJECT_DIR") or environ.get("GEMINI_PROJECT_DIR") or folder
    return Here(folder, next(_places(began), None), environ)


def _places(path: str) -> Iterator[Place]:
    """Every worktree (or folder of git's own) that `path` lies in, innermost first; one for each repository."""
    seen: list[os.stat_result] = []
    folder, rest = path, ""
    while True:
        found = _place(folder, rest)
        known = _stat(found.common) if found else None
        if found and known and not any(os.path.samestat(known, other) for other in seen):
            seen.append(known)
            yield found
        above, name = os.path.split(folder)
        if above == folder:
            return
        folder, rest = above, f"{name}/{rest}" if rest else name


def _place(folder: str, rest: str) -> Place | None:
    """The worktree whose root is `folder`, or the repository that it is."""
    if os.path.isfile(f"{folder}/HEAD") and os.path.isdir(f"{folder}/objects"):
        return Place("", folder, folder, rest)
    git_dir = f"{folder}/.git"
    if not os.path.isdir(git_dir):
        line = _line(git_dir)
        if not line.startswith("gitdir: "):
            return None
        git_dir = os.path.join(folder, line.removeprefix("gitdir: "))
    common = os.path.join(git_dir, _line(f"{git_dir}/commondir") or ".")
    inside = rest.partition("/")[0].lower() == ".git"
    return Place("" if inside else folder, git_dir, common, rest)


def _line(path: str) -> str:
    """The first line of a small file; "" where there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.readline(8192).rstrip("\n")
    except OSError:
        return ""


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _same(left: str, right: str) -> bool:
    one, other = _stat(left), _stat(right)
    return one is not None and other is not None and os.path.samestat(one, other)


def _guarded(place: Place) -> dict[str, str]:
    """The bases of open plans, full ref name → plan; empty while no plan is open."""
    try:
        with open(f"{place.common}/fleet/open", encoding="utf-8", errors="surrogateescape") as file:
            pairs = (line.rstrip("\n").partition(" ") for line in file)
            return {base: plan for plan, _, base in pairs if base}
    except OSError:
        return {}


def _ticket(place: Place) -> Ticket | None:
    """The task whose worktree this is. Raises what a broken `fleet.json` does."""
    try:
        with open(f"{place.git_dir}/fleet.json", "rb") as file:
            return guardrail.ticket(json.load(file))
    except FileNotFoundError:
        return None


def _git(place: Place, *args: str, stdin: bytes | None = None, ok: tuple[int, ...] = (0,)) -> bytes:
    """What git says of a repository. Imported here: most calls need no git."""
    from pathlib import Path

    from git_fleet.git.process import Git

    return Git(Path(place.root or place.common)).run(*args, input=stdin, ok=ok).out


def _tip(place: Place, ref: str) -> tuple[str, dict[str, Any]]:
    """The id and the event at the tip of a log; two empty values when there is no such log."""
    asked = "".join(f"{name}\n" for name in _names(place, ref)).encode()
    answers = _git(place, "cat-file", "--batch", stdin=asked)
    return guardrail.first_event(answers.decode("utf-8", "surrogateescape"))


def _names(place: Place, ref: str) -> list[str]:
    return guardrail.log_places(ref, _line(f"{place.common}/fleet/remote"))


# --- before a tool -------------------------------------------------------------------------------


def _pre_tool_use(call: Call, here: Here) -> int:
    """Refuses a call that would write what is not the task's, or into a worktree where nobody works now."""
    if len(call.paths) > _MAX_PATHS:
        if here.session and _guarded(here.session):
            raise Denied(f"{len(call.paths)} files in one call: too many to look at", hint="fewer at a time")
        return 0
    stray: dict[str, list[str]] = {}
    for path in call.paths:
        with contextlib.suppress(*_NOT_UNDERSTOOD):  # of one path; the others are judged all the same
            why = next(filter(None, (_refusal(place, here) for place in _spelled(path, here))), "")
            if why:
                stray.setdefault(why, []).append(path)
    if not stray:
        return 0
    why, hint = next(iter(stray)).split("\0")
    paths = next(iter(stray.values()))
    shown = ", ".join(map(ascii, paths[:_SHOWN])) + (
        f" and {len(paths) - _SHOWN} more" if paths[_SHOWN:] else ""
    )
    raise Denied(f"{call.tool} of {shown}: {why}", hint=hint)


def _spelled(path: str, here: Here) -> Iterator[Place]:
    """Where a path leads, in each way it can be read. Nothing for one that no file can have."""
    if path.startswith("~/"):
        path = os.path.expanduser(path)
    try:
        raw = os.path.join(here.folder, path)
        plain = os.path.normpath(raw)
        for way in dict.fromkeys((os.path.realpath(raw), plain, os.path.realpath(plain))):
            yield from _places(way)
    except (OSError, ValueError):
        return


def _refusal(place: Place, here: Here) -> str:
    """Why nothing may be written there, and what to do instead, with NUL between; "" where it may."""
    guarded = _guarded(place)
    if not guarded:
        return ""
    own = here.session if here.session and _same(here.session.common, place.common) else None
    mine = _ticket(own) if own else None
    if not place.root:
        return f"that is git's own folder\0{_way_out(mine)}"
    if own and mine and not _same(own.git_dir, place.git_dir):
        return f"that is another worktree; this one is for {mine.id}, {own.root}\0{_way_out(mine)}"
    ticket = _ticket(place)
    if ticket is not None:
        _write(f"{place.git_dir}/{SIGN_FILE}", "pre-tool-use")  # the shim does where the session is there
        return _of_task(place, ticket)
    return _of_base(place, guarded)


def _way_out(ticket: Ticket | None) -> str:
    if ticket is None:
        return "git fleet claim takes a task, with a worktree to work in"
    return f"if the task cannot do without: git fleet block {ticket.id} --code scope 'why'"


def _of_task(place: Place, ticket: Ticket) -> str:
    """The rule in a task's worktree: its files, generated ones, and what git ignores."""
    path = _on_disk(place)
    if guardrail.outside([path], ticket.owned, ticket.generated) and not _ignored(place):
        files = ", ".join(_files(place))
        return f"not among the files of {ticket.id} ({files or 'it owns none'})\0{_way_out(ticket)}"
    return _unless_claimed(place, ticket)


def _unless_claimed(place: Place, ticket: Ticket) -> str:
    """Why the claim does not count any more. git is asked again only when the task's log has moved: asking costs
    a third of the whole call. (No loose ref, as with packed ones or a reftable: then it is asked each time.)"""
    ref = f"refs/fleet/task/{ticket.id}"
    loose = next(filter(None, (_line(f"{place.common}/{name}") for name in _names(place, ref))), "")
    seen = f"{place.git_dir}/{SEEN_FILE}"
    if loose and _line(seen) == f"{loose} {ticket.fence}":
        return ""
    oid, tip = _tip(place, ref)
    if guardrail.claim_fence(oid, tip) == ticket.fence:
        _write(seen, f"{oid} {ticket.fence}")
        return ""
    if (tip.get("state") or {}).get("state") in ("proposed", "verified"):
        return (
            f"{ticket.id} is handed in\0git fleet withdraw {ticket.id} takes it back, git fleet claim goes on"
        )
    return (
        f"the claim of {ticket.id} that this worktree was made for has ended; what you wrote stays here\0"
        f"stop here; git fleet explain {ticket.id} says what became of it"
    )


def _on_disk(place: Place) -> bytes:
    """The path as the file system has it: where case does not count, `CLI.PY` may be `cli.py`."""
    if not os.path.exists(f"{place.root}/.GIT"):
        return os.fsencode(place.rest)
    folder, parts = place.root, []
    for part in place.rest.split("/"):
        names = os.listdir(folder) if os.path.isdir(folder) else []
        known = (
            part
            if part in names
            else next((n for n in names if _same(f"{folder}/{n}", f"{folder}/{part}")), part)
        )
        parts.append(known)
        folder = f"{folder}/{known}"
    return os.fsencode("/".join(parts))


def _files(place: Place) -> Iterator[str]:
    """The first few patterns of the task, for people."""
    with open(f"{place.git_dir}/fleet.json", "rb") as file:
        files = [str(pattern) for pattern in json.load(file).get("files") or ()]
    yield from files[:_SHOWN]
    if files[_SHOWN:]:
        yield f"{len(files) - _SHOWN} more"


def _ignored(place: Place) -> bool:
    """Whether git ignores the path, so that it is never handed in: scratch files, build folders, `.env`."""
    path = os.fsencode(place.rest) + b"\0"
    try:
        return bool(_git(place, "check-ignore", "-z", "--stdin", stdin=path, ok=(0, 1)))
    except FleetError:  # a path that goes through a link, say
        return False


def _of_base(place: Place, guarded: dict[str, str]) -> str:
    """The rule in the main worktree, and in one that has a guarded base checked out: only the lead writes there."""
    base = _line(f"{place.git_dir}/HEAD").removeprefix("ref: ")
    if (base not in guarded and not _same(place.git_dir, place.common)) or _leads(place):
        return ""
    plan = guarded.get(base) or next(iter(guarded.values()))
    what = "the main worktree" if _same(place.git_dir, place.common) else "a worktree of its base"
    return f"that is {what}, and plan {plan} is open\0{_way_out(None)}"


def _leads(place: Place) -> bool:
    token = _line(f"{place.git_dir}/fleet-lead").strip()
    return token != "" and token == guardrail.lead_fence(*_tip(place, LEAD))


def _write(path: str, line: str) -> None:
    """A small file in the worktree's own git dir. Where that cannot be written, nothing depends on it."""
    with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as file:
        file.write(f"{line}\n")


# --- at the end of a turn ------------------------------------------------------------------------


def _stop(call: Call, here: Here) -> int:
    """Points out, once in a session, that the task of this worktree is still claimed."""
    place = next(_places(here.folder), None)
    if call.again or place is None or not place.root or not _guarded(place):
        return 0
    ticket = _ticket(place)
    if ticket is None:
        return 0
    oid, tip = _tip(place, f"refs/fleet/task/{ticket.id}")
    claimed = (tip.get("state") or {}).get("state") == "claimed"
    if not claimed or guardrail.claim_fence(oid, tip) != ticket.fence:
        return 0
    said = f"{ticket.fence} {call.session!a}"[:300]
    if _line(f"{place.git_dir}/{SAID_FILE}") == said:
        return 0
    _write(f"{place.git_dir}/{SAID_FILE}", said)
    finished = "git fleet done" if ticket.lead_commits else "commit, then git fleet done"
    _say(
        f"{ticket.id} is not handed in. Finished: {finished}. Cannot be done: git fleet block --code CODE 'why'. "
        "Not by you: git fleet release. Not finished: go on, or git fleet progress 'where it stands', and stop again."
    )
    return REFUSED


# --- a new worktree ------------------------------------------------------------------------------


def _worktree_create(call: Call, here: Here) -> int:
    """Claims the task that the worktree is named after, or any that is ready; prints where its worktree is."""
    from git_fleet import newworktree

    return newworktree.create(call.name, here.folder)


def _nothing(_: Call, __: Here) -> int:
    """What the shim has done already."""
    return 0


EVENTS: dict[str, Callable[[Call, Here], int]] = {
    "pretooluse": _pre_tool_use,
    "beforetool": _pre_tool_use,
    "posttooluse": _nothing,
    "aftertool": _nothing,
    "stop": _stop,
    "afteragent": _stop,
    "sessionstart": _nothing,
    "sessionend": _nothing,
    "worktreecreate": _worktree_create,
}
"""By their names without case and hyphens: ours, and as the agents spell them."""
