"""What else is done while git moves refs: it works in a process of its own, and there is a second core."""

from __future__ import annotations

from collections.abc import Callable


class Along:
    """Steps along a transaction, each done once, however often that is begun again.

    `asked` while git takes the locks and checks the old values; `locked` when it has all and all were right, before
    the first ref moves; `moving` while they move. When one of the first two raises, no ref moves.
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
        """It has been told to move them."""
        step, self._moving = self._moving, None
        if step is not None:
            step()
