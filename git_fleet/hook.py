"""What git's hooks call when shell alone cannot decide (DESIGN section 8): one function per hook.

    git-fleet-hook pre-commit | commit-msg FILE | pre-push REMOTE URL | reference-transaction STATE
    git-fleet-hook agent EVENT (agenthook.py)

Arguments and standard input are git's own; from the pre-commit framework come its PRE_COMMIT_* variables
instead. Exit code 0 lets pass, any other refuses (section 15: 4 denied, 3 stale claim), with what, why and the
next safe command on standard error. A commit pays for each import, so this face has its own small readers of
the stored format and imports the standard library, errors, the one door to git, and of ours the rules alone.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from git_fleet import agenthook
from git_fleet.core import guardrail
from git_fleet.core.guardrail import Move, Ticket, printable
from git_fleet.errors import Denied, FleetError, InvalidInput, StaleClaim
from git_fleet.git.process import Git

LEAD = "refs/fleet/lead"
_MANY = 50
# What git tells its hooks about the repository; the door to git drops it unless it is handed on. Without
# GIT_INDEX_FILE `git commit -a` would be judged by the wrong index.
_HANDED_ON = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_QUARANTINE_PATH",
    "GIT_WORK_TREE",
)


class Here(NamedTuple):
    """Where the hook runs: this worktree's git dir, the common one, the guarded bases (full ref name
    → plan), the task whose worktree this is, the environment."""

    git_dir: Path
    common: Path
    guarded: dict[str, str]
    ticket: Ticket | None
    environ: Mapping[str, str]

    def git(self, *args: str, stdin: bytes | None = None, ok: tuple[int, ...] = (0,)) -> bytes:
        """What git prints, asked about the repository and index that the hook was called for."""
        handed_on = {name: self.environ[name] for name in _HANDED_ON if name in self.environ}
        return Git(Path()).run(*args, input=stdin, ok=ok, env=handed_on).out


def entry() -> None:
    """The console script `git-fleet-hook`."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run the hook `argv[0]` with git's arguments for it: the exit code (section 15)."""
    if list(argv[:1]) == ["agent"]:
        return agenthook.main(argv[1:], sys.stdin.buffer, os.environ)
    try:
        _run(argv, os.environ)
    except FleetError as error:
        _say(f"refused: {error.message}", error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the last funnel: a guard that crashed must not let pass
        _say(f"refused, because its own check failed: {type(error).__name__}: {error}", "git fleet doctor")
        return FleetError.exit_code
    return 0


def _run(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    hook = HOOKS.get(argv[0]) if argv else None
    if hook is None:
        raise InvalidInput(f"no such hook: {' '.join(argv[:1])}", hint=f"one of: {', '.join(HOOKS)}")
    here = _here(environ)
    if here is not None:
        hook(here, argv[1:])


def _say(message: str, hint: str) -> None:
    lines = [f"git-fleet: {message}", *([f"next: {hint}"] if hint else [])]
    text = "\n  ".join(printable(line) for line in "\n".join(lines).split("\n"))
    print(text, file=sys.stderr)


# --- where we are --------------------------------------------------------------------------------


def _here(environ: Mapping[str, str]) -> Here | None:
    """None while no plan is open: then nothing is enforced."""
    git_dir = Path(environ.get("GIT_DIR") or ".git")
    if not git_dir.is_dir():
        git_dir = Path(_text(Git(Path()).run("rev-parse", "--absolute-git-dir").out).removesuffix("\n"))
    common = Path(environ.get("GIT_COMMON_DIR") or git_dir)
    if "GIT_COMMON_DIR" not in environ and (git_dir / "commondir").is_file():
        common = git_dir / (git_dir / "commondir").read_text(errors="surrogateescape").removesuffix("\n")
    try:
        lines = (common / "fleet" / "open").read_text().splitlines()
    except FileNotFoundError:
        return None
    bases = (line.split(" ", 1) for line in lines if " " in line)
    return Here(git_dir, common, {base: plan for plan, base in bases}, _ticket(git_dir), environ)


def _ticket(git_dir: Path) -> Ticket | None:
    """The worktree's `fleet.json`; None outside a task's worktree. Raises UnknownFormat, InvalidInput."""
    path = git_dir / "fleet.json"
    try:
        return guardrail.ticket(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path} cannot be understood", hint="git fleet doctor") from error


def _text(data: bytes) -> str:
    """git's bytes as text; whatever is not UTF-8 survives as surrogates."""
    return data.decode("utf-8", "surrogateescape")


def _tip(here: Here, ref: str) -> tuple[str, dict[str, Any]]:
    """The id and the event at the tip of a log; two empty values when there is no such log."""
    remote = here.common / "fleet" / "remote"
    places = guardrail.log_places(ref, remote.read_text().strip() if remote.exists() else "")
    asked = "".join(f"{place}\n" for place in places).encode()
    return guardrail.first_event(_text(here.git("cat-file", "--batch", stdin=asked)))


def _is_agents(here: Here) -> bool:
    """Whether an agent that a run started in this repository calls, wherever it has strayed to."""
    claim = here.environ.get("FLEET_CLAIM")  # a file in the git dir of its worktree
    return bool(claim) and (here.common / "worktrees").resolve() == Path(str(claim)).parent.parent.resolve()


def _leads(here: Here) -> bool:
    """Whether somebody leads from this worktree by hand: its `fleet-lead` file names the current lease. The agents of a
    run never do."""
    try:
        token = (here.git_dir / "fleet-lead").read_text().strip()
    except FileNotFoundError:
        return False
    return not _is_agents(here) and token != "" and token == guardrail.lead_fence(*_tip(here, LEAD))


# --- pre-commit ----------------------------------------------------------------------------------


def pre_commit(here: Here, _: Sequence[str]) -> None:
    """Refuses what a task may not commit, and commits on the base of an open plan by anyone but the lead."""
    if here.ticket is not None:
        _require_claim(here, here.ticket)
        if here.ticket.lead_commits:
            raise Denied(
                f"a commit: in mode lead-commits {here.ticket.id} only writes files, the lead commits them",
                hint="git fleet done",
            )
        _require_scope(here, here.ticket)
        return
    branch = _text(here.git("symbolic-ref", "-q", "HEAD", ok=(0, 1))).removesuffix("\n")
    if branch in here.guarded:
        if not _leads(here):
            raise _base_is_the_leads(here, "a commit on", branch)
        _require_followed(here, branch)


def _require_claim(here: Here, ticket: Ticket) -> None:
    """Both fences, the worktree's and the environment's, must be the task's latest claim."""
    oid, tip = _tip(here, f"refs/fleet/task/{ticket.id}")
    current = guardrail.claim_fence(oid, tip)
    fences = {ticket.fence, here.environ.get("FLEET_FENCE") or ticket.fence}
    if fences == {current}:
        return
    why = f"the claim of {ticket.id} that this worktree was made for has ended"
    claim = (tip.get("state") or {}).get("claim") or {}
    if current and claim:
        why = f"{ticket.id} was taken over by {claim.get('holder')} at {claim.get('acquired_at')}"
    if ticket.fence == current:
        why = f"FLEET_FENCE is not the current claim of {ticket.id}"
    raise StaleClaim(
        f"a commit: {why}; what you wrote stays here, on {_short(ticket.branch)}",
        hint=f"git fleet explain {ticket.id}",
    )


def _require_scope(here: Here, ticket: Ticket) -> None:
    """Staged paths must belong to the task.

    While a merge is concluded, what one of its parents has is not this task's doing. Nor is putting
    a stray path back to what the base has: that is the way out for somebody who strayed.
    """
    paths = _staged(here)
    merging = here.git_dir / "MERGE_HEAD"
    if merging.is_file():
        for parent in merging.read_text().split():
            paths &= _staged(here, parent)
    stray = set(guardrail.outside(paths, ticket.owned, ticket.generated))
    fork = here.git("merge-base", "HEAD", ticket.base, ok=(0, 1, 128)) if stray else b""
    if fork:
        stray &= _staged(here, fork.decode().strip())
    if stray:
        raise guardrail.strayed(ticket, [_text(path) for path in sorted(stray)])


def _staged(here: Here, *against: str) -> set[bytes]:
    """Paths whose staged entry differs from HEAD's (or another commit's), whatever the user configured."""
    switches = ("--no-renames", "--no-ext-diff", "--ignore-submodules=none")
    listing = here.git("diff", "--cached", "--name-only", "-z", *switches, *against)
    return set(filter(None, listing.split(b"\0")))


def _require_followed(here: Here, branch: str) -> None:
    """Until the files here follow a base that an integration moved, a commit would take back what landed."""
    intent = guardrail.open_intent(*_tip(here, LEAD))
    moved = _tip(here, intent)[1] if intent else {}
    if moved.get("ref") == branch and _values(here, [branch]).get(branch) == moved.get("new"):
        raise Denied(
            f"a commit on {_short(branch)}: an integration moved it, and the files here have not followed yet",
            hint="git fleet integrate finishes it",
        )


def _base_is_the_leads(here: Here, deed: str, ref: str) -> Denied:
    """The refusal to touch a guarded base: a worker hands in, anybody else may become the lead."""
    return Denied(
        f"{deed} {_short(ref)}: plan {here.guarded[ref]} is open, and only its lead moves this branch",
        hint="git fleet done" if here.ticket or _is_agents(here) else "git fleet lead acquire",
    )


def _short(ref: str) -> str:
    return ref.removeprefix(guardrail.BRANCHES)


# --- commit-msg ----------------------------------------------------------------------------------


def commit_msg(here: Here, args: Sequence[str]) -> None:
    """Refuses another task's trailer; adds the task's own to a message that has none."""
    if here.ticket is None:
        return
    if not args:
        raise InvalidInput("commit-msg: the message's file is missing", hint="git-fleet-hook commit-msg FILE")
    path = Path(args[0])
    edited = here.environ.get("GIT_EDITOR") != ":"  # git's sign that no editor was used, so no comments
    body = guardrail.message_body(_text(path.read_bytes()), _comment(here) if edited else "")
    named = guardrail.named_tasks(body)
    own = {here.ticket.id, here.ticket.id.partition("/")[2]}
    for other in named:
        if other.lower() not in own:
            raise Denied(
                f"a commit: its message carries the trailer of another task, {other}; this is {here.ticket.id}",
                hint="git commit --edit, without that line",
            )
    if not named and not guardrail.is_empty(body, _template(here) if edited else ""):
        trailer = f"{guardrail.TRAILER}: {here.ticket.id}"
        switches = ("--in-place", "--no-divider", "--where", "end", "--if-missing", "add")
        here.git("-c", "trailer.separators=:", "interpret-trailers", *switches, "--trailer", trailer, args[0])


def _comment(here: Here) -> str:
    """What begins a comment in messages; `auto` is left to git, which nearly always takes `#`."""
    keys = r"^core\.comment(char|string)$"
    lines = _text(here.git("config", "--get-regexp", keys, ok=(0, 1))).splitlines()
    value = lines[-1].partition(" ")[2] if lines else ""
    return value if value and value != "auto" else "#"


def _template(here: Here) -> str:
    """The text of `commit.template`, which on its own is no message."""
    name = _text(here.git("config", "--type=path", "commit.template", ok=(0, 1))).removesuffix("\n")
    return _text(Path(name).read_bytes()) if name and Path(name).is_file() else ""


# --- pre-push ------------------------------------------------------------------------------------


def pre_push(here: Here, args: Sequence[str]) -> None:
    """Refuses anything but the task's branch from its worktree; bases of open plans to all but the lead.

    One push of a base is anybody's, outside task worktrees: exactly what the branch is here. It publishes
    what its lead has brought there, since nobody else moves it.
    """
    remote = args[0] if args else here.environ.get("PRE_COMMIT_REMOTE_NAME", "origin")
    moves = _pushed(here)
    guarded = [move for move in moves if move.ref in here.guarded]
    if guarded and not _leads(here):
        now = _values(here, [move.ref for move in guarded]) if here.ticket is None else {}
        changes = next((move for move in guarded if not guardrail.publishes(move, now)), None)
        if changes is not None:
            raise _base_is_the_leads(here, "a push to", changes.ref)
    if here.ticket is None:
        return
    for move in moves:
        if move.deletes or move.ref != here.ticket.branch:
            deed = "deleting" if move.deletes else "a push of"
            raise Denied(
                f"{deed} {_short(move.ref)}: from here only {_short(here.ticket.branch)} is pushed",
                hint=f"git push {shlex.quote(remote)} {shlex.quote(_short(here.ticket.branch))}",
            )


def _pushed(here: Here) -> list[Move]:
    """What is being pushed. The pre-commit framework has read the list and hands on one entry of it,
    without the value when everything is new to the remote."""
    moves = guardrail.pushed_moves(_text(sys.stdin.buffer.read()))
    ref = here.environ.get("PRE_COMMIT_REMOTE_BRANCH", "")
    if not ref or moves:
        return moves
    value, local = (here.environ.get(f"PRE_COMMIT_{name}", "") for name in ("TO_REF", "LOCAL_BRANCH"))
    if local and not value:
        value = here.git("rev-parse", "-q", "--verify", "--end-of-options", local, ok=(0, 1)).decode().strip()
    return [Move("0", value or "unknown", ref)]


# --- reference-transaction -----------------------------------------------------------------------


def reference_transaction(here: Here, args: Sequence[str]) -> None:
    """Refuses refs to move by hands that may not. Acts while git holds the locks and nothing has moved.

    The other states are none of our business, nor those that later versions of git will add.
    """
    if list(args[:1]) != ["prepared"]:
        return
    place = guardrail.Place(here.ticket.branch if here.ticket else "", here.guarded)
    moves = guardrail.transaction_moves(_text(sys.stdin.buffer.read()))
    judged = [(move, whose) for move in moves if (whose := guardrail.whose(move, place))]
    judged = [(move, whose) for move, whose in judged if move.deletes or move.old != move.new]
    if not judged:
        return
    packed = _packed(here) if any(move.deletes for move, _ in judged) else set()
    now = _values(here, [move.ref for move, _ in judged])
    for move, whose in judged:
        unpacked = move.deletes and move.states_old and (move.old, move.ref) in packed
        if unpacked or move.new == now.get(move.ref):
            continue
        if whose == "base" and (_leads(here) or _follows_remote(here, move, now.get(move.ref))):
            continue
        raise _may_not_move(here, move, whose)


def _packed(here: Here) -> set[tuple[str, str]]:
    """What packed-refs holds, by which a deletion is known as pack-refs' own. Nothing while it is locked:
    so it is during a real deletion, which has to rewrite it."""
    if (here.common / "packed-refs.lock").exists():
        return set()
    try:
        return guardrail.packed(_text((here.common / "packed-refs").read_bytes()))
    except FileNotFoundError:
        return set()


def _values(here: Here, refs: list[str]) -> dict[str, str]:
    """The refs' present values. Many at once come from pack-refs: then everything it could name is read."""
    wanted = refs if len(refs) <= _MANY else [*guardrail.FLEET_REFS, guardrail.BRANCHES, guardrail.STASH]
    listing = here.git(
        "for-each-ref", "--format=%(objectname) %(refname)", *(name.rstrip("/") for name in wanted)
    )
    return {line.partition(" ")[2]: line.partition(" ")[0] for line in _text(listing).splitlines()}


def _follows_remote(here: Here, move: Move, now: str | None) -> bool:
    """Whether a base is fast-forwarded to its remote-tracking branch; such commits count as `upstream`."""
    upstream = _text(here.git("for-each-ref", "--format=%(upstream)", move.ref)).strip()
    if move.deletes or now is None or not upstream.startswith("refs/remotes/"):
        return False
    if _values(here, [upstream]).get(upstream) != move.new:
        return False
    fork = here.git("merge-base", now, move.new, ok=(0, 1))
    return fork.decode().strip() == now


def _may_not_move(here: Here, move: Move, whose: str) -> Denied:
    if whose == "base":
        return _base_is_the_leads(here, guardrail.deed(move), move.ref)
    return guardrail.refusal(move, whose, _short(here.ticket.branch) if here.ticket else "")


HOOKS = {
    "pre-commit": pre_commit,
    "commit-msg": commit_msg,
    "pre-push": pre_push,
    "reference-transaction": reference_transaction,
}
