"""Starts one agent, keeps what it prints and how it ended, and outlives whoever asked for that.

    python -I -S minder.py FOLDER FD     starts what FOLDER/spec says; FD is the lock on FOLDER/alive, handed over
    python -I -S minder.py FOLDER        the same at a terminal, such as a pane of tmux (app/panes.py)

FOLDER is made by app/agents.py. `alive` is locked (flock) for as long as this runs: proof of life that no number
given twice can fake. `spec` is bytes, each item ended by NUL: "1", the mark, the log, its cap in bytes, the
folder to work in, the number of arguments, these, then the environment as NAME=VALUE. It holds secrets, so it
goes as soon as it is read. Two files have been given their room on the disk, so that a full one cannot keep
them from being written; each appears whole under its name, one JSON object, blanks behind it:

    started.json   {"v":1,"mark":"…","pid":7,"start":123,"minder":6,"pane":"","at":1767225600.0}
    exit.json      {"v":1,"mark":"…","code":0,"step":"","errno":0,"at":1767225600.0}

The first is there before the agent's program begins. `start` is its start in the kernel's ticks since boot (0
where there is no /proc), `at` are Unix seconds, `code` its exit code or minus the signal that ended it; null when
it could not be started: then `step` (`folder` or `program`) and `errno` say why.

A log of CAP bytes is a file with the first half of them as they came, and beside it `LOG.<offset>`: at most two
pieces of a quarter each, named after the place of their first byte in all that was printed. So the end is on disk
at any moment, and what is missing can be counted. A write that fails (a full disk) costs output, never the agent.

At a terminal the agent gets one of its own: what it prints goes to both, the log and the terminal, what is typed
goes to the agent. So it has a session of its own there, too, and outlives the terminal.

Standard library, and little of it: `_signal` instead of `signal`, no json, no pathlib, since starting an agent
pays for each import.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import fcntl
import os
import select
import sys
import time

_FRESH = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_CHUNK = 65_536
_DRAINED = 64  # chunks: more than any pipe holds; a survivor may still be printing
_PIECES = 2
_CANNOT = 127


class Log:
    """What an agent prints, at most `cap` bytes of it on disk."""

    def __init__(self, path: bytes, cap: int) -> None:
        self._path, self._piece_bytes = path, max(1, cap // 4)
        self._pieces: list[bytes] = []
        self._offset, self._empty = 0, False  # empty: the newest piece
        self._room = cap - _PIECES * self._piece_bytes
        self._head = self._file = self._open(path)

    def write(self, data: bytes) -> None:
        """Add to it. What finds no room on the disk is left out, and counted by the next piece's name."""
        rest = memoryview(data)
        while rest:
            if self._file < 0 or not self._room:
                self._next()
            try:
                written = os.write(self._file, rest[: self._room])
            except OSError:
                break
            self._offset, self._room = self._offset + written, self._room - written
            self._empty, rest = False, rest[written:]
            while len(self._pieces) > _PIECES:
                _unlink(self._pieces.pop(0))
        if rest:
            self._leave_out(len(rest))

    def take(self, pipe: int, screen: int | None = None) -> bool | None:
        """Copy a chunk of what stands in `pipe`, to `screen` as well; False at its end, None when there is nothing
        now."""
        try:
            data = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return None
        except OSError:  # a terminal that went away
            return False
        if screen is not None:
            _show(screen, data)
        self.write(data)
        return bool(data)

    def finish(self) -> None:
        """Say that the last bytes are missing, when they are: by a piece that is empty."""
        if self._file < 0 and self._offset:
            self._next()

    def _leave_out(self, count: int) -> None:
        self._close()
        if self._empty and self._pieces:
            _unlink(self._pieces.pop())
        self._offset += count
        try:
            os.utime(self._path)  # still a sign of life
        except OSError:
            pass

    def _next(self) -> None:
        """Go on in a new piece; the oldest goes once something stands in it."""
        self._close()
        name = b"%b.%d" % (self._path, self._offset)
        self._file, self._room = self._open(name), self._piece_bytes
        self._empty = self._file >= 0
        if self._empty:
            self._pieces.append(name)

    def _close(self) -> None:
        if self._file not in (-1, self._head):  # the head's lock says that all of this is being written
            os.close(self._file)
        self._file = -1

    @staticmethod
    def _open(path: bytes) -> int:
        """Locked for as long as it is open: app/outputs.py leaves it alone. -1 when it cannot be made."""
        try:
            handle = os.open(path, _FRESH | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)  # no link, no pipe
            fcntl.flock(handle, fcntl.LOCK_SH)
        except OSError:
            return -1
        return handle


class Spec:
    """What is to be started, as FOLDER/spec says it."""

    def __init__(self, data: bytes) -> None:
        version, mark, self.log, cap, self.cwd, count, *items = data.split(b"\0")[:-1]
        if version != b"1":
            raise ValueError(version)
        self.mark, self.cap = mark.decode(), int(cap)
        self.argv, variables = items[: int(count)], items[int(count) :]
        self.env = {name: value for name, _, value in (item.partition(b"=") for item in variables)}


