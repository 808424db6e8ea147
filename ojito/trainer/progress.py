"""Progress of a run: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType
from typing import TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from ojito.records import Progress

LINE_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""


class _Lasting(io.TextIOBase):
    """A stream that goes on when its terminal is closed: a run that is saved then must not end in its last line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding


def _console(stream: TextIO | None = None) -> Console:
    return Console(file=cast(TextIO, _Lasting(stream or sys.stderr)))


class Display(AbstractContextManager["Display"]):
    """Display of a run's progress on stderr, so that stdout stays free for results.

    Args:
        quiet: Shows nothing.
        stream: Where to; None means stderr.

    Attributes:
        quiet: Whether it shows nothing.
    """

    def __init__(self, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.quiet = quiet
        self._console = _console(stream)
        self._last_line = time.monotonic()
        self._bar: Bar | None = None
        if self._console.is_terminal and not quiet:
            self._bar = Bar(
                SpinnerColumn(), BarColumn(), TextColumn("{task.description}"), console=self._console, transient=True
            )
            self._task = self._bar.add_task("the first step is the slowest", total=1.0)

    def __enter__(self) -> Display:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, progress: float, step: int, loss: float | None, samples_per_second: float, seconds: float) -> None:
        """Show the state after a step; `seconds` is the time trained so far."""
        if self.quiet:
            return
        left = seconds * (1 - progress) / progress if progress > 0 else 0.0
        shown = "-" if loss is None else f"{loss:.3f}"
        text = f"step {step}  loss {shown}  {samples_per_second:.0f} samples/s  {_clock(left)} left"
        if self._bar:
            self._bar.update(self._task, completed=progress, description=text)
        elif time.monotonic() - self._last_line >= LINE_EVERY:
            self._last_line = time.monotonic()
            self.say(f"{progress:4.0%}  {text}")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the bar while evaluation shows its own."""
        if self._bar:
            self._bar.stop()
        try:
            yield
        finally:
            if self._bar:
                self._bar.start()

    @contextmanager
    def progress(self, doing: str) -> Iterator[Progress]:
        """Progress of other work of the run: a bar on a terminal, a line now and then elsewhere."""
        last = time.monotonic()
        with progress_bar(doing, self.quiet) as bar:

            def report(done: int, total: int) -> None:
                nonlocal last
                bar(done, total)
                if not self._console.is_terminal and time.monotonic() - last >= LINE_EVERY:
                    last = time.monotonic()
                    self.say(f"{done / max(total, 1):4.0%}  {doing}, {done:,} of {total:,}")

            yield report

    def say(self, text: str) -> None:
        """Print one line that stays."""
        if not self.quiet:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(doing: str, quiet: bool = False) -> Iterator[Progress]:
    """A bar on stderr for other long work, while there is a terminal to see it; it appears with the first report.

    Args:
        doing: Words beside the bar.
        quiet: Shows nothing.
    """
    console = _console()
    with Bar(console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task: TaskID | None = None

        def report(done: int, total: int) -> None:
            nonlocal task
            task = bar.add_task(doing) if task is None else task
            bar.update(task, completed=done, total=total)

        yield report


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if minutes >= 60 else f"{minutes}:{seconds:02}"
