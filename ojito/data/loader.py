"""What each process of the loader reads: batches by their plan.

What a row is depends on the seed and its number in the run alone: the answers that are drawn, and the images that are
mirrored, are the same however many processes read them and however many rows a batch has.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Dataset

from ojito.config import DataConfig
from ojito.data.features import Features
from ojito.data.files import DataError
from ojito.data.plan import Place
from ojito.data.sources import problem_line
from ojito.data.stream import Drawn
from ojito.errors import OjitoError
from ojito.processor import Processor, RowError, TooLongError
from ojito.processor.augment import vary
from ojito.processor.prompts import Row
from ojito.processor.tiles import Encoded, Tiles
from ojito.records import Batch, Sample, StoredImage, image_key

if TYPE_CHECKING:
    from ojito.records import ImageLike

_LOCATION = re.compile(r"<loc[0-9]{4}>")  # as `locate/boxes.py` writes it

_EXCHANGED = {"flip": "left for right", "vertical_flip": "top for bottom"}

Problems = dict[int, tuple[str, bool]]
"""What is wrong with rows, by their number, and whether it counts toward the budget."""


class BatchDataset(Dataset[tuple["Batch | None", Problems]]):
    """Batches by their plan: what each process of the loader reads."""

    def __init__(
        self,
        samples: Sequence[Sample] | Drawn,
        processor: Processor,
        config: DataConfig,
        seed: int,
        features: Features | None = None,
    ) -> None:
        self._samples, self._processor, self._seed = samples, processor, seed
        self._config, self._features = config, features
        # Of rows whose answers are not drawn, once they are known.
        self._lengths = np.zeros(len(samples) if config.pack and not isinstance(samples, Drawn) else 0, np.uint32)
        self._cached = _Cache(processor.read_image, config.cache_mb * 2**20 // max(1, config.workers))

    def __getitem__(self, planned: list[list[Place]]) -> tuple[Batch | None, Problems]:
        """Return the batch, None if all its rows are bad; and the problem of each bad row, by its number."""
        problems: Problems = {}
        packs: list[list[Row]] = []
        for places in planned:
            rows: list[Row] = []
            for number, index in places:
                sample = self._samples[index]
                try:
                    rows.append(self._row(sample, number, sum(len(row.tokens) for row in rows)))
                except OjitoError as error:
                    # A long text is not broken, and what was not found at the start must not end a run late.
                    problems[index] = problem_line(sample.origin, error), not isinstance(error, TooLongError)
            packs.append(rows)
        if not any(packs):
            return None, problems
        if self._config.pack:
            return self._processor.packed(packs, self._config.pack), problems
        return self._processor.batch([row for rows in packs for row in rows]), problems

    def length(self, number: int, index: int) -> int:
        """Tokens of a sample as it will be read; 0 if it is bad, or too long for a packed row.

        Args:
            number: Of the sample in the run.
            index: Of its row.
        """
        if self._lengths[index]:
            return int(self._lengths[index])
        rng = self._rng(number)
        self._reader(rng)  # the answer is drawn after the view of the images
        sample = self._samples[index]
        try:
            length = self._processor.length(sample, rng)
        except OjitoError:  # what is wrong with it is said where it is read
            return 0
        if self._processor.config.prompt.answers == "all" or all(len(turn.answers) < 2 for turn in sample.turns):
            self._lengths[index] = length
        return length

    def _row(self, sample: Sample, number: int, before: int) -> Row:
        """Read a sample, behind so many tokens of its packed row."""
        check_flip(self._config, "sample", [sample])
        rng = self._rng(number)
        row = self._processor.row(sample, training=True, rng=rng, read=self._reader(rng))
        if self._config.pack and before + len(row.tokens) > self._config.pack:
            problem = f"takes {len(row.tokens)} tokens, which is not what its image's header said"
            raise RowError(sample.origin, problem, "save the image again")
        return row

    def _rng(self, number: int) -> random.Random:
        return random.Random(f"{self._seed} row {number}")  # not of the batch, whose size `accumulate` decides

    def _reader(self, rng: random.Random) -> Callable[[ImageLike], Tiles | Encoded]:
        """How the images of one row are read: all of them from the same view."""
        if self._features is not None:
            views = self._features.views
            return functools.partial(self._features.read, view=rng.randrange(views) if views > 1 else 0)
        mirrored = self._config.flip and rng.random() < 0.5
        seed = rng.getrandbits(32) if self._config.varies else 0
        crop, colour, vertical = self._config.crop, self._config.colour, self._config.vertical_flip
        return lambda image: vary(self._cached(image), mirrored, crop, random.Random(seed), colour, vertical)


class _Cache:
    """Decoded images of files, until the memory is used up; the images after that are decoded every time."""

    def __init__(self, read: Callable[[ImageLike], Tiles], capacity: int) -> None:
        self._read, self._left = read, capacity  # bytes
        self._images: dict[Hashable, Tiles] = {}

    def __call__(self, image: ImageLike) -> Tiles:
        if not isinstance(image, (str, Path, StoredImage)):
            return self._read(image)
        key = image_key(image)
        tiles = self._images.get(key)
        if tiles is None:
            tiles = self._read(image)
            if tiles.pixels.nbytes <= self._left:
                self._left -= tiles.pixels.nbytes
                self._images[key] = tiles
        return tiles


def check_flip(config: DataConfig, name: str, rows: Iterable[Sample]) -> None:
    """Refuse rows that say where things are, if images are flipped: a location could be, the codes of a mask not."""
    setting = "flip" if config.flip else "vertical_flip"
    for row in rows if config.flip or config.vertical_flip else ():
        found = _LOCATION.search(" ".join(text for turn in row.turns for text in (turn.prompt, *turn.answers)))
        if found:
            problem = f"data.{setting} would make {found[0]} wrong, {_EXCHANGED[setting]}"
            raise DataError(row.origin or name, problem, f"set data.{setting}=false")
