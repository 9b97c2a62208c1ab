"""`git fleet report`: a plan for whoever has to judge it. Nothing here writes to the repository (invariant I8)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from git_fleet import __version__, resources
from git_fleet.app import reporting
from git_fleet.cli.across import found as space_of
from git_fleet.cli.across import show_all, workspace_option
from git_fleet.cli.call import Call, Document, command, examples, surroundings
from git_fleet.cli.progress import working
from git_fleet.core.reporting import Report
from git_fleet.errors import InvalidInput
from git_fleet.views import machine_report
from git_fleet.views.look import line, size


@click.command(
    epilog=examples(
        "git fleet report --html bump.html    one file, no network: for a browser, a review, an archive",
        "git fleet report bump                the same as Markdown, for a pull request",
        "git fleet report --json | jq .meetings",
        "git fleet report --workspace --html shop.html    all repositories of a workspace in one file",
    )
)
@click.argument("plan", required=False)
@click.option(
    "--html", "target", metavar="FILE", type=click.Path(path_type=Path), help="Write a page (-: print it)."
)
@workspace_option("Of every plan that is not closed, in all repositories of the workspace")
@command
def report(call: Call, plan: str | None, target: Path | None, workspace: str | None) -> int:
    """What came of a plan, on one page: numbers, timeline, graph, conflicts, tasks.

    The timeline says who worked on what and what each task waited for; shared files are shown as the plan predicted
    them and as they were changed; each task has its diff statistics, gates with their logs, verdicts and findings.
    Closed plans have a report, too.
    """
    if workspace is not None:
        if plan:
            raise click.UsageError("--workspace reports every plan that is not closed: it goes without PLAN")
        return _everywhere(call, workspace, target)
    with call.session(reading=True) as session:
        found = reporting.report(session, plan)
    if target is None:
        from git_fleet.views.markdown import markdown

        call.show(lambda: machine_report.report(found), lambda _: markdown(found))
        return 0
    _hand_out(call, target, _page(found), lambda: machine_report.report(found))
    return 0


def _everywhere(call: Call, workspace: str, target: Path | None) -> int:
    if target is not None:
        return _page_of_all(call, workspace, target)
    from git_fleet.views.markdown import markdown

    return show_all(
        call,
        workspace,
        reporting.all_reports,
        _documents,
        lambda found, _: "\n\n".join(map(markdown, found)) or "no plan is open",
    )


def _page_of_all(call: Call, workspace: str, target: Path) -> int:
    """One page over all repositories; 1 when one of them could not be read: the page says which, and why."""
    from git_fleet.app.wide import telling
    from git_fleet.views import wideweb
    from git_fleet.views.workspace import answers

    space = space_of(call, workspace)
    with working(call, "looking at the repositories"):
        overview, told = telling.reports(space, surroundings())
    page = wideweb.report_page(overview, told, resources.web, version=__version__)
    _hand_out(call, target, page, lambda: answers(space, told, lambda found: dict(_documents(found))))
    return int(any(each.error is not None for each in told))


def _documents(found: tuple[Report, ...]) -> Document:
    return {"reports": [machine_report.report(each) for each in found]}


def _hand_out(call: Call, target: Path, page: str, document: Callable[[], Document]) -> None:
    """Write the page to the file, or print it (-). Raises InvalidInput where that cannot be."""
    if str(target) == "-":
        call.show(document, lambda _: page.rstrip("\n"))
        return
    written = _write(call.directory / target, page)
    call.show(
        lambda: {**document(), "file": str(target)},
        lambda _: f"{line(target)} is written, {size(written)}",
    )


def _page(found: Report) -> str:
    from git_fleet.views import web

    return web.report_page(found, resources.web, version=__version__)


def _write(path: Path, page: str) -> int:
    """Put the page there, into a file whole or not at all; its size. Raises InvalidInput where that cannot be."""
    data = page.encode("utf-8")
    hint = "git fleet report --html FILE"
    if path.is_dir():
        raise InvalidInput(f"{line(path)} cannot be written: it is a folder", hint=hint)
    special = path.exists() and not path.is_file()  # a pipe, a device: something reads there, and it stays
    path = path if special else path.resolve()
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if special:
            path.write_bytes(data)
            return len(data)
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InvalidInput(f"{line(path)} cannot be written: {error.strerror}", hint=hint) from None
    return len(data)
