"""A step that no signal cuts short, because what it has begun would be known to nobody: the start of a process.

Python runs the handlers of signals in the main thread, between any two of its instructions; one that comes while a
process is being started has its effect before that process has a name. A handler that raises asks `later` first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_going = False
_late: Callable[[], None] | None = None


def later(act: Callable[[], None]) -> bool:
    """For handlers of signals: whether such a step goes on. Then `act` is called when it is over, and nothing is to be
    done before. Of several the last one is."""
    global _late  # noqa: PLW0603 - there is one main thread, and it is in one step at a time
    if _going:
        _late = act
    return _going


class Undisturbed:
    """Use as a context manager around the step; `over` ends it early, there where what has begun is taken care of. In
    other threads than the main one it does nothing."""

    def __enter__(self) -> Self:
        global _going, _late
        self._ours = not _going and threading.current_thread() is threading.main_thread()
        if self._ours:
            _late, _going = None, True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over()

    def over(self) -> None:
        """The step is over. Raises what a signal has brought meanwhile."""
        global _going  # noqa: PLW0603
        if self._ours:
            self._ours = _going = False
            if _late is not None:
                _late()
