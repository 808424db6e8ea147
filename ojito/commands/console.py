"""Output that commands share: numbers for people, notes and progress on stderr."""

from __future__ import annotations

import sys
from pathlib import Path

from ojito.memory import parameters, short_count
from ojito.model import VLM
from ojito.presets import PRESETS
from ojito.settings import is_yaml_file
from ojito.trainer.progress import progress_bar

progress = progress_bar
short = short_count


def count(model: VLM) -> dict[str, int]:
    """Return the number of parameters of each part."""
    return {name: parameters(part) for name, part in model.parts.items()}


def format_bytes(size: float) -> str:
    """Return a number of bytes with its unit: 512 B, 3 MiB, 5.4 GiB."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def is_preset(name: str) -> bool:
    """Whether this is the name of a preset, or a recipe, and not a folder in the current one."""
    return (name in PRESETS or is_yaml_file(name)) and not Path(name).is_dir()


def tell_random(name: str) -> None:
    """Print a note if the model is a preset, whose weights are random."""
    if is_preset(name):
        print(f"ojito: {name} is a preset, and its weights are random; train it first", file=sys.stderr)
