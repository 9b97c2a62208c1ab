"""How many examples property tests draw that take more than a second."""

from __future__ import annotations

import os


def many(count: int) -> int:
    """`count` at a desk, where each run draws others; a part of them in CI, which draws the same ones each time."""
    return count * 2 // 5 if os.environ.get("CI") else count
