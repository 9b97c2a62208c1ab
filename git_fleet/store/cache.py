"""Documents that were parsed and validated once, kept under `<common dir>/fleet/cache`.

Keyed by the object id of what was parsed, so an entry can never be out of date, or by a word, and then it says itself
what it is of; a missing or broken one is made again. Only commands that write anyway save
entries, and `plan check`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Cache:
    """A folder of JSON documents by kind and key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, kind: str, key: str) -> Path:
        return self._folder / f"{kind}-{key}.json"

    def load(self, kind: str, key: str) -> dict[str, Any] | None:
        """The document, or None when there is none that can be read."""
        try:
            document = json.loads(self._path(kind, key).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None

    def save(self, kind: str, key: str, document: Mapping[str, Any]) -> None:
        """Keep the document; a failure is harmless and ignored (it is only a cache)."""
        import tempfile

        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._folder)
            try:
                with os.fdopen(handle, "w") as file:
                    json.dump(document, file)
                Path(name).replace(self._path(kind, key))
            except OSError:
                Path(name).unlink()
        except OSError:
            return
