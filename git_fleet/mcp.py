"""`git fleet mcp`: the fleet as tools for agents, on standard input and output (DESIGN section 12).

A thin face: each tool (mcp_tool.py) asks one use case, in a thread, and shows what that returns; what belongs to
which worker is kept apart in app/serving.py. Only what all revisions of the protocol have is used, so that agents of
any age find the same. Nothing here asks a person anything.

The SDK takes half a second to import: this module is imported by its one command alone.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Any, cast

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from git_fleet import __version__, resources
from git_fleet.app import handin, planner, work
from git_fleet.app import plan as planning
from git_fleet.app import prompt as prompts
from git_fleet.app import review as reviewing
from git_fleet.app import status as looking
from git_fleet.app.claim import Claimed, NothingReady, Request
from git_fleet.app.serving import Serving
from git_fleet.app.templates import Template, render
from git_fleet.core import quoting
from git_fleet.core.ids import slugify
from git_fleet.errors import FleetError, disk_error
from git_fleet.mcp_tool import FleetTool, answer, failed
from git_fleet.views import machine, machine_plans, machine_status, tools
from git_fleet.views.machine import Document

_BLOCKED = "blocked"
_MOST_TEXT = 40 * 1024

Names = Sequence[str]


class Tools:
    """The tools, one method each. The docstrings are what agents are told."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def claim_task(
        self,
        ctx: Context,
        task_id: Annotated[str, Field(description="This task; one you hold is gone on with.")] = "",
        labels: Annotated[Names, Field(description="Only tasks with one of these.")] = (),
        worktree: Annotated[bool, Field(description="Make its worktree.")] = True,
        worker: Annotated[str, Field(description="Who you are, where agents share this server.")] = "",
    ) -> CallToolResult:
        """Take the next task that is ready. Work in `worktree`, change only `files`, follow `prompt`.
        task_id null: nothing to claim now; ask again after retry_after_seconds (0: stop)."""
        request = Request(task_id or None, tuple(labels), worktree=worktree)
        got = await _in_thread(lambda: self._serving.claim(worker, request))
        if isinstance(got, FleetError):
            return failed(got)
        if isinstance(got, NothingReady):
            return answer(tools.nothing_ready(got.reason, got.text, got.retry_after_seconds))
        if isinstance(got, Claimed):
            got = await self._place(ctx, worker, got)
            if isinstance(got, FleetError):
                return failed(got)
        await ctx.report_progress(2, 2, f"{got.record.id} is yours")
        return answer(tools.claim(got.record, got.path, got.env, got.notes, got.conflicts, got.learnings))

    async def _place(self, ctx: Context, worker: str, claimed: Claimed) -> Any:
        """As `_in_thread`, its worktree. A claim that nobody waits for any more is given back: whoever asked for
        it has not been told, and would hold it unknowingly."""
        try:
            await ctx.report_progress(1, 2, f"claimed {claimed.record.id}, making its worktree")
            got = await _in_thread(lambda: self._serving.place(worker, claimed))
            await anyio.lowlevel.checkpoint_if_cancelled()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await _in_thread(lambda: self._serving.give_back(worker, claimed))
            raise
        return got

    async def report_progress(
        self,
        task_id: str,
        status: Annotated[str, Field(description="One line.", max_length=_MOST_TEXT)],
        log_chunk: Annotated[str, Field(description="Its last 64 KiB are kept.")] = "",
        worker: str = "",
    ) -> CallToolResult:
        """Say how it goes; keeps your claim alive and saves your work. After each step."""

        def act() -> Document:
            with self._serving.session(worker, task_id) as session:
                acted = work.progress(session, task_id, status, log_chunk=_bytes(log_chunk))
            return tools.task(acted.record, acted.notes)

        return await _asked(act)

    async def report_done(
        self,
        task_id: str,
        result: Annotated[str, Field(description="What came out, for people.", max_length=_MOST_TEXT)],
        artifact_paths: Annotated[
            Names, Field(description="Files to keep, of the worktree or FLEET_SCRATCH.")
        ] = (),
        message: Annotated[str, Field(description="Commit message.")] = "",
        follow_ups: Annotated[
            Sequence[str], Field(description="Titles: what you noticed and left alone.")
        ] = (),
        commit: Annotated[str, Field(description="Hand in this one (claims without worktree).")] = "",
        worker: str = "",
    ) -> CallToolResult:
        """Hand in what is committed on the task's branch. `outside`: files that are not yours; undo those."""

        def act() -> Document:
            given = handin.Handin(
                message=message,
                result=result,
                artifacts=tuple(artifact_paths),
                commit=commit,
                follow_ups=tuple(follow_ups),
            )
            with self._serving.session(worker, task_id) as session:
                made = handin.done(session, task_id, given)
            about = {"outside": made.outside, "follow_ups": made.follow_ups, "notes": made.notes}
            return {"v": 1, **machine.done(made.record, made.proposal, **about)}

        return await _asked(act)

    async def report_blocked(
        self,
        task_id: str,
        reason: Annotated[str, Field(max_length=_MOST_TEXT)],
        code: Annotated[str, Field(description="One word, the same as siblings at this wall.")] = "",
        worker: str = "",
    ) -> CallToolResult:
        """Say that the task cannot be done as it is. Then stop working on it."""

        def act() -> Document:
            word = code or slugify(" ".join(reason.split()[:4])).lstrip("0123456789-") or _BLOCKED
            with self._serving.session(worker, task_id) as session:
                acted = work.block(session, task_id, word, reason)
            return tools.task(acted.record, acted.notes)

        return await _asked(act)

    async def list_siblings(
        self, parent_id: Annotated[str, Field(description="parent_id of your claim")]
    ) -> CallToolResult:
        """The tasks of a plan, what each does, and why it is blocked."""

        def act() -> Document:
            with self._serving.session() as session:
                return tools.siblings(looking.siblings(session, parent_id))

        return await _asked(act)

    async def review(self, parent_id: Annotated[str, Field(description="The plan.")]) -> CallToolResult:
        """What came of a plan, and what to do next."""

        def act() -> Document:
            with self._serving.session() as session:
                return tools.review(reviewing.review(session, parent_id))

        return await _asked(act)

    async def plan(
        self,
        ctx: Context,
        task_description: str,
        sub_tasks: Annotated[
            Sequence[dict[str, Any]],
            Field(
                description="Your own split: [{id, title, prompt, files: [gitignore patterns], needs: [ids], …}]."
            ),
        ] = (),
        plan_id: str = "",
    ) -> CallToolResult:
        """Split work into tasks for many workers: a draft, which a person approves. Without sub_tasks the
        configured planner splits it. plan null: one worker does it better, and fan_out says why."""

        def act(stop: threading.Event, tell: Callable[[str], None]) -> Document:
            with self._serving.session() as session:
                if sub_tasks:
                    made = planner.handed_over(session, task_description, sub_tasks, plan_id=plan_id)
                else:
                    asked = planner.Asked(task_description, plan_id)
                    made = planner.draft(session, asked, report=tell, stop=stop)
            return tools.planned(made.plan, made.check, made.serial)

        got = await _while_wanted(act, ctx)
        return failed(got) if isinstance(got, FleetError) else answer(got)


