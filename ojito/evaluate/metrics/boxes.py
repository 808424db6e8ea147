"""Scores of boxes and masks: how much of two areas is shared, and average precision of what is found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ojito.errors import OjitoError
from ojito.evaluate.metrics.score import Score, ratio
from ojito.locate.boxes import Box, parse
from ojito.records import Turn

_RECALLS = np.linspace(0, 1, 101)
_PIECE = 2**21  # numbers that are weighed at once


def box_iou(one: Box, other: Box) -> float:
    """Return the shared area of two boxes over the area of both together, 0 to 1."""
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    width = min(one.right, other.right) - max(one.left, other.left)
    shared = max(height, 0) * max(width, 0)
    return shared / (_area(one) + _area(other) - shared)


def mask_iou(predicted: Sequence[np.ndarray], references: Sequence[np.ndarray]) -> Score:
    """Return the mean over images of the shared area of two masks over the area of both, 0 to 1.

    Args:
        predicted: (h, w) bool, one an image.
        references: The same; an empty mask is found by an empty one.

    Raises:
        OjitoError: They are not as many, or not as large.
    """
    if len(predicted) != len(references):
        raise OjitoError("references", f"{len(references)} masks for {len(predicted)}", "give one for each")
    values = []
    for number, (ours, theirs) in enumerate(zip(predicted, references, strict=True)):
        if ours.shape != theirs.shape:
            raise OjitoError(f"mask {number}", f"is {ours.shape}, its reference {theirs.shape}", "give one size")
        union = np.logical_or(ours, theirs).sum()
        values.append(np.logical_and(ours, theirs).sum() / union if union else 1.0)
    return Score.mean(values)


def located(predicted: Sequence[Box | None], references: Sequence[Box], threshold: float = 0.5) -> Score:
    """Return the share of things, 0 to 1, whose box is found: the accuracy of RefCOCO.

    Args:
        predicted: A box for each question, or None.
        references: The right one.
        threshold: Least IoU.

    Raises:
        OjitoError: They are not as many.
    """
    if len(predicted) != len(references):
        raise OjitoError("references", f"{len(references)} boxes for {len(predicted)}", "give one for each")
    pairs = zip(predicted, references, strict=True)
    return Score.mean([float(ours is not None and box_iou(ours, theirs) >= threshold) for ours, theirs in pairs])


def average_precision(
    predicted: Sequence[Sequence[Box]],
    references: Sequence[Sequence[Box]],
    confidences: Sequence[Sequence[float]] | None = None,
    threshold: float = 0.5,
) -> Score:
    """Return the mean over labels of the average precision of the boxes, 0 to 1: AP@50, as COCO's evaluation has it.

    The boxes of all images are taken from the surest to the least sure. Each finds the right box with its label that
    it shares most with, if that is enough and nothing has found it before.

    Args:
        predicted: Boxes of each image, with labels.
        references: The right ones of each image.
        confidences: How sure each box is. A language model has none: without them, the first boxes of each image come
            first.
        threshold: Least IoU.

    Raises:
        OjitoError: They are not as many.
    """
    sure = confidences or [[-float(at) for at in range(len(boxes))] for boxes in predicted]
    if not len(predicted) == len(references) == len(sure):
        raise OjitoError("references", f"{len(references)} images for {len(predicted)}", "give one list for each image")
    counts = [_Counted(*image, threshold) for image in zip(predicted, references, sure, strict=True)]
    labels = [_Label.of(label, counts) for label in sorted({label for image in counts for label in image.there})]
    return Score.ranked(len(counts), partial(_mean_precision, labels))


def mean_iou(predicted: Sequence[Sequence[Box]], references: Sequence[Sequence[Box]]) -> Score:
    """Return the mean over all right boxes of the area shared with the box found for it, over both, 0 to 1.

    Pairs are made of boxes with one label, those that share most first; a right box that is left without one counts 0.
    What is found beside them costs nothing here, but costs `average_precision`.

    Args:
        predicted: Boxes of each image, with labels.
        references: The right ones of each image.

    Raises:
        OjitoError: They are not as many.
    """
    if len(predicted) != len(references):
        raise OjitoError("references", f"{len(references)} images for {len(predicted)}", "give one list for each image")
    counts = [(_shared(*image), len(image[1])) for image in zip(predicted, references, strict=True)]
    return Score(np.array(counts).reshape(-1, 2), ratio)


def expects_boxes(turn: Turn) -> bool:
    """Whether a turn's answers are boxes, as PaliGemma writes them."""
    return any("<loc" in answer for answer in turn.answers)


