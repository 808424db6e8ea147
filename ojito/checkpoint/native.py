"""A model's folder: `config.json`, `model.safetensors`, and what other parts put beside them.

Writing (`saving`, which everybody's folders are written by, too): every file is written to a hidden folder inside and
synced to the disk, and only then moved into place, one by one, `config.json` last. Files that stay the same are left
alone. So saving a run again replaces nothing but the weights, in one step that either happens or not. Where another
model was in the folder, or the weights are more than one file, `config.json` goes first: a save that is cut short
leaves a folder without one, which does not load, and never a mixture of two models. What only the one before had goes.
Other files in the folder, such as metrics.jsonl, stay.

Reading: safetensors and JSON, no pickle and no code. Nothing is allocated before names, shapes and dtypes in the file's
header are found to be those of the model.
"""

from __future__ import annotations

import filecmp
import fnmatch
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from ojito.checkpoint.files import CheckpointError, read_json
from ojito.checkpoint.tensors import CONFIG, INDEX, WEIGHTS, write_weights
from ojito.config import ModelConfig
from ojito.settings import ConfigError, read, write

STAGING = ".saving"
FORMAT = 1
WEIGHT_FILES = ("model*.safetensors", INDEX, "pytorch_model*")
OTHER_FILES = (
    "tokenizer.json", "processor.json", "recipe.yaml",
    "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "tokenizer.model", "vocab.json", "merges.txt", "preprocessor_config.json", "processor_config.json",
    "video_preprocessor_config.json", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
"""What makes a model beside config.json, in any form. A card is not among them: somebody may have written it."""


# --------------------------------------------------------------------------------------------------------------- saving


@contextmanager
def saving(folder: Path | str) -> Iterator[Path]:
    """A hidden folder to write files into; at the end they become the files of `folder`, as this module's text says.

    An exception leaves `folder` as it was. One process at a time saves into a folder.

    Args:
        folder: Where the model goes.

    Raises:
        CheckpointError: The folder cannot be written.
    """
    folder = Path(folder)
    staging, made = folder / STAGING, not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)  # of a save that was cut short
        staging.mkdir()
        yield staging
        _commit(staging, folder)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CheckpointError(f"{folder} cannot be written ({reason}); free the disk, or save elsewhere") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def holds_model(folder: Path | str) -> bool:
    """Whether a model is in the folder, of any form, or a part of one."""
    return bool(_matching(Path(folder), (CONFIG, *WEIGHT_FILES)))


def _matching(folder: Path, patterns: Sequence[str]) -> set[str]:
    names = [path.name for path in folder.iterdir() if not path.is_dir()] if folder.is_dir() else []
    return {name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)}


def save_model(folder: Path | str, name: str, config: ModelConfig, state: Mapping[str, Tensor]) -> None:
    """Writes `config.json` and `model.safetensors`; call it within `saving`.

    Args:
        folder: That of `saving`.
        name: What the model is called.
        config: Of the model.
        state: Its state dict.
    """
    values = {"format": FORMAT, "name": name, "model": write(config)}
    (Path(folder) / CONFIG).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    write_weights(Path(folder), state)


def _commit(staging: Path, folder: Path) -> None:
    """Moves the files into place, and removes those of a model that was there before and that this one has not."""
    files = {path.name for path in staging.iterdir()}
    changed = {name for name in files if not _same(staging / name, folder / name)}
    obsolete = _matching(folder, (*WEIGHT_FILES, *OTHER_FILES)) - files
    another = bool(changed - {WEIGHTS} or obsolete)  # model or processor: for a moment the files do not fit together
    if another:
        changed.add(CONFIG)
    for name in changed:
        _sync(staging / name)
    if another:
        (folder / CONFIG).unlink(missing_ok=True)
        _sync(folder)
        for name in obsolete:
            (folder / name).unlink()
    for name in sorted(changed, key=lambda name: name == CONFIG):
        os.replace(staging / name, folder / name)
    _sync(folder)


def _same(new: Path, old: Path) -> bool:
    # Weights are as good as never the same, and long to compare.
    return new.suffix != ".safetensors" and old.is_file() and filecmp.cmp(new, old, shallow=False)


def _sync(path: Path) -> None:
    """Waits until a file, or a folder's list of files, is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no such thing
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# -------------------------------------------------------------------------------------------------------------- loading


def read_config(folder: Path | str) -> tuple[str, ModelConfig]:
    """The name and the config of the folder's model.

    Raises:
        CheckpointError: No such file, or not JSON.
        ConfigError: A setting that cannot be used.
    """
    path, values = Path(folder) / CONFIG, read_json(folder, CONFIG)
    known = {"format", "name", "model"}
    if set(values) != known or not isinstance(values["name"], str):
        raise CheckpointError(f"{path} does not hold {', '.join(sorted(known))}; save the model again")
    if values["format"] != FORMAT:
        raise CheckpointError(f"{path} is of format {values['format']!r}, and this Ojito reads {FORMAT}; update Ojito")
    try:
        return values["name"], read(ModelConfig, values["model"], "model")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.key}", error.problem) from None
