"""A git server over smart HTTP: `git http-backend` behind Python's own HTTP server, a program of its own.

    python webserver.py ROOT PORT      serves the repositories below ROOT on 127.0.0.1 (0: any port), and says where

Whoever knows PASSWORD is who it says it is: REMOTE_USER, for hooks. `ROOT/line` says what becomes of pushes, from
then on: `lost` breaks the line before the answer, `twice` does each again, as proxies may, and gives the second answer.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PASSWORD = "secret"  # of a server on loopback, for as long as a test
LINE = "line"


class _Handler(BaseHTTPRequestHandler):
    """One request: one `git http-backend`."""

    protocol_version = "HTTP/1.1"
    root = Path()

    def do_GET(self) -> None:
        """What there is."""
        self._serve()

    def do_POST(self) -> None:
        """A fetch or a push."""
        self._serve()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal of the tests."""

    def _serve(self) -> None:
        body = self._body()
        user, _, password = self._credentials().partition(":")
        if not user or password != PASSWORD:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        line, answer = "", self._backend(user, body)
        if self.command == "POST" and self.path.endswith("/git-receive-pack") and len(body) > 4:
            at = self.root / LINE
            line = at.read_text(encoding="utf-8") if at.exists() else ""
        if line == "lost":
            self.close_connection = True
            return
        self._answer(self._backend(user, body) if line == "twice" else answer)

    def _backend(self, user: str, body: bytes) -> bytes:
        path, _, query = self.path.partition("?")
        variables = {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": user,
            "REMOTE_ADDR": self.client_address[0],
        }
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **variables},
            check=False,
        )
        return done.stdout

    def _answer(self, said: bytes) -> None:
        head, _, content = said.partition(b"\r\n\r\n")
        pairs = [line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line]
        self.send_response(int(dict(pairs).get("Status", "200").split()[0]))
        for name, value in pairs:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _credentials(self) -> str:
        kind, _, word = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(word).decode() if kind == "Basic" else ""

    def _body(self) -> bytes:
        """git sends what is larger than 1 MiB in chunks, as it comes."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _serve(root: str, port: str) -> None:
    _Handler.root = Path(root)
    with _Server(("127.0.0.1", int(port)), _Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
