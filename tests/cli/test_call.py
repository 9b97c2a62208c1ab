"""What commands share."""

from __future__ import annotations

import platformdirs
import pytest

from git_fleet.cli.call import APP, folders


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": "/home/me"},
        {"HOME": "/home/me/", "XDG_STATE_HOME": "/state/", "XDG_CACHE_HOME": "/caches"},
        {"HOME": "/home/me", "XDG_STATE_HOME": "", "XDG_CACHE_HOME": ""},
        {"HOME": "/home/me", "XDG_STATE_HOME": "relative", "XDG_CACHE_HOME": "/caches"},
        {"XDG_STATE_HOME": "/state"},
        {"HOME": ""},
        {"HOME": "relative"},
    ],
    ids=str,
)
def test_folders_are_where_platformdirs_has_them(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in environment.items():
        monkeypatch.setenv(name, folder)
    assert folders() == (platformdirs.user_state_path(APP), platformdirs.user_cache_path(APP))
