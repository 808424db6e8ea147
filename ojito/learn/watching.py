"""A lesson checked at every save, and the keys of its learner."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

_PAUSE = 0.1  # seconds between two looks at the file and the keys


class Keys(Protocol):
    """The keyboard."""

    def __call__(self) -> str:
        """Return the key that was pressed, "" for none, without waiting."""


def watch(
    path: Callable[[], Path],
    react: Callable[[str], bool],
    keys: Keys,
    pause: Callable[[], None] = lambda: time.sleep(_PAUSE),
) -> None:
    """Call `react` with "save" when the file changes, and with each key; until it returns False.

    An editor may write a file in two steps, or remove and rename it: it counts as saved once it is there and rests.

    Args:
        path: The file to watch, which is another one after the next lesson is begun.
        react: What to do; returns whether to go on.
        keys: The keyboard.
        pause: Waits between two looks.
    """
    seen = {path(): _stamp(path())}
    waiting: tuple[Path, int] | None = None
    while True:
        key = keys()
        if key and not react(key):
            return
        file = path()
        stamp = _stamp(file)
        if stamp and stamp != seen.setdefault(file, stamp):
            if waiting == (file, stamp):  # it has not changed since the last look
                seen[file], waiting = stamp, None
                if not react("save"):
                    return
            else:
                waiting = file, stamp
        pause()


def _stamp(path: Path) -> int:
    """When a file was written last; 0 where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@contextlib.contextmanager
def keyboard() -> Iterator[Keys]:
    """The terminal's keys, one at a time, without Enter; where there is no terminal, none is ever pressed."""
    if not sys.stdin.isatty():
        yield lambda: ""
    elif os.name == "nt":
        import msvcrt

        yield lambda: msvcrt.getwch() if msvcrt.kbhit() else ""  # type: ignore[attr-defined]
    else:
        import select
        import termios
        import tty

        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor)

        def pressed() -> str:
            ready, _, _ = select.select([descriptor], [], [], 0)
            return os.read(descriptor, 1).decode("utf-8", "replace") if ready else ""

        try:
            yield pressed
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