# --- how each is answered ----------------------------------------------------------------------------


async def _in_thread(act: Callable[[], Any]) -> Any:
    """What `act` returns, in a thread, or the error of ours that it raises. It is never left half-way."""
    try:
        return await anyio.to_thread.run_sync(act)
    except FleetError as error:
        return error
    except OSError as error:
        known = disk_error(error)
        if known is None:
            raise
        return known


async def _asked(act: Callable[[], Document]) -> CallToolResult:
    got = await _in_thread(act)
    return failed(got) if isinstance(got, FleetError) else answer(got)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


# --- planning takes long ------------------------------------------------------------------------------


async def _while_wanted(
    act: Callable[[threading.Event, Callable[[str], None]], Document], ctx: Context
) -> Any:
    """What `act` returns, as by `_in_thread`. It gets an event, set when nobody wants it any more, and somebody to
    tell how it goes."""
    stop, steps = threading.Event(), 0

    def tell(text: str) -> None:
        nonlocal steps
        steps += 1
        if not stop.is_set():
            anyio.from_thread.run(ctx.report_progress, steps, None, text)

    async def watch() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            stop.set()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        got = await _in_thread(lambda: act(stop, tell))
        group.cancel_scope.cancel()
    return got


# --- the server ---------------------------------------------------------------------------------------


