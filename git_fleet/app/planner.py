"""A plan from a description: somebody's planner splits the work, or whoever asks has split it already.

What comes of it is a draft: checked, stored, and approved by nobody; a person reads it before anything runs. That
the work is none for several is an answer, and stores nothing. The planner is a command of the user's own
(`[planner]` of fleet.toml), run as verifiers are: in a clean checkout that nobody keeps, with an environment
from an allow-list, and with a time limit. It is asked at most twice: once more when its answer cannot be used,
with what is wrong.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from git_fleet import resources
from git_fleet.app import briefing, commands, documents, profiles
from git_fleet.app import plan as planning
from git_fleet.app.checkouts import Checkout, Checkouts
from git_fleet.app.commands import Ran
from git_fleet.app.oldlogs import FOLDER
from git_fleet.app.session import Session
from git_fleet.app.templates import Template, render
from git_fleet.core import adapters, launch, outline
from git_fleet.core import planning as asking
from git_fleet.core.check import PlanCheck
from git_fleet.core.config import Command, Config
from git_fleet.core.ids import Oid, check_id, parse_task_id, slugify
from git_fleet.core.model import Plan, PlanState
from git_fleet.core.planning import Answer, Earlier
from git_fleet.core.progress import Report
from git_fleet.core.trailers import one_line
from git_fleet.errors import AnswerIsNo, Denied, GitFailed, InvalidInput
from git_fleet.store import names
from git_fleet.store.base import tip

MOST_TASKS = 500
_ROLE = "FLEET_ROLE"
_PLANNER = "planner"
_SOURCE = "[planner] of fleet.toml"
_MOST_TITLE = 200
_TAIL = 300


class Asked(Struct, frozen=True):
    """What a planner is asked: the work in somebody's words, and the id that its plan is to have ("": its own)."""

    description: str
    plan_id: str = ""


class Drafted(Struct, frozen=True):
    """A draft that was stored, and what there is to say about it; or, with `serial` saying why, none. `asked` is
    how often a planner was."""

    plan: Plan | None = None
    note: Oid | None = None
    check: PlanCheck | None = None
    serial: str = ""
    created: bool = True
    asked: int = 0


def draft(session: Session, asked: Asked, *, report: Report, stop: threading.Event | None = None) -> Drafted:
    """Have the configured planner split the work, and store what it says as a draft.

    `report` hears of each step; `stop` ends the planner. Raises InvalidInput when none is configured, for a
    description that is empty or too long, for an id that is taken, and for an answer that cannot be used after it
    was asked twice (it says where that is kept); AnswerIsNo when the planner failed; Denied inside a planner.
    """
    config = session.config()
    _ready(session, config, asked)
    taken = _taken(session)
    _free(session, asked.plan_id)
    base = session.main
    commit = tip(session.store.refs.get(names.branch(base)))
    if commit is None:
        raise InvalidInput(f"there is no branch {base}", hint="git config fleet.main BRANCH names another")
    seen = outline.outline(_tracked(session, base), asking.MOST_OUTLINE)
    earlier: Earlier | None = None
    mark = os.urandom(4).hex()
    with Checkouts(session.repo, session.around.cache_dir).checkout(commit) as place:
        for number in (1, 2):
            report(
                "asks the planner"
                if earlier is None
                else f"asks it once more: {one_line(earlier.problems)[:_TAIL]}"
            )
            prompt = _prompt(asked, seen=seen, base=base, config=config, taken=taken, earlier=earlier)
            log = session.repo.fleet_dir / FOLDER / _PLANNER / f"{mark}-{number}.log"
            answer = _ask(session, config, prompt, place, log, stop)
            if answer.serial:
                return Drafted(serial=answer.serial, asked=number)
            try:
                report("checks its answer")
                return _stored(session, answer, asked.plan_id, taken, number)
            except InvalidInput as error:
                earlier = Earlier(answer.text, error.message)
    raise InvalidInput(
        f"the planner's answer cannot be used, asked twice: {earlier.problems if earlier else ''}",
        hint=f"nothing was stored; {log} has what it printed; say more of the work, or write the plan: git fleet plan new",
    )


