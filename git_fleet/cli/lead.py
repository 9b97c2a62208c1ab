"""`lead`: who alone moves main."""

from __future__ import annotations

import click

from git_fleet.app import lead as leading
from git_fleet.cli.call import Call, Group, command, examples
from git_fleet.core.results import LeadView
from git_fleet.views import landing, machine


@click.group(
    cls=Group, epilog=examples("git fleet lead acquire    from now on main moves from this worktree only")
)
def lead() -> None:
    """Who alone moves main: one worktree at a time. `integrate` leads by itself when nobody does."""


@lead.command(epilog=examples("git fleet lead acquire && git push origin main && git fleet lead release"))
@command
def acquire(call: Call) -> None:
    """Lead from this worktree; renews when it leads already."""
    with call.session() as session:
        leading.acquire(session)
        _show(call, leading.show(session))


@lead.command(epilog=examples("git fleet lead release"))
@command
def release(call: Call) -> None:
    """Give up a lead that was acquired by hand. What runs and leads here goes on."""
    with call.session() as session:
        leading.release(session)
        _show(call, leading.show(session))


@lead.command(epilog=examples("git fleet lead show"))
@command
def show(call: Call) -> None:
    """Who leads now, and from where."""
    with call.session(reading=True) as session:
        _show(call, leading.show(session))


def _show(call: Call, view: LeadView) -> None:
    call.show(lambda: machine.lead(view), lambda look: landing.lead(view, look))
