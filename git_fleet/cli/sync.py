"""Exchanging with the remote that decides."""

from __future__ import annotations

import click

from git_fleet.cli.call import Call, command, examples
from git_fleet.views import remote


@click.command(epilog=examples("git fleet sync", "git fleet sync --json"))
@command
def sync(call: Call) -> int:
    """Settle with the remote what was done here alone.

    That is claims made offline, and progress that was not pushed yet. Who pushed first has won; what a loser did is kept, and it says where. The base branches of this clone follow the
    remote's. Ends with 1 when a claim was lost.
    """
    from git_fleet.app import sync as syncing

    with call.session() as session:
        found = syncing.sync(session)
    call.show(lambda: remote.document(found), lambda look: remote.text(found, look))
    return 0 if all(one.won for one in found.settled) else 1
