"""What else is done while git moves refs: it works in a process of its own, and there is a second core."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Along:
    """Steps along a transaction, each done once, however often that is begun again.

    `asked` while git takes the locks and checks the old values; `locked` when it has all and all were right, before
    the first ref moves; `moving` while their values get to the disk and they move. When one of the first two raises,
    no ref moves.
    """

    def __init__(
        self,
        *,
        asked: Callable[[], None] | None = None,
        locked: Callable[[], None] | None = None,
        moving: Callable[[], None] | None = None,
    ) -> None:
        self._asked, self._locked, self._moving = asked, locked, moving

    def asked(self) -> None:
        """Git has been asked to lock."""
        step, self._asked = self._asked, None
        if step is not None:
            step()

    def locked(self) -> None:
        """It holds all locks."""
        step, self._locked = self._locked, None
        if step is not None:
            step()

    def moving(self) -> None:
        """It is being told to move them."""
        step, self._moving = self._moving, None
        if step is not None:
            step()


def meanwhile(other: Callable[[], T], step: Callable[[], None]) -> T:
    """Do `step` here and `other` on a thread of its own: what that gives. Both are over afterwards, whoever raises;
    what `step` raises goes first."""
    found: list[T] = []
    failed: list[BaseException] = []
    over = threading.Event()

    def work() -> None:
        try:
            found.append(other())
        except BaseException as error:  # noqa: BLE001 - raised where it was asked for
            failed.append(error)
        finally:
            over.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        step()
    finally:
        _wait_for(over)
        thread.join()  # it has nothing left to do
    for error in failed:
        raise error
    return found[0]


def _wait_for(over: threading.Event) -> None:
    """Who is interrupted meanwhile waits on: nobody is to find that work half-done. (Not by `Thread.join`, which then
    takes the thread for one that has ended, up to Python 3.12.)"""
    try:
        over.wait()
    except BaseException:
        over.wait()
        raise
