"""Two things at a time (git/along.py): both are over afterwards, and nothing that failed goes unheard."""

from __future__ import annotations

import signal
import threading

import pytest

from git_fleet.git.along import meanwhile


def test_both_are_done_at_the_same_time() -> None:
    met = threading.Barrier(2, timeout=60)

    def other() -> str:
        met.wait()
        return "done"

    assert meanwhile(other, lambda: void(met.wait())) == "done"


def void(_: object) -> None:
    """As a step, which gives nothing."""


def test_what_fails_beside_is_raised_here() -> None:
    done: list[str] = []

    def other() -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        meanwhile(other, lambda: done.append("step"))
    assert done == ["step"]


def test_a_step_that_fails_waits_for_the_other_and_goes_first() -> None:
    begun, over = threading.Event(), threading.Event()

    def other() -> None:
        begun.wait(60)
        over.set()
        raise OSError("later")

    def step() -> None:
        begun.set()
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        meanwhile(other, step)
    assert over.is_set()


def test_who_is_interrupted_while_it_waits_for_the_other_waits_on() -> None:
    waiting, left, over = threading.Event(), threading.Event(), threading.Event()
    waiter = threading.get_ident()

    def other() -> None:
        waiting.wait(60)
        signal.pthread_kill(waiter, signal.SIGINT)
        left.wait(0.2)  # whoever does not wait is gone by then
        over.set()

    with pytest.raises(KeyboardInterrupt):
        meanwhile(other, waiting.set)
    is_over = over.is_set()
    left.set()
    assert is_over
