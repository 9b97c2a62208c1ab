"""A plan as people write it (DESIGN section 5) → a `Plan`, and back.

The document is what tomllib or json gives for the text: `version`, `plan`, `title`, `base`,
`schedule` and a list `task`. Here it is checked for meaning; the schema (`schemas/plan.schema.json`)
finds unknown keys before. Everything that is wrong is reported at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.core import patterns, spelling
from git_fleet.core.fields import Fields
from git_fleet.core.ids import TaskId, check_id, slugify
from git_fleet.core.matrix import MAX_TASKS, combinations, fill, placeholders
from git_fleet.core.model import Output, Overlap, Plan, Schedule, Task
from git_fleet.core.needs import Draft, resolve_needs
from git_fleet.core.problems import Lines, Problems, found, line_of
from git_fleet.errors import InvalidInput, UnknownVersion

VERSION = 1
_DEFAULT = Task(TaskId("", ""), "", "")
_MAX_PRIORITY = 1_000_000
_MAX_MINUTES = 1_000_000  # near two years
_LISTS = ("reads", "needs", "labels", "accept", "needs_elsewhere", "follows_elsewhere")
_TEXTS = ("worker", "prompt", "branch", "worktree", "remarks", "group", "changeset")


def parse_plan(
    document: Mapping[str, Any],
    *,
    source: str,
    plan_id: str | None = None,
    default_base: str = "main",
    lines: Lines | None = None,
) -> Plan:
    """The plan a decoded document says, matrix entries expanded.

    `plan_id` overrides the document's `plan`; `default_base` stands in for a missing `base`.
    `source` and `lines` are for messages. Raises InvalidInput that names up to twenty problems,
    UnknownVersion for another version.
    """
    version = document.get("version")
    if isinstance(version, int) and version != VERSION:
        raise UnknownVersion(f"{source}: version: {found(version, str(VERSION))}", hint="git fleet doctor")
    problems = Problems(source)
    head = _Head(document, problems, lines or {})
    plan = Plan(
        id=head.plan_id(plan_id),
        title=head.fields.text("title", "", spelling.line_problem),
        base=head.fields.text("base", default_base, spelling.branch_problem),
        schedule=head.fields.choice("schedule", Schedule.READY),
        workspace=head.fields.text("workspace", "", _id_problem),
        tasks=(),
    )
    drafts = list(head.drafts(plan.id))
    _check_unique(drafts, plan.base)
    _check_elsewhere(drafts, plan.workspace)
    plan = replace(plan, title=plan.title or plan.id, tasks=resolve_needs(drafts))
    problems.raise_if_any(hint="nothing was stored; correct the plan and import it again")
    return plan


def dump_plan(plan: Plan) -> dict[str, Any]:
    """The document of a plan, for tomli_w or json: `parse_plan(dump_plan(p)) == p`.

    Matrix tasks come out one by one, each as a matrix of one value with its `group`.
    """
    head = {"version": VERSION, "plan": plan.id, "title": plan.title, "base": plan.base}
    if plan.workspace:
        head["workspace"] = plan.workspace
    return {**head, "schedule": str(plan.schedule), "task": [_dump_task(task) for task in plan.tasks]}


def approval_problems(plan: Plan) -> list[str]:
    """Why a plan cannot be approved yet: what a draft may leave open and an approved plan may not."""
    if not plan.tasks:
        return [f"plan {plan.id} has no tasks"]
    return [
        f'{task.id}: files: missing; name the files it owns, or say output = "report"'
        for task in plan.tasks
        if task.files is None
    ]


def _dump_task(task: Task) -> dict[str, Any]:
    table: dict[str, Any] = {"id": task.id.task, "slug": task.slug, "title": task.title}
    if task.files is not None and task.output is Output.COMMIT:
        table["files"] = list(task.files)
    table |= {key: list(getattr(task, key)) for key in _LISTS if getattr(task, key)}
    table |= {key: getattr(task, key) for key in _TEXTS if getattr(task, key)}
    plain = ("estimate_minutes", "priority", "hold", "joint", "output", "overlap")
    for key in plain:
        value = getattr(task, key)
        if value != getattr(_DEFAULT, key):
            table[key] = str(value) if isinstance(value, str) else value
    if task.params:
        table["matrix"] = {key: [value] for key, value in task.params}
    if task.extra:
        table["extra"] = json.loads(task.extra)
    return table


class _Head(Struct, frozen=True):
    """The document while it is read."""

    document: Mapping[str, Any]
    problems: Problems
    lines: Lines

    @property
    def fields(self) -> Fields:
        return Fields(self.document, (), self._report)

    def _report(self, field: str, text: str) -> None:
        self.problems.add(text, field=field, line=line_of(self.lines, (field,)))

    def plan_id(self, override: str | None) -> str:
        value = self.document.get("plan") if override is None else override
        try:
            return check_id(value, "found") if isinstance(value, str) else _missing(value)
        except InvalidInput as error:
            self._report("plan", error.message)
            return "plan"

    def drafts(self, plan_id: str) -> Iterator[Draft]:
        """Every task, matrix expanded, its needs as written. Those without a valid id are left out."""
        entries = self.document.get("task", ())
        if not isinstance(entries, list | tuple):
            self._report("task", found(entries, "a list of tables, [[task]] in TOML"))
            return
        count = 0
        for index, table in enumerate(entries):
            if not isinstance(table, Mapping):
                self._report("task", f"entry {index + 1}: {found(table, 'a table')}")
                continue
            for draft in _entry(table, index, self, plan_id):
                count += 1
                if count > MAX_TASKS:
                    self._report("task", f"more than {MAX_TASKS} tasks")
                    return
                yield draft


def _missing(value: Any) -> str:
    raise InvalidInput("it is missing" if value is None else found(value, "text in quotes"))


def _entry(table: Mapping[str, Any], index: int, head: _Head, plan_id: str) -> Iterator[Draft]:
    """The tasks of one `[[task]]`."""
    name = table.get("id")

    def report(field: str, text: str, where: str = "") -> None:
        line = line_of(head.lines, ("task", index, *field.split(".")))
        shown = name if isinstance(name, str) else index + 1
        head.problems.add(text, where=where or f"task {shown}", field=field, line=line)

    if not isinstance(name, str):
        report("id", found(name, 'text in quotes, such as id = "42"') if "id" in table else "it is missing")
        return
    matrix = list(combinations(table["matrix"], report)) if "matrix" in table else [()]
    group = table.get("group", "" if "matrix" not in table else name)
    if "group" not in table:
        for key in table["matrix"] if matrix and matrix[0] else ():
            if f"{{{key}}}" not in name:
                report("id", f"found {name!r}; it must contain {{{key}}}, or all its tasks have one id")
                return
    for params in matrix:
        try:
            task_id = TaskId(plan_id, check_id(fill(name, params), "found"))
        except InvalidInput as error:
            report("id", error.message)
            continue

        def of_task(field: str, text: str, where: str = f"task {task_id.task}") -> None:
            report(field, text, where)

        fields = Fields(table, params, of_task)
        task = _task(fields, task_id, group if isinstance(group, str) else "")
        yield Draft(task, name, Fields(table, (), of_task).texts("needs"), of_task)


def _task(fields: Fields, task_id: TaskId, group: str) -> Task:
    title = fields.text("title", "", spelling.line_problem)
    output = fields.choice("output", Output.COMMIT)
    fields.text("group")
    return Task(
        id=task_id,
        title=title or task_id.task,
        slug=fields.text("slug", slugify(title or task_id.task), spelling.slug_problem),
        files=_files(fields, output),
        reads=fields.texts("reads", _pattern_problem),
        labels=fields.texts("labels", spelling.line_problem),
        worker=fields.text("worker", "", spelling.line_problem),
        prompt=fields.text("prompt", "", spelling.text_problem),
        accept=fields.texts("accept", spelling.text_problem),
        estimate_minutes=fields.number("estimate_minutes", _DEFAULT.estimate_minutes, _MAX_MINUTES),
        priority=fields.integer("priority", 0, _MAX_PRIORITY),
        hold=fields.flag("hold"),
        joint=fields.flag("joint"),
        output=output,
        overlap=fields.choice("overlap", Overlap.SERIALIZE),
        branch=fields.text("branch", "", _branch_problem),
        worktree=_worktree(fields),
        remarks=fields.text("remarks", "", spelling.text_problem),
        params=fields.params,
        group=group,
        extra=_extra(fields),
        needs_elsewhere=fields.texts("needs_elsewhere", _elsewhere_problem),
        follows_elsewhere=fields.texts("follows_elsewhere", _elsewhere_problem),
        changeset=fields.text("changeset", "", _id_problem),
    )


def _id_problem(text: str) -> str:
    try:
        return "" if check_id(text) == text else "it must be in lower case"
    except InvalidInput as error:
        return error.message.partition(": ")[2]


def _elsewhere_problem(text: str) -> str:
    repo, slash, task = text.partition("/")
    return _id_problem(repo) or _id_problem(task) if slash else "it must be repo/task"


def _extra(fields: Fields) -> str:
    """What came with the task from elsewhere, as canonical JSON; "" for nothing."""
    value = fields.table.get("extra", {})
    problem = ""
    if not isinstance(value, Mapping):
        problem = found(value, "a table")
    elif value:
        try:
            text = json.dumps(
                value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
            )
            problem = spelling.encoding_problem(text)
        except (TypeError, ValueError, RecursionError):  # a date, inf, a key that is no text
            problem = found(value, "what JSON can say: texts, numbers, true, false, lists and tables")
        if not problem:
            return text
    if problem:
        fields.report("extra", problem)
    return ""


def _files(fields: Fields, output: Output) -> tuple[str, ...] | None:
    """The owned patterns: None for a draft that does not say yet, () for a report."""
    files = fields.texts("files", _pattern_problem)
    if output is Output.REPORT:
        if files:
            fields.report("files", found(list(files), 'none, because output = "report" owns no files'))
        return ()
    if "files" not in fields.table:
        return None
    if fields.table["files"] in ([], ()):
        fields.report(
            "files", 'found []; allowed: the files it owns, or output = "report" for a task with none'
        )
    return files


def _pattern_problem(text: str) -> str:
    try:
        patterns.parse(text)
    except InvalidInput as error:
        return error.message.removeprefix(f"file pattern {text!r}: ")
    return ""


def _branch_problem(name: str) -> str:
    left = placeholders(name)
    return f"no value for {{{left[0]}}}" if left else spelling.branch_problem(name)


def _worktree(fields: Fields) -> str:
    """The folder's name; `../name` says the same. The parent folder is configuration, not the plan's."""

    def problem(name: str) -> str:
        left = placeholders(name)
        return f"no value for {{{left[0]}}}" if left else spelling.folder_problem(name.removeprefix("../"))

    return fields.text("worktree", "", problem).removeprefix("../")


def _check_unique(drafts: list[Draft], base: str) -> None:
    """Ids, branches and folders are used once, without regard to case: file systems may fold it."""
    ids: dict[str, Draft] = {}
    branches: dict[str, Draft] = {}
    folders: dict[str, Draft] = {}
    for draft in drafts:
        task = draft.task
        if ids.setdefault(task.id.task, draft) is not draft:
            draft.report("id", f"found {task.id.task!r}; another task has it (case does not count)")
        for field, name, seen in (("branch", task.branch, branches), ("worktree", task.worktree, folders)):
            if name and (other := seen.setdefault(name.lower(), draft)) is not draft:
                draft.report(field, f"found {name!r}; task {other.task.id.task} has it")
        if task.branch.lower() == base.lower():
            draft.report("branch", f"found {task.branch!r}; it is the plan's base, which only the lead moves")
    _check_nested(branches, base)


def _check_elsewhere(drafts: list[Draft], workspace: str) -> None:
    """What is to be looked up in a workspace needs one."""
    for draft in drafts if not workspace else ():
        for field in ("needs_elsewhere", "follows_elsewhere", "changeset"):
            if getattr(draft.task, field):
                draft.report(field, "it is of a workspace's plan, and this plan names no workspace")


def _check_nested(branches: dict[str, Draft], base: str) -> None:
    """git keeps `a` as a file and `a/b` in a folder `a`: two branches cannot be both."""
    for name, draft in branches.items():
        parts = name.split("/")
        for end in range(1, len(parts)):
            above = "/".join(parts[:end])
            if above in branches or above == base.lower():
                draft.report("branch", f"found {draft.task.branch!r}; git cannot have it beside {above!r}")