def boxes_in(text: str) -> list[Box]:
    """Return the boxes of a text in an image of side 1: what two boxes share depends on no image's size."""
    return parse(text, 1, 1)


def _shared(predicted: Sequence[Box], references: Sequence[Box]) -> float:
    """Sum of the IoU of the pairs of an image."""
    pairs = [
        (box_iou(ours, theirs), i, j)
        for i, ours in enumerate(predicted)
        for j, theirs in enumerate(references)
        if ours.label == theirs.label
    ]
    mine, wanted, total = set(), set(), 0.0
    for iou, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
        if i not in mine and j not in wanted:
            mine.add(i)
            wanted.add(j)
            total += iou
    return total


class _Counted:
    """What is found in one image: of each label, how many there are, and of its boxes how sure and whether right."""

    def __init__(
        self, predicted: Sequence[Box], references: Sequence[Box], confidences: Sequence[float], threshold: float
    ) -> None:
        self.there: dict[str, int] = defaultdict(int)
        for box in references:
            self.there[box.label] += 1
        self.found: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        left = set(range(len(references)))
        for confidence, box in sorted(zip(confidences, predicted, strict=True), key=lambda pair: -pair[0]):
            shared = [(box_iou(box, references[at]), -at) for at in left if references[at].label == box.label]
            best, at = max(shared, default=(0.0, 0))
            right = best >= threshold
            if right:
                left.remove(-at)
            self.found[box.label].append((confidence, right))


class _Label(NamedTuple):
    """A label in all N images, and the M boxes that were found of it, the surest first.

    Attributes:
        there: (N,) how many there are in each image.
        image: (M,) in which image each box is.
        right: (M,) whether it is right.
    """

    there: np.ndarray
    image: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, label: str, images: Sequence[_Counted]) -> _Label:
        found = [(sure, at, right) for at, image in enumerate(images) for sure, right in image.found.get(label, ())]
        found.sort(key=lambda one: -one[0])
        there = np.array([image.there.get(label, 0) for image in images], dtype=np.float64)
        image = np.array([at for _, at, _ in found], dtype=np.int64)
        return cls(there, image, np.array([right for _, _, right in found], dtype=np.float64))


def _mean_precision(labels: Sequence[_Label], times: np.ndarray) -> np.ndarray:
    """Mean over labels (R,) in R sets that hold each image so many times (R, N).

    What is right in an image does not depend on the others: a set weighs the boxes, which are in their order already.
    """
    total, counted = np.zeros(len(times)), np.zeros(len(times))
    longest = max((len(label.image) for label in labels), default=0)
    piece = max(1, _PIECE // max(longest, 1))
    for start in range(0, len(times), piece):
        part = slice(start, start + piece)
        for label in labels:
            there = times[part] @ label.there
            total[part] += np.where(there > 0, _precision(label, times[part], np.maximum(there, 1)), 0)
            counted[part] += there > 0
    return np.divide(total, counted, out=np.zeros(len(times)), where=counted > 0)


def _precision(label: _Label, times: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Average precision (R,) of a label, of which there are so many (R,)."""
    weights = times[:, label.image]
    made, right = np.cumsum(weights, axis=1), np.cumsum(weights * label.right, axis=1)
    precision = np.divide(right, made, out=np.zeros_like(right), where=made > 0)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # the best from this recall on
    precision = np.concatenate((precision, np.zeros((len(times), 1))), axis=1)
    recall = right / there[:, None]
    return np.array(
        [
            best[np.searchsorted(reached, _RECALLS, side="left")].mean()
            for best, reached in zip(precision, recall, strict=True)
        ]
    )


def _area(box: Box) -> float:
    return (box.bottom - box.top) * (box.right - box.left)
