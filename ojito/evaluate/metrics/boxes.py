"""Scores of boxes and masks: how much of two areas is shared, and average precision of what is found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ojito.errors import OjitoError
from ojito.evaluate.metrics.score import Score
from ojito.locate.boxes import Box

_RECALLS = np.linspace(0, 1, 101)


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

    def combine(sums: np.ndarray) -> np.ndarray:
        return np.array([_mean_precision(counts, times) for times in sums])

    return Score(np.eye(len(counts)), combine)


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


def _mean_precision(images: Sequence[_Counted], times: np.ndarray) -> float:
    """Mean over labels, where each image counts so many times."""
    chosen = [(image, int(count)) for image, count in zip(images, times, strict=True) if count]
    labels = {label for image, _ in chosen for label in image.there}
    values = []
    for label in sorted(labels):
        there = sum(image.there.get(label, 0) * count for image, count in chosen)
        found = [one for image, count in chosen for one in image.found.get(label, ()) for _ in range(count)]
        found.sort(key=lambda pair: -pair[0])
        right = np.cumsum([hit for _, hit in found])
        precision = right / np.arange(1, len(found) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]  # the best from this recall on
        at = np.searchsorted(right / there, _RECALLS, side="left")
        values.append(np.append(precision, 0.0)[at].mean())
    return float(np.mean(values)) if values else 0.0


def _area(box: Box) -> float:
    return (box.bottom - box.top) * (box.right - box.left)
