"""Which names refs may have, and which names exclude each other."""

from __future__ import annotations

import re
from collections.abc import Sequence

from git_fleet.errors import InvalidInput

_BAD_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|[./]$")


def is_ref_name(ref: str) -> bool:
    """Whether `ref` is a full ref name that git accepts (the rules of git-check-ref-format)."""
    return ref.startswith("refs/") and not _BAD_NAME.search(ref)


def folders(ref: str) -> list[str]:
    """`refs/fleet/task/p` and so on for `refs/fleet/task/p/a`: names that would be folders of it."""
    parts = ref.split("/")
    return ["/".join(parts[:size]) for size in range(3, len(parts))]


def check_names(refs: Sequence[str]) -> None:
    """Raises ValueError where a ref is named twice, InvalidInput for a name that git would refuse."""
    if len(set(refs)) != len(refs):
        raise ValueError(f"a transaction names a ref twice: {refs}")
    for ref in refs:
        if not is_ref_name(ref):
            raise InvalidInput(f"not a valid ref name: {ref!r}", hint="git help check-ref-format")
