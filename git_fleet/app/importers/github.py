"""GitHub issues, as `gh issue list --json number,title,body,labels,state,url` prints them.

A newer `gh` (of 2026), when asked, also gives `blockedBy` and `subIssues`, each `{"nodes": […], "totalCount": n}` with
number, title, url and state of the others (a plain list of them is understood, too), and `parent`, one of them or null. An
older one does not know these fields, and then the text of an issue says what it waits for ("Depends on #12", "Blocked
by #3", a section of that name, and a list of `- [ ] #4`). REST answers (`html_url`, `body: null`) are understood, too.

What a task does not say itself is kept in its `extra.github`.

Issues that are closed become no tasks, and nobody waits for them: list with `--state all`, so that they are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from git_fleet.app.importers import extra, json, owned
from git_fleet.app.importers.document import Document
from git_fleet.app.importers.links import Links, with_hierarchy
from git_fleet.core.fields import Fields
from git_fleet.core.problems import Problems, found

LIST = "gh issue list --state all --limit 1000 --json number,title,body,labels,state,url"
_SAID = ("title", "body", "labels", "state", "html_url")
"""Fields of which nothing is left to keep once the task is made."""
_SHOWN = 200
_ELSEWHERE = f"issues of the file; closed ones count as done: {LIST}"

_URL = re.compile(r"https://[\w.-]+(?::\d+)?/[\w.-]+/[\w.-]+/issues/(\d+)")
_REFERENCE = r"(?<![\w./-])(?:https://[\w.:-]+/[\w.-]+/[\w.-]+/issues/\d+|(?:[\w.-]+/[\w.-]+)?#\d+)\b"
_WAITS = re.compile(r"(?<!\bnot )(?<!\bno longer )\b(?:depends on|blocked by)\b[\s:*_]*", re.IGNORECASE)
_LIST = re.compile(rf"{_REFERENCE}(?:\s*(?:,|&|\band\b)\s*(?:and\s+)?{_REFERENCE})*", re.IGNORECASE)
_SECTIONS = ("depends on", "blocked by", "dependencies")
_PART = re.compile(rf"\s*[-*+]\s+\[[ xX]\]\s+({_REFERENCE})\s*$")
_ONE = re.compile(_REFERENCE)
_CODE = re.compile(r"`[^`\n]*`")


def is_issue_url(text: str) -> bool:
    """Whether this is the address of an issue and nothing else."""
    return _URL.fullmatch(text) is not None


class _Issue(Struct):
    """One issue while it is read. `repository` is the start of its address, "" when it says none."""

    number: int
    fields: Fields
    body: owned.Said
    repository: str
    remarks: list[str]

    def local(self, reference: str) -> str:
        """The id of the issue that is referred to; "" for one of another repository, which is remembered."""
        where, _, number = reference.rpartition("#") if "#" in reference else reference.rpartition("/issues/")
        if not where:
            return number
        if not self.repository:
            self.fields.report("url", f"it is missing, and it alone tells whose {reference} is; {LIST}")
            return ""
        here, there = self.repository.lower(), where.lower()
        if there == here or here.endswith(f"/{there}"):
            return number
        self.remarks.append(f"waits for {reference}, of another repository")
        return ""


def read(text: str, source: str) -> Document:
    """The document of a list of issues. Raises InvalidInput that names issue and field."""
    data = json.decode(text, source)
    problems = Problems(source)
    entries = [data] if isinstance(data, dict) else data
    if not isinstance(entries, list) or not entries:
        problems.add(found(data, f"a list of issues: {LIST}"))
        entries = []
    links = Links()
    issues: dict[str, _Issue] = {}
    repeated: list[_Issue] = []
    for place, entry in enumerate(entries, start=1):
        issue = _issue(entry, place, problems)
        if issue is None:
            continue
        name = str(issue.number)
        state = issue.fields.text("state", "open").lower()
        if state not in ("open", "closed"):
            issue.fields.report("state", found(issue.fields.table["state"], "OPEN or CLOSED"))
        if name in links.done or name in issues:
            repeated.append(issue)
        elif state == "closed":
            links.done[name] = None
        else:
            links.tasks[name] = None
            issues[name] = issue
    for issue in repeated:
        issue.fields.report("number", f"found {issue.number}; another entry has it")
    needs = _needs(issues, links)
    tasks = [_task(issue, needs[name], links) for name, issue in issues.items()]
    problems.raise_if_any(hint="nothing was stored; correct the issues and import them again")
    return Document({"version": 1, "task": tasks}, {}, links.notes())


def _issue(entry: Any, place: int, problems: Problems) -> _Issue | None:
    """One issue; None for what is none (a pull request), or cannot be read."""
    if not isinstance(entry, Mapping):
        problems.add(found(entry, 'an issue, {"number": …, "title": …}'), where=f"entry {place}")
        return None
    if "pull_request" in entry:
        return None
    table = {key: value for key, value in entry.items() if value is not None}
    number = table.get("number")
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        problems.add(found(number, f"an issue's number; {LIST}"), where=f"entry {place}", field="number")
        return None
    if "title" not in table:
        problems.add(f"it is missing; {LIST}", where=f"issue {number}", field="title")

    def report(field: str, text: str) -> None:
        problems.add(text, where=f"issue {number}", field=field)

    fields = Fields(table, (), report)
    url = _address(fields)
    if url and (not is_issue_url(url) or not url.endswith(f"/{number}")):
        report("url", found(url, f"the address of issue {number}, https://…/issues/{number}"))
    return _Issue(number, fields, owned.read(fields.text("body")), url.rpartition("/issues/")[0], [])


def _address(fields: Fields) -> str:
    return fields.text("html_url" if "html_url" in fields.table else "url")


def _needs(issues: Mapping[str, _Issue], links: Links) -> dict[str, list[str]]:
    """What each issue waits for, as far as it is said anywhere."""
    blockers: dict[str, list[str]] = {}
    parents: dict[str, str] = {}
    for name, issue in issues.items():
        said = [issue.local(each) for each in _references(issue)]
        blockers[name] = [each for each in said if each] + list(_nodes(issue, "blockedBy", links))
        blockers[name] += list(_nodes(issue, "subIssues", links))
        parent = issue.fields.table.get("parent")
        if isinstance(parent, Mapping) and (above := _node(issue, "parent", parent)):
            parents[name] = above
    return with_hierarchy(blockers, parents, inherit=False)


def _references(issue: _Issue) -> Iterator[str]:
    """The issues that the text of one says it waits for: quotations and code do not count.

    A line that speaks of waiting for an issue in other words than we know is remembered, for people.
    """
    section = False
    for line in issue.body.prose:
        if line.lstrip().startswith(">"):
            continue
        title = owned.heading(line)
        section = title in _SECTIONS if title is not None else section
        plain = _CODE.sub("", line)
        if section:
            yield from _ONE.findall(plain)
        elif part := _PART.match(plain):
            yield part[1]
        else:
            unclear = -1
            for match in _WAITS.finditer(plain):
                if found := _LIST.match(plain, match.end()):
                    yield from _ONE.findall(found[0])
                elif unclear < 0:
                    unclear = match.end()
            if unclear >= 0 and _ONE.search(
                plain, unclear
            ):  # one search a line: there may be many such words
                issue.remarks.append(f"not understood: {line.strip()[:_SHOWN]}")


def _nodes(issue: _Issue, field: str, links: Links) -> Iterator[str]:
    """The issues in a field of a newer `gh`. Those that it says are closed are done."""
    value = issue.fields.table.get(field, [])
    nodes = value.get("nodes", []) if isinstance(value, Mapping) else value
    if not isinstance(nodes, list):
        issue.fields.report(field, found(value, "a list of issues"))
        return
    total = value.get("totalCount", len(nodes)) if isinstance(value, Mapping) else len(nodes)
    if isinstance(total, int) and total > len(nodes):
        issue.fields.report(field, f"found {len(nodes)} of {total} issues; allowed: all of them")
    for node in nodes:
        name = _node(issue, field, node)
        if not name:
            continue
        if str(node.get("state", "")).lower() == "closed" and name not in links.tasks:
            links.done.setdefault(name)
        yield name


def _node(issue: _Issue, field: str, node: Any) -> str:
    """The id of an issue that another one refers to in this field; "" for one of another repository."""
    number = node.get("number") if isinstance(node, Mapping) else None
    if isinstance(number, bool) or not isinstance(number, int):
        issue.fields.report(field, found(node, "issues with a number"))
        return ""
    url = node.get("url") or node.get("html_url") or ""
    return issue.local(url if isinstance(url, str) and is_issue_url(url) else f"#{number}")


def _task(issue: _Issue, needs: list[str], links: Links) -> dict[str, Any]:
    fields, report = issue.fields, issue.fields.report
    for line, text in issue.body.unclear:
        report("body", f"line {line}: found {text[:80]!r}; {owned.RULE}")
    task: dict[str, Any] = {"id": str(issue.number), "title": fields.text("title").strip()}
    if issue.body.files:
        task["files"] = issue.body.files
    if waits := links.needs(needs, lambda text: report("depends on", text), elsewhere=_ELSEWHERE):
        task["needs"] = waits
    if labels := _labels(fields):
        task["labels"] = labels
    if body := fields.text("body").strip():
        task["prompt"] = body.replace("\r\n", "\n")
    if issue.remarks:
        task["remarks"] = "\n".join(dict.fromkeys(issue.remarks))
    kept = {key: value for key, value in fields.table.items() if key not in _SAID}
    if url := _address(fields):
        kept["url"] = url
    return {**task, "extra": extra.pack("github", kept)}


def _labels(fields: Fields) -> list[str]:
    """The labels, of which each is a name or a table with one."""
    values = fields.table.get("labels", [])
    if not isinstance(values, list):
        fields.report("labels", found(values, "a list"))
        return []
    names = [value.get("name") if isinstance(value, Mapping) else value for value in values]
    return list(Fields({"labels": names}, (), fields.report).texts("labels"))
