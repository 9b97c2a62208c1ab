"""Waiting until other work is integrated, which is handed in before one's own (`overlap = "watch"`)."""

from __future__ import annotations

import time
from collections.abc import Iterator

from git_fleet.app.running.desk import IN_TURN
from git_fleet.app.running.holding import Holding
from git_fleet.core.supervision import TICK_SECONDS, Limits


def looks(held: Holding, limits: Limits) -> Iterator[None]:
    """Each time it is worth looking whether it is one's turn: when a ref has moved (the conductor rings), and now and
    then. The claim is kept meanwhile. It ends where this run will not see the day: it integrates nothing, or a whole
    session has passed. Raises Over when the claim has ended.
    """
    renewed = time.monotonic()
    until = renewed + (limits.session if held.desk.options.integrate else 0.0)
    while (left := until - time.monotonic()) > 0:
        held.seat.now(IN_TURN)
        held.seat.bell.wait(min(TICK_SECONDS, left))
        held.require()
        if time.monotonic() - renewed >= limits.renew:
            renewed = time.monotonic()
            held.renew()
        yield
