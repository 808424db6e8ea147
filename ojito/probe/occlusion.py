"""What an answer loses when a part of the image is covered, and curves of it.

Parts are covered in the image itself, before the processor fits it. So this works for any vision tower, tiles and
connector, and asks nothing of what is inside the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter

from ojito.errors import OjitoError
from ojito.generate import evaluating
from ojito.model import VLM
from ojito.probe.forced import ForcedAnswer, Word, answer_logits, log_probability
from ojito.probe.maps import HeatMap
from ojito.processor import Processor

Cover = Literal["mean", "blur"]
"""What covers a part of an image: its mean colour, or its own blur."""

Mask = npt.NDArray[np.bool_]
_LEAST = 1e-30  # of a probability: what is 0 has no logarithm
_BLUR = 1 / 8  # radius, as a share of the longer side


def occlusion_map(
    model: VLM,
    processor: Processor,
    image: Image.Image,
    forced: ForcedAnswer,
    word: Word,
    cells: int = 6,
    cover: Cover = "mean",
    batch_size: int = 16,
) -> HeatMap:
    """How much the log-probability of a word falls when a cell of the image is covered; below 0 where it rises.

    Args:
        model: The model.
        processor: Of the model.
        image: The upright image.
        forced: The answer about it.
        word: One of its words.
        cells: Cells along each side of the image.
        cover: What covers a cell.
        batch_size: Images that are read at once.

    Raises:
        OjitoError: No cells, or more of them than pixels.

    Source: Zeiler & Fergus 2013, arXiv 1311.2901, section 4.2.
    """
    if not 0 < cells <= min(image.size):
        raise OjitoError("cells", f"{cells} do not fit along {min(image.size)} pixels", "use for example 6")
    width, height = image.size
    heat = HeatMap(np.zeros((cells, cells)), width, height, (0.0, 0.0, float(width), float(height)))
    masks = (cell_mask(heat, cell) for cell in range(cells * cells))
    other = stand_in(image, cover)
    images = (covered_by(image, other, mask) for mask in masks)
    whole, *covered = _log_probabilities(model, processor, (image, *images), forced, word, batch_size)
    heat.values[:] = whole - np.array(covered).reshape(cells, cells)
    return heat


@dataclass(frozen=True)
class Dependence:
    """What the image is worth to a word of an answer.

    Attributes:
        word: The word.
        seen: Its probability with the image.
        covered: Its probability where all of the image has its mean colour.
    """

    word: Word
    seen: float
    covered: float

    @property
    def nats(self) -> float:
        """By how much its log-probability falls when the image is covered; below 0 where it rises."""
        return math.log(max(self.seen, _LEAST)) - math.log(max(self.covered, _LEAST))


def dependence(model: VLM, processor: Processor, image: Image.Image, forced: ForcedAnswer) -> list[Dependence]:
    """Return what the image is worth to each word of an answer, but for its punctuation.

    Args:
        model: The model.
        processor: Of the model.
        image: The upright image.
        forced: The answer about it.
    """
    words = [word for word in forced.words if any(map(str.isalnum, word.text))]
    read = [processor.read_image(one) for one in (image, stand_in(image, "mean"))]
    with torch.no_grad(), evaluating(model):
        logits = answer_logits(model, forced.batch(processor, read), forced)
        each = [log_probability(logits, forced, word).exp().tolist() for word in words]
    return [Dependence(word, *two) for word, two in zip(words, each, strict=True)]


@dataclass(frozen=True)
class Curve:
    """The probability of a word while more and more of the image is covered, or uncovered.

    Attributes:
        shares: Shares of the map's cells, from 0 to 1.
        probabilities: Of the word, at each.
    """

    shares: tuple[float, ...]
    probabilities: tuple[float, ...]

    @property
    def area(self) -> float:
        """The area below the curve, 0 to 1: the mean probability."""
        means = (np.array(self.probabilities[1:]) + self.probabilities[:-1]) / 2
        return float((means * np.diff(self.shares)).sum())


def curve(
    kind: Literal["insertion", "deletion"],
    model: VLM,
    processor: Processor,
    image: Image.Image,
    forced: ForcedAnswer,
    word: Word,
    heat: HeatMap,
    steps: int = 16,
    cover: Cover = "mean",
    batch_size: int = 16,
) -> Curve:
    """Cover the highest cells of a map first ("deletion"), or begin with all covered and uncover those ("insertion").

    A good map has a low area of deletion and a high one of insertion.

    Args:
        kind: Which of the two.
        model: The model.
        processor: Of the model.
        image: The upright image.
        forced: The answer about it.
        word: One of its words.
        heat: The map.
        steps: Steps from nothing to all cells; no more than there are cells.
        cover: What covers a cell.
        batch_size: Images that are read at once.

    Source: Petsiuk et al. 2018 (RISE), arXiv 1806.07421.
    """
    order = np.argsort(-heat.values, axis=None, kind="stable")
    counts = np.unique(np.linspace(0, order.size, min(steps, order.size) + 1).round().astype(int))
    other = stand_in(image, cover)
    first, second = (image, other) if kind == "deletion" else (other, image)
    images = (covered_by(first, second, _mask(heat, order[:count])) for count in counts)
    logs = _log_probabilities(model, processor, images, forced, word, batch_size)
    return Curve(tuple((counts / order.size).tolist()), tuple(np.exp(logs).tolist()))


def stand_in(image: Image.Image, cover: Cover) -> Image.Image:
    """The image that shows through where another is covered: of its mean colour, or blurred."""
    if cover == "blur":
        return image.filter(ImageFilter.GaussianBlur(max(image.size) * _BLUR))
    mean = np.asarray(image, np.float64).mean(axis=(0, 1)).round().astype(int)
    return Image.new("RGB", image.size, tuple(mean.tolist()))


def covered_by(image: Image.Image, other: Image.Image, mask: Mask) -> Image.Image:
    """The image, with the other one's pixels where the mask is set."""
    return Image.composite(other, image, Image.fromarray(mask.astype(np.uint8) * np.uint8(255)))