_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(destructive_hint=False, open_world_hint=False)
_AGAIN = ToolAnnotations(destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_ASKS = ToolAnnotations(destructive_hint=False)  # the planner is somebody's agent


def server(serving: Serving) -> MCPServer[None]:
    """The server, which any transport of the SDK can run."""
    its = Tools(serving)
    made = MCPServer[None](
        "git-fleet",
        version=__version__,
        instructions=tools.INSTRUCTIONS,
        log_level="WARNING",
        tools=[
            FleetTool.of(its.claim_task, _WRITES),
            FleetTool.of(its.report_progress, _WRITES),
            FleetTool.of(its.report_done, _WRITES),
            FleetTool.of(its.report_blocked, _AGAIN),
            FleetTool.of(its.list_siblings, _READS),
            FleetTool.of(its.plan, _ASKS),
            FleetTool.of(its.review, _READS),
        ],
    )
    _add_resources(made, serving)
    _add_prompts(made, serving)
    return made


def serve(serving: Serving) -> None:
    """Serve one client on standard input and output, until it closes them."""
    server(serving).run()


def _add_resources(made: MCPServer[None], serving: Serving) -> None:
    async def read(look: Callable[[], Document]) -> str:
        got = await _in_thread(look)
        if isinstance(got, FleetError):
            raise ResourceError(tools.failure(got))
        return json.dumps({"v": 1, **got}, separators=(",", ":"))

    def shown(plan: str) -> Document:
        with serving.session() as session:
            name = plan or planning.only(session)
            note, _ = planning.text_of(session, name)
            record = session.snapshot().plan(name)
            found = planning.newest_of(session, record).plan
        approved = record.log.revision == note
        return machine_plans.show(found, state=str(record.state), revision=note, approved=approved)

    @made.resource(
        "fleet://status", name="status", description="Every plan and task.", mime_type="application/json"
    )
    async def status() -> str:
        def look() -> Document:
            with serving.session() as session:
                return machine_status.status(looking.status(session, details=False))

        return await read(look)

    @made.resource("fleet://plan", name="plan", description="The plan.", mime_type="application/json")
    async def plan() -> str:
        return await read(lambda: shown(""))

    @made.resource(
        "fleet://plan/{plan_id}",
        name="a plan",
        description="The plan of that id.",
        mime_type="application/json",
    )
    async def one_plan(plan_id: str) -> str:
        return await read(lambda: shown(plan_id))


def _add_prompts(made: MCPServer[None], serving: Serving) -> None:
    @made.prompt(description="Work as one of many: claim tasks and hand them in until there are none.")
    async def worker(
        task_id: Annotated[str, Field(description="A task: what its agent is told, whole.")] = "",
    ) -> str:
        def tell() -> str:
            with serving.session(task=task_id) as session:
                return prompts.prompt(session, task_id).text if task_id else _template("worker")

        return await _told(tell)

    @made.prompt(
        description="Lead many workers: split a goal into a plan, follow it, review what comes of it."
    )
    async def orchestrator(goal: Annotated[str, Field(description="What is to be done.")] = "") -> str:
        mark = quoting.mark_for([goal])
        quoted = quoting.quote(goal, "the goal, whoever asked", mark, most=_MOST_TEXT)
        return await _told(lambda: _template("orchestrator", goal=quoted))


def _template(name: str, **values: str) -> str:
    return render(Template(name, resources.template(name)), values)


async def _told(tell: Callable[[], str]) -> str:
    got = await _in_thread(tell)
    if isinstance(got, FleetError):
        raise ValueError(tools.failure(got))
    return cast(str, got)
