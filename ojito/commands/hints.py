"""What somebody meant who wrote a flag, a word or a setting that `train` and `build` do not take."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from ojito.config import Config
from ojito.errors import UsageError
from ojito.presets import PRESETS
from ojito.settings import group_names, places

_GROUPS = [field.name for field in dataclasses.fields(Config)]

FLAGS = ("data", "preset", "from", "config", "out", "steps", "minutes", "seed", "device", "force")

BUILT_IN = ("scenes", "photos16")

_LISTS = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet", ".tar", ".zip")

_ELSEWHERE = {
    "batch": "batch_size", "learning_rate": "lr", "max_steps": "steps", "num_steps": "steps", "num_workers": "workers",
    "wd": "weight_decay", "grad_clip": "clip", "gradient_accumulation_steps": "accumulate", "optim": "optimizer",
    "lr_scheduler": "schedule", "resolution": "image_size", "dataset": "data", "train_data": "data",
    "data_path": "data", "epochs": "steps", "num_epochs": "steps",
    "data_dir": "data", "output": "out", "output_dir": "out", "save_dir": "out", "resume": "from", "init_from": "from",
    "checkpoint": "from", "model": "preset", "time": "minutes", "gpu": "device", "overwrite": "force",
}  # fmt: skip
"""What other tools call it."""


def meant_by_flag(words: Sequence[str], flag: str) -> str:
    """Return the remedy for a flag that `train` does not take; empty if nothing is like it.

    Args:
        words: The command line.
        flag: The flag as it stands there, perhaps with =value.
    """
    name, _, value = flag.lstrip("-").partition("=")
    following = words[words.index(flag) + 1 : words.index(flag) + 2] if flag in words else []
    if not value and following and not following[0].startswith("-"):
        value = following[0]
    return _meant(name.replace("-", "_"), value)


def check_words(words: Iterable[str]) -> None:
    """Check the words that are to be settings for what has a flag of its own.

    Raises:
        UsageError: One is a path, a preset or the name of a flag or setting: says how to write it.
    """
    for word in words:
        name, equals, value = word.partition("=")
        name = name.strip()
        if equals and name in FLAGS and not value.lstrip().startswith("{"):
            raise UsageError(word, "is a flag, not a setting", f"write --{name} {value}".rstrip())
        if equals and name not in _GROUPS and (remedy := _meant(name, value)):
            raise UsageError(word, "is not a setting", remedy)
        if not equals and (remedy := _meant_by_word(word)):
            raise UsageError(word, "is not a setting", remedy)


def _meant(name: str, value: str) -> str:
    name = _ELSEWHERE.get(name, name)
    if name in FLAGS:
        return f"write --{name} {value}".rstrip()
    found = _settings(name)
    return "write " + " or ".join(f"{key}={value or 'VALUE'}" for key in found) if found else ""


def _meant_by_word(word: str) -> str:
    path = Path(word)
    if word in PRESETS and word not in BUILT_IN and not path.exists():
        return f"write --preset {word}"
    if path.suffix in (".yaml", ".yml"):
        return f"write --config {word}"
    if (path / "config.json").is_file():
        return f"write --from {word}"
    if word in BUILT_IN or path.exists() or "/" in word or path.suffix.lower() in _LISTS:
        return f"write --data {word}"
    found = _settings(word)
    return "write key=value, here " + " or ".join(f"{key}=VALUE" for key in found) if found else ""


def _settings(name: str) -> list[str]:
    return [key for key in places(Config, name) if key not in group_names(Config)]