def handed_over(
    session: Session, description: str, sub_tasks: Sequence[Mapping[str, Any]], *, plan_id: str = ""
) -> Drafted:
    """Store a split that whoever asks has made: tasks as in a plan file, each with an `id` (or `sub_task_id`),
    its other keys beside that, or below `payload`. The description's first line is the plan's title.

    Raises InvalidInput for whatever is wrong with it; then nothing is stored.
    """
    if len(sub_tasks) > MOST_TASKS:
        raise InvalidInput(f"{len(sub_tasks)} tasks: a plan from here has at most {MOST_TASKS}; use a matrix")
    _free(session, plan_id)
    title = one_line(description.strip().partition("\n")[0])[:_MOST_TITLE]
    document = {"version": 1, "plan": plan_id or slugify(title), "title": title, "base": session.main}
    text = json.dumps({**document, "task": [_table(one) for one in sub_tasks]})
    return _stored(session, Answer(text, "json"), plan_id, _taken(session), 0)


def _table(one: Mapping[str, Any]) -> dict[str, Any]:
    """A task as a plan file has it. What we answered ourselves can be handed over again: ids in full, and the
    values of a matrix, which has been expanded."""
    payload = one.get("payload")
    inner = dict(payload) if isinstance(payload, Mapping) else {}
    outer = {key: value for key, value in one.items() if key not in ("payload", "sub_task_id", "task_id")}
    named = next((one[key] for key in ("id", "sub_task_id", "task_id") if key in one), None)
    found = {**inner, **outer}
    found.pop("params", None)
    if named is not None:
        found["id"] = parse_task_id(named).task if isinstance(named, str) and "/" in named else named
    return found


# --- before it is asked ----------------------------------------------------------------------------


def _ready(session: Session, config: Config, asked: Asked) -> None:
    """Raises unless there is a planner, and something to ask it."""
    if session.around.env.get(_ROLE) == _PLANNER:
        raise Denied("a planner plans, and asks no other planner", hint="end with the plan itself")
    if not config.planner.run:
        raise InvalidInput(
            "no planner is configured, so there is nobody to split the work",
            hint=f"commit one in fleet.toml on the base branch:\n\n{_how(session)}\n\nor write the plan: git fleet plan new NAME",
        )
    if not asked.description.strip():
        raise InvalidInput(
            "there is nothing to plan: the description is empty", hint='git fleet plan draft "…"'
        )
    if len(asked.description.encode("utf-8", "surrogatepass")) > asking.MOST_DESCRIPTION * 3 // 4:
        most = asking.MOST_DESCRIPTION * 3 // 4 // 1024
        raise InvalidInput(
            f"the description is longer than {most} KiB",
            hint="commit it as a file, and name that in a few words",
        )


def _how(session: Session) -> str:
    """How a planner is configured: an agent that is on this machine, where one that we know is."""
    found = next(iter(profiles.installed(session.around.env)), adapters.AGENTS[0])
    return f"[planner]\nrun = {json.dumps(list(found.asks))}"


def _taken(session: Session) -> tuple[str, ...]:
    return tuple(session.snapshot().plans)


def _free(session: Session, plan_id: str) -> None:
    """Raises InvalidInput for an id that a draft may not have: of a plan that somebody has approved once."""
    if not plan_id:
        return
    record = session.snapshot().plans.get(check_id(plan_id, "plan id"))
    if record is not None and (record.state is not PlanState.DRAFT or record.approved is not None):
        raise InvalidInput(
            f"there is a plan {plan_id} already, and it is {record.state}",
            hint=f"name another id; git fleet plan edit {plan_id} changes that one",
        )


def _tracked(session: Session, base: str) -> dict[str, int]:
    """The tracked files of a branch and their bytes (0 for what is none, such as a submodule)."""
    found: dict[str, int] = {}
    for entry in session.repo.git().paths(
        "ls-tree", "-r", "-l", "-z", session.store.refs.named(names.branch(base))
    ):
        about, _, path = entry.partition("\t")
        size = about.split()[-1]
        found[path] = int(size) if size.isdigit() else 0
    return found


