"""Ways to reach one bare repository, each through a real server on loopback that knows who pushes.

    with hosted("ssh", folder) as host:
        clone = host.clone(folder / "w1" / "repo", "w1")    # whatever is pushed from there is pushed by w1

`path`: no server; `http`: `git http-backend` (webserver.py), by the user's name; `ssh`: a real sshd, by the key, as
`allowed` of `git fleet guard --server` explains it.
"""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support import webserver
from tests.support.clones import CONFIG, make_server
from tests.support.keys import new_key
from tests.support.race import until
from tests.support.repo import Repo

KINDS = ("path", "http", "ssh")
_SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
# No server outlives a test run that is killed, where that can be had.
_WITH_US = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
_LOCKED_AWAY = Path("/run/sshd")  # where root's sshd goes with what it does not trust yet
# The key exchange that OpenSSH prefers today takes five times the CPU of all else that a connection does.
_SSHD_CONFIG = """\
KexAlgorithms curve25519-sha256
ListenAddress 127.0.0.1:{port}
HostKey {folder}/key-host
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin forced-commands-only
MaxStartups 100
SetEnv {variables}
"""


class Host:
    """The repository `server`, reached by its path. `folder` is for what the server itself needs."""

    kind = "path"

    def __init__(self, server: Path, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def clone(self, path: Path, pusher: str, *, port: int = 0) -> Repo:
        """A clone of it at `path` for that pusher; `port` is of a line that leads to the server's."""
        path.parent.mkdir(parents=True, exist_ok=True)
        url, settings = self._way(pusher, port or self.port)
        words = [word for pair in settings.items() for word in ("-c", "=".join(pair))]
        Repo(path.parent).run_git("clone", "--quiet", *words, url, str(path))
        return Repo(path)

    def start(self) -> None:
        """Serve, from now on, where it was served before."""
        self._process = self._started()
        if self._process is not None:
            # The session of the server is what `servers.die_at` kills.
            (self.server / "victim").write_text(str(self._process.pid))

    def kill(self) -> None:
        """End the server as kill -9 does, with all that it is at."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._reap()

    @property
    def is_up(self) -> bool:
        """Whether it serves."""
        return self._process is None or self._process.poll() is None

    def _reap(self) -> None:
        if self._process is not None:
            self._process.communicate()

    def _way(self, pusher: str, port: int) -> tuple[str, dict[str, str]]:  # noqa: ARG002 - other ways have one
        """The URL, and what git has to be told, to push as `pusher`."""
        return str(self.server), {"remote.origin.receivepack": f"env FLEET_PUSHER={pusher} git-receive-pack"}

    def _started(self) -> subprocess.Popen[str] | None:
        return None


class _Web(Host):
    kind = "http"

    def _way(self, pusher: str, port: int) -> tuple[str, dict[str, str]]:
        return f"http://{pusher}:{webserver.PASSWORD}@127.0.0.1:{port}/{self.server.name}", {}

    def _started(self) -> subprocess.Popen[str]:
        program = [
            *_WITH_US,
            sys.executable,
            "-S",
            webserver.__file__,
            str(self.server.parent),
            str(self.port),
        ]
        process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stdout is not None
        self.port = int(process.stdout.readline())
        return process

    def lines_are(self, what: str) -> None:
        """What becomes of pushes from now on: `lost`, `twice`, or "" for nothing (webserver.py)."""
        (self.server.parent / webserver.LINE).write_text(what)


class _Ssh(Host):
    kind = "ssh"

    def __init__(self, server: Path, folder: Path) -> None:
        super().__init__(server, folder)
        self._public = _public(new_key(folder, "host"))
        (folder / "known_hosts").write_text(f"server {self._public}\n")

    def _way(self, pusher: str, port: int) -> tuple[str, dict[str, str]]:
        key = self.folder / f"key-{pusher}"
        if not key.exists():
            forced = f'command="FLEET_PUSHER={pusher} git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"",restrict'
            with (self.folder / "authorized_keys").open("a") as known:
                known.write(f"{forced} {_public(new_key(self.folder, pusher))}\n")
        options = ("IdentitiesOnly=yes", "HostKeyAlias=server", "StrictHostKeyChecking=yes")
        known_hosts = f"UserKnownHostsFile={self.folder}/known_hosts"
        words = [word for option in (*options, known_hosts) for word in ("-o", option)]
        ssh = shlex.join(["ssh", "-F", "none", "-i", str(key), *words])
        return f"ssh://{getpass.getuser()}@127.0.0.1:{port}{self.server}", {"core.sshCommand": ssh}

    def _started(self) -> subprocess.Popen[str]:
        assert _SSHD is not None
        while True:
            port = self.port or _free_port()
            config = self.folder / "sshd_config"
            config.write_text(
                _SSHD_CONFIG.format(port=port, folder=self.folder, variables=_sealed_variables())
            )
            process = subprocess.Popen(
                [*_WITH_US, _SSHD, "-D", "-e", "-f", str(config)],
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            until(lambda: process.poll() is not None or _answers(port))  # noqa: B023 - it is called at once
            if process.poll() is None:
                self.port = port
                return process
            said = process.communicate()[1]
            assert "in use" in said, said


def _public(key: Path) -> str:
    return key.with_name(f"{key.name}.pub").read_text().rsplit(" ", 1)[0]


def _sealed_variables() -> str:
    """The environment of the test, as far as git on the server's side needs it."""
    names = ("HOME", "PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "XDG_CACHE_HOME", "XDG_STATE_HOME")
    return " ".join(f'"{name}={os.environ[name]}"' for name in names)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as line:
        line.settimeout(1)
        return line.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def hosted(kind: str, folder: Path, *, config: str = CONFIG) -> Iterator[Host]:
    """A bare repository below `folder`, reached so. Skips where there is no sshd for it."""
    if kind == "ssh" and _SSHD is None:
        pytest.skip("there is no sshd; on Debian: apt install openssh-server")
    if kind == "ssh" and os.getuid() == 0 and not _LOCKED_AWAY.is_dir():
        pytest.skip(f"root's sshd needs a folder: mkdir {_LOCKED_AWAY}")
    with ExitStack() as stack:
        server = make_server(folder / "server.git", config=config)
        own = folder / kind
        own.mkdir()
        host = {"path": Host, "http": _Web, "ssh": _Ssh}[kind](server, own)
        stack.callback(host.kill)
        host.start()
        yield host


def is_web(host: Host) -> _Web:
    """The host as one whose lines can be spoilt."""
    assert isinstance(host, _Web)
    return host
