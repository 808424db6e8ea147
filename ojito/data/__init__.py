"""Data to learn from: your own images (`sources`), drawn `scenes`, sixteen `photos`; `batches` of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

from ojito.config import Config, DataConfig
from ojito.data.batches import Batches
from ojito.data.files import DataError
from ojito.data.grouping import turns_read
from ojito.data.hold_out import HoldOut, find_split, hold_out, mark_held_out
from ojito.data.indexed.lazy_rows import drawn_rows, is_lazy
from ojito.data.mixture import Mixture, mix
from ojito.data.photos import photos16
from ojito.data.scenes import Scenes
from ojito.data.source import Source
from ojito.data.sources import read_source
from ojito.data.state import merge_states
from ojito.data.stream import Rows, Stream
from ojito.processor import texts
from ojito.records import Progress

__all__ = [
    "BUILT_IN",
    "Batches",
    "DataError",
    "HoldOut",
    "Rows",
    "Scenes",
    "Source",
    "Stream",
    "check_address",
    "drawn_rows",
    "find_split",
    "hold_out",
    "is_lazy",
    "mark_held_out",
    "merge_states",
    "open_data",
    "photos16",
    "read_source",
    "training_texts",
]


_DRAWN = 50_000  # rows of large data whose texts are looked at

BUILT_IN = ("scenes", "photos16")
"""Sources that need no file."""


def open_data(config: Config | str | Path, progress: Progress = lambda done, total: None) -> Source | Scenes:
    """Open the data of a recipe: a built-in source, a file or a folder.

    Args:
        config: The recipe; or what `data.path` would say, with every other setting at its default.
        progress: Called while an index of large data is made, with the bytes read and all bytes.

    Raises:
        DataError: They cannot be read, or hold too many bad rows.
    """
    if not isinstance(config, Config):
        config = Config(data=DataConfig(path=str(config)))
    data = config.data
    if data.mixture:
        return _mixture(config, progress)
    check_address(data.path)
    if data.path == "scenes":
        return Scenes(data.scenes)
    if data.path == "photos16":
        photos = photos16()
        return Source("photos16", photos, form="built in", total=len(photos), turns=turns_read(photos, blind=False))
    prompt = config.processor.prompt
    return read_source(
        data.path,
        data.max_bad,
        pack=prompt.turns == "blind",
        conversations=data.conversations,
        system=bool(prompt.user_with_system),
        rows_mb=data.rows_mb,
        progress=progress,
    )


def _mixture(config: Config, progress: Progress) -> Mixture:
    parts = []
    for mixed in config.data.mixture:
        alone = dataclasses.replace(config.data, path=mixed.path, mixture=())
        part = open_data(dataclasses.replace(config, data=alone), progress)
        if not isinstance(part, Source):
            raise DataError(mixed.path, "are drawn without end, and cannot be mixed", "give files or folders")
        parts.append(part)
    return mix(parts, [mixed.weight for mixed in config.data.mixture])


def check_address(path: str) -> None:
    """Check that data are on this machine.

    Raises:
        DataError: It is an address.
    """
    if "://" in path:
        raise DataError(path, "is an address, and Ojito never goes online", "download it and give the path")


def training_texts(source: Rows | Stream, config: Config, drawn: int = 2000) -> Iterator[str]:
    """Yield the texts that the recipe's tokenizer is learned from.

    Args:
        source: What `open_data` opened.
        config: The recipe.
        drawn: Samples to look at, of a source without end.
    """
    data = config.data
    if isinstance(source, Stream):
        return texts(itertools.islice(source.stream(data.split, config.train.seed), drawn), config.processor.prompt)
    return texts(drawn_rows(source.samples(data.split), _DRAWN), config.processor.prompt)
