"""What to learn from: your own pictures (`sources`), drawn `scenes`, sixteen `photos`; the `loader` serves them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ojito.config import Config
from ojito.data.loader import Batches, Rows, Stream
from ojito.data.photos import photos16
from ojito.data.scenes import Scenes
from ojito.data.sources import DataError, Source, read_source
from ojito.processor import texts

__all__ = [
    "Batches",
    "DataError",
    "Rows",
    "Scenes",
    "Source",
    "Stream",
    "open_data",
    "photos16",
    "read_source",
    "training_texts",
]


def open_data(config: Config) -> Source | Scenes:
    """What the recipe's `data.path` names: built in, a file or a folder.

    Raises:
        DataError: It cannot be read, or holds too many bad rows.
    """
    data = config.data
    if data.path == "scenes":
        return Scenes(data.scenes)
    if data.path == "photos16":
        return Source("photos16", photos16())
    return read_source(data.path, data.max_bad, pack=config.processor.prompt.turns == "blind")


def training_texts(source: Source | Scenes, config: Config, drawn: int = 2000) -> Iterator[str]:
    """The texts that the recipe's tokenizer should learn from.

    Args:
        source: What `open_data` opened.
        config: The recipe.
        drawn: Samples to look at, of a source without end.
    """
    data = config.data
    if isinstance(source, Stream):
        return texts(itertools.islice(source.stream(data.split, config.train.seed), drawn), config.processor.prompt)
    return texts(source.samples(data.split), config.processor.prompt)
