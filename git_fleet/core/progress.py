"""How far a long run is: what use cases tell whoever watches (DESIGN section 12, *CLI*)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol


class Progress(NamedTuple):
    """`done` of `total` things of one stage are finished. A `total` of 0 says that nobody knows yet.

    `stage` is a short word for people, the project's own (never text that a worker wrote).
    """

    stage: str
    done: int
    total: int


class Stop(Protocol):
    """Says when nobody wants to know any more what comes of a step: a threading.Event, say."""

    def is_set(self) -> bool:
        """Whether it is to end. It is asked often, from any thread."""


Watch = Callable[[Progress], None]
"""Gets each step. It is called from any thread, thousands of times, and so must cost next to nothing."""


Report = Callable[[str], None]
"""Gets a line for people for each step. It is called from any thread."""


def unwatched(_: Progress) -> None:
    """The Watch of a run that nobody looks at."""
