"""Ctrl-C, SIGTERM and SIGHUP while a model is trained and saved: each ends the run, and none loses what was learned.

SIGTERM comes from `docker stop`, `timeout` and a job's time limit, SIGHUP from a terminal that is closed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Interrupted(KeyboardInterrupt):
    """A signal that ends the run.

    Attributes:
        signal: Its number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


class Interrupts:
    """Signals of a run. The first of them raises `Interrupted`, or waits where that would lose something.

    Attributes:
        signal: Number of the signal that came; 0 while there was none.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._raised, self._raises = False, True
        self._process = os.getpid()

    @property
    def waiting(self) -> bool:
        """Whether a signal came that nobody has heard of."""
        return bool(self.signal) and not self._raised

    def heard(self) -> None:
        """Take the signal that came for heard: whoever asks ends the run."""
        self._raised = True

    def hold(self) -> None:
        """Let signals wait from here on."""
        self._raises = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let signals wait until the end of this.

        Raises:
            Interrupted: At the end; a signal came.
        """
        with self._set(False):
            yield
        self._check()

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Let signals raise in here, after `hold`; also one that came before.

        Raises:
            Interrupted: A signal came.
        """
        with self._set(True):
            self._check()
            yield

    @contextmanager
    def _set(self, raises: bool) -> Iterator[None]:
        before, self._raises = self._raises, raises
        try:
            yield
        finally:
            self._raises = before

    def _check(self) -> None:
        if self._raises and self.waiting:
            self._raised = True
            raise Interrupted(self.signal)

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        """Take a signal, as Python's handlers do.

        Raises:
            Interrupted: It is the first, and need not wait.
            KeyboardInterrupt: This is a process of the loader, which has nothing to save.
        """
        if os.getpid() != self._process:
            raise KeyboardInterrupt
        first, self.signal = not self.signal, self.signal or number
        if first and self._raises:
            self._check()
        # A signal may come in the middle of another line, or after the terminal has gone.
        with suppress(OSError, RuntimeError, ValueError):
            sys.stderr.write(f"ojito: {signal.Signals(number).name}: saving what was learned comes first\n")


_current: Interrupts | None = None


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """The signals of a run, from here on; within a run, they are the run's.

    Signals that somebody else handles or ignores (`nohup`) stay theirs, and threads get none. One that came so late
    that nobody heard of it is sent on at the end.
    """
    global _current
    if threading.current_thread() is not threading.main_thread():
        yield Interrupts()
        return
    if _current is not None:
        yield _current
        return
    made = _current = Interrupts()
    before = {}
    try:
        for number in (getattr(signal, name) for name in SIGNALS if hasattr(signal, name)):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, made.receive)
        yield made
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _current = None
        if made.waiting:
            signal.raise_signal(made.signal)
