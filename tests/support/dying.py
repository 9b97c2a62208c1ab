"""Processes that are killed (-9) at their k-th step, for every k.

A step is what leaves a trace: starting a program, making, renaming, linking or removing a file or folder.
Python reports each just before it happens, so the code under test is the real one, unchanged.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from itertools import count
from typing import Never

STEPS = {"subprocess.Popen", "os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir"}


def killed_at_every_step(work: Callable[[], object], *, stride: int = 1, most: int = 500) -> Iterator[int]:
    """Run `work` in a new process that dies before its first step, then one that dies before its second, ….

    `stride` leaves some out where each run takes long. Gives the number after each death, so that the caller looks at what is left (and may tidy up). Ends when
    a process gets to its end. Fails when `work` raises, when it has no step, and after `most` steps.
    """
    for step in count(1, stride):
        assert step <= most, "this never comes to an end"
        pid = os.fork()
        if pid == 0:
            _run(work, step)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            yield step
            continue
        assert os.waitstatus_to_exitcode(status) == 0, f"the run with {step} steps failed by itself"
        assert step > 1, "nothing was killed"
        return


def _run(work: Callable[[], object], last: int) -> Never:
    """In the new process: never returns."""
    left = last

    def watch(event: str, _: object) -> None:
        nonlocal left
        if event in STEPS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    end_with(work)


def end_with(work: Callable[[], object]) -> Never:
    """Work, and end this process: with 1 where the work raised."""
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - the process ends here, and its parent asks why
        traceback.print_exc()
    finally:
        os._exit(code)
