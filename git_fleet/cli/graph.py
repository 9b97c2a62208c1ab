"""`git fleet graph`: a plan as a graph. Nothing here writes (invariant I8)."""

from __future__ import annotations

import sys

import click

from git_fleet import resources
from git_fleet.app import picturing
from git_fleet.cli.call import Call, command, examples, speaks_unicode
from git_fleet.core.picture import Picture
from git_fleet.views import graph as view
from git_fleet.views.look import Look


@click.command(
    epilog=examples(
        "git fleet graph                            here in the terminal",
        "git fleet graph bump --format mermaid      for a Markdown block ```mermaid, which forges draw",
        "git fleet graph bump --format svg >bump.svg",
    )
)
@click.argument("plan", required=False)
@click.option(
    "--format", "form", type=click.Choice(["text", "mermaid", "svg"]), default="text", help="As what."
)
@command
def graph(call: Call, plan: str | None, form: str) -> None:
    """The plan as a graph: waves, what comes before what, the critical path.

    A task comes after those it needs, and after those that own the same files (they take turns).
    """
    with call.session(reading=True) as session:
        found = picturing.graph(session, plan)
    call.show(lambda: view.document(found), lambda look: _drawn(found, form, look))


def _drawn(found: Picture, form: str, look: Look) -> str:
    if form == "svg":
        from git_fleet.views import web

        return web.graph_svg(found, resources.web)
    if form == "mermaid":
        from git_fleet.views import mermaid

        return mermaid.mermaid(found)
    return view.text(found, look, unicode=speaks_unicode(sys.stdout))
