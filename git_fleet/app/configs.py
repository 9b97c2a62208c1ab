"""fleet.toml as branches and commits have it: read, and parsed once."""

from __future__ import annotations

from git_fleet.core import config as configuration
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid
from git_fleet.git.objects import Object
from git_fleet.store import names
from git_fleet.store.base import Store

CONFIG_FILE = "fleet.toml"


def of_branch(store: Store, branch: str) -> Object | None:
    """The file as the tip of a branch (short name) has it."""
    return next(store.objects.read_many([f"{names.branch(branch)}:{CONFIG_FILE}"]))


def text(store: Store, branch: str) -> bytes:
    """Its text there; nothing where it is not."""
    found = of_branch(store, branch)
    return found.data if found else b""


def of_commit(store: Store, commit: Oid) -> Config:
    """The configuration as a commit has it. Raises InvalidInput when the file says what is not allowed."""
    return parsed(store, next(store.objects.read_many([f"{commit}:{CONFIG_FILE}"])))


def parsed(store: Store, found: Object | None) -> Config:
    """What the file says, the defaults without one. Raises InvalidInput when it says what is not allowed."""
    if found is None:
        return Config()
    document = store.cache.load("config", found.oid)
    if document is not None:
        return configuration.from_document(document)
    from git_fleet.app import documents  # slow to import, and hardly ever needed (see `keep`)

    return documents.load_config(found.data, CONFIG_FILE)[0]


def keep(store: Store, branch: str) -> None:
    """Remember that the configuration of a branch is valid, so that whoever comes next need not load a validator.
    Raises InvalidInput when it is not."""
    found = of_branch(store, branch)
    if found and store.cache.load("config", found.oid) is None:
        from git_fleet.app import documents

        store.cache.save("config", found.oid, documents.load_config(found.data, CONFIG_FILE)[1])