def main(argv: list[str]) -> int:
    """Do what the arguments say (see above): the exit code."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    folder = os.fsencode(argv[0])
    if len(argv) > 1:
        os.set_inheritable(int(argv[1]), False)
        return _mind(folder, _read(folder), None)
    alive = os.open(folder + b"/alive", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(alive, fcntl.LOCK_EX)  # until then whoever starts this may still take it back
    try:
        spec = _read(folder)
    except FileNotFoundError:
        return _CANNOT
    spec.env[b"TERM"] = os.environb.get(b"TERM", b"dumb")
    return _mind(folder, spec, 0)


def _mind(folder: bytes, spec: Spec, screen: int | None) -> int:
    """From the agent's start to its end. With `screen`, the descriptor of this terminal, it gets one of its own."""
    woken = _wake_on_child()
    out, printing = os.pipe() if screen is None else _terminal(screen)
    os.set_blocking(out, False)
    log = Log(spec.log, spec.cap)
    pid = _start(spec, folder, printing, screen is not None)
    os.close(printing)
    code = _follow(pid, out, woken, log, screen) if pid else None
    log.finish()
    if code is None:
        return _CANNOT
    _say(folder, b"exit.json", spec, '"code":%d,"step":"","errno":0' % code)
    return code if code >= 0 else 128 - code


def _terminal(screen: int) -> tuple[int, int]:
    """A terminal for the agent, as this one is, and as large whenever that changes; this one passes all on as it is."""
    import termios

    ours, its = os.openpty()
    attributes = termios.tcgetattr(screen)
    termios.tcsetattr(its, termios.TCSANOW, attributes)
    attributes[0:2] = [0, 0]  # nothing is made of what comes in and goes out
    attributes[3] = 0  # neither echo, nor lines, nor signals
    termios.tcsetattr(screen, termios.TCSANOW, attributes)

    def fit(*_: object) -> None:
        size = fcntl.ioctl(screen, termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(ours, termios.TIOCSWINSZ, size)

    fit()
    signal.signal(signal.SIGWINCH, fit)
    return ours, its


def _show(screen: int, data: bytes) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(screen, rest) :]
    except OSError:  # the terminal is gone: the log is not
        pass


def _read(folder: bytes) -> Spec:
    path = folder + b"/spec"
    with open(path, "rb") as file:
        spec = Spec(file.read())
    os.unlink(path)
    return spec


def _wake_on_child() -> int:
    """A descriptor that can be read as soon as a child has ended: pidfd is Linux's alone."""
    woken, waking = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waking, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    return woken


def _start(spec: Spec, folder: bytes, printing: int, at_terminal: bool) -> int:
    """The agent's process id, 0 when it did not begin: then exit.json says why."""
    going, go = os.pipe()
    failing, failed = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)  # else it would wait for itself, should its parent die
        _become(spec, printing, at_terminal, going, failed)
    os.close(failed)
    os.read(failing, 1)  # it has a session of its own by now, and can be ended
    start, pane = _start_ticks(pid), os.environb.get(b"TMUX_PANE", b"").decode("ascii", "replace")
    known = '"pid":%d,"start":%d,"minder":%d,"pane":"%s"' % (pid, start, os.getpid(), _plain(pane))
    if _say(folder, b"started.json", spec, known):
        os.write(go, b"g")
    os.close(go)
    step, _, number = os.read(failing, 64).decode().partition(" ")
    if not step:
        return pid
    os.waitpid(pid, 0)
    _say(folder, b"exit.json", spec, '"code":null,"step":"%s","errno":%s' % (step, number))
    return 0


def _become(spec: Spec, printing: int, at_terminal: bool, going: int, failed: int) -> None:
    """In the new process: never returns. It begins once it is on record, or not at all."""
    step = b"folder"
    try:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        if at_terminal:
            import termios

            fcntl.ioctl(printing, termios.TIOCSCTTY, 0)
        for number in (0, 1, 2) if at_terminal else (1, 2):
            os.dup2(printing, number)
        os.write(failed, b".")
        os.chdir(spec.cwd)
        if os.read(going, 1) == b"g":
            step = b"program"
            os.execvpe(spec.argv[0], spec.argv, spec.env)
        os.write(failed, b"record 0")
    except OSError as error:
        os.write(failed, b"%b %d" % (step, error.errno or 0))
    finally:
        os._exit(_CANNOT)


def _follow(pid: int, out: int, woken: int, log: Log, screen: int | None) -> int:
    """Copy what it prints until it has ended: its exit code. It may close its output and go on, and what it leaves
    running may hold it open."""
    poll = select.poll()
    for each in (out, woken) if screen is None else (out, woken, screen):
        poll.register(each, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready == woken:
                os.read(woken, _CHUNK)
            elif ready == out:
                if log.take(out, screen) is False:
                    poll.unregister(out)
            elif not _type(ready, out):
                poll.unregister(ready)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            for _ in range(_DRAINED):
                if not log.take(out, screen):
                    break
            return os.waitstatus_to_exitcode(status)


def _type(screen: int, agent: int) -> bool:
    """Hand on what was typed, as far as the agent takes it; False when nothing more will come."""
    try:
        data = os.read(screen, _CHUNK)
        os.write(agent, data)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return bool(data)


def _say(folder: bytes, name: bytes, spec: Spec, known: str) -> bool:
    """Fill in a file that has its room already, and give it its name; False when it is not there any more."""
    text = '{"v":1,"mark":"%s",%s,"at":%.6f}' % (spec.mark, known, time.time())
    path = folder + b"/" + name
    try:
        handle = os.open(path + b".new", os.O_WRONLY)
        os.write(handle, text.encode())
        os.close(handle)
        os.rename(path + b".new", path)
    except OSError:
        return False
    return True


def _start_ticks(pid: int) -> int:
    try:
        with open(b"/proc/%d/stat" % pid, "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except OSError:
        return 0


def _plain(pane: str) -> str:
    return pane if pane[:1] == "%" and pane[1:].isdecimal() else ""


def _unlink(path: bytes) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
