"""The file of a trace, in Chrome's trace event format, an array of JSON objects (ui.perfetto.dev opens it):

    [
    {"name":"git for-each-ref","cat":"git","ph":"B","ts":1203.4,"pid":7,"tid":7,"args":{"argv":[…],"cwd":"/r"}},
    {"ph":"E","ts":1205.9,"pid":7,"tid":7,"args":{"code":0}},

The closing bracket may be missing, so it is never written: what there is is a trace even if everybody was killed.
Several processes write into it, one line at a time, under a lock, behind whole lines only. Times are microseconds of
the clock that they all share. What looks like a password is left out; task titles and paths are not.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import re
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from git_fleet import __version__
from git_fleet.errors import InvalidInput

_MOST_WORDS, _MOST_CHARACTERS = 40, 300
_TAIL = 1 << 16
_HEAD = b'[\n{"name":'
_SECRETS = (
    (re.compile(r"(?<=://)[^/@\s]+(?=@)"), "***"),
    (re.compile(r"(authorization:\s*).*", re.IGNORECASE | re.DOTALL), r"\1***"),
    (re.compile(r"((?:token|passw|secret|signature|credential|api-?_?key|access-?_?key|extraheader)[^=\s&]*=)[^&\s]+",
                re.IGNORECASE), r"\1***"),
)  # fmt: skip


class Trace:
    """A file that is written to. Several processes may have it open."""

    def __init__(self, path: str) -> None:
        """`path` is absolute; the file is made where there is none. Raises InvalidInput when it cannot be written,
        or holds something that is no trace."""
        self.path = path
        self._handle = _opened(path)
        self._alone = threading.Lock()
        self._threads: set[int] = set()

    def hello(self) -> None:
        """Say which process this is. What it does from now until `close`, or its end, is a span of its own."""
        words = iter(sys.argv[1:])
        name = " ".join(["git fleet", *(word for word in words if word != "--trace" or not next(words, ""))])
        self.write({"name": "process_name", "ph": "M", "args": {"name": name}})
        about = {
            "argv": sys.argv,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "version": __version__,
            "python": sys.version,
        }
        self.write({"name": name, "cat": "process", "ph": "B", "args": about})
        atexit.register(self.close)

    def close(self) -> None:
        """It has ended, or is to be traced no more."""
        atexit.unregister(self.close)
        self.write({"ph": "E"})
        with self._alone:
            os.close(self._handle)
            self._handle = -1

    def write(self, event: Mapping[str, Any]) -> None:
        """Add an event of now, of this thread."""
        thread = threading.get_native_id()
        whole = {**_plain(event), "ts": time.monotonic_ns() / 1000, "pid": os.getpid(), "tid": thread}
        with self._alone:
            if self._handle < 0:
                return
            text = _line(whole)
            if thread not in self._threads:
                self._threads.add(thread)
                name = {"name": threading.current_thread().name}
                meta = {"name": "thread_name", "ph": "M", "pid": os.getpid(), "tid": thread, "args": name}
                text = _line(meta) + text
            try:
                self._append(text)
            except OSError:
                return  # a full disk, say: what is traced matters more

    def _append(self, text: bytes) -> None:
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        try:
            size = os.lseek(self._handle, 0, os.SEEK_END)
            if size and os.pread(self._handle, 1, size - 1) != b"\n":
                size = self._whole(size)
            os.pwrite(self._handle, text if size else b"[\n" + text, size)
        finally:
            fcntl.flock(self._handle, fcntl.LOCK_UN)

    def _whole(self, size: int) -> int:
        """How much of the file is whole lines: somebody was killed while writing the last one."""
        start = max(0, size - _TAIL)
        last = os.pread(self._handle, size - start, start).rfind(b"\n")
        whole = start + last + 1 if last >= 0 else 0
        os.ftruncate(self._handle, whole)
        return whole


def _opened(path: str) -> int:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidInput(f"cannot write the trace {path}: {error.strerror}", hint="--trace FILE") from error
    there = os.pread(handle, len(_HEAD), 0)
    if not _HEAD.startswith(there):
        os.close(handle)
        raise InvalidInput(f"{path} is no trace, and stays as it is", hint="--trace FILE names a new file")
    return handle


def _line(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode("ascii") + b",\n"


def _plain(value: Any) -> Any:
    """`value` as JSON can have it, cut where it is long, without what looks like a secret."""
    if isinstance(value, bytes):
        value = os.fsdecode(value)
    if isinstance(value, (bool, int, float, type(None))):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        more = [f"… and {len(value) - _MOST_WORDS} more"] if len(value) > _MOST_WORDS else []
        return [*(_plain(one) for one in value[:_MOST_WORDS]), *more]
    return redacted(str(value))


def redacted(text: str) -> str:
    """`text` without what looks like a password or a token, and not longer than a line."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}… ({len(text)} characters)"
