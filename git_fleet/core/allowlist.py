"""Which variables of the environment a command may see that runs workers' code (DESIGN section 9)."""

from __future__ import annotations

from collections.abc import Mapping

_PASSED = frozenset(
    {
        # who and where the user is; without HOME and PATH hardly any toolchain starts
        "HOME", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
        "XDG_DATA_HOME", "XDG_STATE_HOME",
        # language and terminal
        "COLORTERM", "LANG", "LANGUAGE", "NO_COLOR", "TERM",
        # where toolchains and certificates are
        "ANDROID_HOME", "CARGO_HOME", "CONDA_PREFIX", "DEVELOPER_DIR", "DOTNET_ROOT", "GOCACHE", "GOMODCACHE",
        "GOPATH", "GOROOT", "GRADLE_USER_HOME", "JAVA_HOME", "LD_LIBRARY_PATH", "MAVEN_HOME", "NIX_PATH",
        "NIX_PROFILES", "NIX_SSL_CERT_FILE", "NVM_DIR", "PKG_CONFIG_PATH", "PNPM_HOME", "PYENV_ROOT",
        "PYENV_VERSION", "RBENV_ROOT", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "SDKROOT", "SSL_CERT_DIR",
        "SSL_CERT_FILE", "UV_CACHE_DIR", "VIRTUAL_ENV",
    }
)  # fmt: skip
_PASSED_PREFIXES = ("LC_",)
_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})


def environment(base: Mapping[str, str], extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command: what of `base` is on the allow-list, then all of `extra`.

    Not on it, and so never seen by workers' code: tokens and keys under whatever name, GIT_*, FLEET_* and
    what agents set. A proxy passes unless its address holds a password. `extra` is what the user means
    to give (`[env]` in fleet.toml).
    """
    kept = {name: value for name, value in base.items() if _passes(name, value)}
    return {**kept, **(extra or {})}


def _passes(name: str, value: str) -> bool:
    if name.upper() in _PROXIES:
        return "@" not in value
    return name in _PASSED or name.startswith(_PASSED_PREFIXES)
