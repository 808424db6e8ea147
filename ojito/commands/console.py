"""How commands tell numbers, and how far long work is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TaskID

from ojito.model import VLM
from ojito.presets import PRESETS
from ojito.records import Progress


def count(model: VLM) -> dict[str, int]:
    """Parameters of each part."""
    return {name: sum(p.numel() for p in part.parameters()) for name, part in model.parts.items()}


def short(number: int) -> str:
    """A count in three or four digits: 1.85M, 222M, 2.92B."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.{2 if number < 10 * size else 1 if number < 100 * size else 0}f}{unit}"
    return str(number)


def memory(size: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def is_preset(name: str) -> bool:
    """Whether the name is that of a preset, and not of a folder beside us."""
    return name in PRESETS and not Path(name).is_dir()


def tell_random(name: str) -> None:
    """Says so when it is a preset, which has never learned anything."""
    if is_preset(name):
        print(f"ojito: {name} is a preset, and its weights are random: train it first", file=sys.stderr)


@contextmanager
def progress(doing: str) -> Iterator[Progress]:
    """A bar on stderr, while there is a terminal to see it; none before there is something to tell."""
    with Bar(console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()) as bar:
        task: TaskID | None = None

        def tell(done: int, total: int) -> None:
            nonlocal task
            task = bar.add_task(doing) if task is None else task
            bar.update(task, completed=done, total=total)

        yield tell