def cell_mask(heat: HeatMap, cell: int) -> Mask:
    """The pixels (height, width) of one cell of a map, counted row by row."""
    return _mask(heat, np.array([cell]))


def _mask(heat: HeatMap, cells: npt.NDArray[np.int64]) -> Mask:
    """The pixels (height, width) of some cells of a map: those whose middle they hold."""
    chosen = np.zeros(heat.values.size + 1, bool)
    chosen[cells] = True
    x, y = heat.edges()
    columns = np.searchsorted(x, np.arange(heat.width) + 0.5, side="right") - 1
    rows = np.searchsorted(y, np.arange(heat.height) + 0.5, side="right") - 1
    off = (rows < 0) | (rows >= heat.values.shape[0])
    off = off[:, None] | ((columns < 0) | (columns >= heat.values.shape[1]))[None]
    index = rows[:, None] * heat.values.shape[1] + columns[None]
    return chosen[np.where(off, heat.values.size, index)]


def _log_probabilities(
    model: VLM,
    processor: Processor,
    images: Iterable[Image.Image],
    forced: ForcedAnswer,
    word: Word,
    batch_size: int,
) -> list[float]:
    """Log-probabilities of a word, with each of these images in place of its own."""
    found: list[float] = []
    with torch.no_grad(), evaluating(model):
        for some in _batches(images, batch_size):
            batch = forced.batch(processor, [processor.read_image(image) for image in some])
            found += log_probability(answer_logits(model, batch, forced), forced, word).tolist()
    return found


def _batches(images: Iterable[Image.Image], size: int) -> Iterator[list[Image.Image]]:
    coming = iter(images)
    while some := list(islice(coming, size)):
        yield some