def _prompt(
    asked: Asked, *, seen: str, base: str, config: Config, taken: Sequence[str], earlier: Earlier | None
) -> str:
    values = asking.values(
        asked.description,
        outline=seen,
        schema=resources.schema("plan"),
        base=base,
        config=config,
        taken=taken,
        plan_id=asked.plan_id,
        earlier=earlier,
    )
    return render(Template(_PLANNER, resources.template(_PLANNER)), values)


# --- asking ----------------------------------------------------------------------------------------


def _ask(
    session: Session,
    config: Config,
    prompt: str,
    place: Checkout,
    log: Path,
    stop: threading.Event | None,
) -> Answer:
    """What the planner says. It reads the prompt where its command has `{prompt}` or `{prompt_file}`, else on
    standard input. Raises AnswerIsNo when it did not come to an end that counts."""
    file, run = log.with_suffix(".md"), config.planner.run
    used = () if isinstance(run, str) else run
    told = any("{prompt}" in item or "{prompt_file}" in item for item in used)
    if isinstance(run, str):
        launch.require_plain(run, _SOURCE, ("prompt", "prompt_file"))
        command: Command = run
    else:
        command = launch.fill(run, {"prompt": prompt, "prompt_file": str(file)}, _SOURCE)
    env = briefing.agent_environment(session.around.env, config)
    env |= {_ROLE: _PLANNER, "NO_COLOR": "1", "TERM": "dumb"}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(prompt, encoding="utf-8")
        ran = commands.run(
            command,
            place.path,
            env=env,
            log=log,
            timeout_seconds=config.planner.timeout_seconds,
            stdin=b"" if told else prompt.encode(),
            keep_out=True,
            stop=stop,
            pass_fds=(place.lock,),
        )
    except OSError as error:
        raise GitFailed(f"cannot write {file}: {error.strerror}", hint="free some space") from error
    finally:
        with suppress(OSError):
            file.unlink()
    return _answer(config, ran)


def _answer(config: Config, ran: Ran) -> Answer:
    """What it said: of a known agent its final text alone, not what its tools have shown it. Raises AnswerIsNo."""
    out = ran.out.decode("utf-8", "replace")
    heard = adapters.heard(adapters.adapter_of(config.planner.run), out)
    why = ran.ending(config.planner.timeout_seconds)
    if not why and ran.out_cut:
        why = f"printed more than {commands.OUT_BYTES >> 20} MiB"
    elif heard.failure or ran.code:
        why = f"failed: {why or 'its program says so'}"
    if why:
        said = one_line(heard.last_words if heard.spoke else ran.tail)[-_TAIL:]
        raise AnswerIsNo(
            f"the planner {why}{f'; it said: {said}' if said else ''}",
            hint=f"nothing was stored; {ran.log} has all that it printed",
        )
    if heard.spoke and not heard.answer.strip():
        return Answer(unclear="it came to its end without a final text")
    return asking.read_answer(heard.answer if heard.spoke else out)


# --- what it says ----------------------------------------------------------------------------------


def _stored(session: Session, answer: Answer, plan_id: str, taken: Sequence[str], number: int) -> Drafted:
    """The plan of an answer as a draft, with its check. Raises InvalidInput when it cannot be one."""
    if answer.unclear:
        raise InvalidInput(answer.unclear)
    name = "the planner's answer" if number else "sub_tasks"
    text = answer.text.encode("utf-8", "surrogatepass")
    read, _ = documents.load_plan(
        text, name=name, format=answer.format, plan_id=plan_id or None, default_base=session.main
    )
    if not read.tasks:
        raise InvalidInput(f"{name}: there is no task in it")
    check = planning.check_text(session, read)
    if check.problems:
        raise InvalidInput(f"{name}: {'; '.join(check.problems)}")
    chosen = plan_id or _unused(read.id, taken)
    made = planning.import_plan(session, text, name=name, format_name=answer.format, plan_id=chosen)
    return Drafted(
        made.plan, made.note, planning.check_text(session, made.plan), created=made.created, asked=number
    )


def _unused(wanted: str, taken: Sequence[str]) -> str:
    """An id like `wanted` that no plan has."""
    number, found = 1, wanted
    while found in taken:
        number += 1
        found = f"{wanted}-{number}"
    return found
