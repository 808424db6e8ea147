"""The grounding gap: how much worse a model foretells the text of an image when it is shown another one.

A model that answers without looking has as low a loss with the image of another row, and the gap is zero. It says so
while the run is still young, long before scores do: nothing is generated.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import random
import statistics
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ojito.config import Config, TrainConfig
from ojito.evaluate.controls import exchanged_images
from ojito.model import VLM
from ojito.processor import ImageError, Processor, RowError
from ojito.processor.prompts import Row
from ojito.processor.tiles import Encoded, Tiles
from ojito.records import IGNORE, Batch, Sample, image_key
from ojito.trainer import TrainState

if TYPE_CHECKING:
    from ojito.records import ImageLike

log = logging.getLogger(__name__)

_FEWEST = 4  # rows whose mean says something
_MOST = 128 * 2**20  # bytes of images that are kept; large images with many tiles leave fewer rows
_LATE = 0.5  # of the run: a model first learns which answers are likely, and only then to look
_CHANCE = 2.0  # standard errors that a gap may come to by chance
_SOON = 50  # steps in which nothing can be expected
_PATIENCE = 2  # looks in a row


class Grounding:
    """Loss on a few rows with their own images and with those of others; a `trainer.watch.Watch`.

    The rows, their texts and the exchange are the same at every look. Rows without an image are left out, and so are
    those whose image no other row can be shown in place of: with another number of images, or with the same ones.

    Args:
        model: The model in training.
        processor: Of the model.
        config: The recipe: how many rows, and how often.
        samples: Rows to choose from, in the order in which they are taken.
        read: Stands in for `processor.read_image`, for example where a frozen tower has encoded the images.

    Attributes:
        every: As of a `Watch`.
        rows: How many rows there are; with fewer than four, nothing is looked at.
        last: What was seen last; None before there was a look.
        ignores: Whether the model was found to ignore the image, and said to.
    """

    name = "grounding"

    def __init__(
        self,
        model: VLM,
        processor: Processor,
        config: Config,
        samples: Sequence[Sample],
        read: Callable[[ImageLike], Tiles | Encoded] | None = None,
    ) -> None:
        train = config.train
        self.every = train.grounding_every
        self._model, self._processor = model, processor
        self._size = max(1, train.batch_size // train.accumulate)
        self._own, self._exchanged = _rows(samples, processor, read, _count(config.train), train.seed)
        self.rows = len(self._own)
        self.last: dict[str, Any] | None = None
        self.ignores = False
        self._in_a_row = 0

    def __call__(self, state: TrainState) -> dict[str, Any] | None:
        """Return the losses and the gap, nats per token, means over the rows; None with too few rows."""
        if self.rows < _FEWEST:
            return None
        own = self._losses(self._own, state)
        exchanged = self._losses(self._exchanged, state)
        gaps = [b - a for a, b in zip(own, exchanged, strict=True)]
        error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if all(map(math.isfinite, gaps)) else math.nan
        self.last = {
            "grounding_gap": round(statistics.fmean(gaps), 6),
            "grounding_error": round(error, 6),
            "loss_right": round(statistics.fmean(own), 6),
            "loss_exchanged": round(statistics.fmean(exchanged), 6),
        }
        self._judge(state)
        return {**self.last, "ignores_image": True} if self.ignores else self.last

    @torch.no_grad()
    def _losses(self, rows: Sequence[Row], state: TrainState) -> list[float]:
        """The mean loss of each row over its labelled tokens, nats."""
        losses: list[float] = []
        for first in range(0, len(rows), self._size):
            batch = self._processor.batch(rows[first : first + self._size]).to(state.device)
            with torch.autocast(state.device.type, torch.bfloat16, enabled=state.bfloat16):
                losses += row_losses(self._model, batch).tolist()
        return losses

    def _judge(self, state: TrainState) -> None:
        """Warn, once, of a model that does not look."""
        seen = self.last or {}
        blind = seen["grounding_gap"] <= _CHANCE * seen["grounding_error"]
        self._in_a_row = self._in_a_row + 1 if blind else 0
        late = state.clock.step >= _SOON and state.clock.progress() >= _LATE
        if self.ignores or self._in_a_row < _PATIENCE or not late:
            return
        self.ignores = True
        if not state.ranks.first:
            return
        log.warning(
            "the model ignores the image: after step %d its loss is %.3f with the right image and %.3f with that of "
            "another row (%d rows, a gap of %.3f ± %.3f). Check that images and texts belong together (`ojito data`); "
            "if they do, train longer, with a larger train.connector_lr, or let more parts learn (train.freeze)",
            state.clock.step, seen["loss_right"], seen["loss_exchanged"], self.rows, seen["grounding_gap"],
            seen["grounding_error"],
        )  # fmt: skip


def row_losses(model: VLM, batch: Batch) -> Tensor:
    """Return the mean loss (B,) of each row over its labelled tokens, nats."""
    labelled = batch.targets != IGNORE  # (B, T)
    logits = model.head(model.features(batch)[labelled])  # (labels, V)
    losses = F.cross_entropy(logits.float(), batch.targets[labelled], reduction="none")
    sums = losses.new_zeros(len(batch.tokens)).index_add_(0, labelled.nonzero()[:, 0], losses)
    return sums / labelled.sum(1)


def _count(train: TrainConfig) -> int:
    """How many rows are looked at: so few that a look, two passes without gradients, takes less than two steps do."""
    return min(train.grounding_rows, max(2 * _FEWEST, 2 * train.batch_size))


def _rows(
    samples: Iterable[Sample],
    processor: Processor,
    read: Callable[[ImageLike], Tiles | Encoded] | None,
    count: int,
    seed: int,
) -> tuple[list[Row], list[Row]]:
    """Return rows with their own images, and the same rows with exchanged ones. An image is read once for both."""
    known: dict[Hashable, Tiles | Encoded] = {}

    def kept(image: ImageLike) -> Tiles | Encoded:
        key = image_key(image)
        if key not in known:
            known[key] = (read or processor.read_image)(image)
        return known[key]

    def row(sample: Sample) -> Row | None:
        try:
            made = processor.row(sample, training=True, rng=random.Random(f"{seed} grounding"), read=kept)
        except (ImageError, RowError):
            return None  # the loader or the evaluation has told of it, or will
        return made if any(target != IGNORE for target in made.targets) else None

    own: list[tuple[Sample, Row]] = []
    for sample in samples:
        if len(own) == count or sum(_nbytes(image) for image in known.values()) > _MOST:
            break
        if sample.images and (made := row(sample)):
            own.append((sample, made))
    partners = exchanged_images([sample for sample, _ in own], seed)
    pairs = [
        (made, other)
        for (sample, made), images in zip(own, partners, strict=True)
        if images and (other := row(dataclasses.replace(sample, images=images)))
    ]
    return [made for made, _ in pairs], [other for _, other in pairs]


def _nbytes(image: Tiles | Encoded) -> int:
    return image.pixels.nbytes if isinstance(image, Tiles) else image.patches.nbytes
