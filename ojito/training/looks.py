"""What a run looks at beside its scores: the grounding gap, and what the model says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from ojito.config import Config
from ojito.data import Rows, Stream
from ojito.pipeline import Pipeline
from ojito.processor.pixels import normalize
from ojito.processor.tiles import Encoded
from ojito.records import Sample
from ojito.trainer.progress import Display
from ojito.trainer.watch import Watch, undisturbed
from ojito.training.grounding import Grounding
from ojito.training.scoring import Scoring
from ojito.training.shown import Shown

if TYPE_CHECKING:
    from ojito.records import ImageLike

_SPARE = 4  # rows to choose from, times those that are wanted: some have no image, or one that cannot be read


def watches_of(
    pipe: Pipeline, config: Config, source: Rows | Stream, scoring: Scoring, encoded: bool, display: Display
) -> list[Watch]:
    """Return what a run looks at: rows that the model is scored on; where there are none, some that it learns.

    Args:
        pipe: The model in training.
        config: The recipe.
        source: The rows.
        scoring: Knows the rows that the model is scored on.
        encoded: Whether the run learns from images that a frozen tower has encoded.
        display: Shows what the model says.
    """
    train = config.train
    wanted = max(train.grounding_rows, train.show_rows)
    if not wanted:
        return []
    samples = scoring.rows() if scoring.possible else _learned(source, config, _SPARE * wanted)
    watches: list[Watch] = []
    if train.grounding_rows:
        read = _encoder(pipe) if encoded else None
        watches.append(Grounding(pipe.model, pipe.processor, config, samples, read))
    if train.show_rows:
        watches.append(Shown(pipe, train, samples, display))
    return watches


def _learned(source: Rows | Stream, config: Config, count: int) -> Sequence[Sample]:
    """Some rows that are learned from, out of all parts of the data."""
    split, seed = config.data.split, config.train.seed
    if isinstance(source, Stream):
        return [*itertools.islice(source.stream(split, seed), count)]
    rows = source.samples(split)
    return [rows[number] for number in range(0, len(rows), max(1, len(rows) // count))][:count]


def _encoder(pipe: Pipeline) -> Callable[[ImageLike], Encoded]:
    """Reads an image as the frozen tower encodes it, which is done once."""

    @torch.no_grad()
    def read(image: ImageLike) -> Encoded:
        pixels = normalize(pipe.processor.read_image(image).pixels, pipe.processor.config.image)
        with undisturbed(pipe.model):  # which may be in training mode, where batch norms would move
            return Encoded(pipe.model.see(pixels.to(pipe.device))[0].cpu())

    return read
