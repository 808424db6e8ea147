"""A limit on how long a learner's function may compute."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SECONDS = 10.0
"""Of processor time, so that a busy machine stops nobody; a right solution takes a hundredth of a second."""


class Endless(BaseException):
    """What is raised where a function computes for longer; an `except Exception` of the learner's does not catch it."""


@contextlib.contextmanager
def limited(seconds: float | None = None) -> Iterator[None]:
    """Raise `Endless` in the code of the block, at the line that it has come to, once it has computed for so long.

    There is no limit where the system has no such timer (Windows), nor outside of the main thread.

    Args:
        seconds: How long; `SECONDS`, if left out.
    """
    allowed = SECONDS if seconds is None else seconds
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Endless(f"was stopped after {allowed:g} s: does a loop never end?")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, allowed)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
